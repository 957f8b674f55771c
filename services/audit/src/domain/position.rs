//! Where a segment belongs in its stream.

use coffre_audit_client::chain::{GENESIS, Hash};

/// How far a stream has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// The number that comes next.
    pub(crate) next_sequence: i64,
    /// The hash of the last event.
    pub(crate) head: Hash,
    /// How many gaps were given up: what is missing in one may still come.
    pub(crate) gaps: i64,
}

/// A stream of which nothing has come.
pub(crate) const BEGIN: Position = Position { next_sequence: 1, head: GENESIS, gaps: 0 };

/// The place of an authentic segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// The number of its first event.
    pub(crate) first_sequence: i64,
    /// The number of its last event.
    pub(crate) last_sequence: i64,
    /// The hash before its first event.
    pub(crate) previous: Hash,
    /// The hash of its last event.
    pub(crate) head: Hash,
}

/// What becomes of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// It is the next one.
    Append,
    /// It is in the log; or was it taken for lost? Then its events may still be missing.
    Duplicate {
        /// Whether to look.
        look: bool,
    },
    /// Events before it are missing.
    Gap,
    /// It has the key's MAC and yet does not continue what the key's holder wrote before: two histories of one stream.
    Forged,
}

/// Decides where an authentic segment belongs.
pub(crate) fn place(position: &Position, span: &Span) -> Placement {
    if span.last_sequence < position.next_sequence {
        return Placement::Duplicate { look: position.gaps > 0 };
    }
    if span.first_sequence > position.next_sequence {
        return Placement::Gap;
    }
    // A segment never changes, so one that begins inside the log and ends beyond it is another history.
    if span.first_sequence < position.next_sequence || span.previous != position.head {
        return Placement::Forged;
    }
    Placement::Append
}

/// The stream after a segment.
pub(crate) fn after(position: &Position, span: &Span, over_gap: bool) -> Position {
    Position { next_sequence: span.last_sequence + 1, head: span.head, gaps: position.gaps + i64::from(over_gap) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, last: i64, previous: u8, head: u8) -> Span {
        Span { first_sequence: first, last_sequence: last, previous: [previous; 32], head: [head; 32] }
    }

    #[test]
    fn each_segment_has_one_place() {
        let here = Position { next_sequence: 6, head: [5; 32], gaps: 0 };
        assert_eq!(place(&here, &span(6, 8, 5, 8)), Placement::Append);
        assert_eq!(place(&here, &span(6, 8, 4, 8)), Placement::Forged);
        assert_eq!(place(&here, &span(1, 5, 0, 5)), Placement::Duplicate { look: false });
        assert_eq!(place(&here, &span(5, 6, 4, 6)), Placement::Forged);
        assert_eq!(place(&here, &span(7, 8, 6, 8)), Placement::Gap);
        assert_eq!(place(&BEGIN, &span(1, 1, 0, 1)), Placement::Append);
        let skipped = after(&here, &span(9, 9, 8, 9), true);
        assert_eq!(place(&skipped, &span(6, 8, 5, 8)), Placement::Duplicate { look: true });
    }
}
