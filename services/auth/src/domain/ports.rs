//! What the use cases need from other services.

use async_trait::async_trait;
use coffre_types::UserId;

/// What a user still owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// How many objects.
    pub(crate) total: i64,
    /// The names of the first ones, as `credential 12 (Mail)`.
    pub(crate) first: Vec<String>,
}

/// The vault does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VaultSilent;

/// Lets go of users who are being deleted.
#[async_trait]
pub(crate) trait LetGo: Send + Sync {
    /// Releases a user who owns nothing; says what it owns otherwise. May be repeated.
    async fn release(&self, user: UserId) -> Result<Option<Holdings>, VaultSilent>;
}
