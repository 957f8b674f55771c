//! The master key that people type.

use std::fmt;

use coffre_secret::SecretText;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// The fewest characters that a master key may have.
pub const LEAST_CHARACTERS: usize = 6;
/// A master key with fewer characters is called short ([`MasterKey::is_short`]).
pub const GOOD_CHARACTERS: usize = 16;
/// The most bytes of UTF-8 that a master key may have.
pub const MOST_BYTES: usize = 1024;

/// Why a text cannot be a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Too few characters.
    #[error("a master key has at least {LEAST_CHARACTERS} characters")]
    TooShort,
    /// Too many bytes.
    #[error("a master key has at most {MOST_BYTES} bytes in UTF-8")]
    TooLong,
}

/// A master key: a text in Unicode's form NFC, so that the same characters are the same key whatever keyboard they come from. Spaces
/// and case count. Wiped when dropped.
pub struct MasterKey(Zeroizing<String>);

impl MasterKey {
    /// Takes a text as it was typed.
    ///
    /// # Errors
    /// [`MasterKeyError`] where it is too short or too long.
    pub fn new(typed: &SecretText) -> Result<Self, MasterKeyError> {
        if typed.len_bytes() > MOST_BYTES {
            return Err(MasterKeyError::TooLong);
        }
        // NFC at most triples UTF-8 (Unicode, annex 15): with that room nothing is left behind by a reallocation.
        let mut text = Zeroizing::new(String::with_capacity(typed.len_bytes().saturating_mul(3)));
        text.extend(typed.expose().nfc());
        let key = Self(text);
        if key.characters() < LEAST_CHARACTERS { Err(MasterKeyError::TooShort) } else { Ok(key) }
    }

    /// Returns how many characters it has.
    #[must_use]
    pub fn characters(&self) -> usize {
        self.0.chars().count()
    }

    /// Says whether it has fewer than [`GOOD_CHARACTERS`]: callers are warned, and `serve` wants a setting for it.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.characters() < GOOD_CHARACTERS
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(typed: &str) -> Result<MasterKey, MasterKeyError> {
        MasterKey::new(&SecretText::new(typed.to_owned()))
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        for short in ["", "12345", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", "e\u{301}e\u{301}e\u{301}"] {
            assert_eq!(key(short).unwrap_err(), MasterKeyError::TooShort, "{short}");
        }
        assert!(key("123456").unwrap().is_short());
        assert!(key("123456789012345").unwrap().is_short());
        assert!(!key("1234567890123456").unwrap().is_short());
        assert!(key(&"k".repeat(MOST_BYTES)).is_ok());
        assert_eq!(key(&"k".repeat(MOST_BYTES + 1)).unwrap_err(), MasterKeyError::TooLong);
        assert_eq!(key(&"k".repeat(10 * 1024 * 1024)).unwrap_err(), MasterKeyError::TooLong);
    }

    #[test]
    fn the_same_characters_are_the_same_key() {
        assert_eq!(
            key("cl\u{e9} de vo\u{fb}te").unwrap().expose(),
            key("cle\u{301} de vou\u{302}te").unwrap().expose()
        );
        assert_ne!(key("masterkey").unwrap().expose(), key("Masterkey").unwrap().expose());
        assert_ne!(key("masterkey").unwrap().expose(), key("masterkey ").unwrap().expose());
    }

    #[test]
    fn normalising_never_outgrows_its_buffer() {
        // U+0390 decomposes and recomposes; U+1D160 triples its bytes.
        for sign in ['\u{390}', '\u{1d160}', '\u{fb2c}', 'k'] {
            let typed: String = std::iter::repeat_n(sign, MOST_BYTES / sign.len_utf8()).collect();
            let key = key(&typed).unwrap();
            assert!(key.0.len() <= typed.len() * 3, "{sign:?}");
            assert_eq!(key.0.capacity(), typed.len() * 3, "{sign:?}");
        }
    }

    #[test]
    fn debug_shows_the_type_and_nothing_else() {
        assert_eq!(format!("{:?}", key("planted-secret").unwrap()), "MasterKey");
    }
}
