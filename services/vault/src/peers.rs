//! Replicas of the vault that open each other: one that starts sealed in the mode Manual gets the root key from one that is open.
//! `docs/vault-peers.md` tells the rules and the bytes.
//!
//! ```text
//! asking   ──PeerService/ShareRootKey──>   giving
//! keyring: what may be asked for, whether what came is the root key     keyring: who gets it
//! ```

mod asking;
mod giving;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coffre_channel::Channel;

pub use self::asking::{Asking, Round};
pub(crate) use self::giving::{Asker, Giving};

/// The other replicas of the vault.
pub trait Peers: Send + Sync + 'static {
    /// Returns the trust domain in which certificates of replicas name the service `vault`.
    fn trust_domain(&self) -> &str;

    /// Returns the way to each replica that is known now, in any order. This process may be among them. A channel leads to that one replica
    /// alone, and only where its certificate names `vault` of the trust domain.
    fn replicas(&self) -> Vec<Replica>;
}

/// The way to one replica.
#[derive(Clone)]
pub struct Replica {
    /// What it is called in the log, such as its address.
    pub name: String,
    /// The way to its internal side.
    pub channel: Channel,
}

/// A vault of one process.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn trust_domain(&self) -> &'static str {
        ""
    }

    fn replicas(&self) -> Vec<Replica> {
        Vec::new()
    }
}

/// How long others are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long one of them may take to answer.
    pub answer: Duration,
    /// After how long without an answer the next one is asked, too.
    pub stagger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { answer: Duration::from_secs(2), stagger: Duration::from_millis(250) }
    }
}

/// How a certificate names the vault.
fn identity(trust_domain: &str, service: &str) -> String {
    format!("spiffe://{trust_domain}/{service}")
}

/// What was given and taken since the start, for metrics.
#[derive(Debug, Default)]
pub struct PeerCounts {
    given: AtomicU64,
    refused: AtomicU64,
    taken: AtomicU64,
    unusable: AtomicU64,
}

impl PeerCounts {
    /// How often this process gave the root key to another one.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// How often it refused somebody who is no replica of this vault, or where the stored keys are not those of this vault.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often it opened the vault with the root key of another one.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How often another one gave it what is not the root key.
    #[must_use]
    pub fn unusable(&self) -> u64 {
        self.unusable.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
