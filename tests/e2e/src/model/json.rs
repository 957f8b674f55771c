//! Reading JSON with a look at its shape.

use serde_json::Value as Json;

pub(super) fn field<'j>(json: &'j Json, key: &str) -> &'j Json {
    json.get(key).unwrap_or_else(|| panic!("the documented key `{key}` is missing: {json}"))
}

pub fn text(json: &Json, key: &str) -> String {
    field(json, key).as_str().unwrap_or_else(|| panic!("`{key}` is a text: {json}")).to_owned()
}

pub(super) fn optional_text(json: &Json, key: &str) -> Option<String> {
    (!field(json, key).is_null()).then(|| text(json, key))
}

pub(super) fn flag(json: &Json, key: &str) -> bool {
    field(json, key).as_bool().unwrap_or_else(|| panic!("`{key}` is a boolean: {json}"))
}

/// An id as the paths of the vault print it: a string.
pub fn id(json: &Json, key: &str) -> i64 {
    text(json, key).parse().unwrap_or_else(|_| panic!("`{key}` is a decimal in a string: {json}"))
}

pub(super) fn optional_id(json: &Json, key: &str) -> Option<i64> {
    (!field(json, key).is_null()).then(|| id(json, key))
}

/// An id as `/v1/usermanagement` prints it: a number.
pub fn number(json: &Json, key: &str) -> i64 {
    field(json, key).as_i64().unwrap_or_else(|| panic!("`{key}` is a number: {json}"))
}

/// A time: RFC 3339, UTC, milliseconds, `Z`.
pub fn time(json: &Json, key: &str) -> String {
    let time = text(json, key);
    let shape: String = time.chars().map(|sign| if sign.is_ascii_digit() { '0' } else { sign }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "`{key}` is a time: {json}");
    time
}

pub(super) fn list<T>(json: &Json, key: &str, read: impl Fn(&Json) -> T) -> Vec<T> {
    field(json, key).as_array().unwrap_or_else(|| panic!("`{key}` is a list: {json}")).iter().map(read).collect()
}

pub(super) fn check_author(json: &Json) {
    assert_eq!(text(json, "tenantId"), "1", "{json}");
}
