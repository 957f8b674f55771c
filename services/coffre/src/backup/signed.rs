//! Who made a backup. It is sealed for whoever opens a slot of the vault, and everybody who can read the databases can seal something for them; so
//! the file is signed, too, with `checkpoint.key`, which only the installation has, and whose public half people wrote down (`coffre audit key`).

use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use coffre_audit_proof::note::{Note, SigningKey, VerifierKey};
use coffre_backup::{Head, Outside};
use coffre_secret::SecretBytes;

use super::opening;
use super::progress::Progress;
use crate::operator::given_key;

/// The name of the key of a log that was never signed and names none.
const NO_LOG_YET: &str = "coffre.audit/unsigned";

/// Returns the key that signs the backups of a log, `None` where `checkpoint.key` is another one's.
pub(super) fn signing_key(
    of_log: Option<&VerifierKey>,
    checkpoint_key: &SecretBytes,
) -> anyhow::Result<Option<SigningKey>> {
    let name = of_log.map_or(NO_LOG_YET, VerifierKey::name);
    let key = SigningKey::from_seed(name, checkpoint_key).map_err(|_| anyhow!("checkpoint.key is no key"))?;
    Ok(of_log.is_none_or(|known| known == key.verifier()).then_some(key))
}

/// Signs a file, of which the sum of everything before the signature is given.
pub(super) fn sign(key: &SigningKey, sum: &[u8; 32]) -> anyhow::Result<String> {
    key.sign(&text(sum)).context("the backup cannot be signed")
}

/// What is signed. No checkpoint begins like this: neither can be shown as the other.
fn text(sum: &[u8; 32]) -> String {
    format!("coffre-backup 1\n{}\n", hex(sum))
}

