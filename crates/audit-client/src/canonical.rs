//! The canonical form of an event: the protobuf wire format in one fixed way.
//!
//! Fields in ascending order of their numbers, defaults left out, varints as short as possible, nothing unknown. It is written here
//! by hand, because it is on the way of every call and a generated message would want a `String` for each of our static words.
//! [`is_canonical`] is what a reader asks before it trusts bytes.

pub use coffre_audit_proof::canonical::{decode, is_canonical, parse};

const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Writes fields of a message, in the order in which it is called.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An `int64` or an enum; nothing where it is 0.
    pub(crate) fn integer(&mut self, field: u64, value: i64) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value.cast_unsigned());
        }
    }

    /// A `string` or `bytes`; nothing where it is empty.
    pub(crate) fn text(&mut self, field: u64, value: &[u8]) {
        if !value.is_empty() {
            self.element(field, value);
        }
    }

    /// An `optional string`, or an element of a repeated field: there even where it is empty.
    pub(crate) fn element(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message.
    pub(crate) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        // The length stands before the body and is known after it: the body moves by the one or two bytes that the length takes.
        let start = self.0.len();
        write(self);
        let end = self.0.len();
        self.varint((end - start) as u64);
        let taken = self.0.len() - end;
        if let Some(tail) = self.0.get_mut(start..) {
            tail.rotate_right(taken);
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
