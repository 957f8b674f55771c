//! Plaintext secrets as types.
//!
//! A plaintext exists only as [`SecretText`] or [`SecretBytes`]: wiped when dropped, without `Clone`, `PartialEq`, `Display` or any
//! serialisation, and with a `Debug` that prints the type's name. [`SecretText::expose`] and [`SecretBytes::expose`] are the only ways
//! in, so that a review finds every use with one search.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret text, UTF-8.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes over a text. The caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the plaintext.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.0.len()
    }

    /// Moves the plaintext out, for a message that is about to leave.
    #[must_use]
    pub fn into_exposed(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Secret bytes.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over bytes. The caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the plaintext.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the bytes as UTF-8; `None`, and the bytes are wiped, where they are not.
    #[must_use]
    pub fn into_text(mut self) -> Option<SecretText> {
        match String::from_utf8(std::mem::take(&mut *self.0)) {
            Ok(text) => Some(SecretText::new(text)),
            Err(error) => {
                drop(Self::new(error.into_bytes()));
                None
            }
        }
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes")
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

/// Compares in a time that depends on the lengths alone.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_type_and_nothing_else() {
        assert_eq!(format!("{:?}", SecretText::new("planted".into())), "SecretText");
        assert_eq!(format!("{:?}", SecretBytes::new(b"planted".to_vec())), "SecretBytes");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert!(SecretBytes::new(vec![0xff]).into_text().is_none());
        assert_eq!(SecretBytes::new(b"ok".to_vec()).into_text().map(SecretText::into_exposed), Some("ok".to_owned()));
    }

    #[test]
    fn comparison_tells_equal_from_different() {
        assert!(equal(b"same", b"same"));
        assert!(!equal(b"same", b"Same"));
        assert!(!equal(b"same", b"same "));
    }
}
