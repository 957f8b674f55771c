//! What auth does unasked: it tells the changes, rotates keys, settles deletions and removes old rows.

use std::sync::Arc;
use std::time::Duration;

use coffre_changes::provider::{Carries, Pace, tell};
use tokio::time::{MissedTickBehavior, interval};

use crate::domain::error::Fault;
use crate::domain::signing::PublicKey;
use crate::domain::{Auth, api_key};
use crate::store::changes::Subject;
use crate::store::{api_keys, api_secrets, changes, sessions};

/// Sessions stay this long after their end, so that a late sign-out still finds its own.
const SESSIONS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Brings the signing keys along with the changes, read anew where they may have changed.
struct Keys(Arc<Auth>);

impl Carries<Subject> for Keys {
    type State = Arc<[PublicKey]>;
    type Fault = Fault;

    async fn state(&self, changes: Option<&[(i64, Subject)]>) -> Result<Arc<[PublicKey]>, Fault> {
        if changes.is_none_or(|changes| changes.iter().any(|(_, subject)| *subject == Subject::Keys)) {
            self.0.reload_keys().await?;
        }
        Ok(self.0.signer.public())
    }
}

/// Tells the changes, until the database is stopped: every [`crate::Config::change_poll`], and at once after a change of this process.
pub(crate) async fn tell_changes(auth: Arc<Auth>) {
    let pace = Pace { poll: auth.config.change_poll, heartbeat: auth.config.heartbeat };
    let (hub, database, clock) = (auth.hub.clone(), auth.database.clone(), auth.clock.clone());
    tell(hub, database, clock, Keys(auth), pace).await;
}

/// Keeps the house, until the database is stopped.
pub(crate) async fn keep_house(auth: Arc<Auth>) {
    let mut tick = interval(auth.config.housekeeping);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match clean(&auth).await {
            Ok(()) => {}
            Err(_) if auth.database.is_stopped() => return,
            Err(fault) => tracing::warn!(%fault, "housekeeping failed; it is tried again"),
        }
    }
}

/// Settles deletions that were left behind, until the database is stopped.
pub(crate) async fn settle(auth: Arc<Auth>) {
    let mut tick = interval(auth.config.settling);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match auth.settle_deletions().await {
            Ok(()) => {}
            Err(_) if auth.database.is_stopped() => return,
            Err(fault) => tracing::warn!(%fault, "deletions could not be settled; it is tried again"),
        }
    }
}

async fn clean(auth: &Auth) -> Result<(), Fault> {
    auth.rotate_keys_if_due().await?;
    // Retired keys leave the set without a change.
    auth.reload_keys().await?;
    let now = auth.now();
    let removed = auth
        .database
        .write(move |tx| {
            let removed = changes::prune(tx.conn(), now.minus(changes::KEPT))?;
            let removed = removed + sessions::prune(tx.conn(), now.minus(SESSIONS_KEPT))?;
            let keys = api_keys::prune(tx.conn(), now.minus(SESSIONS_KEPT), now.minus(api_key::LISTED_AFTER))?;
            let secrets = api_secrets::prune(tx.conn(), now.minus(SESSIONS_KEPT))?;
            Ok::<_, coffre_db::Error>(removed + keys + secrets)
        })
        .await?;
    if removed > 0 {
        tracing::debug!(removed, "old sessions, keys, secrets and changes were removed");
    }
    Ok(())
}
