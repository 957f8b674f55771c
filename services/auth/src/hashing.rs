//! Argon2id on threads of its own, so that sign-ins never take the async threads and never more memory than planned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use coffre_crypto::random;
use coffre_secret::{SecretBytes, equal};
use crossbeam_channel::{RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use crate::config::Hashing;
use crate::domain::throttle::AddressKey;
use crate::gate::Turn;

const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// A thread without work for this long gives its memory back.
const IDLE: Duration = Duration::from_secs(5);
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

struct Job {
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
    pub(crate) fn start(parameters: Hashing) -> Result<Self, HashFault> {
        Params::new(parameters.memory_kib, parameters.passes, 1, Some(HASH_LEN)).map_err(|_| HashFault::Parameters)?;
        if parameters.memory_kib > MOST_MEMORY_KIB || parameters.passes > MOST_PASSES {
            return Err(HashFault::Parameters);
        }
        let (jobs, intake) = crossbeam_channel::unbounded::<Job>();
        let done = Arc::<AtomicU64>::default();
        for index in 0..parameters.threads.get() {
            let (intake, done) = (intake.clone(), done.clone());
            std::thread::Builder::new()
                .name(format!("auth-hash-{index}"))
                .spawn(move || {
                    step_back();
                    // Kept from hash to hash: taking 19 MiB anew each time costs as much as a tenth of the hash.
                    let mut memory = Vec::new();
                    loop {
                        match intake.recv_timeout(IDLE) {
                            // Whoever asked has gone.
                            Ok(job) if job.reply.is_closed() => {}
                            Ok(job) => {
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

    async fn run(
        &self,
        secret: SecretBytes,
        memory_kib: u32,
        passes: u32,
        salt: Vec<u8>,
        turn: Option<HashTurn>,
    ) -> Result<[u8; HASH_LEN], HashFault> {
        let (reply, answer) = oneshot::channel();
        let job = Job { secret, memory_kib, passes, salt, reply, _turn: turn };
        self.jobs.send(job).map_err(|_| HashFault::Stopped)?;
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

fn compute(job: &Job, memory: &mut Vec<Block>) -> Result<[u8; HASH_LEN], HashFault> {
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

    use super::*;
    use crate::gate::Gate;

    fn hasher() -> Hasher {
        Hasher::start(Hashing { memory_kib: 64, passes: 1, threads: NonZeroUsize::MIN, waiting: 8 }).unwrap()
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
    async fn a_turn_lasts_as_long_as_its_job_though_whoever_asked_goes_away() {
        let hasher =
            Hasher::start(Hashing { memory_kib: 32 * 1024, passes: 4, threads: NonZeroUsize::MIN, waiting: 8 })
                .unwrap();
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
    async fn nothing_matches_no_hash_and_the_work_is_the_same() {
        let hasher = hasher();
        for stored in [None, Some(""), Some("$argon2id$v=19$m=4000000000,t=1,p=1$AAAA$AAAA")] {
            let before = hasher.done();
            assert!(!hasher.verify(secret("any"), stored, None).await.unwrap().matches);
            assert_eq!(hasher.done(), before + 1);
        }
    }
}
