//! Names and descriptions as people type them, and the key under which names compare.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("must have at most {max} characters")]
    TooLong {
        /// The limit in Unicode characters.
        max: usize,
    },
    /// A control character or one that makes other text look different.
    #[error("must not contain control characters")]
    Control,
}

/// A name: 1 to 255 characters, no control characters, kept as typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name(String);

impl Name {
    /// The largest length in Unicode characters.
    pub const MAX_CHARACTERS: usize = 255;

    /// Checks a text.
    ///
    /// # Errors
    /// [`TextFault`] where it is empty, too long or holds a control character.
    pub fn parse(text: impl Into<String>) -> Result<Self, TextFault> {
        let text = text.into();
        check(&text, Self::MAX_CHARACTERS)?;
        if NameKey::of(&text).as_str().is_empty() {
            return Err(TextFault::Empty);
        }
        Ok(Self(text))
    }

    /// Takes a name that our own database holds.
    #[must_use]
    pub fn from_trusted(text: String) -> Self {
        Self(text)
    }

    /// Returns the name as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as typed.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Returns the key under which it compares.
    #[must_use]
    pub fn key(&self) -> NameKey {
        NameKey::of(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text for people: at most 1 000 characters; line breaks and tabs are allowed, other control characters are not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description(String);

impl Description {
    /// The largest length in Unicode characters.
    pub const MAX_CHARACTERS: usize = 1000;

    /// Checks a text.
    ///
    /// # Errors
    /// [`TextFault`] where it is too long or holds a control character.
    pub fn parse(text: impl Into<String>) -> Result<Self, TextFault> {
        let text = text.into();
        if text.chars().any(|c| is_control(c) && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(TextFault::Control);
        }
        if text.chars().count() > Self::MAX_CHARACTERS {
            return Err(TextFault::TooLong { max: Self::MAX_CHARACTERS });
        }
        Ok(Self(text))
    }

    /// Takes a description that our own database holds.
    #[must_use]
    pub fn from_trusted(text: String) -> Self {
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// What decides whether two names are the same: compatibility-composed (NFKC), case-folded, without white space around it.
///
/// It is computed here and unique in the database; SQL never folds a name, because the engines disagree about how.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NameKey(String);

impl NameKey {
    /// Computes the key of a text. A NUL becomes another character that no name holds: PostgreSQL takes no text with it, not even to compare.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.contains('\0') {
            return Self::of(&text.replace('\0', "\u{1}"));
        }
        if text.is_ascii() {
            return Self(text.trim().to_ascii_lowercase());
        }
        // Folding can undo a composition and composing can undo a folding: twice is stable (Unicode 15, section 3.13, D146).
        let folded: String = caseless::default_case_fold_str(&text.nfkc().collect::<String>());
        let stable: String = caseless::default_case_fold_str(&folded.nfkc().collect::<String>());
        Self(stable.nfkc().collect::<String>().trim().to_owned())
    }

    /// Returns the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

fn check(text: &str, max: usize) -> Result<(), TextFault> {
    if text.chars().any(is_control) {
        return Err(TextFault::Control);
    }
    if text.chars().count() > max {
        return Err(TextFault::TooLong { max });
    }
    Ok(())
}

/// Control characters, and the marks that turn the direction of the text around them: a name with one imitates another.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_unicode_form_do_not_tell_names_apart() {
        let key = NameKey::of("Straße Café");
        for same in ["STRASSE CAFÉ", "strasse cafe\u{301}", "  Straße Café ", "ＳＴＲＡＳＳＥ café"] {
            assert_eq!(NameKey::of(same), key, "{same}");
        }
        assert_ne!(NameKey::of("Strase Café"), key);
    }

    #[test]
    fn keys_are_stable() {
        for text in ["ŉ", "ΐ", "ﬃ", "İ", "ſ", "K", "A\u{345}\u{301}"] {
            let once = NameKey::of(text);
            assert_eq!(NameKey::of(once.as_str()), once, "{text}");
        }
    }

    #[test]
    fn a_text_with_nul_is_nobodys_name_and_can_be_looked_up() {
        for text in ["ellie\0", "\0ellie", "\u{e9}l\0lie", "\0"] {
            let key = NameKey::of(text);
            assert!(!key.as_str().contains('\0'), "{text:?}");
            assert!(Name::parse(text).is_err() && Name::parse(key.as_str()).is_err(), "{text:?}");
            assert_ne!(key, NameKey::of(&text.replace('\0', "")), "{text:?}");
            assert_eq!(NameKey::of(key.as_str()), key, "{text:?}");
        }
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(Name::parse(""), Err(TextFault::Empty));
        assert_eq!(Name::parse("   "), Err(TextFault::Empty));
        assert_eq!(Name::parse("a\nb"), Err(TextFault::Control));
        assert_eq!(Name::parse("a\u{202e}b"), Err(TextFault::Control));
        assert!(Name::parse("é".repeat(255)).is_ok());
        assert_eq!(Name::parse("é".repeat(256)), Err(TextFault::TooLong { max: 255 }));
    }

    #[test]
    fn descriptions_may_have_lines() {
        assert!(Description::parse("one\ntwo").is_ok());
        assert_eq!(Description::parse("a\u{0}b"), Err(TextFault::Control));
        assert_eq!(Description::parse("x".repeat(1001)), Err(TextFault::TooLong { max: 1000 }));
    }
}
