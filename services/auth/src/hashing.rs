//! Argon2id on threads of its own, so that sign-ins never take the async threads and never more memory than planned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use coffre_crypto::random;
use coffre_secret::{SecretBytes, equal};
use coffre_types::Activity;
use crossbeam_channel::{RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use crate::config::Hashing;
use crate::domain::throttle::AddressKey;
use crate::gate::Turn;

const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// A thread without work for this long gives its memory back.
const IDLE: Duration = Duration::from_secs(5);
/// How often a thread that makes room looks whether it is still needed.
const ASIDE: Duration = Duration::from_millis(50);
/// Bounds of what a row may ask for: whoever writes the database must not choose how much memory we take.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// Why there is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// The parameters are outside Argon2's or our bounds.
    #[error("the parameters of the password hash are out of bounds")]
    Parameters,
    /// There are no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The threads have ended or could not be started.
    #[error("the hashing threads are not running")]
    Stopped,
}

/// A password hash as it is stored, in the PHC string format.
#[derive(Clone)]
struct Stored {
    memory_kib: u32,
    passes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut parameters = parts.next()?.split(',');
        let memory_kib = parameters.next()?.strip_prefix("m=")?.parse().ok()?;
        let passes = parameters.next()?.strip_prefix("t=")?.parse().ok()?;
        if parameters.next()? != "p=1" || memory_kib > MOST_MEMORY_KIB || passes > MOST_PASSES {
            return None;
        }
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        (hash.len() == HASH_LEN && parts.next().is_none()).then_some(Self { memory_kib, passes, salt, hash })
    }

    fn text(&self) -> String {
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.hash));
        format!("$argon2id$v=19$m={},t={},p=1${salt}${hash}", self.memory_kib, self.passes)
    }
}

/// Whether a password matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) matches: bool,
    /// The row's hash was made with other parameters than those of today.
    pub(crate) outdated: bool,
}

enum Job {
    Hash(HashJob),
    Aside(Box<dyn FnOnce() + Send>),
}

struct HashJob {
    secret: SecretBytes,
    memory_kib: u32,
    passes: u32,
    salt: Vec<u8>,
    reply: oneshot::Sender<Result<[u8; HASH_LEN], HashFault>>,
    /// Given back when the job is done, not when whoever asked goes away: the jobs that wait are never more than the turns.
    _turn: Option<HashTurn>,
}

/// A turn at hashing.
pub(crate) type HashTurn = Turn<AddressKey>;

/// Hashes passwords. Clones share the threads, which end with the last of them.
#[derive(Clone)]
pub(crate) struct Hasher {
    jobs: Sender<Job>,
    parameters: Hashing,
    dummy: Arc<Stored>,
    done: Arc<AtomicU64>,
}

impl Hasher {
    /// While `others` tells of calls, one core is not hashed on, where there are two: whatever such a call waits for, its disk included, would
    /// wait for the end of a hash's time slice on every core, several milliseconds and again and again.
    pub(crate) fn start(parameters: Hashing, others: Activity) -> Result<Self, HashFault> {
        Params::new(parameters.memory_kib, parameters.passes, 1, Some(HASH_LEN)).map_err(|_| HashFault::Parameters)?;
        if parameters.memory_kib > MOST_MEMORY_KIB || parameters.passes > MOST_PASSES {
            return Err(HashFault::Parameters);
        }
        let (jobs, intake) = crossbeam_channel::unbounded::<Job>();
        let done = Arc::<AtomicU64>::default();
        for index in 0..parameters.threads.get() {
            let (intake, done) = (intake.clone(), done.clone());
            let makes_room = (index > 0 && index + 1 == parameters.threads.get()).then(|| others.clone());
            std::thread::Builder::new()
                .name(format!("auth-hash-{index}"))
                .spawn(move || {
                    step_back();
                    // Kept from hash to hash: taking 19 MiB anew each time costs as much as a tenth of the hash.
                    let mut memory = Vec::new();
                    loop {
                        if makes_room.as_ref().is_some_and(Activity::is_recent) {
                            memory = Vec::new();
                            std::thread::sleep(ASIDE);
                            continue;
                        }
                        match intake.recv_timeout(IDLE) {
                            // Whoever asked has gone.
                            Ok(Job::Hash(job)) if job.reply.is_closed() => {}
                            Ok(Job::Aside(work)) => work(),
                            Ok(Job::Hash(job)) => {
                                let outcome = compute(&job, &mut memory);
                                done.fetch_add(1, Ordering::Relaxed);
                                // Whoever asked may have gone meanwhile.
                                let _ = job.reply.send(outcome);
                            }
                            Err(RecvTimeoutError::Timeout) => memory = Vec::new(),
                            Err(RecvTimeoutError::Disconnected) => break,
                        }
                    }
                })
                .map_err(|_| HashFault::Stopped)?;
        }
        // No password has this hash; it is what an unknown name is compared with.
        let dummy = Stored {
            memory_kib: parameters.memory_kib,
            passes: parameters.passes,
            salt: random::<SALT_LEN>().map_err(|_| HashFault::Random)?.to_vec(),
            hash: random::<HASH_LEN>().map_err(|_| HashFault::Random)?.to_vec(),
        };
        Ok(Self { jobs, parameters, dummy: Arc::new(dummy), done })
    }

