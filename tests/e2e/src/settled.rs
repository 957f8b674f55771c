//! What interrupted operations leave behind is settled by itself: servers that were killed wait here until nothing is left over.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::api::Protocol;
use crate::case::{Case, block_on};
use crate::model::Query;
use crate::server::Server;
use crate::tables::ids;

/// An operation that was interrupted is settled after a minute, at the next of the rounds that housekeeping makes.
const SETTLED_WITHIN: Duration = Duration::from_secs(100);

/// Servers that go on until what they have to settle is settled, and since when.
static WAITING: Mutex<Vec<(Server, Instant)>> = Mutex::new(Vec::new());

/// Leaves a server on which interrupted operations are to be settled; [`finish`] looks at it when other work is done.
pub fn later(server: Server) {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner).push((server, Instant::now()));
}

/// Waits until every server that was left has settled everything, and stops it.
///
/// # Panics
/// Where something is still left over after its time.
pub fn finish() {
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    for (server, since) in waiting {
        loop {
            let left = left_over(&server);
            if left.is_empty() {
                break;
            }
            let waited = since.elapsed();
            assert!(
                waited < SETTLED_WITHIN,
                "{:?}: {waited:?} after the last kill is left: {left:?}",
                server.home.engine
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        assert!(server.stop().success(), "after all kills it stops cleanly: {}", server.said());
    }
}

/// What is under way or half done, in words.
fn left_over(server: &Server) -> Vec<String> {
    let mut left = Vec::new();
    let reservations = ids(&server.home, "locker", "SELECT credential_id AS id FROM reservations");
    if !reservations.is_empty() {
        left.push(format!("reserved places for credentials {reservations:?}"));
    }
    let lockers =
        ids(&server.home, "locker", "SELECT id FROM lockers WHERE deleting_at IS NOT NULL AND deleted_at IS NULL");
    if !lockers.is_empty() {
        left.push(format!("lockers under deletion {lockers:?}"));
    }
    let deleting = ids(&server.home, "auth", "SELECT subject_id AS id FROM deletions");
    if !deleting.is_empty() {
        left.push(format!("users or roles under deletion {deleting:?}"));
    }
    let (users, members) = block_on(async {
        let case = Case::on(server, Protocol::Rest).await;
        let users = case.admin.query_users(&Query::default()).await.ok().items;
        let lockers = case.admin.query_lockers(&Query::default()).await.ok().items;
        let members: BTreeSet<i64> = lockers.iter().flat_map(|one| &one.members).map(|one| one.user_id).collect();
        (users.into_iter().map(|(id, _)| id).collect::<BTreeSet<i64>>(), members)
    });
    let missing: Vec<&i64> = members.difference(&users).collect();
    if !missing.is_empty() {
        left.push(format!("members who are missing users {missing:?}"));
    }
    // Somebody who is there can be given something.
    for service in ["vault", "locker"] {
        let held = ids(&server.home, service, "SELECT user_id AS id FROM departed_users WHERE held");
        let held: Vec<&i64> = held.intersection(&users).collect();
        if !held.is_empty() {
            left.push(format!("{service} holds users who stay {held:?}"));
        }
    }
    left
}
