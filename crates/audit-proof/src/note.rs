//! Signed notes as <https://c2sp.org/signed-note> has them: a text, an empty line, and a line for each signature. Go's
//! `golang.org/x/mod/sumdb/note` and every tool of transparency logs checks them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_secret::SecretBytes;

use crate::tree::sha256;

/// What a line with a signature begins with: an em dash and a space.
pub(crate) const SIGNATURE: &str = "\u{2014} ";
/// The number of Ed25519 among the algorithms of signed notes.
const ED25519_ALGORITHM: u8 = 1;
const ED25519_SIGNATURE_BYTES: usize = 64;
/// A note with more signatures is refused, as in Go.
const MAX_SIGNATURES: usize = 100;

/// Why a note is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The text has not the form of a note.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// The key did not sign it.
    #[error("the note is not signed with the key {key}, but with {found}")]
    OtherKey {
        /// The key that was asked for, without its bytes.
        key: String,
        /// The keys that signed.
        found: String,
    },
    /// The text is not the one that was signed.
    #[error("the note was changed after it was signed: the signature of {0} does not fit its text")]
    Changed(String),
}

/// Why a key is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAKey {
    /// A name that cannot stand in a note.
    #[error("a key's name is not empty and holds neither spaces nor `+`")]
    Name,
    /// The seed has another length.
    #[error("the seed of an Ed25519 key has 32 bytes")]
    Seed,
    /// The text of a verifier key is something else.
    #[error("a verifier key is written <name>+<8 hexadecimal digits>+<base64>: {0}")]
    Text(&'static str),
}

/// A key that signs notes.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// Makes the key of a name from the 32 bytes of a key file.
    ///
    /// # Errors
    /// Where the name cannot stand in a note or the seed has another length.
    pub fn from_seed(name: &str, seed: &SecretBytes) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| NotAKey::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NotAKey::Seed)?;
        Ok(Self { pair, verifier: VerifierKey::new(name, public)? })
    }

    /// Returns the key that checks its signatures.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text and returns the note.
    ///
    /// # Errors
    /// Where the text does not end with a line feed or holds other control characters.
    pub fn sign(&self, text: &str) -> Result<String, Refused> {
        check_text(text)?;
        let signed = [&self.verifier.hash, self.pair.sign(text.as_bytes()).as_ref()].concat();
        Ok(format!("{text}\n{SIGNATURE}{} {}\n", self.verifier.name, STANDARD.encode(signed)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey of {}", self.verifier.id())
    }
}

/// A key that checks notes. Its text is `<name>+<hash>+<base64>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    hash: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Result<Self, NotAKey> {
        if !is_name(name) {
            return Err(NotAKey::Name);
        }
        let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[ED25519_ALGORITHM], &public]);
        Ok(Self { name: name.to_owned(), hash: [a, b, c, d], public })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the key in a sentence: `<name>+<hash>`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}+{}", self.name, hex::encode(self.hash))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_ALGORITHM], self.public.as_slice()].concat();
        write!(f, "{}+{}", self.id(), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        // Base64 holds `+`, a name does not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NotAKey::Text("it has not three parts"));
        };
        let key = STANDARD.decode(key).map_err(|_| NotAKey::Text("the last part is no base64"))?;
        let public = match key.split_first() {
            Some((&ED25519_ALGORITHM, public)) => public.try_into().ok(),
            _ => None,
        };
        let public = public.ok_or(NotAKey::Text("the last part is no Ed25519 key"))?;
        let key = Self::new(name, public)?;
        if hex::encode(key.hash) == hash { Ok(key) } else { Err(NotAKey::Text("the hash is not that of name and key")) }
    }
}

/// A note whose signatures nobody checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Signature {
    name: String,
    hash: [u8; 4],
    bytes: Vec<u8>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// Where it has not the form of one.
    pub fn parse(note: &str) -> Result<Self, Refused> {
        let (text, signatures) =
            note.rsplit_once("\n\n").ok_or(Refused::Form("it has no empty line before signatures"))?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = signatures.strip_suffix('\n').ok_or(Refused::Form("its last line does not end"))?;
        let signatures: Vec<Signature> = lines.split('\n').map(signature).collect::<Option<_>>().ok_or(NOT_SIGNED)?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(Refused::Form("it has more than 100 signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// Returns the text if this key signed it. Signatures of other keys do not count.
    ///
    /// # Errors
    /// Where the key did not sign, or not this text.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, Refused> {
        let public = UnparsedPublicKey::new(&ED25519, key.public);
        let mut ours = self
            .signatures
            .iter()
            .filter(|signature| signature.name == key.name && signature.hash == key.hash)
            .peekable();
        if ours.peek().is_none() {
            let found: Vec<String> = self
                .signatures
                .iter()
                .map(|signature| format!("{}+{}", signature.name, hex::encode(signature.hash)))
                .collect();
            return Err(Refused::OtherKey { key: key.id(), found: found.join(", ") });
        }
        if ours.all(|signature| public.verify(self.text.as_bytes(), &signature.bytes).is_ok()) {
            Ok(&self.text)
        } else {
            Err(Refused::Changed(key.id()))
        }
    }

    /// Says whether its last line has the length of a signature: whoever stopped writing in the middle of it left a shorter one.
    pub(crate) fn is_whole(&self) -> bool {
        self.signatures.last().is_some_and(|signature| signature.bytes.len() >= ED25519_SIGNATURE_BYTES)
    }

    /// Returns the text, whoever signed it.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

const NOT_SIGNED: Refused = Refused::Form("a line after the empty one is no signature");

fn signature(line: &str) -> Option<Signature> {
    let (name, bytes) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    let bytes = STANDARD.decode(bytes).ok()?;
    let (hash, bytes) = bytes.split_first_chunk()?;
    let signed = is_name(name) && !bytes.is_empty();
    signed.then(|| Signature { name: name.to_owned(), hash: *hash, bytes: bytes.to_vec() })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|sign: char| sign.is_whitespace() || sign.is_control() || sign == '+')
}

fn check_text(text: &str) -> Result<(), Refused> {
    if !text.ends_with('\n') {
        return Err(Refused::Form("its text does not end with a line feed"));
    }
    if text.contains(|sign: char| sign < ' ' && sign != '\n') {
        return Err(Refused::Form("its text holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
