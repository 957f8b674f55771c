//! How a refusal becomes a gRPC status and comes back from one.
//!
//! Which error type to use where:
//! - `domain` of a service: a `thiserror` enum per use case; it knows nothing of gRPC.
//! - `store`: `coffre_db::Error`, sorted once from what the driver says.
//! - `api` of a service: [`Refusal`], made from the two by a match without a `_` arm.
//! - `main` and tests: `anyhow`.
//!
//! A [`Refusal`] says what was wrong and what to do. What went wrong inside us is logged once, under an error id, and the caller
//! learns the id alone ([`Refusal::internal`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod table;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

pub use coffre_proto::error::v1::ErrorReason as Reason;
pub use table::{code, grpc_code};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

/// The `domain` of every `google.rpc.ErrorInfo` of ours (AIP-193).
pub const DOMAIN: &str = "coffre";

/// How tonic begins what it says of a message that cannot be read, or is not there; it says all of it with INTERNAL.
const UNREADABLE: [&str; 5] = [
    "failed to decode Protobuf message",
    "Missing request message",
    "Unexpected EOF decoding stream",
    "protocol error: ",
    "Error decompressing: ",
];

/// A field that broke a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The field's path, in the words of the message that the caller sent.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// Why a call was refused, in words for people and for programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    reason: Reason,
    message: String,
    metadata: Vec<(String, String)>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Refuses. The message says what was wrong and what to do; it never holds a secret or an SQL text.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), metadata: Vec::new(), violations: Vec::new(), retry_after: None }
    }

    /// Refuses one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        Self::new(Reason::RequestInvalid, format!("{field}: {description}")).violation(field, description)
    }

    /// Logs a fault of ours under a new error id and tells the caller that id alone.
    #[must_use]
    pub fn internal(fault: &(impl fmt::Display + ?Sized)) -> Self {
        let id = Uuid::new_v4();
        tracing::error!(error_id = %id, fault = %fault, "a call failed by a fault of ours");
        Self::new(Reason::Internal, format!("internal error {id}; the log has more under this id"))
            .with("error_id", id.to_string())
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Adds a field that broke a rule.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Says after which time the call may be repeated.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the words for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the delay after which the call may be repeated.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the fields that broke a rule.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Returns a fact by its key.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns every fact.
    #[must_use]
    pub fn facts(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// Renames the fields, also where the message begins with one: an interface names them in its own words.
    #[must_use]
    pub fn rename_fields(mut self, rename: impl Fn(&str) -> String) -> Self {
        for violation in &mut self.violations {
            let renamed = rename(&violation.field);
            if let Some(rest) = self.message.strip_prefix(&violation.field).filter(|rest| rest.starts_with(':')) {
                self.message = format!("{renamed}{rest}");
            }
            violation.field = renamed;
        }
        self
    }

    /// Reads a refusal back from a status. A status of a transport, without our details, becomes the nearest reason and loses its
    /// text, which may name what is inside.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .and_then(|info| Reason::from_str_name(&format!("ERROR_REASON_{}", info.reason)));
        let Some(reason) = reason else { return Self::from_foreign(status) };
        Self {
            reason,
            message: status.message().to_owned(),
            metadata: details
                .error_info()
                .map(|info| info.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
                .unwrap_or_default(),
            violations: details
                .bad_request()
                .map(|bad| {
                    bad.field_violations
                        .iter()
                        .map(|v| Violation { field: v.field.clone(), description: v.description.clone() })
                        .collect()
                })
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    fn unreadable() -> Self {
        Self::new(Reason::RequestMalformed, "the message could not be read: send it as the proto describes it")
    }

    fn from_foreign(status: &Status) -> Self {
        use tonic::Code;
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => {
                Self::new(Reason::RequestTimeout, "the call took longer than its deadline; repeat it")
                    .retry_after(Duration::from_secs(1))
            }
            Code::Unavailable => {
                Self::new(Reason::ServiceUnavailable, "a service that the call needs does not answer; repeat it")
                    .retry_after(Duration::from_secs(1))
            }
            // tonic answers so what is larger than a service takes.
            Code::OutOfRange | Code::ResourceExhausted => {
                Self::new(Reason::RequestTooLarge, "the message is larger than the limit; send less")
            }
            Code::Internal if UNREADABLE.iter().any(|text| status.message().starts_with(text)) => Self::unreadable(),
            Code::InvalidArgument => Self::unreadable(),
            Code::Unimplemented => Self::new(Reason::RouteNotFound, "no such call"),
            _ => Self::internal(status.message()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", code(self.reason), self.message)
    }
}

impl std::error::Error for Refusal {}

/// Returns the name that `google.rpc.ErrorInfo.reason` and the audit carry: without the enum's prefix.
#[must_use]
pub fn reason_name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> = refusal.metadata.into_iter().collect();
        details.set_error_info(reason_name(refusal.reason), DOMAIN, metadata);
        for violation in refusal.violations {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        if let Some(delay) = refusal.retry_after {
            details.set_retry_info(Some(delay));
        }
        let grpc = grpc_code(refusal.reason);
        if grpc == tonic::Code::FailedPrecondition {
            details.add_precondition_failure_violation(code(refusal.reason), "", refusal.message.clone());
        }
        Self::with_error_details(grpc, refusal.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_back_from_its_status() {
        let refusal = Refusal::new(Reason::AuthThrottled, "wait")
            .with("permission", "x")
            .violation("name", "must not be empty")
            .retry_after(Duration::from_secs(7));
        let status = Status::from(refusal.clone());
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(Refusal::from_status(&status), refusal);
    }

    #[test]
    fn inner_texts_do_not_pass() {
        let refusal = Refusal::from_status(&Status::new(tonic::Code::Unknown, "relation \"users\" does not exist"));
        assert_eq!(refusal.reason(), Reason::Internal);
        assert!(!refusal.message().contains("relation"));
        let refusal =
            Refusal::from_status(&Status::new(tonic::Code::Internal, "failed to decode Protobuf message: secret: …"));
        assert_eq!(refusal.reason(), Reason::RequestMalformed);
        assert!(!refusal.message().contains("secret"));
        let refusal = Refusal::from_status(&Status::new(tonic::Code::Internal, "Missing request message."));
        assert_eq!(refusal.reason(), Reason::RequestMalformed);
        assert_eq!(Refusal::from_status(&Status::out_of_range("4194305 bytes")).reason(), Reason::RequestTooLarge);
        let refusal = Refusal::from_status(&Status::unavailable("tcp connect error 10.0.0.7"));
        assert_eq!(refusal.reason(), Reason::ServiceUnavailable);
        assert!(!refusal.message().contains("10.0.0.7"));
    }
}