    /// Returns how many hashes were computed.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Returns how many hashes run at once.
    pub(crate) fn threads(&self) -> usize {
        self.parameters.threads.get()
    }

    /// Hashes a keyed password for storage.
    pub(crate) async fn hash(&self, secret: SecretBytes, turn: Option<HashTurn>) -> Result<String, HashFault> {
        let salt = random::<SALT_LEN>().map_err(|_| HashFault::Random)?.to_vec();
        let (memory_kib, passes) = (self.parameters.memory_kib, self.parameters.passes);
        let hash = self.run(secret, memory_kib, passes, salt.clone(), turn).await?.to_vec();
        Ok(Stored { memory_kib, passes, salt, hash }.text())
    }

    /// Hashes a keyed secret for storage beside an earlier one of the same owner, under the same salt where it has today's parameters: whoever
    /// shows either costs one hash ([`Self::verify_any`]).
    pub(crate) async fn hash_beside(
        &self,
        secret: SecretBytes,
        earlier: Option<&str>,
        turn: Option<HashTurn>,
    ) -> Result<String, HashFault> {
        let (memory_kib, passes) = (self.parameters.memory_kib, self.parameters.passes);
        let like = earlier.and_then(Stored::parse).filter(|old| (old.memory_kib, old.passes) == (memory_kib, passes));
        let salt = match like {
            Some(old) => old.salt,
            None => random::<SALT_LEN>().map_err(|_| HashFault::Random)?.to_vec(),
        };
        let hash = self.run(secret, memory_kib, passes, salt.clone(), turn).await?.to_vec();
        Ok(Stored { memory_kib, passes, salt, hash }.text())
    }

    /// Compares a keyed secret with the stored hashes of one owner and returns the place of the one that matches. They share their salt, so one
    /// hash is computed whether there are any or none; another only where the parameters were changed between two of them.
    pub(crate) async fn verify_any(
        &self,
        secret: &SecretBytes,
        stored: &[&str],
        turn: HashTurn,
    ) -> Result<Option<usize>, HashFault> {
        let known: Vec<(usize, Stored)> =
            stored.iter().enumerate().filter_map(|(place, text)| Some((place, Stored::parse(text)?))).collect();
        let mut turn = Some(turn);
        let mut against = known.first().map_or_else(|| self.dummy.as_ref().clone(), |(_, first)| first.clone());
        let mut left = known;
        loop {
            let copy = SecretBytes::new(secret.expose().to_vec());
            let salt = against.salt.clone();
            let hash = self.run(copy, against.memory_kib, against.passes, salt, turn.take()).await?;
            let alike = |other: &Stored| {
                (other.memory_kib, other.passes, &other.salt) == (against.memory_kib, against.passes, &against.salt)
            };
            let found =
                left.iter().find(|(_, other)| alike(other) && equal(&hash, &other.hash)).map(|(place, _)| *place);
            left.retain(|(_, other)| !alike(other));
            match (found, left.first()) {
                (Some(place), _) => return Ok(Some(place)),
                (None, Some((_, next))) => against = next.clone(),
                (None, None) => return Ok(None),
            }
        }
    }

