//! Spans of the store: one for each call, from the moment when it is queued to its answer, and in it one for each statement and for the
//! commit that it shares with others. Of a statement nothing is told but its first word.

use std::fmt::{self, Write as _};
use std::time::Duration;

use coffre_trace::{Current, Key, Kind, Span, current};

use crate::Engine;

/// Whose database it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) engine: Engine,
    pub(crate) service: &'static str,
}

/// The words with which statements begin.
const WORDS: [&str; 14] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "WITH",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "PRAGMA",
    "SET",
    "SHOW",
    "EXPLAIN",
];
/// The name of a statement that begins with none of them.
const OTHER: &str = "statement";

impl Owner {
    fn system(self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgresql",
        }
    }

    /// Begins a call of a function of ours.
    pub(crate) fn begin(self, operation: &'static str, function: &'static str) -> Span {
        let Some(current) = current().filter(Current::is_recorded) else { return Span::none() };
        let mut span = self.part(&current, Kind::Internal, operation);
        if !function.is_empty() {
            span.note(Key::CodeFunction, function);
        }
        span
    }

    /// Begins a statement.
    pub(crate) fn statement(self, query: &dyn fmt::Display) -> Span {
        match current().filter(Current::is_recorded) {
            Some(current) => self.part(&current, Kind::Client, first_word(query)),
            None => Span::none(),
        }
    }

    /// Tells of a commit that is over.
    pub(crate) fn committed(self, call: &Current, took: Duration) {
        let notes = [
            (Key::DbSystem, self.system().into()),
            (Key::DbNamespace, self.service.into()),
            (Key::DbOperation, "COMMIT".into()),
        ];
        call.add(Kind::Client, "COMMIT".into(), took, &notes);
    }

    fn part(self, current: &Current, kind: Kind, operation: &'static str) -> Span {
        let mut span = current.child(kind, || operation.into());
        span.note(Key::DbSystem, self.system());
        span.note(Key::DbNamespace, self.service);
        span.note(Key::DbOperation, operation);
        span
    }
}

/// Returns the first word of a statement, where it is one of ours. What is bound is never written: the text ends with the first word.
fn first_word(query: &dyn fmt::Display) -> &'static str {
    let mut begun = Beginning::default();
    // It says that it wants no more by failing.
    let _ = write!(begun, "{query}");
    WORDS.into_iter().find(|word| begun.text.eq_ignore_ascii_case(word)).unwrap_or(OTHER)
}

/// Takes letters, until something else comes.
#[derive(Default)]
struct Beginning {
    text: String,
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = if self.text.is_empty() { text.trim_start() } else { text };
        for letter in text.chars() {
            if !letter.is_ascii_alphabetic() || self.text.len() > 16 {
                return Err(fmt::Error);
            }
            self.text.push(letter);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Query(&'static str);

    impl fmt::Display for Query {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)?;
            panic!("what is bound was asked for");
        }
    }

    #[test]
    fn of_a_statement_its_first_word_is_told_and_what_is_bound_is_not_even_written() {
        for (text, word) in [
            ("SELECT id FROM users", "SELECT"),
            ("\n  insert INTO a VALUES (1)", "INSERT"),
            ("BEGIN;", "BEGIN"),
            ("planted-secret", OTHER),
            ("SELECTplantedsecretplantedsecret", OTHER),
            ("'planted'", OTHER),
        ] {
            assert_eq!(first_word(&Query(text)), word, "{text}");
        }
    }
}
