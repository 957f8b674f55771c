//! Reading what must not be seen: keys and passwords come from the terminal without echo, from a file or from standard input, never from
//! an argument.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use coffre_secret::{SecretBytes, SecretText, equal};

use super::fault::Fault;

/// The longest key, in bytes (proto/coffre/vault/v1/key_service.proto).
const MAX_BYTES: usize = 1024;

/// Where people type, and what is piped in.
pub(crate) trait Typed {
    /// Says whether somebody sits there: standard input is a terminal.
    fn is_terminal(&self) -> bool;

    /// Asks for a line.
    fn line(&mut self, prompt: &str) -> io::Result<String>;

    /// Asks for a secret, which is not shown.
    fn secret(&mut self, prompt: &str) -> io::Result<SecretText>;

    /// Returns standard input; `None` the second time, since the first reader took all of it.
    fn input(&mut self) -> Option<Box<dyn Read>>;
}

/// The terminal and the standard input of this process.
#[derive(Default)]
pub(crate) struct Console {
    input_is_read: bool,
}

/// The terminal of this process, also where its standard input is something else.
const TERMINAL: &str = "/dev/tty";

impl Typed for Console {
    fn is_terminal(&self) -> bool {
        io::stdin().is_terminal()
    }

    fn line(&mut self, prompt: &str) -> io::Result<String> {
        let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL)?;
        terminal.write_all(prompt.as_bytes())?;
        let mut line = String::new();
        BufReader::new(terminal).take(4096).read_line(&mut line)?;
        Ok(line.trim_end_matches(['\n', '\r']).to_owned())
    }

    fn secret(&mut self, prompt: &str) -> io::Result<SecretText> {
        rpassword::prompt_password(prompt).map(SecretText::new)
    }

    fn input(&mut self) -> Option<Box<dyn Read>> {
        if std::mem::replace(&mut self.input_is_read, true) {
            return None;
        }
        // Not through the standard library's buffer, which keeps what it has read until the end.
        io::stdin().as_fd().try_clone_to_owned().ok().map(|input| Box::new(File::from(input)) as Box<dyn Read>)
    }
}

/// Reads a key: from the file (`-`: from standard input), or else from the terminal, or else from standard input.
pub(crate) fn key(typed: &mut impl Typed, file: Option<&Path>, what: &str) -> Result<SecretText, Fault> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path)
                .map_err(|error| Fault::key(format!("the {what} in {} cannot be read: {error}", path.display())))?;
            read(file, what)
        }
        None if typed.is_terminal() => {
            let text = typed
                .secret(&format!("{}: ", capitalised(what)))
                .map_err(|error| Fault::key(format!("the {what} cannot be read from the terminal: {error}")))?;
            checked(text, what)
        }
        _ => match typed.input() {
            Some(input) => read(input, what),
            None => Err(Fault::key(format!(
                "standard input was read already, and the {what} is missing: only one key can come from there, put the others into files"
            ))),
        },
    }
}

/// Reads a new key. One that is typed is typed twice.
pub(crate) fn new_key(typed: &mut impl Typed, file: Option<&Path>, what: &str) -> Result<SecretText, Fault> {
    let first = key(typed, file, what)?;
    if file.is_none() && typed.is_terminal() {
        let again = key(typed, None, &format!("{what} again"))?;
        if !equal(first.expose().as_bytes(), again.expose().as_bytes()) {
            return Err(Fault::key(format!("the {what} was typed in two ways; nothing was changed")));
        }
    }
    Ok(first)
}

/// Reads a key to its end, without the one line break that editors and `echo` put there.
fn read(input: impl Read, what: &str) -> Result<SecretText, Fault> {
    // One byte more than fits with its line break is enough to see that it is too long.
    let mut bytes = Vec::with_capacity(MAX_BYTES + 3);
    let ended = input.take(MAX_BYTES as u64 + 3).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    ended.map_err(|error| Fault::key(format!("the {what} cannot be read: {error}")))?;
    let text = bytes.into_text().ok_or_else(|| Fault::key(format!("the {what} is not UTF-8 text")))?;
    let line = text.expose();
    let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
    let trimmed = SecretText::new(line.to_owned());
    checked(trimmed, what)
}