fn hex(sum: &[u8; 32]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that was looked at from the outside, before anybody shows a key for it.
pub(super) struct Seen {
    /// Its head. Who makes records under it has the key of the file that has this very head: what was found out holds for all that is read later
    /// and has the same one, whoever writes the file meanwhile.
    pub(super) head: Head,
    /// The SHA-256 of the whole file.
    pub(super) sum: String,
    text: String,
    note: Note,
    known_by: Option<&'static str>,
}

impl Seen {
    /// Reads a file, and refuses it where it is not signed with the key that was given, or not the file whose SHA-256 was given.
    pub(super) fn look(path: &Path, log_key: Option<&str>, sum: Option<&str>) -> anyhow::Result<Self> {
        let log_key = log_key.map(|given| given_key(given, "--log-key").map_err(|fault| anyhow!("{fault}")));
        let log_key = log_key.transpose()?;
        let wanted = sum.map(parse_sum).transpose()?;
        let (file, bytes) = opening::file(path)?;
        let file = Progress::of_bytes("reading", bytes).read(file);
        let outside = Outside::read(BufReader::with_capacity(1 << 20, file));
        let outside = outside.with_context(|| path.display().to_string())?;
        let note =
            Note::parse(&outside.signature).map_err(|error| changed(&format!("its signature is none ({error})")))?;
        let mut seen =
            Self { head: outside.head, sum: hex(&outside.whole), text: text(&outside.signed), note, known_by: None };
        if let Some(wanted) = &wanted {
            if *wanted != seen.sum {
                bail!(
                    "{} has the SHA-256 {}, and not the one that was given: it is another file, or it was changed. Nothing was changed here",
                    path.display(),
                    seen.sum
                );
            }
            seen.known_by = Some("It is the file whose SHA-256 was given.");
        }
        if let Some(key) = &log_key {
            seen.is_by(key).map_err(|why| {
                anyhow!(
                    "{} was not made by the installation whose log has the key that was given: {why}. Nothing was changed here",
                    path.display()
                )
            })?;
            seen.known_by = Some("It was made by the installation whose log has the key that was given.");
        }
        Ok(seen)
    }

    /// Refuses a file that is not signed with the key that is in it.
    pub(super) fn is_by_its_own(&self, key: &VerifierKey) -> anyhow::Result<()> {
        self.is_by(key).map_err(|why| changed(&format!("the checkpoint.key in it did not sign it: {why}")))
    }

    fn is_by(&self, key: &VerifierKey) -> Result<(), String> {
        match self.note.verify(key) {
            Ok(text) if text == self.text => Ok(()),
            Ok(_) => Err("its signature is that of another file".to_owned()),
            Err(refused) => Err(refused.to_string()),
        }
    }

    /// Says what is known of whoever made it; the key is the one that it is signed with, and lies in it.
    pub(super) fn maker(&self, key: &VerifierKey) -> Result<String, String> {
        match self.known_by {
            Some(known) => Ok(format!("{known} It is signed with {key}")),
            None => Err(format!(
                "Who made this file was not checked. Everybody who can read the databases can make one that opens with your key and calls itself whole, \
                 with other users, other rights and other values in it. It is signed with\n{key}\nCompare that with the key which \
                 `coffre audit key` printed and you wrote down; or better: give it, --log-key KEY_OR_FILE, or the SHA-256 that `coffre backup` printed, \
                 --sha256 HEX"
            )),
        }
    }
}

fn changed(what: &str) -> anyhow::Error {
    anyhow!("this backup was changed since it was made: {what}")
}

fn parse_sum(given: &str) -> anyhow::Result<String> {
    let sum = given.trim().to_ascii_lowercase();
    if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("--sha256 is 64 hexadecimal digits, as `coffre backup` and sha256sum print them");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use coffre_backup::Writer;
    use coffre_crypto::Key256;

    use super::*;

    const LOG: &str = "coffre.audit/00";

    fn key(of: u8) -> SigningKey {
        SigningKey::from_seed(LOG, &SecretBytes::new(vec![of; 32])).unwrap()
    }

    /// A file that says who made it, signed by somebody.
    fn file(id: &str, sign_with: &SigningKey) -> (tempfile::NamedTempFile, [u8; 32]) {
        let head = Head::new(id.to_owned(), String::new(), "1", "sqlite", Vec::new()).with_key(b"sealed");
        let unsigned = Writer::begin(Vec::new(), &head, Key256::generate().unwrap()).unwrap().end().unwrap();
        let sum = unsigned.sum();
        let bytes = unsigned.signed(&sign(sign_with, &sum).unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        (file, sum)
    }

    fn look(file: &tempfile::NamedTempFile, log_key: Option<&str>, sum: Option<&str>) -> Result<Seen, String> {
        Seen::look(file.path(), log_key, sum).map_err(|error| crate::say::with_causes(&error))
    }

    #[test]
    fn a_file_that_another_key_signed_is_refused_where_the_key_of_the_log_is_given() {
        let (ours, theirs) = (key(1), key(2));
        let text = ours.verifier().to_string();
        let seen = look(&file("a", &ours).0, Some(&text), None).unwrap();
        assert!(seen.maker(ours.verifier()).unwrap().contains("made by the installation"));
        seen.is_by_its_own(ours.verifier()).unwrap();
        assert!(seen.is_by_its_own(theirs.verifier()).is_err(), "the key that is in it signed it");
        let refused = look(&file("a", &theirs).0, Some(&text), None).err().unwrap();
        assert!(refused.contains("was not made by the installation"), "{refused}");
        let kept = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kept.path(), format!("{text}\n")).unwrap();
        look(&file("a", &ours).0, kept.path().to_str(), None).unwrap();
        assert!(look(&file("a", &theirs).0, kept.path().to_str(), None).is_err());
        assert!(look(&file("a", &ours).0, Some("no key"), None).err().unwrap().contains("--log-key"));
    }

    #[test]
    fn the_signature_of_another_file_is_none() {
        let (ours, forged) = (key(1), file("forged", &key(2)));
        let theirs = sign(&ours, &file("true", &ours).1).unwrap();
        let bytes = std::fs::read(forged.0.path()).unwrap();
        let own = sign(&key(2), &forged.1).unwrap();
        assert_eq!(own.len(), theirs.len());
        std::fs::write(forged.0.path(), [&bytes[..bytes.len() - own.len()], theirs.as_bytes()].concat()).unwrap();
        let refused = look(&forged.0, Some(&ours.verifier().to_string()), None).err().unwrap();
        assert!(refused.contains("that of another file"), "{refused}");
        assert!(look(&forged.0, None, None).unwrap().is_by_its_own(ours.verifier()).is_err());
    }

    #[test]
    fn a_file_of_another_sum_is_refused() {
        let (file, _) = file("a", &key(1));
        let sum = look(&file, None, None).unwrap().sum;
        let seen = look(&file, None, Some(&sum.to_ascii_uppercase())).unwrap();
        assert!(seen.maker(key(1).verifier()).unwrap().contains("SHA-256 was given"));
        let other = sum.replace(&sum[..2], if &sum[..2] == "00" { "11" } else { "00" });
        assert!(look(&file, None, Some(&other)).err().unwrap().contains(&sum));
        assert!(look(&file, None, Some("abc")).err().unwrap().contains("64 hexadecimal digits"));
    }

    #[test]
    fn where_nothing_was_given_it_says_that_nobody_checked_who_made_it() {
        let ours = key(1);
        let said = look(&file("a", &ours).0, None, None).unwrap().maker(ours.verifier()).unwrap_err();
        assert!(said.contains("was not checked") && said.contains("--log-key") && said.contains("--sha256"), "{said}");
        assert!(said.contains(&ours.verifier().to_string()) && said.contains("coffre audit key"), "{said}");
    }

    #[test]
    fn a_checkpoint_key_that_is_not_the_logs_signs_nothing() {
        let (ours, seed) = (key(1), SecretBytes::new(vec![1; 32]));
        assert!(signing_key(Some(ours.verifier()), &seed).unwrap().is_some());
        assert!(signing_key(Some(key(2).verifier()), &seed).unwrap().is_none());
        assert_eq!(signing_key(None, &seed).unwrap().unwrap().verifier().name(), NO_LOG_YET);
        assert!(signing_key(None, &SecretBytes::new(vec![1; 31])).is_err());
    }
}
