//! Reading one setting after the other; every fault is kept, so that one look mends them all.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use coffre_secret::SecretText;

use crate::source::{Fault, Sources};

/// Reads settings one by one, and gathers what is wrong with them.
pub(crate) struct Reader<'s> {
    sources: &'s Sources,
    pub(crate) faults: Vec<Fault>,
}

/// What a broken setting is read as, so that the others are checked too; it never leaves `Settings::check`.
pub(crate) trait Placeholder {
    fn placeholder() -> Self;
}

impl Placeholder for PathBuf {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for String {
    fn placeholder() -> Self {
        Self::new()
    }
}

impl Placeholder for SocketAddr {
    fn placeholder() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

impl<'s> Reader<'s> {
    pub(crate) fn new(sources: &'s Sources) -> Self {
        Self { sources, faults: Vec::new() }
    }

    pub(crate) fn fault(&mut self, key: &'static str, problem: impl fmt::Display) {
        self.faults.push(Fault::Value { key, problem: problem.to_string() });
    }

    pub(crate) fn optional<T: FromStr>(&mut self, key: &'static str, takes: &str) -> Option<T> {
        let text = self.sources.value(key)?.to_owned();
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(key, format_args!("takes {takes}, not {}", shown(&text)));
        }
        parsed
    }

    pub(crate) fn required<T: FromStr + Placeholder>(&mut self, key: &'static str, takes: &str) -> T {
        let before = self.faults.len();
        let value = self.optional(key, takes);
        if value.is_none() && self.faults.len() == before {
            self.fault(key, format_args!("is missing; it takes {takes}"));
        }
        value.unwrap_or_else(T::placeholder)
    }

    pub(crate) fn secret(&self, key: &'static str) -> Option<SecretText> {
        self.sources.value(key).map(|text| SecretText::new(text.to_owned()))
    }

    pub(crate) fn between<T: TryFrom<u64> + Default>(&mut self, key: &'static str, least: u64, most: u64) -> T {
        let number =
            self.sources.value(key).and_then(|text| text.parse::<u64>().ok()).filter(|n| (least..=most).contains(n));
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(value) => value,
            None => {
                self.fault(key, format_args!("takes a whole number from {least} to {most}"));
                T::default()
            }
        }
    }

    pub(crate) fn optional_of<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.sources.value(key)?.to_owned();
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.fault(key, format_args!("takes one of {}, not {}", names.join(", "), shown(&text)));
        }
        chosen
    }

    pub(crate) fn seconds(&mut self, key: &'static str, most: u32) -> Option<Duration> {
        let text = self.sources.value(key)?;
        let read = text.parse::<f64>().ok().filter(|seconds| (0.0..=f64::from(most)).contains(seconds));
        if read.is_none() {
            self.fault(key, format_args!("takes seconds from 0 to {most}, such as 5 or 0.25"));
        }
        read.map(Duration::from_secs_f64)
    }

    pub(crate) fn list<T: FromStr>(&mut self, key: &'static str, takes: &str) -> Vec<T> {
        let Some(text) = self.sources.value(key) else { return Vec::new() };
        let parsed: Option<Vec<T>> =
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| item.parse().ok()).collect();
        parsed.unwrap_or_else(|| {
            let text = shown(text);
            self.fault(key, format_args!("takes {takes}, not {text}"));
            Vec::new()
        })
    }
}

/// Repeats what was set, unless it may hold a password: a URL with a user or with parameters, a connection string, the content of a file.
fn shown(text: &str) -> String {
    if text.contains(['@', '?', '=', '\n']) || text.contains("-----") {
        return "what was set, which may hold a password and is not repeated".to_owned();
    }
    format!("`{text}`")
}

/// Says whether something is no path but what belongs into the file: a URL, a connection string, a key.
pub(crate) fn is_content(text: &str) -> bool {
    ["://", "password=", "-----BEGIN", "\n"].iter().any(|sign| text.contains(sign))
}
