//! The recovery key, which somebody writes down and types when everything else is lost.
//!
//! Its text is nine groups of seven letters, `XXXXXXX-XXXXXXX-…`. Eight groups are four bytes of the key each, the ninth is the
//! checksum: the first four bytes of SHA-256 over `coffre/recovery-key/v1` and the key. Four bytes, a number of 32 bits, become seven
//! digits to the base 24, the highest first, of `23456789ACDEFHKLMNPRTWXY`.
//!
//! Of letters that look alike at most one is in that alphabet. What looks like one of it is read as it: `Z` as `2`, `S` as `5`, `G`
//! as `6`, `B` as `8`, `I` and `1` as `L`. `0`, `O`, `Q`, `J`, `U` and `V` are in no recovery key. Case, spaces and dashes mean nothing.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use coffre_secret::SecretText;
use zeroize::Zeroizing;

use crate::key::KEY_LEN;
use crate::{CryptoError, Key256};

const ALPHABET: &[u8; 24] = b"23456789ACDEFHKLMNPRTWXY";
const BASE: u64 = 24;
const GROUP_LEN: usize = 7;
const GROUPS: usize = 9;
const LETTERS: usize = GROUP_LEN * GROUPS;
const WORD_LEN: usize = 4;
const LABEL: &[u8] = b"coffre/recovery-key/v1";

/// Why a text is no recovery key. It tells nothing of the text but where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// A letter that no recovery key has; both numbers count from one.
    #[error("letter {letter} of group {group} is in no recovery key: it was misread or mistyped")]
    Letter {
        /// The group.
        group: usize,
        /// The letter in it.
        letter: usize,
    },
    /// Too few or too many letters.
    #[error("a recovery key has {LETTERS} letters in {GROUPS} groups of {GROUP_LEN}; this has {0}")]
    Length(usize),
    /// Letters and length are good, the checksum is not.
    #[error("the checksum does not fit: at least one letter of the recovery key is wrong, or two are swapped")]
    Checksum,
}

/// A recovery key, 256 random bits, wiped when dropped.
pub struct RecoveryKey(Key256);

impl RecoveryKey {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        Key256::generate().map(Self)
    }

    /// Reads the text of a recovery key as somebody typed it.
    ///
    /// # Errors
    /// [`RecoveryKeyError`] where it is mistyped. A text that is read without one is a recovery key, perhaps of another vault.
    pub fn parse(typed: &SecretText) -> Result<Self, RecoveryKeyError> {
        let mut digits = Zeroizing::new([0_u8; LETTERS]);
        let mut count = 0_usize;
        for sign in typed.expose().chars().filter(|sign| !is_separator(*sign)) {
            let place = (count / GROUP_LEN + 1, count % GROUP_LEN + 1);
            let digit = digit(sign).ok_or(RecoveryKeyError::Letter { group: place.0, letter: place.1 })?;
            if let Some(slot) = digits.get_mut(count) {
                *slot = digit;
            }
            count += 1;
        }
        if count != LETTERS {
            return Err(RecoveryKeyError::Length(count));
        }
        let mut bytes = Zeroizing::new([0_u8; WORD_LEN * GROUPS]);
        for (word, group) in bytes.chunks_exact_mut(WORD_LEN).zip(digits.chunks_exact(GROUP_LEN)) {
            let number = group.iter().fold(0_u64, |sum, digit| sum * BASE + u64::from(*digit));
            let number = u32::try_from(number).map_err(|_| RecoveryKeyError::Checksum)?;
            word.copy_from_slice(&number.to_be_bytes());
        }
        let (key, sum) = bytes.split_at(KEY_LEN);
        if !coffre_secret::equal(&checksum(key), sum) {
            return Err(RecoveryKeyError::Checksum);
        }
        Key256::from_slice(key).map(Self).map_err(|_| RecoveryKeyError::Checksum)
    }

    /// Returns the text to write down.
    #[must_use]
    pub fn to_text(&self) -> SecretText {
        let sum = checksum(self.expose());
        let mut text = Zeroizing::new(String::with_capacity(LETTERS + GROUPS));
        for word in self.expose().chunks_exact(WORD_LEN).chain([sum.as_slice()]) {
            let mut rest = word.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            let mut group = Zeroizing::new([0_u8; GROUP_LEN]);
            for letter in group.iter_mut().rev() {
                let digit = usize::try_from(rest % BASE).unwrap_or_default();
                *letter = ALPHABET.get(digit).copied().unwrap_or_default();
                rest /= BASE;
            }
            if !text.is_empty() {
                text.push('-');
            }
            text.extend(group.iter().copied().map(char::from));
        }
        SecretText::new(std::mem::take(&mut *text))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }

    pub(crate) fn key(&self) -> &Key256 {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn from_slice(bytes: &[u8]) -> Self {
        Self(Key256::from_slice(bytes).unwrap())
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey")
    }
}

