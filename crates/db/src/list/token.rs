//! Page tokens: where the next page starts, signed, and bound to the list, its filter and its order.
//!
//! Bytes before base64url: format 1; 16 bytes of the binding; the number of keys, and each as a tag and its value; the id; 16 bytes of
//! HMAC-SHA-256 over all that. Where the keys would make it too long, 255 stands for their number, and they are looked up by the id.

use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_proto::query::v1::Query;
use prost::Message as _;

use super::Error;
use super::order::{Order, Position};
use crate::Bind;

const FORMAT: u8 = 1;
const TAG: usize = 16;
const LOOK_UP: u8 = 255;
/// A token has at most 4 096 characters.
const MAX_BYTES: usize = 3_000;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;

/// Signs page tokens and checks them. Replicas share the key.
#[derive(Clone)]
pub struct PageTokens(Arc<hmac::Key>);

impl PageTokens {
    /// Takes the key: 32 bytes that nobody else knows.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    pub(super) fn seal(&self, position: &Position, binding: &Binding) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&binding.0);
        let start = bytes.len();
        bytes.push(u8::try_from(position.values.len()).unwrap_or(LOOK_UP));
        for value in &position.values {
            match value {
                Bind::Integer(Some(number)) => {
                    bytes.push(INTEGER);
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
                Bind::Text(Some(text)) => {
                    bytes.push(TEXT);
                    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                _ => bytes.push(NULL),
            }
        }
        if bytes.len() > MAX_BYTES {
            bytes.truncate(start);
            bytes.push(LOOK_UP);
        }
        bytes.extend_from_slice(&position.id.to_be_bytes());
        let tag = hmac::sign(&self.0, &bytes);
        bytes.extend(tag.as_ref().iter().take(TAG));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn open(&self, token: &str, binding: &Binding, order: &Order) -> Result<Start, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::TokenInvalid)?;
        let split = bytes.len().checked_sub(TAG).ok_or(Error::TokenInvalid)?;
        let (body, tag) = bytes.split_at(split);
        let expected = hmac::sign(&self.0, body);
        let expected = expected.as_ref().get(..TAG).ok_or(Error::TokenInvalid)?;
        if !coffre_secret::equal(expected, tag) {
            return Err(Error::TokenInvalid);
        }
        read(body, binding, order).ok_or(Error::TokenInvalid)
    }
}

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageTokens")
    }
}

/// Where a page starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Start {
    At(Position),
    /// At the row with this id, whose keys are looked up.
    Row(i64),
}

fn read(body: &[u8], binding: &Binding, order: &Order) -> Option<Start> {
    let rest = body.strip_prefix(&[FORMAT])?.strip_prefix(binding.0.as_slice())?;
    let (&count, mut rest) = rest.split_first()?;
    if count == LOOK_UP {
        return Some(Start::Row(i64::from_be_bytes(rest.try_into().ok()?)));
    }
    if usize::from(count) != order.keys.len() {
        return None;
    }
    let mut values = Vec::with_capacity(order.keys.len());
    for key in &order.keys {
        let (&tag, after) = rest.split_first()?;
        let (value, after) = match (tag, key.is_text()) {
            (NULL, true) => (Bind::Text(None), after),
            (NULL, false) => (Bind::Integer(None), after),
            (INTEGER, false) => {
                let (number, after) = after.split_first_chunk::<8>()?;
                (Bind::Integer(Some(i64::from_be_bytes(*number))), after)
            }
            (TEXT, true) => {
                let (length, after) = after.split_first_chunk::<4>()?;
                let (text, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
                (Bind::Text(Some(String::from_utf8(text.to_vec()).ok()?)), after)
            }
            _ => return None,
        };
        values.push(value);
        rest = after;
    }
    Some(Start::At(Position { values, id: i64::from_be_bytes(rest.try_into().ok()?) }))
}

/// What a token belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Binding([u8; 16]);

/// Condenses the list's name, the filter and the order.
pub(super) fn binding(name: &str, query: &Query) -> Binding {
    let part = Query { filter: query.filter.clone(), order_by: query.order_by.clone(), ..Query::default() };
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(name.as_bytes());
    context.update(&[0]);
    context.update(&part.encode_to_vec());
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Binding(short)
}
