//! One replica, and its keeper: who makes the connection, again and again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::link::Link;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A connection that lived for this long was a good one.
const LIVED: Duration = Duration::from_secs(1);
/// For so long an old connection is used where no new one can be made with new certificates.
const OLD_FOR: Duration = Duration::from_secs(10);

/// Whether a replica can be reached.
pub(super) enum State {
    /// It is being found out: calls may wait for that.
    Trying,
    /// It can.
    Up(Arc<Link>),
    /// It cannot, and why.
    Down(String),
}

/// One replica.
pub(super) struct Member {
    pub(super) address: SocketAddr,
    pub(super) in_flight: AtomicUsize,
    state: ArcSwap<State>,
    /// The connection takes no further calls.
    renew: Notify,
    keeper: OnceLock<AbortHandle>,
}

impl Member {
    pub(super) fn start(address: SocketAddr, shared: &Arc<Shared>) -> Arc<Self> {
        let member = Arc::new(Self {
            address,
            in_flight: AtomicUsize::new(0),
            state: ArcSwap::from_pointee(State::Trying),
            renew: Notify::new(),
            keeper: OnceLock::new(),
        });
        let (kept, shared) = (member.clone(), shared.clone());
        let keeping = tokio::spawn(async move {
            let stop = shared.stop.clone();
            stop.run_until_cancelled(kept.keep(&shared)).await;
            kept.becomes(State::Down("this process stops".into()), &shared);
        });
        // It was empty.
        let _ = member.keeper.set(keeping.abort_handle());
        member
    }

    pub(super) fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// Leaves a replica alone. Calls that it has go on.
    pub(super) fn leave(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
        self.state.store(Arc::new(State::Down("its name does not list it any more".into())));
    }

    /// Gives up a connection that takes no further calls.
    pub(super) fn give_up(&self, link: &Arc<Link>, shared: &Shared) {
        let current = self.state.load_full();
        if matches!(&*current, State::Up(up) if Arc::ptr_eq(up, link)) {
            let before = self.state.compare_and_swap(&current, Arc::new(State::Trying));
            if Arc::ptr_eq(&before, &current) {
                self.renew.notify_one();
                shared.tell();
            }
        }
    }

    async fn keep(&self, shared: &Shared) {
        let mut certificates = shared.tls.changes();
        let mut pause = Duration::ZERO;
        let mut old: Option<(Arc<Link>, Instant)> = None;
        loop {
            certificates.borrow_and_update();
            match Link::connect(shared, self.address).await {
                Ok(link) => {
                    if let Some((old, _)) = old.take() {
                        retire(old, shared.pace.grace);
                    }
                    let began = Instant::now();
                    self.becomes(State::Up(link.clone()), shared);
                    tokio::select! {
                        () = link.ended() => self.becomes(State::Trying, shared),
                        () = self.renew.notified() => retire(link, shared.pace.grace),
                        _ = certificates.changed() => {
                            // The next one first: calls go on.
                            old = Some((link, Instant::now()));
                            continue;
                        }
                    }
                    if began.elapsed() >= LIVED {
                        pause = Duration::ZERO;
                        continue;
                    }
                }
                Err(why) => {
                    let usable = old.as_ref().is_some_and(|(link, since)| link.is_open() && since.elapsed() < OLD_FOR);
                    if !usable {
                        if let Some((old, _)) = old.take() {
                            retire(old, shared.pace.grace);
                        }
                        self.becomes(State::Down(why), shared);
                    }
                }
            }
            pause = (pause * 2).clamp(FIRST_PAUSE, shared.pace.longest_pause.max(FIRST_PAUSE));
            tokio::select! {
                () = sleep(pause) => {}
                _ = certificates.changed() => {}
            }
        }
    }

    fn becomes(&self, state: State, shared: &Shared) {
        let (service, address) = (&shared.target, self.address);
        let before = self.state.swap(Arc::new(state));
        match (&*before, &**self.state.load()) {
            (State::Down(_), State::Up(_)) => tracing::info!(%service, %address, "the service is reached again"),
            (State::Trying | State::Up(_), State::Down(why)) if !shared.stop.is_cancelled() => {
                tracing::warn!(%service, %address, reason = %why, "the service cannot be reached there");
            }
            _ => {}
        }
        shared.tell();
    }
}

/// Lets a connection go after its last call, or with it where that takes very long.
fn retire(link: Arc<Link>, grace: Duration) {
    let weak = Arc::downgrade(&link);
    drop(link);
    tokio::spawn(async move {
        sleep(grace).await;
        if let Some(link) = weak.upgrade() {
            link.cut();
        }
    });
}

/// A call's place at a replica.
pub(super) struct Lease {
    pub(super) member: Arc<Member>,
    pub(super) link: Arc<Link>,
}

impl Lease {
    pub(super) fn new(member: Arc<Member>, link: Arc<Link>) -> Self {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { member, link }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
