//! The rotation of data keys, and how far the re-encryption of values is.

use axum::extract::State;
use axum::response::Response;
use coffre_proto::vault::v1;
use coffre_proto::vault::v1::{GetRotationRequest, StartRotationRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::moment;
use crate::request::{App, json, present};

/// How far the re-encryption of values under the newest term is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "running": true, "done": 37_500, "total": 100_000, "percent": 37.5, "perSecond": 5_200.0, "secondsLeft": 12,
    "startedOn": "2027-01-10T12:00:00.000Z", "endedOn": null, "term": 2
}))]
pub(crate) struct Rotation {
    /// Values are still to be re-encrypted.
    running: bool,
    /// Values under the newest term.
    done: i64,
    /// Values in all.
    total: i64,
    /// `done` of `total` in percent, rounded down to a tenth; 100 where there are no values.
    percent: f64,
    /// Values re-encrypted a second, lately; 0 while it stands still.
    per_second: f64,
    /// How long it will take at this rate, in seconds; `null` where that is not known.
    #[schema(required)]
    seconds_left: Option<i64>,
    /// When it began; `null`: there was none yet.
    #[schema(required)]
    started_on: Option<String>,
    /// When it ended; `null` while it goes on.
    #[schema(required)]
    ended_on: Option<String>,
    /// The newest term.
    term: i64,
}

impl From<v1::Rotation> for Rotation {
    fn from(rotation: v1::Rotation) -> Self {
        Self {
            running: rotation.running,
            done: rotation.done_count,
            total: rotation.total_count,
            percent: percent(rotation.done_count, rotation.total_count),
            per_second: if rotation.rate.is_finite() { rotation.rate } else { 0.0 },
            seconds_left: rotation.seconds_left,
            started_on: moment(rotation.start_time),
            ended_on: moment(rotation.end_time),
            term: rotation.term,
        }
    }
}

/// Rounds down, so that nothing but the whole is 100.
#[allow(clippy::cast_precision_loss, reason = "at most 1000")]
fn percent(done: i64, total: i64) -> f64 {
    if total <= 0 || done >= total {
        return 100.0;
    }
    let tenths = i128::from(done.max(0)) * 1000 / i128::from(total);
    tenths as f64 / 10.0
}

/// Begins a new term, under which values are sealed from now on, and re-encrypts all others in the background.
///
/// Reading and writing go on meanwhile, and so does the re-encryption after a restart.
#[utoipa::path(
    post, path = "/v2/credentialvault/keys/rotation", tag = "Mode and keys", operation_id = "startRotation",
    responses(
        (status = 202, description = "It has begun", body = Rotation),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn start(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.keys().start_rotation(caller.request(StartRotationRequest {})).await?.into_inner();
    Ok(json(StatusCode::ACCEPTED, &Rotation::from(present(answer.rotation)?)))
}

/// Tells how far the re-encryption is.
#[utoipa::path(
    get, path = "/v2/credentialvault/keys/rotation", tag = "Mode and keys", operation_id = "getRotation",
    responses(
        (status = 200, description = "How far it is", body = Rotation),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.keys().get_rotation(caller.request(GetRotationRequest {})).await?.into_inner();
    Ok(json(StatusCode::OK, &Rotation::from(present(answer.rotation)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_whole_is_100_percent() {
        for (done, total, expected) in [
            (0, 0, 100.0),
            (0, 7, 0.0),
            (1, 3, 33.3),
            (2, 3, 66.6),
            (99_999, 100_000, 99.9),
            (100_000, 100_000, 100.0),
            // Values that are deleted between the two counts.
            (8, 7, 100.0),
            (i64::MAX - 1, i64::MAX, 99.9),
        ] {
            assert_eq!(percent(done, total), expected, "{done} of {total}");
        }
    }

    #[test]
    fn a_rate_that_json_cannot_say_is_0() {
        for rate in [f64::NAN, f64::INFINITY] {
            assert_eq!(Rotation::from(v1::Rotation { rate, ..v1::Rotation::default() }).per_second, 0.0);
        }
    }
}
