//! What went wrong, and the exit code that goes with it.

use std::fmt;

use coffre_error::{Reason, Refusal, code};
use tonic::Status;

/// Refused, or failed, for a reason that has no code of its own.
const FAILED: u8 = 1;
/// Nothing wrong was found in a record, and nobody vouches for all of it.
const NOT_ANCHORED: u8 = 3;
/// Each entry that is there is a recorded one, and nobody can say whether any is missing.
const PICKED: u8 = 4;
/// A key is wrong or cannot be read, or something else that was given is not as it should be (sysexits, EX_DATAERR).
const BAD_KEY: u8 = 65;
/// The server cannot be reached (EX_UNAVAILABLE).
const UNREACHABLE: u8 = 69;
/// Later it may work (EX_TEMPFAIL).
const NOT_NOW: u8 = 75;
/// Not signed in, or not permitted (EX_NOPERM).
const NOT_PERMITTED: u8 = 77;

/// Refusals after which a change may have been made all the same.
const UNSURE: [Reason; 3] = [Reason::RequestTimeout, Reason::StoreUnavailable, Reason::Internal];

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Fault {
    exit: u8,
    code: &'static str,
    message: String,
    /// It was printed already, with all that belongs to it.
    told: bool,
    /// The size of the audit's log, where a bookmark lies beyond its end.
    beyond: Option<String>,
}

