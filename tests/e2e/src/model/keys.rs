//! The keys that open the vault, and the re-encryption of values.

use coffre_proto::vault::v1;
use serde_json::Value as Json;

use super::json::{field, flag, optional_text, text, time};

/// A key that opens the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// `express`, `manual` or `recovery`.
    pub kind: String,
    /// Milliseconds over REST, whatever there is over gRPC.
    pub created_on: String,
}

/// How far the re-encryption of values is.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    pub running: bool,
    pub done: i64,
    pub total: i64,
    /// Values a second.
    pub rate: f64,
    pub seconds_left: Option<i64>,
    pub is_begun: bool,
    pub is_ended: bool,
    pub term: i64,
}

/// The word for a kind of slot, as REST has it.
pub fn kind_of(kind: v1::key_slot::Kind) -> &'static str {
    match kind {
        v1::key_slot::Kind::Express => "express",
        v1::key_slot::Kind::Manual => "manual",
        v1::key_slot::Kind::Recovery => "recovery",
        v1::key_slot::Kind::Unspecified => panic!("never sent"),
    }
}

impl KeySlot {
    pub fn from_json(json: &Json) -> Self {
        Self { kind: text(json, "kind"), created_on: time(json, "createdOn") }
    }

    pub fn from_proto(proto: v1::KeySlot) -> Self {
        let created_on = proto.create_time.expect("a slot has a time").to_string();
        Self { kind: kind_of(proto.kind()).to_owned(), created_on }
    }
}

impl Rotation {
    /// Reads what REST and `coffre keys --json` print.
    pub fn from_json(json: &Json) -> Self {
        let count = |key: &str| field(json, key).as_i64().unwrap_or_else(|| panic!("`{key}` is a count: {json}"));
        let share = field(json, "percent").as_f64().unwrap_or_else(|| panic!("`percent` is a number: {json}"));
        assert!((0.0..=100.0).contains(&share), "{json}");
        let is_there = |key: &str| optional_text(json, key).is_some_and(|_| !time(json, key).is_empty());
        let rotation = Self {
            running: flag(json, "running"),
            done: count("done"),
            total: count("total"),
            rate: field(json, "perSecond").as_f64().unwrap_or_else(|| panic!("`perSecond` is a number: {json}")),
            seconds_left: field(json, "secondsLeft").as_i64(),
            is_begun: is_there("startedOn"),
            is_ended: is_there("endedOn"),
            term: count("term"),
        };
        assert_eq!(share >= 100.0, rotation.done >= rotation.total, "nothing but the whole is 100: {json}");
        rotation.checked()
    }

    pub fn from_proto(proto: v1::Rotation) -> Self {
        Self {
            running: proto.running,
            done: proto.done_count,
            total: proto.total_count,
            rate: proto.rate,
            seconds_left: proto.seconds_left,
            is_begun: proto.start_time.is_some(),
            is_ended: proto.end_time.is_some(),
            term: proto.term,
        }
        .checked()
    }

    fn checked(self) -> Self {
        assert_eq!(self.running, self.is_begun && !self.is_ended, "what runs has begun and not ended: {self:?}");
        assert!(self.done <= self.total && self.done >= 0 && self.term >= 1, "{self:?}");
        assert!(self.rate >= 0.0 && self.seconds_left.is_none_or(|left| left >= 0), "{self:?}");
        assert!(self.running || (self.rate == 0.0 && self.seconds_left.is_none()), "{self:?}");
        self
    }
}
