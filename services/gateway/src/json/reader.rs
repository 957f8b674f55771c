//! Reads a JSON text into a tree. Stricter than the grammar where two programs could understand one text differently: a key that is
//! there twice is refused. Nesting is bounded, so that no text can exhaust the stack, and no fault repeats what the text holds.

use std::collections::HashSet;
use std::fmt;

use coffre_error::{Reason, Refusal};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. Objects keep their keys as they came.
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no integer of 64 bits.
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads a whole text, UTF-8 with or without a byte order mark. Nothing but spaces is no value at all.
///
/// # Errors
/// `request.malformed` where it is no JSON, is nested deeper than 127 levels, or has an object with the same key twice.
pub(crate) fn parse(text: &[u8]) -> Result<Option<Json>, Refusal> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // The fault of the library is one of syntax alone, since every type is accepted here: it names a place, never a content.
    let json: Json =
        serde_json::from_slice(text).map_err(|fault| malformed(format!("the body is no valid JSON: {fault}")))?;
    check_keys(&json, &mut String::new())?;
    Ok(Some(json))
}

fn malformed(message: String) -> Refusal {
    Refusal::new(Reason::RequestMalformed, message)
}

/// Refuses an object that has a key twice and says which.
fn check_keys(json: &Json, path: &mut String) -> Result<(), Refusal> {
    match json {
        Json::Array(items) => {
            let nested = |item: &Json| matches!(item, Json::Array(_) | Json::Object(_));
            for (position, item) in items.iter().enumerate().filter(|(_, item)| nested(item)) {
                let length = path.len();
                path.push_str(&format!("[{position}]"));
                check_keys(item, path)?;
                path.truncate(length);
            }
        }
        Json::Object(entries) => {
            let mut seen = HashSet::with_capacity(entries.len());
            for (key, value) in entries {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.extend(key.chars().take(64));
                if !seen.insert(key.as_str()) {
                    let message = format!("{path}: the key is there more than once; send it once");
                    return Err(malformed(message).violation(path.as_str(), "is there more than once"));
                }
                check_keys(value, path)?;
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Number(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::read_query;

    fn fault(text: &[u8]) -> Refusal {
        match parse(text) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{:?} was read", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn an_empty_body_is_no_value() {
        for text in ["", "  \r\n\t", "\u{feff}"] {
            assert!(parse(text.as_bytes()).unwrap().is_none(), "{text:?}");
        }
        assert!(matches!(parse("\u{feff}{}".as_bytes()), Ok(Some(Json::Object(entries))) if entries.is_empty()));
    }

    #[test]
    fn malformed_json_is_refused_without_repeating_it() {
        for text in [
            "{",
            "{\"a\":}",
            "{'secret':1}",
            "[1,]",
            "{\"a\":1} x",
            "nul",
            "{\"a\":\"\\ud800\"}",
            "1e999",
            "{\"secret\"}",
        ] {
            let refusal = fault(text.as_bytes());
            assert_eq!(refusal.reason(), Reason::RequestMalformed, "{text}");
            assert!(!refusal.message().contains("secret"), "{}", refusal.message());
        }
        assert_eq!(fault(b"{\"a\":\"\xff\xfe\"}").reason(), Reason::RequestMalformed);
    }

    #[test]
    fn deep_nesting_is_refused_and_costs_no_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(fault(deep.as_bytes()).reason(), Reason::RequestMalformed);
            let fine = format!("{}1{}", open.repeat(100), close.repeat(100));
            assert!(parse(fine.as_bytes()).is_ok());
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_by_its_path() {
        let refusal = fault(br#"{"attributes":[{"name":"a"},{"name":"b","name":"c"}]}"#);
        assert_eq!(refusal.reason(), Reason::RequestMalformed);
        assert_eq!(refusal.violations()[0].field, "attributes[1].name");
        assert!(parse(br#"{"a":{"x":1},"b":{"x":1}}"#).is_ok());
        let escaped = fault(br#"{"name":1,"n\u0061me":2}"#);
        assert_eq!(escaped.reason(), Reason::RequestMalformed);
    }

    #[test]
    fn numbers_beyond_64_bits_are_no_integers() {
        assert!(matches!(parse(b"9223372036854775807"), Ok(Some(Json::Integer(i64::MAX)))));
        assert!(matches!(parse(b"9223372036854775808"), Ok(Some(Json::Number(_)))));
        assert!(matches!(parse(b"1.0"), Ok(Some(Json::Number(_)))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            if let Ok(json) = parse(&bytes) {
                let _ = read_query(json);
            }
        }

        #[test]
        fn no_text_of_json_signs_makes_the_readers_panic(text in r#"[\[\]{}:,"a-c0-9.eE+ -]{0,60}"#) {
            if let Ok(json) = parse(text.as_bytes()) {
                let _ = read_query(json);
            }
        }
    }
}