fn checked(text: SecretText, what: &str) -> Result<SecretText, Fault> {
    match text.len_bytes() {
        0 => Err(Fault::key(format!("the {what} is empty"))),
        length if length > MAX_BYTES => Err(Fault::key(format!("the {what} is longer than {MAX_BYTES} bytes"))),
        _ => Ok(text),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    fn piped(bytes: &[u8]) -> Result<String, String> {
        let mut typed = Fake::piped(bytes);
        let read = key(&mut typed, None, "master key");
        read.map(SecretText::into_exposed).map_err(|fault| fault.to_string())
    }

    #[test]
    fn one_line_break_at_the_end_does_not_count() {
        for (bytes, expected) in [
            (&b"secret"[..], "secret"),
            (b"secret\n", "secret"),
            (b"secret\r\n", "secret"),
            (b"secret\n\n", "secret\n"),
            (b" two words \n", " two words "),
            (b"secret\r", "secret\r"),
            ("cl\u{e9}\n".as_bytes(), "cl\u{e9}"),
        ] {
            assert_eq!(piped(bytes).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_without_showing_it() {
        assert_eq!(piped(b"").unwrap_err(), "the master key is empty");
        assert_eq!(piped(b"\n").unwrap_err(), "the master key is empty");
        assert_eq!(piped(b"planted\xff").unwrap_err(), "the master key is not UTF-8 text");
        assert_eq!(piped(&[b'k'; 1024]).unwrap().len(), 1024);
        assert_eq!(piped(&[&[b'k'; 1024][..], b"\r\n"].concat()).unwrap().len(), 1024);
        for length in [1025, 10 << 20] {
            assert_eq!(piped(&vec![b'k'; length]).unwrap_err(), "the master key is longer than 1024 bytes");
        }
    }

    #[test]
    fn a_key_comes_from_a_file_also_where_somebody_sits_at_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let absent = key(&mut Fake::at_terminal(&[]), Some(&path), "recovery key").unwrap_err();
        assert!(absent.to_string().starts_with("the recovery key in /"), "{absent}");
        std::fs::write(&path, "from the file\n").unwrap();
        let read = key(&mut Fake::at_terminal(&["typed"]), Some(&path), "recovery key").unwrap();
        assert_eq!(read.expose(), "from the file");
    }

    #[test]
    fn a_key_is_asked_for_on_a_terminal() {
        let mut typed = Fake::at_terminal(&["typed"]);
        assert_eq!(key(&mut typed, None, "master key").unwrap().expose(), "typed");
        assert_eq!(typed.prompts, ["Master key: "]);
        assert!(key(&mut Fake::at_terminal(&[""]), None, "master key").is_err());
    }

    #[test]
    fn standard_input_holds_one_key() {
        let mut typed = Fake::piped(b"one\n");
        assert_eq!(key(&mut typed, Some(Path::new("-")), "new master key").unwrap().expose(), "one");
        let refused = key(&mut typed, None, "master key").unwrap_err();
        assert!(refused.to_string().contains("only one key"), "{refused}");
    }

    #[test]
    fn a_new_key_is_typed_twice_alike() {
        let new = |lines: &[&str]| new_key(&mut Fake::at_terminal(lines), None, "new master key");
        assert_eq!(new(&["one", "one"]).unwrap().expose(), "one");
        let refused = new(&["one", "two"]).unwrap_err().to_string();
        assert!(refused.contains("two ways") && !refused.contains("one,"), "{refused}");
        assert_eq!(new_key(&mut Fake::piped(b"once"), None, "new master key").unwrap().expose(), "once");
    }
}
