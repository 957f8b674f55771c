//! Giving a transaction back to the database that lost every race there.
//!
//! Many sign-ins of one account, on several replicas, meet at the same counters; many sign-outs meet at the counter of changes; whoever
//! administers users and roles meets at a guard row. None of them has done anything for which it should be refused.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::{Database, Tx};
use tokio::time::sleep;

use super::error::{ApiKeyError, Fault, PasswordError, RoleError, SessionError, SignInError, UserError};

/// How often it is given back.
const ROUNDS: u32 = 12;

fn pause(round: u32) -> Duration {
    Duration::from_millis(3) * round
}

/// As [`Database::write`].
pub(super) async fn write<T, E>(
    database: &Database,
    change: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + Sync + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<coffre_db::Error> + Raced + Send + 'static,
{
    let change = Arc::new(change);
    for round in 1..=ROUNDS {
        let again = change.clone();
        match database.write(move |tx| again(tx)).await {
            Err(error) if error.is_race() => sleep(pause(round)).await,
            done => return done,
        }
    }
    database.write(move |tx| change(tx)).await
}

/// As [`audited_write`].
pub(super) async fn audited<T, E>(
    database: &Database,
    record: &Arc<CallRecord>,
    change: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + Sync + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<coffre_db::Error> + Raced + Send + 'static,
{
    let change = Arc::new(change);
    for round in 1..=ROUNDS {
        let again = change.clone();
        match audited_write(database, record, move |tx| again(tx)).await {
            Err(error) if error.is_race() => sleep(pause(round)).await,
            done => return done,
        }
    }
    audited_write(database, record, move |tx| change(tx)).await
}

/// An error that may be a lost race.
pub(super) trait Raced {
    fn is_race(&self) -> bool;
}

impl Raced for coffre_db::Error {
    fn is_race(&self) -> bool {
        *self == Self::Retryable
    }
}

impl Raced for Fault {
    fn is_race(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_race())
    }
}

macro_rules! raced {
    ($($error:ty),* $(,)?) => {$(
        impl Raced for $error {
            fn is_race(&self) -> bool {
                matches!(self, Self::Fault(Fault::Store(error)) if error.is_race())
            }
        }
    )*};
}

raced!(SignInError, SessionError, PasswordError, ApiKeyError, UserError, RoleError);
