//! What an authenticator knows: keys, verified tokens, callers.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use coffre_changes::consumer::Known;
use coffre_channel::Channel;
use coffre_proto::auth::internal::v1::{SigningKey, Snapshot};
use coffre_types::Clock;
use moka::sync::Cache;

use crate::callers::Subject;
use crate::token::{KeySet, VerifiedToken};

/// The SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// Takes the first bytes of a digest for its hash: they are uniform already.
#[derive(Default)]
pub(crate) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    // The length prefix of an array says nothing here.
    fn write_usize(&mut self, _: usize) {}
}

pub(crate) struct State {
    /// The way to auth.
    pub(crate) channel: Channel,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) issuer: String,
    pub(crate) keys: ArcSwap<KeySet>,
    /// Orders whoever replaces the keys; holds the generation of the set.
    key_writes: Mutex<u64>,
    pub(crate) tokens: Cache<Digest, Arc<VerifiedToken>, BuildHasherDefault<FirstBytes>>,
    pub(crate) callers: Known<Subject>,
    /// The monotonic start, so that moments fit into an atomic number.
    base: Instant,
    /// When the keys were last asked for out of turn, in nanoseconds since `base`, plus one; 0: never.
    key_refresh: AtomicU64,
}

impl State {
    pub(crate) fn new(
        channel: Channel,
        clock: Arc<dyn Clock>,
        issuer: String,
        token_capacity: u64,
        callers: Known<Subject>,
    ) -> Self {
        let keys = KeySet::new(&issuer, 0, []);
        Self {
            channel,
            base: clock.monotonic(),
            clock,
            issuer,
            keys: ArcSwap::from_pointee(keys),
            key_writes: Mutex::new(0),
            tokens: Cache::builder().max_capacity(token_capacity).build_with_hasher(BuildHasherDefault::default()),
            callers,
            key_refresh: AtomicU64::new(0),
        }
    }

    /// Replaces the keys, and does what belongs to the same moment under the same lock. Verified tokens carry the generation of their
    /// set, so none outlives its key.
    pub(crate) fn set_keys<T>(&self, keys: &[SigningKey], and: impl FnOnce() -> T) -> T {
        let mut generation = self.key_writes.lock().unwrap_or_else(PoisonError::into_inner);
        self.store_keys(keys, &mut generation);
        and()
    }

    /// Replaces the keys by those of a snapshot that was asked for beside the stream. One that lags behind the stream is left out: it
    /// must not bring back a withdrawn key.
    pub(crate) fn take_keys(&self, snapshot: &Snapshot) {
        let mut generation = self.key_writes.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.sequence >= self.callers.last() {
            self.store_keys(&snapshot.keys, &mut generation);
        }
    }

    fn store_keys(&self, keys: &[SigningKey], generation: &mut u64) {
        *generation += 1;
        let keys = keys.iter().map(|key| (key.kid.as_str(), key.public_key.as_slice()));
        self.keys.store(Arc::new(KeySet::new(&self.issuer, *generation, keys)));
    }

    /// Allows one key refresh a second.
    pub(crate) fn may_refresh_keys(&self) -> bool {
        let now = self.measure(self.clock.monotonic());
        self.key_refresh
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
                (last == 0 || now.saturating_sub(last) >= nanos(Duration::from_secs(1))).then_some(now)
            })
            .is_ok()
    }

    fn measure(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.base)).saturating_add(1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
