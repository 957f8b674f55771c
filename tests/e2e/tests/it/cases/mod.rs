//! The cases that run over REST and gRPC, on SQLite and PostgreSQL.

pub(crate) use crate::access;

pub(crate) mod api_access;
pub(crate) mod api_keys;
pub(crate) mod attributes;
pub(crate) mod audit;
pub(crate) mod authentication;
pub(crate) mod client_credentials;
pub(crate) mod contents;
pub(crate) mod credentials;
pub(crate) mod dashboard;
pub(crate) mod leaving;
pub(crate) mod lists;
pub(crate) mod lockers;
pub(crate) mod matrix;
pub(crate) mod mode;
pub(crate) mod oauth;
pub(crate) mod oauth_ends;
pub(crate) mod races;
pub(crate) mod roles;
pub(crate) mod self_service;
pub(crate) mod sharing;
pub(crate) mod token_kinds;
pub(crate) mod transport;
pub(crate) mod users;
pub(crate) mod values;
pub(crate) mod versions;

use std::time::{Duration, Instant};

/// What is refused "everywhere within one second", with a little room for a machine that is busy with tests.
pub(crate) const WITHIN_A_SECOND: Duration = Duration::from_millis(1500);

/// Waits until a check holds, but not longer than the one-second rule allows; says how long it took.
pub(crate) async fn within_a_second(what: &str, holds: impl AsyncFn() -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        if holds().await {
            return asked;
        }
        assert!(asked < WITHIN_A_SECOND, "{what}: not within a second, but not even after {asked:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
