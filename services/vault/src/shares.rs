//! What lockers share, kept by user and by role, and forgotten when locker says that it changed.
//!
//! A call looks here first, without asking ([`ShareCache::at_hand`]); locker is asked only where a right hangs on it
//! ([`ShareCache::ask`]). What is kept counts as long as locker was heard within 800 ms; after that every call that needs it asks.

use std::sync::Arc;
use std::time::Duration;

use coffre_changes::consumer::{Disorder, Known, Reach, STALE_AFTER, Subject, Watch};
use coffre_channel::Channel;
use coffre_proto::locker::internal::v1::change::Subject as Changed;
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::watch_changes_response::Message;
use coffre_proto::locker::internal::v1::{
    ResolveSharesRequest, ResolveSharesResponse, WatchChangesRequest, WatchChangesResponse,
};
use coffre_types::{Caller, Clock, LockerId, RoleId, UserId};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::domain::shares::{Gap, Membership, Shares, Sharing};

/// How many users and roles are kept.
const CAPACITY: u64 = 100_000;
/// How long locker may take to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// Who has shares: under this they are kept, and this is what a change names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Holder {
    /// A user, by its memberships.
    User(UserId),
    /// A role, by the lockers that it consumes.
    Role(RoleId),
}

/// What is kept.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Of a user.
    Membership(Arc<Membership>),
    /// Of a role.
    Consumed(Arc<[LockerId]>),
}

impl Subject for Holder {
    type Key = Self;
    type Kept = Kept;

    fn reach(&self) -> Reach<Self> {
        Reach::One(*self)
    }
}

/// The shares that are known.
pub struct ShareCache {
    known: Known<Holder>,
    client: SharingServiceClient<Channel>,
}

impl ShareCache {
    /// Begins without any knowledge; [`coffre_changes::consumer::start`] follows locker's changes.
    #[must_use]
    pub fn new(locker: Channel, clock: Arc<dyn Clock>) -> Self {
        Self { known: Known::new(CAPACITY, clock, STALE_AFTER), client: SharingServiceClient::new(locker) }
    }

    /// Returns what is known now of what lockers share with a caller, without asking.
    #[must_use]
    pub fn at_hand(&self, caller: &Caller) -> Sharing {
        self.kept(caller).map_or(Sharing::Unknown(Gap::NotAsked), Sharing::Known)
    }

    fn kept(&self, caller: &Caller) -> Option<Shares> {
        let Kept::Membership(membership) = self.known.fresh(&Holder::User(caller.user_id))? else { return None };
        let mut shares = Shares::new(membership);
        for role in caller.roles.iter() {
            let Kept::Consumed(lockers) = self.known.fresh(&Holder::Role(*role))? else { return None };
            shares.consume(lockers);
        }
        Some(shares)
    }

    /// Returns what lockers share with a caller: what is at hand, or what locker answers.
    pub async fn resolve(&self, caller: &Caller) -> Sharing {
        match self.at_hand(caller) {
            Sharing::Unknown(_) => self.ask(caller).await,
            known @ Sharing::Known(_) => known,
        }
    }

    /// Asks locker what lockers share with a caller.
    pub async fn ask(&self, caller: &Caller) -> Sharing {
        let asked = self.known.ask();
        let request = ResolveSharesRequest {
            user_ids: vec![caller.user_id.get()],
            role_ids: caller.roles.iter().map(|role| role.get()).collect(),
        };
        let answer = match timeout(ANSWER, self.client.clone().resolve_shares(request)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return silent(&status.code()),
            Err(_) => return silent(&"nothing"),
        };
        let Some((membership, consumed)) = read(&answer, caller) else { return silent(&"something else") };
        let mut shares = Shares::new(membership.clone());
        self.known.keep(Holder::User(caller.user_id), Kept::Membership(membership), answer.sequence, asked);
        for (role, lockers) in caller.roles.iter().zip(consumed) {
            self.known.keep(Holder::Role(*role), Kept::Consumed(lockers.clone()), answer.sequence, asked);
            shares.consume(lockers);
        }
        Sharing::Known(shares)
    }

    /// Says how old what is known of locker's changes is, for those who watch the process.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.known.age()
    }

    /// Returns the number of the last change of locker that was applied.
    #[must_use]
    pub fn applied(&self) -> i64 {
        self.known.last()
    }

    /// Says whether locker was heard lately.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.known.is_fresh()
    }
}

fn silent(answer: &dyn std::fmt::Debug) -> Sharing {
    tracing::warn!(?answer, "locker did not say what it shares with a caller");
    Sharing::Unknown(Gap::Silent)
}

/// A caller's memberships, and what each of its roles consumes.
type Answer = (Arc<Membership>, Vec<Arc<[LockerId]>>);

/// Reads an answer: one entry for the caller and one for each of its roles, in their order.
fn read(answer: &ResolveSharesResponse, caller: &Caller) -> Option<Answer> {
    let [user] = answer.users.as_slice() else { return None };
    let alike = answer.roles.iter().map(|role| role.role_id).eq(caller.roles.iter().map(|role| role.get()));
    if user.user_id != caller.user_id.get() || !alike {
        return None;
    }
    let membership = Membership {
        managed: ascending(&user.managed_locker_ids),
        participated: ascending(&user.participated_locker_ids),
    };
    let consumed = answer.roles.iter().map(|role| ascending(&role.locker_ids).into());
    Some((Arc::new(membership), consumed.collect()))
}

fn ascending(ids: &[i64]) -> Vec<LockerId> {
    let mut ids: Vec<LockerId> = ids.iter().copied().map(LockerId::from_trusted).collect();
    // They ascend already; whoever searches them relies on it.
    ids.sort_unstable();
    ids
}

impl Watch for ShareCache {
    type Subject = Holder;
    type Message = WatchChangesResponse;
    type Stream = Streaming<WatchChangesResponse>;

    const PROVIDER: &'static str = "locker";

    fn known(&self) -> &Known<Holder> {
        &self.known
    }

    async fn open(&self) -> Result<Self::Stream, Status> {
        Ok(self.client.clone().watch_changes(WatchChangesRequest {}).await?.into_inner())
    }

    fn take(&self, message: WatchChangesResponse) -> Result<(), Disorder> {
        match message.message.ok_or(Disorder)? {
            Message::Snapshot(snapshot) => {
                self.known.begin(snapshot.sequence);
                Ok(())
            }
            Message::Change(change) => {
                let holder = match change.subject.ok_or(Disorder)? {
                    Changed::UserChanged(user) => Holder::User(UserId::from_trusted(user)),
                    Changed::RoleChanged(role) => Holder::Role(RoleId::from_trusted(role)),
                };
                self.known.apply(change.sequence, holder)
            }
            Message::Heartbeat(heartbeat) => self.known.hear(heartbeat.sequence, heartbeat.age_ms),
        }
    }
}
