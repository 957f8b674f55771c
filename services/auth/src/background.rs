//! What auth does unasked: it reads the changes, rotates keys, settles deletions and removes old rows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::domain::Auth;
use crate::domain::error::Fault;
use crate::store::changes::Subject;
use crate::store::{changes, sessions};

/// Changes are kept this long; a watcher that was away longer begins anew.
const CHANGES_KEPT: Duration = Duration::from_secs(60 * 60);
/// Sessions stay this long after their end, so that a late sign-out still finds its own.
const SESSIONS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Changes read at once.
const BATCH: i64 = 1000;

/// Reads the changes, until the database is stopped: every [`crate::Config::change_poll`], and at once after a change of this process.
pub(crate) async fn follow_changes(auth: Arc<Auth>) {
    let mut tick = interval(auth.config.change_poll);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let polls_a_heartbeat = (auth.config.heartbeat.as_millis() / auth.config.change_poll.as_millis().max(1)).max(1);
    let mut failing = false;
    let mut polls = 0;
    loop {
        let on_time = tokio::select! {
            _ = tick.tick() => true,
            () = auth.hub.poked() => false,
        };
        polls += u128::from(on_time);
        let heartbeat = on_time && polls % polls_a_heartbeat == 0;
        match read_changes(&auth, heartbeat).await {
            Ok(()) => failing = false,
            Err(_) if auth.database.is_stopped() => return,
            Err(fault) if !failing => {
                tracing::warn!(%fault, "the changes cannot be read; callers are refused until they can");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

/// Reads what has changed since the last time and tells it.
pub(crate) async fn read_changes(auth: &Auth, heartbeat: bool) -> Result<(), Fault> {
    loop {
        // Before the read: whatever was committed by then is in it.
        let read_at = auth.clock.monotonic();
        let Some(known) = auth.hub.sequence() else {
            let last = auth.database.read(changes::last).await?;
            auth.reload_keys().await?;
            auth.hub.begin(last, auth.signer.public(), read_at);
            return Ok(());
        };
        let (last, found) = auth
            .database
            .read(move |conn| {
                let last = changes::last(conn)?;
                let found = if last == known { Vec::new() } else { changes::after(conn, known, BATCH)? };
                Ok::<_, coffre_db::Error>((last, found))
            })
            .await?;
        let follows = found.iter().zip(1..).all(|((sequence, _), step)| *sequence == known + step);
        if last < known || !follows || (last > known && found.is_empty()) {
            // A restored backup, or changes that were removed before they were read.
            tracing::warn!(known, last, "the changes do not follow each other; watchers begin anew");
            auth.reload_keys().await?;
            auth.hub.begin(last, auth.signer.public(), read_at);
            return Ok(());
        }
        if found.iter().any(|(_, subject)| *subject == Subject::Keys) {
            auth.reload_keys().await?;
        }
        auth.hub.changed(&found, &auth.signer.public());
        if found.last().map_or(known, |(sequence, _)| *sequence) >= last {
            auth.hub.complete(read_at, heartbeat);
            return Ok(());
        }
    }
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

async fn clean(auth: &Auth) -> Result<(), Fault> {
    auth.rotate_keys_if_due().await?;
    // Retired keys leave the set without a change.
    auth.reload_keys().await?;
    auth.settle_deletions().await?;
    let now = auth.now();
    let removed = auth
        .database
        .write(move |tx| {
            let removed = changes::prune(tx.conn(), now.minus(CHANGES_KEPT))?;
            Ok::<_, coffre_db::Error>(removed + sessions::prune(tx.conn(), now.minus(SESSIONS_KEPT))?)
        })
        .await?;
    if removed > 0 {
        tracing::debug!(removed, "old sessions and changes were removed");
    }
    Ok(())
}
