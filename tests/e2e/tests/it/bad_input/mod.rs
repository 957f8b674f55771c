//! Bad input over REST: each gets what the contract documents (section 1), says what to do, and changes nothing.

mod bearers;
mod body;
mod headers;
mod ids;
mod lists;
mod lockers;
mod oauth;
mod paths;
mod tokens;

use coffre_e2e::api::{NewAttribute, NewValue, Session};
use coffre_e2e::canary;
use coffre_e2e::case::Case;
use coffre_e2e::http::HttpAnswer;
use coffre_e2e::model::{Credential, StoredValue};

pub(crate) const CREDENTIALS: &str = "/v2/credentialvault/credentials";

/// An owner with one credential and one value, which must be the same afterwards.
pub(crate) struct Untouched {
    pub(crate) owner: Session,
    pub(crate) credential: Credential,
    pub(crate) value: StoredValue,
}

impl Untouched {
    pub(crate) async fn new(case: &Case<'_>) -> Self {
        let owner = case.basic("owner").await;
        let credential = owner
            .create_credential(&case.unique("untouched"), &[NewAttribute::standard("a"), NewAttribute::standard("b")])
            .await
            .ok();
        let value = owner
            .create_values(credential.id, &[NewValue::new(credential.attributes[0].id, case.secret("kept"))])
            .await
            .ok();
        Self { owner, credential, value: value[0].clone() }
    }

    pub(crate) fn token(&self) -> &str {
        self.owner.token.as_deref().unwrap()
    }

    /// Panics where anything changed.
    pub(crate) async fn check(&self) {
        let all = self.owner.list_credentials(&Default::default()).await.ok();
        let same = Credential { completed: all.first().is_some_and(|one| one.completed), ..self.credential.clone() };
        assert_eq!(all, [same], "a refusal changes nothing");
        assert_eq!(
            self.owner.list_values(self.credential.id).await.ok(),
            std::slice::from_ref(&self.value),
            "a refusal changes nothing"
        );
    }
}

/// Panics where an answer is not the expected refusal, or holds what was sent in confidence.
#[track_caller]
pub(crate) fn refused(what: &str, answer: &HttpAnswer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{what}: {text}");
    assert_eq!(answer.code(), code, "{what}: {text}");
    assert!(!canary::is_in(&answer.body), "{what}: a secret in the answer");
    assert!(answer.header("x-request-id").is_some(), "{what}: no request id");
    let internals = ["serde", "panicked", "sqlite", "postgres", "diesel", "SELECT", "INSERT", "tonic", "h2 "];
    for internal in internals {
        assert!(!text.contains(internal), "{what}: the answer tells what is inside: {text}");
    }
}
