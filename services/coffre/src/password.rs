//! The password of the first administrator: given, or made and shown once.

use anyhow::Context as _;
use coffre_config::Settings;
use coffre_secret::{SecretBytes, SecretText};

use crate::settings::read_secret;

/// The password of the first administrator.
pub(crate) struct FirstPassword {
    pub(crate) text: SecretText,
    /// It was made here and must be shown.
    pub(crate) generated: bool,
}

/// Takes the given password, or makes one.
pub(crate) fn first(settings: &Settings) -> anyhow::Result<FirstPassword> {
    if let Some(text) = &settings.admin_password {
        return Ok(FirstPassword { text: SecretText::new(text.expose().to_owned()), generated: false });
    }
    if let Some(path) = &settings.admin_password_file {
        return Ok(FirstPassword { text: read_secret(path)?, generated: false });
    }
    Ok(FirstPassword { text: generate()?, generated: true })
}

/// 24 letters and digits that are not mistaken for one another: 24 × log2(32) = 120 bits.
fn generate() -> anyhow::Result<SecretText> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0_u8; 24];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gave no random bytes")?;
    let random = SecretBytes::new(bytes);
    let mut text = String::with_capacity(29);
    for (place, byte) in random.expose().iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'a')));
    }
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn generated_passwords_differ_and_can_be_typed() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 29);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    }
}