    /// Compares a keyed password with a stored hash. Without one, or with one that cannot be read, the work is the same and nothing matches.
    pub(crate) async fn verify(
        &self,
        secret: SecretBytes,
        stored: Option<&str>,
        turn: Option<HashTurn>,
    ) -> Result<Verdict, HashFault> {
        let known = stored.and_then(Stored::parse);
        let real = known.is_some();
        let against = known.unwrap_or_else(|| self.dummy.as_ref().clone());
        let hash = self.run(secret, against.memory_kib, against.passes, against.salt, turn).await?;
        let outdated = against.memory_kib != self.parameters.memory_kib || against.passes != self.parameters.passes;
        Ok(Verdict { matches: equal(&hash, &against.hash) & real, outdated })
    }

    /// Does other work that holds a core for long, on the threads that hash. Whoever asks holds a turn.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashFault> {
        let (reply, answer) = oneshot::channel();
        let work = move || {
            if reply.is_closed() {
                return;
            }
            // A fault in it must not end the thread.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                // Whoever asked may have gone meanwhile.
                let _ = reply.send(done);
            }
        };
        self.jobs.send(Job::Aside(Box::new(work))).map_err(|_| HashFault::Stopped)?;
        answer.await.map_err(|_| HashFault::Stopped)
    }

    async fn run(
        &self,
        secret: SecretBytes,
        memory_kib: u32,
        passes: u32,
        salt: Vec<u8>,
        turn: Option<HashTurn>,
    ) -> Result<[u8; HASH_LEN], HashFault> {
        let (reply, answer) = oneshot::channel();
        let job = HashJob { secret, memory_kib, passes, salt, reply, _turn: turn };
        self.jobs.send(Job::Hash(job)).map_err(|_| HashFault::Stopped)?;
        answer.await.map_err(|_| HashFault::Stopped)?
    }
}

