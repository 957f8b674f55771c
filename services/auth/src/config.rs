//! Settings of the auth service.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The shortest password that a setting may allow, in characters.
pub const PASSWORD_MIN_LENGTH_FLOOR: usize = 8;

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `iss` of tokens.
    pub issuer: String,
    /// How long a token is good.
    pub token_life: Duration,
    /// How long a session lasts at most, however often its tokens are refreshed.
    pub session_life: Duration,
    /// The shortest password that is accepted, in characters; never under [`PASSWORD_MIN_LENGTH_FLOOR`].
    pub password_min_length: usize,
    /// Passwords that would soon be guessed are refused.
    pub password_strength_check: bool,
    /// A password that an administrator reset must be changed at the next sign-in. `coffre dev` turns it off.
    pub force_password_change: bool,
    /// How old the sign-in may be that changing one's own password and resetting another's ask for.
    pub recent_sign_in: Duration,
    /// What a password hash costs.
    pub hashing: Hashing,
    /// When sign-ins are slowed down and blocked.
    pub throttle: Throttle,
    /// How many sign-ins may be under way.
    pub sign_ins: SignIns,
    /// How long a signing key signs.
    pub key_rotation: Duration,
    /// How long a new signing key is known before it signs.
    pub key_overlap: Duration,
    /// How often the changes are read.
    pub change_poll: Duration,
    /// How often watchers hear that nothing happened.
    pub heartbeat: Duration,
    /// How often old rows are removed and keys looked at.
    pub housekeeping: Duration,
    /// How often deletions that were left behind are looked for.
    pub settling: Duration,
}

/// What a password hash costs (Argon2id).
#[derive(Clone, Copy, Debug)]
pub struct Hashing {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Threads that hash: as many hashes at once.
    pub threads: NonZeroUsize,
    /// Sign-ins that may wait for their turn; more are refused as overload.
    pub waiting: usize,
}

/// How many sign-ins may be under way at once, those that are held back or wait for their turn included; more are refused as overload.
#[derive(Clone, Copy, Debug)]
pub struct SignIns {
    /// All together: far less than the calls that the process answers at once.
    pub at_once: usize,
    /// From one address (IPv6: from one /64).
    pub per_address: usize,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { at_once: 1024, per_address: 64 }
    }
}

/// When sign-ins are slowed down and blocked.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Failures of one account from one address before it is blocked there.
    pub block_after: i64,
    /// The first block; each further failure doubles it.
    pub first_block: Duration,
    /// The longest block.
    pub longest_block: Duration,
    /// Failures of one account, or from one address, before answers are delayed.
    pub delay_after: i64,
    /// The first delay; each further failure doubles it.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// Failures are forgotten after this long without another.
    pub forget_after: Duration,
    /// Counters of each kind.
    pub slots: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "coffre".to_owned(),
            token_life: Duration::from_secs(20 * 60),
            session_life: Duration::from_secs(12 * 60 * 60),
            password_min_length: 12,
            password_strength_check: true,
            force_password_change: true,
            recent_sign_in: Duration::from_secs(5 * 60),
            hashing: Hashing::default(),
            throttle: Throttle::default(),
            sign_ins: SignIns::default(),
            key_rotation: Duration::from_secs(30 * 24 * 60 * 60),
            key_overlap: Duration::from_secs(60),
            change_poll: Duration::from_millis(125),
            heartbeat: Duration::from_millis(250),
            housekeeping: Duration::from_secs(60),
            settling: Duration::from_secs(15),
        }
    }
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            waiting: 1024,
        }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            block_after: 5,
            first_block: Duration::from_secs(30),
            longest_block: Duration::from_secs(15 * 60),
            delay_after: 20,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(2),
            forget_after: Duration::from_secs(60 * 60),
            slots: 65_536,
        }
    }
}