fn checksum(key: &[u8]) -> [u8; WORD_LEN] {
    let mut context = Context::new(&SHA256);
    context.update(LABEL);
    context.update(key);
    context.finish().as_ref().first_chunk::<WORD_LEN>().copied().unwrap_or_default()
}

fn is_separator(sign: char) -> bool {
    sign.is_whitespace() || matches!(sign, '-' | '_' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{feff}')
}

fn digit(sign: char) -> Option<u8> {
    let letter = match sign.to_ascii_uppercase() {
        'Z' => '2',
        'S' => '5',
        'G' => '6',
        'B' => '8',
        'I' | '1' => 'L',
        other => other,
    };
    ALPHABET.iter().position(|known| char::from(*known) == letter).and_then(|place| u8::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(typed: &str) -> Result<RecoveryKey, RecoveryKeyError> {
        RecoveryKey::parse(&SecretText::new(typed.to_owned()))
    }

    fn text(key: &RecoveryKey) -> String {
        key.to_text().into_exposed()
    }

    #[test]
    fn a_recovery_key_is_nine_groups_of_seven() {
        let text = text(&RecoveryKey::generate().unwrap());
        let groups: Vec<&str> = text.split('-').collect();
        assert_eq!(groups.len(), GROUPS);
        assert!(groups.iter().all(|group| group.len() == GROUP_LEN), "{text}");
        assert!(text.bytes().all(|letter| letter == b'-' || ALPHABET.contains(&letter)), "{text}");
    }

    #[test]
    fn no_two_letters_look_alike() {
        for alike in ["0ODQ", "1ILJ", "2Z", "5S", "6G", "8B", "UVY"] {
            assert!(alike.bytes().filter(|letter| ALPHABET.contains(letter)).count() <= 1, "{alike}");
        }
    }

    #[test]
    fn case_spaces_dashes_and_look_alikes_are_forgiven() {
        let key = RecoveryKey::from_slice(&[0x5a; 32]);
        let text = text(&key);
        let bare = text.replace('-', "");
        let misread = text.replace('2', "Z").replace('5', "s").replace('6', "g").replace('8', "B").replace('L', "1");
        let spaced: String = bare.chars().flat_map(|letter| [letter, ' ']).collect();
        let lines = text.replace('-', " \u{2013}\r\n\t");
        for typed in [&bare, &misread, &spaced, &lines, &text.to_lowercase(), &format!("\u{feff} {text} -\n")] {
            assert_eq!(parse(typed).unwrap().expose(), key.expose(), "{typed}");
        }
    }

    #[test]
    fn every_single_wrong_letter_is_told() {
        let text = text(&RecoveryKey::from_slice(&core::array::from_fn::<u8, 32, _>(|n| n as u8))).replace('-', "");
        for place in 0..LETTERS {
            for letter in ALPHABET {
                let mut typed = text.clone().into_bytes();
                if typed[place] == *letter {
                    continue;
                }
                typed[place] = *letter;
                let typed = String::from_utf8(typed).unwrap();
                assert_eq!(parse(&typed).unwrap_err(), RecoveryKeyError::Checksum, "{typed}");
            }
        }
    }

    #[test]
    fn every_pair_of_swapped_letters_is_told() {
        let text = text(&RecoveryKey::from_slice(&core::array::from_fn::<u8, 32, _>(|n| n as u8 * 7))).replace('-', "");
        for first in 0..LETTERS {
            for second in first + 1..LETTERS {
                let mut typed = text.clone().into_bytes();
                typed.swap(first, second);
                let typed = String::from_utf8(typed).unwrap();
                if typed != text {
                    assert_eq!(parse(&typed).unwrap_err(), RecoveryKeyError::Checksum, "{typed}");
                }
            }
        }
    }

    #[test]
    fn swapped_and_repeated_groups_are_told() {
        let text = text(&RecoveryKey::from_slice(&core::array::from_fn::<u8, 32, _>(|n| n as u8 ^ 0xa7)));
        let groups: Vec<&str> = text.split('-').collect();
        for first in 0..GROUPS {
            for second in (0..GROUPS).filter(|second| *second != first) {
                let mut swapped = groups.clone();
                swapped.swap(first, second);
                assert_eq!(parse(&swapped.join("-")).unwrap_err(), RecoveryKeyError::Checksum);
                let mut repeated = groups.clone();
                repeated[first] = groups[second];
                assert_eq!(parse(&repeated.join("-")).unwrap_err(), RecoveryKeyError::Checksum);
            }
        }
    }

    #[test]
    fn a_refusal_says_where_to_look() {
        let text = text(&RecoveryKey::from_slice(&[1; 32]));
        assert_eq!(parse("").unwrap_err(), RecoveryKeyError::Length(0));
        assert_eq!(parse(&text[1..]).unwrap_err(), RecoveryKeyError::Length(62));
        assert_eq!(parse(&format!("{text}-2")).unwrap_err(), RecoveryKeyError::Length(64));
        for none in ['0', 'O', 'q', 'J', 'u', 'V', '.', '\u{e9}', '\0', '\u{ff12}'] {
            let mut typed: Vec<char> = text.chars().collect();
            typed[10] = none;
            let typed: String = typed.into_iter().collect();
            assert_eq!(parse(&typed).unwrap_err(), RecoveryKeyError::Letter { group: 2, letter: 3 }, "{none}");
        }
        // The largest group stands for more than 32 bits.
        assert_eq!(parse(&"Y".repeat(LETTERS)).unwrap_err(), RecoveryKeyError::Checksum);
        assert_eq!(parse(&"2".repeat(10 * 1024 * 1024)).unwrap_err(), RecoveryKeyError::Length(10 * 1024 * 1024));
    }

    #[test]
    fn refusals_and_debug_show_nothing_of_the_key() {
        let key = RecoveryKey::from_slice(&[1; 32]);
        assert_eq!(format!("{key:?}"), "RecoveryKey");
        let text = text(&key);
        let refusal = parse(&text[..text.len() - 1]).unwrap_err().to_string();
        assert!(text.split('-').all(|group| !refusal.contains(group)), "{refusal}");
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        key: String,
        text: String,
    }

    #[test]
    fn golden_vectors_hold() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/vectors/recovery_key.json")).unwrap();
        assert!(vectors.len() >= 8);
        for vector in vectors {
            assert_eq!(hex::encode(parse(&vector.text).unwrap().expose()), vector.key);
            assert_eq!(text(&RecoveryKey::from_slice(&hex::decode(&vector.key).unwrap())), vector.text);
        }
    }

    proptest! {
        #[test]
        fn text_and_key_round_trip(bytes: [u8; 32]) {
            let key = RecoveryKey::from_slice(&bytes);
            let read = parse(&text(&key)).unwrap();
            prop_assert_eq!(read.expose(), &bytes);
        }

        #[test]
        fn no_typed_text_panics(typed in ".{0,200}") {
            let _ = parse(&typed);
        }

        #[test]
        fn random_letters_are_no_recovery_key(typed in "[2-9ACDEFHKLMNPRTWXY]{63}") {
            prop_assert_eq!(parse(&typed).unwrap_err(), RecoveryKeyError::Checksum);
        }
    }
}
