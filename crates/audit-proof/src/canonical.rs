//! The canonical form of an event: the protobuf wire format in one fixed way.
//!
//! Fields in ascending order of their numbers, defaults left out, varints as short as possible, nothing unknown.

use coffre_proto::audit::v1::Event;
use prost::Message as _;

/// Says whether bytes are the canonical form of an event: what they decode to encodes to the same bytes.
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

/// Reads an event from its canonical form; `None` where the bytes are something else.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Event> {
    let event = decode(bytes)?;
    (event.encoded_len() == bytes.len() && event.encode_to_vec() == bytes).then_some(event)
}

/// Reads an event from bytes that are known to be authentic. A newer writer may have added fields that are not known here.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Event> {
    Event::decode(bytes).ok()
}
