//! Calls as bytes, made before the measurement.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};

use crate::load::Work;

/// What a good answer is.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// This status and exactly this body.
    Body(u16, Vec<u8>),
    /// This status and a body of such a length: where a version counts up or a token is made.
    Length(u16, RangeInclusive<usize>),
}

impl Expected {
    /// An answer like this one, whose numbers may have grown by some digits.
    pub(crate) fn like(status: u16, length: usize) -> Self {
        Self::Length(status, length.saturating_sub(16)..=length + 32)
    }

    fn holds(&self, status: u16, body: &[u8]) -> bool {
        match self {
            Self::Body(expected, bytes) => *expected == status && bytes == body,
            Self::Length(expected, lengths) => *expected == status && lengths.contains(&body.len()),
        }
    }
}

/// The same calls over and over.
pub(crate) struct Cycle {
    calls: Vec<(Vec<u8>, Expected)>,
    at: usize,
}

impl Cycle {
    pub(crate) fn new(calls: Vec<(Vec<u8>, Expected)>) -> Result<Self> {
        if calls.is_empty() {
            bail!("there is nothing to call");
        }
        Ok(Self { calls, at: 0 })
    }
}

impl Work for Cycle {
    fn next(&mut self) -> Option<usize> {
        let number = self.at;
        self.at = if number + 1 < self.calls.len() { number + 1 } else { 0 };
        Some(number)
    }

    fn render(&self, number: usize, out: &mut Vec<u8>) {
        if let Some((request, _)) = self.calls.get(number) {
            out.extend_from_slice(request);
        }
    }

    fn check(&mut self, number: usize, status: u16, body: &[u8]) -> bool {
        self.calls.get(number).is_some_and(|(_, expected)| expected.holds(status, body))
    }
}

/// Every call once, for preparing data; keeps what `keep` makes of each answer.
pub(crate) struct Once<R, K> {
    count: usize,
    at: usize,
    status: u16,
    render: R,
    keep: K,
}

impl<R: Fn(usize) -> Vec<u8>, K: FnMut(usize, &[u8]) -> bool> Once<R, K> {
    pub(crate) fn new(count: usize, status: u16, render: R, keep: K) -> Self {
        Self { count, at: 0, status, render, keep }
    }
}

impl<R: Fn(usize) -> Vec<u8>, K: FnMut(usize, &[u8]) -> bool> Work for Once<R, K> {
    fn next(&mut self) -> Option<usize> {
        let number = self.at;
        self.at += 1;
        (number < self.count).then_some(number)
    }

    fn render(&self, number: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.render)(number));
    }

    fn check(&mut self, number: usize, status: u16, body: &[u8]) -> bool {
        status == self.status && (self.keep)(number, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_begins_anew() {
        let calls = (0..3).map(|n: u8| (vec![n], Expected::Body(200, vec![n]))).collect();
        let mut cycle = Cycle::new(calls).unwrap();
        let numbers: Vec<_> = (0..5).filter_map(|_| cycle.next()).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1]);
        assert!(cycle.check(2, 200, &[2]));
        assert!(!cycle.check(2, 200, &[1]));
        assert!(!cycle.check(2, 503, &[2]));
    }

    #[test]
    fn once_ends() {
        let mut kept = Vec::new();
        let mut once = Once::new(
            2,
            201,
            |n| vec![n as u8],
            |n, body| {
                kept.push((n, body.to_vec()));
                true
            },
        );
        assert_eq!((once.next(), once.next(), once.next()), (Some(0), Some(1), None));
        assert!(once.check(1, 201, b"x"));
        assert!(!once.check(1, 200, b"x"));
        assert_eq!(kept, [(1, b"x".to_vec())]);
    }
}
