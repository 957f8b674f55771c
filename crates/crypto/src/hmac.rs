//! HMAC-SHA-256 with a prepared key.

use std::fmt;

use aws_lc_rs::hmac::{self, Context, HMAC_SHA256, Key};

use crate::Key256;

/// The length of a MAC in bytes.
pub const MAC_LEN: usize = 32;

/// A key under which MACs are made and checked. Cheap to clone.
#[derive(Clone)]
pub struct MacKey(Key);

impl MacKey {
    /// Prepares a key.
    #[must_use]
    pub fn new(key: &Key256) -> Self {
        Self(Key::new(HMAC_SHA256, key.expose()))
    }

    /// Makes the MAC of the parts one after the other. Where a part's length varies and another follows, the caller puts the length
    /// in front.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        let tag = self.tag(parts);
        let mut out = [0; MAC_LEN];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }

    /// Checks a MAC in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        coffre_secret::equal(self.tag(parts).as_ref(), mac)
    }

    fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_parts_agree() {
        let key = MacKey::new(&Key256::from_slice(&[1; 32]).unwrap());
        let mac = key.mac(&[b"a", b"b"]);
        assert!(key.verify(&[b"ab"], &mac));
        assert!(!key.verify(&[b"ac"], &mac));
        assert!(!key.verify(&[b"ab"], &mac[..31]));
        let other = MacKey::new(&Key256::from_slice(&[2; 32]).unwrap());
        assert!(!other.verify(&[b"ab"], &mac));
    }
}
