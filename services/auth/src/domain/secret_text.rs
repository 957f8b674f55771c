//! The one form of every secret that is generated here.
//!
//! ```text
//! coffre_<kind>_ base64url( payload ‖ the first 4 bytes of SHA-256( prefix ‖ payload ) )
//! ```
//!
//! | kind | what it is | payload |
//! |---|---|---|
//! | `ak` | an API key | the key's id (8 bytes) ‖ 32 random bytes |
//! | `cs` | the secret of an API access | 32 random bytes |
//! | `rt` | a refresh token | session (16 bytes) ‖ generation (8 bytes) ‖ a MAC (32 bytes) |
//!
//! A scanner that looks for leaks finds them by the prefix and is sure by the checksum, and we know without asking the database whether a
//! text was ever one of ours. The checksum is no secret: it shows a slip of the pen, never that a secret is right.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_crypto::hmac::MAC_LEN;
use coffre_crypto::{CryptoError, random};
use coffre_secret::{SecretBytes, SecretText, equal};
use coffre_types::{ApiKeyId, SessionId};
use uuid::Uuid;

/// What every generated secret begins with. No chosen one may.
pub(crate) const OURS: &str = "coffre_";

const CHECKSUM_LEN: usize = 4;
const RANDOM_LEN: usize = 32;
const NUMBER_LEN: usize = 8;
const SESSION_LEN: usize = 16;

/// What a secret is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    ApiKey,
    ClientSecret,
    RefreshToken,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "coffre_ak_",
            Self::ClientSecret => "coffre_cs_",
            Self::RefreshToken => "coffre_rt_",
        }
    }

    const fn payload_len(self) -> usize {
        match self {
            Self::ApiKey => NUMBER_LEN + RANDOM_LEN,
            Self::ClientSecret => RANDOM_LEN,
            Self::RefreshToken => SESSION_LEN + NUMBER_LEN + MAC_LEN,
        }
    }

    fn checksum(self, payload: &[u8]) -> [u8; CHECKSUM_LEN] {
        let covered = SecretBytes::new([self.prefix().as_bytes(), payload].concat());
        digest(&SHA256, covered.expose()).as_ref().first_chunk().copied().unwrap_or_default()
    }

    fn write(self, payload: &[u8]) -> SecretText {
        let whole = SecretBytes::new([payload, &self.checksum(payload)].concat());
        let mut text = String::with_capacity(self.prefix().len() + whole.len().div_ceil(3) * 4);
        text.push_str(self.prefix());
        URL_SAFE_NO_PAD.encode_string(whole.expose(), &mut text);
        SecretText::new(text)
    }

    fn read(self, text: &str) -> Option<SecretBytes> {
        let encoded = text.strip_prefix(self.prefix())?;
        if encoded.len() > (self.payload_len() + CHECKSUM_LEN).div_ceil(3) * 4 {
            return None;
        }
        let whole = SecretBytes::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
        let (payload, checksum) = whole.expose().split_at_checked(self.payload_len())?;
        equal(&self.checksum(payload), checksum).then(|| SecretBytes::new(payload.to_vec()))
    }
}

/// An API key.
pub(crate) struct ApiKeyText {
    key: ApiKeyId,
    secret: SecretBytes,
}

impl ApiKeyText {
    /// How many of a key's last characters its owner is shown afterwards.
    const HINT_CHARACTERS: usize = 4;

    /// Makes a key. Its id is known by then: it is part of it.
    pub(crate) fn generate(key: ApiKeyId) -> Result<Self, CryptoError> {
        Ok(Self { key, secret: SecretBytes::new(random::<RANDOM_LEN>()?.to_vec()) })
    }

    /// Reads a key; `None` where the text was never one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let payload = Kind::ApiKey.read(text)?;
        let (id, secret) = payload.expose().split_first_chunk::<NUMBER_LEN>()?;
        let key = ApiKeyId::new(i64::from_be_bytes(*id))?;
        Some(Self { key, secret: SecretBytes::new(secret.to_vec()) })
    }

    /// Returns which key it is.
    pub(crate) fn key(&self) -> ApiKeyId {
        self.key
    }

    /// Returns what only its holder knows.
    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.secret
    }

    /// Writes it out, for the one answer that holds it.
    pub(crate) fn text(&self) -> SecretText {
        let payload = SecretBytes::new([&self.key.get().to_be_bytes(), self.secret.expose()].concat());
        Kind::ApiKey.write(payload.expose())
    }

    /// Returns what its owner is shown afterwards, to tell his keys apart.
    pub(crate) fn hint(&self) -> String {
        let text = self.text();
        let end: String = text.expose().chars().rev().take(Self::HINT_CHARACTERS).collect();
        format!("{}…{}", Kind::ApiKey.prefix(), end.chars().rev().collect::<String>())
    }
}

/// A generated secret of an API access.
pub(crate) struct ClientSecretText(SecretBytes);

impl ClientSecretText {
    /// Makes a secret.
    pub(crate) fn generate() -> Result<Self, CryptoError> {
        Ok(Self(SecretBytes::new(random::<RANDOM_LEN>()?.to_vec())))
    }

