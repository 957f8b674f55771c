//! How far it is, where somebody looks.

use std::io::{IsTerminal as _, Read};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on the terminal, or nothing.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows how many of so many bytes were read.
    pub(super) fn of_bytes(what: &'static str, bytes: u64) -> Self {
        Self::new(ProgressBar::new(bytes), what, "{msg} [{wide_bar}] {bytes} of {total_bytes}")
    }

    /// Shows how many rows were written, of as many as there are.
    pub(super) fn of_rows(what: &'static str) -> Self {
        Self::new(ProgressBar::no_length(), what, "{msg} {spinner} {human_pos} rows")
    }

    fn new(bar: ProgressBar, what: &'static str, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style).with_message(what))
    }

    /// Goes on by so many.
    pub(super) fn add(&self, many: usize) {
        self.0.inc(u64::try_from(many).unwrap_or(u64::MAX));
    }

    /// Goes on with what is read, and goes when that goes.
    pub(super) fn read<R: Read>(self, from: R) -> Reading<R> {
        Reading { progress: self, from }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What is read, with its bar.
pub(super) struct Reading<R> {
    progress: Progress,
    from: R,
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(bytes)?;
        self.progress.add(read);
        Ok(read)
    }
}