impl Fault {
    /// Something on this machine.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: FAILED, code: "failed", message: message.into(), told: false, beyond: None }
    }

    /// A key that cannot be read or cannot be one.
    pub(crate) fn key(message: impl Into<String>) -> Self {
        Self { exit: BAD_KEY, code: "key.unreadable", message: message.into(), told: false, beyond: None }
    }

    /// Something that was given on the command line or in a file is not as it should be.
    pub(crate) fn given(message: impl Into<String>) -> Self {
        Self { exit: BAD_KEY, code: "invalid", message: message.into(), told: false, beyond: None }
    }

    /// A record is not the one that was written. It is printed by whoever found that.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self { exit: FAILED, code: "audit.damaged", message: message.into(), told: true, beyond: None }
    }

    /// Nothing wrong was found in a record, and nobody vouches for all of it. It is printed by whoever found that.
    pub(crate) fn not_anchored(message: impl Into<String>) -> Self {
        Self { exit: NOT_ANCHORED, code: "audit.not_anchored", message: message.into(), told: true, beyond: None }
    }

    /// Some entries of a record are recorded ones, and nobody can say whether any is missing. It is printed by whoever found that.
    pub(crate) fn picked(message: impl Into<String>) -> Self {
        Self { exit: PICKED, code: "audit.picked", message: message.into(), told: true, beyond: None }
    }

    /// There is nobody to act as.
    pub(crate) fn nobody(message: impl Into<String>) -> Self {
        Self { exit: NOT_PERMITTED, code: "not_signed_in", message: message.into(), told: false, beyond: None }
    }

    /// The server refused, or did not answer.
    pub(crate) fn of(status: &Status, address: &str) -> Self {
        let refusal = Refusal::from_status(status);
        // A status without our details comes from the connection, or from whoever listens there instead of us.
        if status.details().is_empty()
            && !matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled)
        {
            return Self {
                exit: UNREACHABLE,
                code: "unreachable",
                message: format!(
                    "the server at {address} cannot be reached ({:?}): is it running, and is this its gRPC port? Set COFFRE_ADDR or --addr",
                    status.code()
                ),
                told: false,
                beyond: None,
            };
        }
        let reason = refusal.reason();
        let delay = refusal.delay().map(|delay| format!(" (try again in {} s)", delay.as_secs().max(1)));
        let message = format!("{}{}", refusal.message(), delay.unwrap_or_default());
        let is_place = refusal.violations().iter().any(|violation| violation.field == "from_index");
        let beyond = refusal.fact("size").filter(|_| is_place).map(ToOwned::to_owned);
        Self { exit: exit_code(reason), code: code(reason), message, told: false, beyond }
    }

    /// Says whether it was printed already.
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    /// Says whether the server signs its log no more, because it is not the one that was signed.
    pub(crate) fn is_damaged(&self) -> bool {
        self.code == code(Reason::AuditLogDamaged)
    }

    /// Says whether the token is not taken any more.
    pub(crate) fn is_signed_out(&self) -> bool {
        self.code == code(Reason::AuthTokenInvalid)
    }

    /// Says whether the audit's log was never signed yet.
    pub(crate) fn is_unsigned(&self) -> bool {
        self.code == code(Reason::AuditCheckpointNotFound)
    }

    /// Returns the size of the audit's log, where the bookmark that it was asked for lies beyond its end.
    pub(crate) fn beyond(&self) -> Option<&str> {
        self.beyond.as_deref()
    }

    /// Says more about it.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.message.push_str(". ");
        self.message.push_str(more);
        self
    }

    /// Says whether it is unknown what became of the call: the server may have done it and its answer was lost.
    pub(crate) fn is_unsure(&self) -> bool {
        self.exit == UNREACHABLE || UNSURE.iter().any(|reason| self.code == code(*reason))
    }

    /// Says whether nobody answered.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.exit == UNREACHABLE
    }

    /// Says whether the same call may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.exit, UNREACHABLE | NOT_NOW)
    }

    /// Returns the code with which the process ends.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit
    }

    /// Returns it for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({"code": self.code, "message": self.message})
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn exit_code(reason: Reason) -> u8 {
    match reason {
        Reason::VaultKeyWrong
        | Reason::VaultKeyWeak
        | Reason::RequestInvalid
        | Reason::ListFieldUnknown
        | Reason::AuditSearchTooWide => BAD_KEY,
        Reason::AuthPasswordChangeRequired
        | Reason::AuthTokenKind
        | Reason::AuthRecentSignInRequired
        | Reason::AuthzPermissionRequired => NOT_PERMITTED,
        _ => match coffre_error::grpc_code(reason) {
            tonic::Code::Unauthenticated => NOT_PERMITTED,
            tonic::Code::Unavailable
            | tonic::Code::ResourceExhausted
            | tonic::Code::Aborted
            | tonic::Code::DeadlineExceeded => NOT_NOW,
            _ => FAILED,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_exit_code() {
        for (exit, reasons) in [
            (BAD_KEY, &[Reason::VaultKeyWrong, Reason::VaultKeyWeak, Reason::RequestInvalid][..]),
            (
                NOT_NOW,
                &[
                    Reason::VaultSealed,
                    Reason::VaultKeyThrottled,
                    Reason::AuthThrottled,
                    Reason::VaultKeysChanged,
                    Reason::AuditUnavailable,
                    Reason::StoreUnavailable,
                ],
            ),
            (
                NOT_PERMITTED,
                &[
                    Reason::AuthSignInFailed,
                    Reason::AuthTokenInvalid,
                    Reason::AuthTokenKind,
                    Reason::AuthzPermissionRequired,
                    Reason::AuthRecentSignInRequired,
                    Reason::AuthPasswordChangeRequired,
                ],
            ),
            (FAILED, &[Reason::VaultModeConflict, Reason::VaultKeyDamaged, Reason::Internal]),
        ] {
            for reason in reasons {
                let fault = Fault::of(&Refusal::new(*reason, "what to do").into(), "http://x");
                assert_eq!((fault.exit_code(), fault.to_string().as_str()), (exit, "what to do"), "{reason:?}");
                assert_eq!(fault.json(), serde_json::json!({"code": code(*reason), "message": "what to do"}));
            }
        }
    }

    #[test]
    fn a_delay_is_told() {
        let refusal =
            Refusal::new(Reason::VaultKeyThrottled, "too many wrong keys").retry_after(Duration::from_secs(8));
        let fault = Fault::of(&refusal.into(), "http://x");
        assert_eq!(fault.to_string(), "too many wrong keys (try again in 8 s)");
        assert!(fault.is_passing());
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        for status in [Status::unavailable("tcp connect error"), Status::unimplemented("x")] {
            let fault = Fault::of(&status, "http://127.0.0.1:1");
            assert_eq!(fault.exit_code(), UNREACHABLE);
            assert!(fault.to_string().contains("http://127.0.0.1:1"), "{fault}");
        }
    }
}
