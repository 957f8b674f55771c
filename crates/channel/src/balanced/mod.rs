//! The replicas of a service: which there are, which of them can be reached, and whom a call goes to.
//!
//! ```text
//! name ── looked up every second ──▶ addresses ── one keeper each ──▶ Trying ─▶ Up ─▶ Trying …
//!                                                                        └─▶ Down ── growing pause ──┘
//! call ──▶ two of those that are up, by lot ──▶ the one with fewer calls
//! ```
//!
//! - A name that cannot be looked up, or has no address, changes nothing: the last good answer stays.
//! - Nobody waits for a replica that is down. While one is being tried for the first time, or anew after its connection ended, calls
//!   wait for the outcome where no other replica is up. Where all are down, a call ends at once.
//! - A call is sent again, to another replica, only where the one that had it surely did nothing: see `send`.
//! - When the certificates are exchanged, each connection is replaced by a new one; the old one goes with its last call.

mod body;
mod link;
mod member;
mod send;
mod target;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_tls::InternalTls;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Channel;
use member::{Member, State};
pub use target::{Lookup, Resolve, Target, TargetError};

/// A name that has never been looked up successfully is tried again after this time.
const ANXIOUS: Duration = Duration::from_millis(200);

/// How often, and how long.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How often the name is looked up.
    pub look_up: Duration,
    /// How long making a connection may take.
    pub connect: Duration,
    /// The longest pause before a replica that is down is tried again.
    pub longest_pause: Duration,
    /// How long a call may take that does not say so itself.
    pub call: Duration,
    /// How long a connection may be silent before the other side is asked whether it is there.
    pub silence: Duration,
    /// How long it may take to say so.
    pub answer: Duration,
    /// How long what goes on may stay on a connection that was replaced.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look_up: Duration::from_millis(1_500),
            connect: Duration::from_secs(2),
            longest_pause: Duration::from_secs(2),
            call: Duration::from_secs(10),
            silence: Duration::from_secs(2),
            answer: Duration::from_secs(4),
            grace: Duration::from_secs(600),
        }
    }
}

/// The replicas of a service. Clones share them.
#[derive(Clone)]
pub struct Members(Arc<Shared>);

/// One replica.
#[derive(Clone)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Leads to it alone.
    pub channel: Channel,
}

/// Whether a service can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    /// At least one replica can.
    Reached,
    /// It is not known yet.
    Trying,
    /// None can, and why.
    OutOfReach(String),
}

pub(crate) struct Shared {
    target: Target,
    tls: InternalTls,
    resolver: Arc<dyn Resolve>,
    pace: Pace,
    stop: CancellationToken,
    set: ArcSwap<Set>,
    /// Counts whatever calls may wait for.
    changed: watch::Sender<u64>,
    dice: AtomicU64,
}

/// The replicas at a moment.
#[derive(Default)]
struct Set {
    members: Vec<Arc<Member>>,
    looked_up: bool,
    fault: Option<String>,
}

impl Members {
    /// Follows the replicas of a service until `stop`. Must be called within a Tokio runtime.
    #[must_use]
    pub fn follow(target: Target, tls: InternalTls, stop: CancellationToken) -> Self {
        Self::follow_with(target, tls, Arc::new(Lookup), Pace::default(), stop)
    }

    /// The same, with another way to look names up, and at another pace.
    #[must_use]
    pub fn follow_with(
        target: Target,
        tls: InternalTls,
        resolver: Arc<dyn Resolve>,
        pace: Pace,
        stop: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared {
            target,
            tls,
            resolver,
            pace,
            stop: stop.clone(),
            set: ArcSwap::default(),
            changed: watch::channel(0).0,
            dice: AtomicU64::new(0),
        });
        let looking = shared.clone();
        tokio::spawn(async move { stop.run_until_cancelled(looking.look_up()).await });
        Self(shared)
    }

    /// Leads to any of them.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Channel::new(send::Way { shared: self.0.clone(), only: None })
    }

    /// Leads to each of them, this process itself included where it is one.
    #[must_use]
    pub fn each(&self) -> Vec<Peer> {
        let peer = |member: &Arc<Member>| Peer {
            address: member.address,
            channel: Channel::new(send::Way { shared: self.0.clone(), only: Some(member.clone()) }),
        };
        self.0.set.load().members.iter().map(peer).collect()
    }

    /// Says whether any of them can be reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let set = self.0.set.load();
        let (mut trying, mut why) = (false, set.fault.clone());
        for member in &set.members {
            match &**member.state() {
                State::Up(_) => return Reach::Reached,
                State::Trying => trying = true,
                State::Down(reason) => why = Some(reason.clone()),
            }
        }
        match why {
            Some(why) if !trying => Reach::OutOfReach(format!("{}: {why}", self.0.target)),
            _ => Reach::Trying,
        }
    }
}

impl Shared {
    /// Looks the names up again and again.
    async fn look_up(self: Arc<Self>) {
        let mut known = vec![Vec::new(); self.target.names().len()];
        let mut complained = false;
        loop {
            let mut fault = None;
            for ((host, port), known) in self.target.names().iter().zip(&mut known) {
                match self.resolver.resolve(host, *port).await {
                    Ok(found) if !found.is_empty() => *known = found,
                    Ok(_) => fault = Some(format!("the name {host} has no address")),
                    Err(error) => fault = Some(format!("the name {host} cannot be looked up: {error}")),
                }
            }
            match &fault {
                Some(reason) if !complained => {
                    tracing::warn!(service = %self.target, %reason, "what was known of the service's addresses stays");
                }
                None if complained => tracing::info!(service = %self.target, "the service's addresses are known again"),
                _ => {}
            }
            complained = fault.is_some();
            let addresses: BTreeSet<SocketAddr> = known.iter().flatten().copied().collect();
            let pause = if addresses.is_empty() { ANXIOUS.min(self.pace.look_up) } else { self.pace.look_up };
            self.take(&addresses, fault);
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes an answer: who is new is connected to, who is gone is left alone.
    fn take(self: &Arc<Self>, addresses: &BTreeSet<SocketAddr>, fault: Option<String>) {
        let old = self.set.load_full();
        let member = |address: &SocketAddr| {
            let known = old.members.iter().find(|member| member.address == *address).cloned();
            known.unwrap_or_else(|| Member::start(*address, self))
        };
        let members: Vec<_> = addresses.iter().map(member).collect();
        for gone in old.members.iter().filter(|member| !addresses.contains(&member.address)) {
            gone.leave();
        }
        self.set.store(Arc::new(Set { members, looked_up: true, fault }));
        self.tell();
    }

    /// Wakes the calls that wait.
    fn tell(&self) {
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }
}
