//! Secrets that are planted, and the search for them where none may be: logs, output, database files, audit, refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// In every value.
const VALUE: &str = "kanarienvogel-wert-61c5";
/// In every password.
const PASSWORD: &str = "Kanarienvogel-Passwort-8e21";

/// The signatures of tokens; their first parts are the same for all.
static TOKENS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A value to store.
pub fn secret(what: &str) -> String {
    format!("{VALUE}-{what}")
}

/// A password that satisfies the rules and is not the user's name.
pub fn password(of: &str) -> String {
    // Not the name itself: a password that resembles it may be refused.
    let tag: u64 =
        of.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{PASSWORD}-{tag:x}")
}

/// Generated secrets by their kind: refresh tokens, client secrets, API keys.
static SECRETS: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

/// Remembers a generated secret for the search. Chosen ones are planted and found anyway.
pub fn remember_secret(secret: &str) {
    let mut parts = secret.splitn(3, '_');
    if let (Some("coffre"), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) {
        let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.entry(kind.to_owned()).or_default().push(secret.to_owned());
    }
}

/// Remembers a recovery key for the search: it is in one answer, and nowhere else.
pub fn remember_recovery_key(key: &str) {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    secrets.entry("recovery key".to_owned()).or_default().push(key.to_owned());
}

/// Remembers a token for the search.
pub fn remember_token(token: &str) {
    if let Some((_, signature)) = token.rsplit_once('.') {
        TOKENS.lock().unwrap_or_else(PoisonError::into_inner).insert(signature.to_owned());
    }
}

/// Bytes in every form in which they could be written.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex::encode(secret).into_bytes(), hex::encode_upper(secret).into_bytes()];
    // Base64 writes three alignments of the same bytes; the ends depend on the neighbours and are cut.
    for shift in 0..3 {
        let mut shifted = vec![b'x'; shift];
        shifted.extend_from_slice(secret);
        for encoded in [STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)] {
            let inner = encoded.as_bytes()[4..encoded.len() - 4].to_vec();
            if !forms.contains(&inner) {
                forms.push(inner);
            }
        }
    }
    forms
}

/// The planted texts in every form in which they could be written.
fn needles() -> Vec<Vec<u8>> {
    let mut needles = Vec::new();
    for marker in [VALUE, PASSWORD] {
        needles.extend(forms(marker.as_bytes()));
        needles.push(marker.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    needles
}

/// Says whether bytes hold a planted value or password.
pub fn is_in(bytes: &[u8]) -> bool {
    holds(bytes, &needles())
}

fn holds(bytes: &[u8], needles: &[Vec<u8>]) -> bool {
    needles.iter().any(|needle| find(bytes, needle))
}

/// Finds a text that does not begin with a frequent byte quickly enough for files of many megabytes in a debug build.
fn find(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((last, _)) = needle.split_last() else { return false };
    let length = needle.len();
    let mut at = length - 1;
    // Horspool: jump by how far the byte under the needle's end is from its last place in the needle.
    let mut jump = [length; 256];
    for (index, byte) in needle.iter().enumerate().take(length - 1) {
        jump[usize::from(*byte)] = length - 1 - index;
    }
    while at < haystack.len() {
        let end = haystack[at];
        if end == *last && &haystack[at + 1 - length..=at] == needle {
            return true;
        }
        at += jump[usize::from(end)];
    }
    false
}

/// Searches everything under folders, and names what holds a planted secret or a token.
pub fn search<'f>(folders: impl IntoIterator<Item = &'f PathBuf>, except: &[&str]) -> Vec<String> {
    let mut needles = needles();
    let tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
    // A sample: a leak of one kind of token shows in each of them.
    needles.extend(tokens.iter().take(20).map(|signature| signature.as_bytes().to_vec()));
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    needles.extend(secrets.values().flat_map(|kind| kind.iter().take(10)).map(|secret| secret.as_bytes().to_vec()));
    search_for(folders, except, &needles)
}

/// Searches everything under folders but for files of some names, and names what holds one of these.
pub fn search_for<'f>(
    folders: impl IntoIterator<Item = &'f PathBuf>,
    except: &[&str],
    needles: &[Vec<u8>],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut searched = 0;
    for path in folders.into_iter().flat_map(|folder| files(folder)) {
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| except.contains(&name)) {
            continue;
        }
        // Journals may go while we look.
        let Ok(bytes) = fs::read(&path) else { continue };
        searched += bytes.len();
        if holds(&bytes, needles) {
            found.push(path.display().to_string());
        }
    }
    assert!(searched > 0, "there is nothing to search");
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// Searches the rows of a database.
pub fn search_rows(rows: &[(String, String)]) -> Vec<String> {
    search_rows_for(rows, &needles())
}

/// Searches the rows of a database for these, in the bytes that are printed in hexadecimal too.
pub fn search_rows_for(rows: &[(String, String)], needles: &[Vec<u8>]) -> Vec<String> {
    let in_bytes = |row: &str| {
        let printed = row.split("\\x").skip(1).map(|rest| {
            let end = rest.find(|sign: char| !sign.is_ascii_hexdigit()).unwrap_or(rest.len());
            hex::decode(&rest[..end - end % 2]).unwrap_or_default()
        });
        printed.into_iter().any(|bytes| holds(&bytes, needles))
    };
    rows.iter()
        .filter(|(_, row)| holds(row.as_bytes(), needles) || in_bytes(row))
        .map(|(table, row)| format!("{table}: {row}"))
        .collect()
}