/// Lets every other thread of the process go first: a hash holds a core for 20 ms, in which other calls want it for some microseconds, and
/// again and again. Sign-ins keep a tenth of a core where others want all of it.
#[cfg(target_os = "linux")]
fn step_back() {
    const NICE: i32 = 10;
    // Of this thread, on Linux. Without it all goes on, less evenly.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "password hashing keeps the priority of other calls");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

fn compute(job: &HashJob, memory: &mut Vec<Block>) -> Result<[u8; HASH_LEN], HashFault> {
    let params = Params::new(job.memory_kib, job.passes, 1, Some(HASH_LEN)).map_err(|_| HashFault::Parameters)?;
    memory.resize(params.block_count(), Block::new());
    let mut out = [0; HASH_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(job.secret.expose(), &job.salt, &mut out, &mut *memory)
        .map_err(|_| HashFault::Parameters)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use std::sync::Barrier;

    use coffre_types::{FixedClock, Timestamp};

    use super::*;
    use crate::gate::Gate;

    fn with(parameters: Hashing) -> Hasher {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(0)));
        Hasher::start(parameters, Activity::new(clock)).unwrap()
    }

    fn hasher() -> Hasher {
        with(Hashing { memory_kib: 64, passes: 1, threads: NonZeroUsize::MIN, waiting: 8 })
    }

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_hash_matches_its_password_alone() {
        let hasher = hasher();
        let stored = hasher.hash(secret("right"), None).await.unwrap();
        assert!(hasher.verify(secret("right"), Some(&stored), None).await.unwrap().matches);
        assert!(!hasher.verify(secret("wrong"), Some(&stored), None).await.unwrap().matches);
    }

    #[tokio::test]
    async fn secrets_of_one_owner_cost_one_hash_together() {
        let (hasher, gate) = (hasher(), Gate::new(1, 8));
        let first = hasher.hash_beside(secret("first"), None, None).await.unwrap();
        let second = hasher.hash_beside(secret("second"), Some(&first), None).await.unwrap();
        let stored = [second.as_str(), "hmac-sha256$abc", first.as_str()];
        for (shown, expected) in [("first", Some(2)), ("second", Some(0)), ("third", None)] {
            let before = hasher.done();
            let turn = gate.turn([1; 16]).await.unwrap();
            assert_eq!(hasher.verify_any(&secret(shown), &stored, turn).await.unwrap(), expected);
            assert_eq!(hasher.done(), before + 1, "{shown}");
        }
        let turn = gate.turn([1; 16]).await.unwrap();
        assert_eq!(hasher.verify_any(&secret("first"), &[], turn).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_secret_under_other_parameters_still_matches() {
        let (hasher, gate) = (hasher(), Gate::new(1, 8));
        let other = Hashing { memory_kib: 128, passes: 1, threads: NonZeroUsize::MIN, waiting: 8 };
        let old = with(other).hash_beside(secret("old"), None, None).await.unwrap();
        let new = hasher.hash_beside(secret("new"), Some(&old), None).await.unwrap();
        let turn = gate.turn([1; 16]).await.unwrap();
        assert_eq!(hasher.verify_any(&secret("old"), &[&new, &old], turn).await.unwrap(), Some(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_lets_other_threads_go_first() {
        let nice = |stat: &str| -> i32 {
            let fields = stat.rsplit_once(')').unwrap().1;
            fields.split_whitespace().nth(16).unwrap().parse().unwrap()
        };
        let own = nice(&std::fs::read_to_string("/proc/thread-self/stat").unwrap());
        let hasher = hasher();
        hasher.hash(secret("any"), None).await.unwrap();
        let hashing = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).ok()?;
            stat.contains("(auth-hash").then(|| nice(&stat))
        });
        assert_eq!(hashing.max(), Some((own + 10).min(19)));
    }

    #[tokio::test]
    async fn one_core_is_left_to_other_calls_as_long_as_there_are_any() {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(0)));
        let activity = Activity::new(clock.clone());
        activity.note();
        let two = NonZeroUsize::MIN.saturating_add(1);
        let hasher = Hasher::start(Hashing { memory_kib: 64, passes: 1, threads: two, waiting: 8 }, activity).unwrap();
        let thread = || std::thread::current().name().map(ToOwned::to_owned);
        let busy: Vec<_> = (0..16).map(|_| hasher.aside(thread)).collect();
        for name in futures_util::future::join_all(busy).await {
            assert_eq!(name.unwrap().as_deref(), Some("auth-hash-0"));
        }
        // Neither of two that wait for each other ends before both threads work.
        clock.advance(Duration::from_secs(1));
        let both = Arc::new(Barrier::new(2));
        let meet = || {
            let both = both.clone();
            hasher.aside(move || both.wait().is_leader())
        };
        let (one, other) = tokio::join!(meet(), meet());
        assert_ne!(one.unwrap(), other.unwrap());
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_its_job_though_whoever_asked_goes_away() {
        let hasher = with(Hashing { memory_kib: 32 * 1024, passes: 4, threads: NonZeroUsize::MIN, waiting: 8 });
        let gate = Gate::new(1, 8);
        let turn = gate.turn([1; 16]).await.unwrap();
        {
            let mut asked = Box::pin(hasher.hash(secret("first"), None));
            let mut gone = Box::pin(hasher.hash(secret("second"), Some(turn)));
            assert!(
                futures_util::poll!(asked.as_mut()).is_pending() && futures_util::poll!(gone.as_mut()).is_pending()
            );
            drop(gone);
            let mut next = Box::pin(gate.turn([2; 16]));
            assert!(futures_util::poll!(next.as_mut()).is_pending(), "its job waits behind the first");
            asked.await.unwrap();
            assert!(next.await.is_ok());
        }
        assert_eq!(hasher.done(), 1, "and is not computed for nobody");
    }

    #[tokio::test]
    async fn a_fault_in_other_work_ends_no_thread() {
        let hasher = hasher();
        let refused: Result<(), _> = hasher.aside(|| panic!("planted")).await;
        assert_eq!(refused, Err(HashFault::Stopped));
        assert_eq!(hasher.aside(|| 7).await, Ok(7));
        hasher.hash(secret("any"), None).await.unwrap();
        assert_eq!(hasher.done(), 1, "only hashes are counted");
    }

    #[tokio::test]
    async fn nothing_matches_no_hash_and_the_work_is_the_same() {
        let hasher = hasher();
        for stored in [None, Some(""), Some("$argon2id$v=19$m=4000000000,t=1,p=1$AAAA$AAAA")] {
            let before = hasher.done();
            assert!(!hasher.verify(secret("any"), stored, None).await.unwrap().matches);
            assert_eq!(hasher.done(), before + 1);
        }
    }
}
