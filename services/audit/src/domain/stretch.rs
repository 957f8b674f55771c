//! The log in its own order: where a reader begins, and what it reads at a time.

use super::entry::Entry;

/// Where the log begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    /// Entries before this position were cut off.
    pub(crate) first_kept: i64,
    /// How many entries there ever were.
    pub(crate) size: i64,
}

/// Why nobody can begin at a bookmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misplaced {
    /// Its entries were cut off.
    Cut {
        /// Where the log begins now.
        first_kept: i64,
    },
    /// The log ends before it.
    Beyond {
        /// How many entries there ever were.
        size: i64,
    },
}

impl Ends {
    /// Returns where a reader begins that wants to begin at a bookmark: 0 is the beginning of what there is.
    ///
    /// A bookmark beyond the end is that of another log, or of one that was put back since: whoever waited there would miss what comes until the
    /// log has grown to it.
    pub(crate) fn begin(self, from: i64) -> Result<i64, Misplaced> {
        match from {
            ..=0 => Ok(self.first_kept),
            from if from < self.first_kept => Err(Misplaced::Cut { first_kept: self.first_kept }),
            from if from > self.size => Err(Misplaced::Beyond { size: self.size }),
            from => Ok(from),
        }
    }
}

/// Consecutive entries, without those that do not match or are not visible.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    /// The entries, in their order.
    pub(crate) entries: Vec<Entry>,
    /// Everything before this position was looked at.
    pub(crate) next_index: i64,
    /// Where the log began afterwards.
    pub(crate) first_kept: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_outside_of_the_log_is_refused_and_the_beginning_is_where_the_log_begins() {
        let ends = Ends { first_kept: 512, size: 600 };
        let cut = Err(Misplaced::Cut { first_kept: 512 });
        let beyond = Err(Misplaced::Beyond { size: 600 });
        for (from, expected) in
            [(0, Ok(512)), (1, cut), (511, cut), (512, Ok(512)), (600, Ok(600)), (601, beyond), (i64::MAX, beyond)]
        {
            assert_eq!(ends.begin(from), expected, "{from}");
        }
        assert_eq!(Ends { first_kept: 0, size: 0 }.begin(0), Ok(0), "an empty log has a beginning, too");
    }
}
