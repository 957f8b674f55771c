//! A key on a memory page of its own, kept out of the swap where the system allows it.
//!
//! Locking is best effort: containers often allow little or nothing of it (`RLIMIT_MEMLOCK`), and a vault that does not start protects
//! nobody. Whoever holds such a key may ask whether it worked ([`LockedKey::is_locked`]) and note it.

use std::fmt;

use aws_lc_rs::rand;
use region::LockGuard;
use zeroize::Zeroize as _;

use crate::CryptoError;
use crate::key::KEY_LEN;

/// The alignment, and so the size, of [`Page`].
const PAGE_LEN: usize = 4096;

/// Nothing else lies on it: locking counts nothing, so unlocking one of two neighbours would unlock both.
#[repr(align(4096))]
struct Page([u8; KEY_LEN]);

/// A symmetric key of 256 bits, wiped when dropped.
pub(crate) struct LockedKey {
    page: Box<Page>,
    // Dropped, and so unlocked, after the page was wiped by `drop`.
    lock: Option<LockGuard>,
}

impl LockedKey {
    fn empty() -> Self {
        let page = Box::new(Page([0; KEY_LEN]));
        // Where the system's pages are larger, a page has neighbours, and locking would be lost when one of them goes.
        let lock = if region::page::size() == PAGE_LEN {
            region::lock(std::ptr::from_ref::<Page>(&page), PAGE_LEN).ok()
        } else {
            None
        };
        Self { page, lock }
    }

    /// Makes a random key.
    pub(crate) fn generate() -> Result<Self, CryptoError> {
        let mut key = Self::empty();
        rand::fill(&mut key.page.0).map_err(|_| CryptoError::Random)?;
        Ok(key)
    }

    /// Copies the bytes of a key.
    pub(crate) fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != KEY_LEN {
            return Err(CryptoError::KeyLength);
        }
        let mut key = Self::empty();
        key.page.0.copy_from_slice(bytes);
        Ok(key)
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        &self.page.0
    }

    /// Says whether the page is locked.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        self.page.0.zeroize();
    }
}

impl fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_page_of_its_own() {
        assert_eq!(size_of::<Page>(), PAGE_LEN);
        let keys: Vec<LockedKey> = (0..4).map(|_| LockedKey::generate().unwrap()).collect();
        for key in &keys {
            assert_eq!(std::ptr::from_ref::<Page>(&key.page).addr() % PAGE_LEN, 0);
        }
        assert_ne!(keys[0].expose(), keys[1].expose());
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        assert_eq!(LockedKey::from_slice(&[7; 32]).unwrap().expose(), &[7; 32]);
        for length in [0, 31, 33] {
            assert_eq!(LockedKey::from_slice(&vec![7; length]).unwrap_err(), CryptoError::KeyLength);
        }
    }

    /// The kernel's own account of the page.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_page_is_locked_where_the_system_says_so() {
        let key = LockedKey::generate().unwrap();
        let address = std::ptr::from_ref::<Page>(&key.page).addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut flags = None;
        for line in maps.lines() {
            let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
            let ends = range.and_then(|(from, to)| {
                Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
            });
            if let Some((from, to)) = ends {
                inside = (from..to).contains(&address);
            }
            if inside && let Some(found) = line.strip_prefix("VmFlags:") {
                flags = Some(found.split_whitespace().any(|flag| flag == "lo"));
            }
        }
        // A kernel that gives no flags says nothing about the page either.
        if let Some(locked) = flags {
            assert_eq!(locked, key.is_locked());
        }
    }
}