    /// Reads a secret; `None` where the text was never one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Kind::ClientSecret.read(text).map(Self)
    }

    /// Returns what only its holder knows.
    pub(crate) fn secret(&self) -> &SecretBytes {
        &self.0
    }

    /// Writes it out, for the one answer that holds it.
    pub(crate) fn text(&self) -> SecretText {
        Kind::ClientSecret.write(self.0.expose())
    }
}

/// A refresh token: the number of one of a session's, and the MAC that shows that it was given out.
#[derive(Clone, Copy)]
pub(crate) struct RefreshTokenText {
    pub(crate) session: SessionId,
    pub(crate) generation: i64,
    pub(crate) mac: [u8; MAC_LEN],
}

impl RefreshTokenText {
    /// Reads a refresh token; `None` where the text was never one. The MAC is not checked by it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let payload = Kind::RefreshToken.read(text)?;
        let (session, rest) = payload.expose().split_first_chunk::<SESSION_LEN>()?;
        let (generation, mac) = rest.split_first_chunk::<NUMBER_LEN>()?;
        Some(Self {
            session: SessionId::new(Uuid::from_bytes(*session)),
            generation: i64::from_be_bytes(*generation),
            mac: mac.first_chunk().copied()?,
        })
    }

    /// Writes it out.
    pub(crate) fn text(&self) -> SecretText {
        let payload = [self.session.uuid().as_bytes(), &self.generation.to_be_bytes()[..], &self.mac].concat();
        Kind::RefreshToken.write(SecretBytes::new(payload).expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKeyText {
        ApiKeyText { key: ApiKeyId::from_trusted(258), secret: SecretBytes::new(vec![9; RANDOM_LEN]) }
    }

    fn refresh() -> RefreshTokenText {
        RefreshTokenText { session: SessionId::new(Uuid::from_u128(5)), generation: 7, mac: [3; MAC_LEN] }
    }

    #[test]
    fn every_kind_reads_what_it_wrote() {
        let read = ApiKeyText::parse(key().text().expose()).unwrap();
        assert_eq!((read.key().get(), read.secret().expose()), (258, &[9; RANDOM_LEN][..]));
        let made = ClientSecretText::generate().unwrap();
        let read = ClientSecretText::parse(made.text().expose()).unwrap();
        assert_eq!(read.secret().expose(), made.secret().expose());
        let read = RefreshTokenText::parse(refresh().text().expose()).unwrap();
        assert_eq!((read.session, read.generation, read.mac), (refresh().session, 7, [3; MAC_LEN]));
    }

    #[test]
    fn the_form_stays_what_scanners_look_for() {
        let secret = ClientSecretText(SecretBytes::new(vec![0; RANDOM_LEN]));
        assert_eq!(secret.text().expose(), "coffre_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACeUih5");
        for text in [key().text(), refresh().text()] {
            let rest = text.expose().strip_prefix(OURS).unwrap();
            let plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == '-';
            assert!(rest.chars().all(plain), "{rest}");
        }
    }

    #[test]
    fn one_changed_character_is_noticed_wherever_it_is() {
        for text in [key().text(), ClientSecretText::generate().unwrap().text(), refresh().text()] {
            let text = text.expose();
            for place in 0..text.len() {
                let mut changed: Vec<char> = text.chars().collect();
                changed[place] = if changed[place] == 'A' { 'B' } else { 'A' };
                let changed: String = changed.into_iter().collect();
                let read = [
                    ApiKeyText::parse(&changed).is_some(),
                    ClientSecretText::parse(&changed).is_some(),
                    RefreshTokenText::parse(&changed).is_some(),
                ];
                assert_eq!(read, [false; 3], "{place}");
            }
        }
    }

    #[test]
    fn rule_1_6_a_secret_of_one_kind_is_none_of_another() {
        let texts = [key().text(), ClientSecretText::generate().unwrap().text(), refresh().text()];
        for (place, text) in texts.iter().enumerate() {
            for (other, prefix) in ["coffre_ak_", "coffre_cs_", "coffre_rt_"].into_iter().enumerate() {
                let renamed = format!("{prefix}{}", text.expose().get(10..).unwrap());
                let read = [
                    ApiKeyText::parse(&renamed).is_some(),
                    ClientSecretText::parse(&renamed).is_some(),
                    RefreshTokenText::parse(&renamed).is_some(),
                ];
                let expected: Vec<bool> = (0..3).map(|kind| kind == place && kind == other).collect();
                assert_eq!(read.to_vec(), expected, "{place} {other}");
            }
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_or_otherwise_written_is_refused() {
        let text = key().text();
        let text = text.expose();
        let shorter = text.get(..text.len() - 1).unwrap();
        for odd in ["", "coffre_ak_", shorter, &format!("{text}A"), &format!("{text}="), &format!(" {text}")] {
            assert!(ApiKeyText::parse(odd).is_none(), "{odd}");
        }
        assert!(ApiKeyText::parse(&format!("coffre_ak_{}", "A".repeat(100_000))).is_none());
        let nobody = SecretBytes::new(vec![0; NUMBER_LEN + RANDOM_LEN]);
        assert!(ApiKeyText::parse(Kind::ApiKey.write(nobody.expose()).expose()).is_none(), "no key has the id 0");
    }

    #[test]
    fn a_hint_shows_the_end_alone() {
        let text = key().text();
        assert_eq!(key().hint(), format!("coffre_ak_…{}", text.expose().get(text.len_bytes() - 4..).unwrap()));
    }
}
