//! What commands print. A full disk or a closed pipe is an error that somebody is told of, never a panic.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line to standard output, and sees that it has left the process.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    line_to(&mut io::stdout().lock(), text)
}

/// The same elsewhere.
pub(crate) fn line_to(out: &mut impl Write, text: impl Display) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints a line to the error stream. Where that does not work there is nobody left to tell.
pub(crate) fn wrong(text: impl Display) {
    let _ = line_to(&mut io::stderr().lock(), text);
}

/// Returns an error with its causes, each once: some errors have theirs in their own words already.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.ends_with(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("log: {0}")]
        struct Repeats(#[from] std::fmt::Error);

        let why = std::fmt::Error.to_string();
        let error = anyhow::Error::new(Repeats(std::fmt::Error)).context("the settings");
        assert_eq!(with_causes(&error), format!("the settings: log: {why}"));
        let error = anyhow::Error::new(std::fmt::Error).context("the settings");
        assert_eq!(with_causes(&error), format!("the settings: {why}"), "no cause is left out");
    }

    /// A disk with room for so many bytes. What does not fit whole is not written.
    #[derive(Default)]
    pub(crate) struct Disk {
        pub(crate) room: usize,
        pub(crate) written: Vec<u8>,
    }

    impl Disk {
        pub(crate) fn with_room(room: usize) -> Self {
            Self { room, written: Vec::new() }
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.room = self.room.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Standard output as it is: what is written leaves it at the end.
    #[test]
    fn a_line_counts_as_printed_when_it_has_left_the_process() {
        let mut out = io::BufWriter::new(Disk::with_room(3));
        assert!(line_to(&mut out, "four").is_err());
        let mut out = io::BufWriter::new(Disk::with_room(5));
        line_to(&mut out, "four").unwrap();
        assert_eq!(out.get_ref().written, b"four\n");
    }
}
