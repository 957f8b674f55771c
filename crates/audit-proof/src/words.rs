//! The words that REST and exports use for the numbers of an event.

use coffre_proto::audit::v1::{ActivityType, Outcome, Source};

/// The version of what [`sentence`](crate::sentence::sentence) and [`detail`](crate::detail::detail) make of an event. An export names it, so
/// that its verifier knows whether it can make them again. Every change of theirs raises it.
pub const WORDS: u32 = 1;

/// Returns the documented word of an activity.
#[must_use]
pub fn activity(kind: ActivityType) -> &'static str {
    let kind = if kind == ActivityType::Unspecified { ActivityType::AuditUnsetActivityType } else { kind };
    let name = kind.as_str_name();
    name.strip_prefix("ACTIVITY_TYPE_").unwrap_or(name)
}

/// Returns the documented word of an outcome.
#[must_use]
pub const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Successful => "Successful",
        Outcome::Unsuccessful => "Unsuccessful",
        Outcome::Unknown | Outcome::Unspecified => "Unknown",
    }
}

/// Returns the documented word of the way by which a call came.
#[must_use]
pub const fn source(source: Source) -> &'static str {
    match source {
        Source::Api => "API",
        Source::Console => "Console",
        Source::Grpc => "gRPC",
        Source::System | Source::Unspecified => "System",
    }
}
