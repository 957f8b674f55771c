//! Argon2id (RFC 9106) for keys that people type, one at a time in this process.
//!
//! It takes 256 MiB and about half a second of a core, and whoever comes while another runs waits: call it on a thread that may
//! block, never on an async one, and let only so many callers wait.

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize as _, Zeroizing};

use crate::key::KEY_LEN;
use crate::{CryptoError, Key256};

/// Whoever writes the database must not choose how much memory and time we take.
const LEAST_MEMORY_KIB: u32 = 8 * 1024;
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 4;
/// Memory times passes: five times what [`Cost::STANDARD`] takes.
const MOST_WORK_KIB: u32 = 4 * 1024 * 1024;

/// How much memory and time a guess at a typed key costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// What every slot of a vault is made with: 256 MiB, three passes, one lane.
    pub const STANDARD: Self = Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 };

    /// Takes a cost, for tests and measurements.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] outside 8 MiB to 1 GiB, 1 to 10 passes, and 4 GiB of memory times passes.
    pub fn new(memory_kib: u32, passes: u32) -> Result<Self, CryptoError> {
        Self::read(memory_kib, passes, 1)
    }

    /// Checks the cost that a slot asks for.
    pub(crate) fn read(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, CryptoError> {
        let fits = (LEAST_MEMORY_KIB..=MOST_MEMORY_KIB).contains(&memory_kib)
            && (1..=MOST_PASSES).contains(&passes)
            && (1..=MOST_LANES).contains(&lanes)
            && memory_kib.saturating_mul(passes) <= MOST_WORK_KIB;
        if fits { Ok(Self { memory_kib, passes, lanes }) } else { Err(CryptoError::Malformed) }
    }

    /// Returns the memory in KiB.
    #[must_use]
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Returns the number of passes over the memory.
    #[must_use]
    pub fn passes(self) -> u32 {
        self.passes
    }

    /// Returns the number of lanes.
    #[must_use]
    pub fn lanes(self) -> u32 {
        self.lanes
    }
}

/// Held while one runs.
static TURN: Mutex<()> = Mutex::new(());

/// Makes a key out of a typed one. Waits until nobody else in this process does.
pub(crate) fn stretch(typed: &[u8], salt: &[u8], cost: Cost) -> Result<Key256, CryptoError> {
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_LEN)).map_err(|_| CryptoError::Malformed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = Zeroizing::new([0; KEY_LEN]);
    // A turn that ended in a panic left nothing behind.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut memory = Vec::new();
    memory.try_reserve_exact(argon2.params().block_count()).map_err(|_| CryptoError::Library)?;
    memory.resize(argon2.params().block_count(), Block::default());
    let done = argon2.hash_password_into_with_memory(typed, salt, out.as_mut_slice(), &mut memory);
    memory.zeroize();
    done.map_err(|_| CryptoError::Library)?;
    Key256::from_slice(out.as_slice())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn rule_5_1_stored_parameters_are_bounded() {
        for (memory_kib, passes, lanes) in [
            (8 * 1024 - 1, 3, 1),
            (1024 * 1024 + 1, 1, 1),
            (u32::MAX, 1, 1),
            (256 * 1024, 0, 1),
            (256 * 1024, 11, 1),
            (256 * 1024, u32::MAX, 1),
            (1024 * 1024, 5, 1),
            (256 * 1024, 3, 0),
            (256 * 1024, 3, 5),
        ] {
            let read = Cost::read(memory_kib, passes, lanes);
            assert_eq!(read.unwrap_err(), CryptoError::Malformed, "{memory_kib} {passes} {lanes}");
        }
        assert_eq!(Cost::read(256 * 1024, 3, 1).unwrap(), Cost::STANDARD);
        assert!(Cost::read(1024 * 1024, 4, 4).is_ok());
        assert!(Cost::new(8 * 1024, 1).is_ok());
    }

    #[test]
    fn rule_5_1_one_runs_at_a_time() {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, wait) = mpsc::channel();
        let other = std::thread::spawn(move || {
            let least = Cost::new(8 * 1024, 1).unwrap();
            done.send(stretch(b"typed", &[1; 32], least).is_ok()).unwrap();
        });
        // Without the lock it would be done after a few milliseconds.
        assert_eq!(wait.recv_timeout(Duration::from_millis(500)), Err(mpsc::RecvTimeoutError::Timeout));
        drop(turn);
        assert_eq!(wait.recv(), Ok(true));
        other.join().unwrap();
    }

    #[test]
    fn key_salt_and_cost_all_count() {
        let least = Cost::new(8 * 1024, 1).unwrap();
        let key = |typed: &[u8], salt: &[u8], cost| *stretch(typed, salt, cost).unwrap().expose();
        let one = key(b"typed", &[1; 32], least);
        assert_eq!(one, key(b"typed", &[1; 32], least));
        assert_ne!(one, key(b"Typed", &[1; 32], least));
        assert_ne!(one, key(b"typed", &[2; 32], least));
        assert_ne!(one, key(b"typed", &[1; 32], Cost::new(8 * 1024, 2).unwrap()));
        assert_ne!(one, key(b"typed", &[1; 32], Cost::new(9 * 1024, 1).unwrap()));
    }
}
