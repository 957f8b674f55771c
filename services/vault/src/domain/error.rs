//! Why the vault refuses.

use std::time::Duration;

use coffre_crypto::CryptoError;
use coffre_crypto::slot::SlotKind;
use coffre_types::{AttributeId, LockerId, Permission, UserId, ValueId};

use super::holdings::Holdings;
use super::keys::{RolledBack, TermsDamaged, slot_word};
use super::policy::Action;

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A field breaks a rule.
    #[error("{field}: {description}")]
    Invalid {
        /// The field's path in the request.
        field: String,
        /// What is wrong, and what would be right.
        description: String,
    },
    /// Not there, or not visible to the caller.
    #[error("no such credential")]
    CredentialNotFound,
    /// The name is taken.
    #[error("another credential has this name")]
    CredentialNameTaken,
    /// The version in the request is not the current one.
    #[error("the credential was changed meanwhile")]
    CredentialVersionConflict,
    /// `If-Match` does not match.
    #[error("the entity tag does not match")]
    PreconditionFailed,
    /// A locker holds it: it can neither be deleted nor put into another one.
    #[error("locker {0} holds the credential")]
    CredentialInLocker(LockerId),
    /// It is not in the locker out of which it is to be taken.
    #[error("the credential is not in locker {locker}")]
    CredentialNotInLocker {
        /// The locker that was named.
        locker: LockerId,
        /// The locker that holds it.
        holder: Option<LockerId>,
    },
    /// No such locker, or not visible to the caller.
    #[error("no locker {0}")]
    LockerNotFound(LockerId),
    /// The caller sees the locker but puts nothing into it.
    #[error("not permitted in locker {0}")]
    LockerNotPermitted(LockerId),
    /// The locker is being deleted.
    #[error("locker {0} is being deleted")]
    LockerBeingDeleted(LockerId),
    /// Locker could not be asked.
    #[error("locker does not answer")]
    LockerUnavailable,
    /// Locker has to be asked before this can be decided. Never leaves the service.
    #[error("locker was not asked")]
    SharesNotAsked,
    /// The entry of a credential was settled or overtaken by another one. Never leaves the service.
    #[error("the entry was overtaken")]
    EntryOvertaken,
    /// The caller sees it but may not do this.
    #[error("not permitted")]
    NotPermitted(Action),
    /// A right of the caller is not effective without this permission.
    #[error("a permission is missing")]
    PermissionRequired(Permission),
    /// An administrator of lockers gives to itself.
    #[error("nobody gives to himself")]
    SelfGrant,
    /// The new owner does not exist or is being deleted.
    #[error("user {0} cannot own anything")]
    OwnerUnknown(UserId),
    /// An update carries another owner.
    #[error("an update does not change the owner")]
    OwnerImmutable(UserId),
    /// An update carries another locker.
    #[error("an update does not change the locker")]
    LockerImmutable(LockerId),
    /// No such attribute in this credential.
    #[error("no attribute {0}")]
    AttributeNotFound(i64),
    /// The attribute's version is not the current one.
    #[error("attribute {0} was changed meanwhile")]
    AttributeVersionConflict(AttributeId),
    /// Two attributes of one credential with the same name.
    #[error("two attributes have the same name")]
    AttributeNameTaken(String),
    /// `user_provided` cannot change.
    #[error("attribute {0} has values")]
    AttributeHasValues(AttributeId),
    /// No such value in this credential.
    #[error("no such value")]
    ValueNotFound,
    /// The attribute has this value already.
    #[error("attribute {attribute} has a value")]
    ValueExists {
        /// The attribute.
        attribute: AttributeId,
        /// The value that is there, where it is known.
        value: Option<ValueId>,
    },
    /// The value's version is not the current one.
    #[error("the value was changed meanwhile")]
    ValueVersionConflict,
    /// A stored value does not open.
    #[error("value {0} does not open")]
    ValueCorrupt(ValueId),
    /// The vault is sealed.
    #[error("the vault is sealed")]
    Sealed,
    /// The key is none that opens this vault.
    #[error("the key is wrong")]
    KeyWrong,
    /// The server's key file is not the one of this vault, or it has none.
    #[error("the key file is wrong")]
    KeyFileWrong,
    /// The server's key file cannot be used for the mode Express; the text says why.
    #[error("the key file cannot be used: {0}")]
    KeyFileUnusable(String),
    /// Too many wrong keys.
    #[error("too many keys: wait {0:?}")]
    KeyThrottled(Duration),
    /// The new master key is too short, or too short without the setting that allows it.
    #[error("the master key is too short")]
    KeyWeak {
        /// A setting would allow it.
        setting: bool,
    },
    /// The slot of the key that was shown is damaged.
    #[error("a key slot is damaged")]
    KeyDamaged,
    /// A slot that a change would keep is damaged, or was not made by this vault.
    #[error("the {} slot is damaged", slot_word(*.0))]
    KeptSlotDamaged(SlotKind),
    /// Data keys do not open under the right root key, or there are none.
    #[error("{0}")]
    TermsDamaged(TermsDamaged),
    /// The stored keys are older than those that were seen.
    #[error("{0}")]
    KeysRolledBack(#[from] RolledBack),
    /// The vault is closed in this process, but the seal could not be stored.
    #[error("the seal cannot be stored")]
    SealNotStored {
        /// There is no room left on the disk.
        full: bool,
    },
    /// Whoever asks for the root key is no replica of the vault.
    #[error("the caller is no replica of the vault")]
    PeerNotVault,
    /// Whoever asks for the root key does not show that it reads the keys of this vault.
    #[error("the caller does not read the keys of this vault")]
    PeerUnproven,
    /// Others are being given the root key.
    #[error("other replicas are being given the root key")]
    PeersBusy,
    /// Somebody else changed the keys at the same time.
    #[error("the keys were changed meanwhile")]
    KeysChanged,
    /// The call does not belong to the present mode; the text says why.
    #[error("{0}")]
    ModeConflict(&'static str),
    /// No transport key of ours has this public key.
    #[error("unknown transport key")]
    TransportKeyUnknown,
    /// A value does not decrypt under its transport key.
    #[error("{0} does not decrypt")]
    TransportValueUnreadable(String),
    /// A ciphertext is longer than one block.
    #[error("{0} is too long for the transport key")]
    TransportValueTooLong(String),
    /// The first transport key is still being made.
    #[error("no transport key yet")]
    TransportKeyPending,
    /// The list was asked for something that it does not have.
    #[error("the list refuses")]
    List(#[from] coffre_db::list::Error),
    /// The user cannot be released: it owns credentials.
    #[error("the user owns {} credentials", .0.total)]
    StillHolds(Holdings),
    /// No such user.
    #[error("no user {0}")]
    UserNotFound(UserId),
    /// More people than one answer holds.
    #[error("too many people")]
    TooManyPeople,
    /// Auth could not be asked.
    #[error("auth does not answer")]
    AuthUnavailable,
    /// Audit could not be asked.
    #[error("audit does not answer")]
    AuditUnavailable,
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] coffre_db::Error),
    /// Sealing failed.
    #[error("crypto: {0}")]
    Crypto(#[from] CryptoError),
}

impl VaultError {
    /// Refuses a field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), description: description.into() }
    }
}
