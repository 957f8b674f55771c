//! Reads the fields of a JSON object one by one, each as the type that it must have. A fault names the field's path and never what
//! it holds. Keys that nobody asks for are ignored.

use coffre_error::Refusal;

use super::Json;

/// An object whose fields are taken out of it.
pub(crate) struct Object {
    path: String,
    entries: Vec<(String, Json)>,
}

/// Refuses a field.
pub(crate) fn invalid(field: impl Into<String>, description: &str) -> Refusal {
    Refusal::invalid(field, description)
}

/// Reads an id: a plain decimal number from 1, as a number or a text.
pub(crate) fn id_of(json: &Json) -> Option<i64> {
    match json {
        Json::Integer(number) => Some(*number).filter(|number| *number > 0),
        Json::Text(text) => plain_id(text),
        _ => None,
    }
}

/// Reads a text that is an id: no sign, no space, no leading zero.
pub(crate) fn plain_id(text: &str) -> Option<i64> {
    plain_number(text).filter(|number| *number > 0)
}

/// Reads a text that is a plain decimal number from 0: no sign, no space, no leading zero.
pub(crate) fn plain_number(text: &str) -> Option<i64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

const AN_ID: &str = "must be an id: a plain decimal number from 1 to 9223372036854775807, as a number or a string";
const A_COUNT: &str = "must be a plain decimal number from 0 to 9223372036854775807, as a number or a string";

impl Object {
    /// Takes a value that must be an object.
    ///
    /// # Errors
    /// Where it is something else.
    pub(crate) fn of(json: Json, path: impl Into<String>) -> Result<Self, Refusal> {
        let path = path.into();
        match json {
            Json::Object(entries) => Ok(Self { path, entries }),
            _ if path.is_empty() => {
                Err(Refusal::new(coffre_error::Reason::RequestInvalid, "the body must be a JSON object"))
            }
            _ => Err(invalid(path, "must be an object")),
        }
    }

    /// An object without fields.
    pub(crate) fn empty() -> Self {
        Self { path: String::new(), entries: Vec::new() }
    }

    /// Returns the path of a field of this object.
    pub(crate) fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Says whether a key is there, with whatever value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Takes a field; `None` where it is absent or `null`.
    pub(crate) fn take(&mut self, key: &str) -> Option<Json> {
        let position = self.entries.iter().position(|(name, _)| name == key)?;
        present(self.entries.swap_remove(position).1)
    }

    /// Takes a field whose key may be spelled in several ways and in any case.
    ///
    /// # Errors
    /// Where two of the spellings are there.
    pub(crate) fn take_spelled(&mut self, spellings: &[&str]) -> Result<Option<Json>, Refusal> {
        let matches = |name: &str| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name));
        let Some(position) = self.entries.iter().position(|(name, _)| matches(name)) else { return Ok(None) };
        let (first, value) = self.entries.swap_remove(position);
        if let Some((second, _)) = self.entries.iter().find(|(name, _)| matches(name)) {
            let description = format!("is there as `{first}` and as `{second}`; send it once");
            return Err(invalid(self.field(spellings.first().unwrap_or(&"")), &description));
        }
        Ok(present(value))
    }

    fn typed<T>(
        &mut self,
        key: &str,
        description: &str,
        read: impl FnOnce(Json) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(json) => read(json).map(Some).ok_or_else(|| invalid(self.field(key), description)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// Where the field is something else.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        self.typed(key, "must be a string", as_text)
    }

    /// Takes a text that must be there; it may be empty.
    ///
    /// # Errors
    /// Where the field is absent, `null` or something else.
    pub(crate) fn required_text(&mut self, key: &str) -> Result<String, Refusal> {
        self.text(key)?.ok_or_else(|| invalid(self.field(key), "is required"))
    }

    /// Takes a text whose key may be spelled in several ways and in any case.
    ///
    /// # Errors
    /// Where the field is something else or there in two spellings.
    pub(crate) fn text_spelled(&mut self, spellings: &[&str]) -> Result<Option<String>, Refusal> {
        match self.take_spelled(spellings)? {
            None => Ok(None),
            Some(json) => {
                let path = || self.field(spellings.first().unwrap_or(&""));
                as_text(json).map(Some).ok_or_else(|| invalid(path(), "must be a string"))
            }
        }
    }

    /// Takes a text of an update: absent leaves the resource as it is, `null` empties the field.
    ///
    /// # Errors
    /// Where the field is something else.
    pub(crate) fn text_or_null(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        if !self.has(key) {
            return Ok(None);
        }
        Ok(Some(self.text(key)?.unwrap_or_default()))
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// Where the field is something else.
    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Refusal> {
        self.typed(key, "must be true or false", |json| match json {
            Json::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// Takes an id.
    ///
    /// # Errors
    /// Where the field is no plain decimal number from 1, as a number or a text.
    pub(crate) fn id(&mut self, key: &str) -> Result<Option<i64>, Refusal> {
        self.typed(key, AN_ID, |json| id_of(&json))
    }

    /// Takes an id that must be there.
    ///
    /// # Errors
    /// Where the field is absent or no id.
    pub(crate) fn required_id(&mut self, key: &str) -> Result<i64, Refusal> {
        self.id(key)?.ok_or_else(|| invalid(self.field(key), "is required"))
    }

    /// Takes a version or a count: a number from 0, as a number or a text.
    ///
    /// # Errors
    /// Where the field is something else.
    pub(crate) fn number(&mut self, key: &str) -> Result<Option<i64>, Refusal> {
        self.typed(key, A_COUNT, |json| count_of(&json))
    }

    /// The same, with a key in any case.
    ///
    /// # Errors
    /// Where the field is something else or there in two spellings.
    pub(crate) fn number_spelled(&mut self, key: &str) -> Result<Option<i64>, Refusal> {
        match self.take_spelled(&[key])? {
            None => Ok(None),
            Some(json) => count_of(&json).map(Some).ok_or_else(|| invalid(self.field(key), A_COUNT)),
        }
    }

    /// Refuses an `id` in the body that is not the one of the path.
    ///
    /// # Errors
    /// Where the two differ or the one in the body is no id.
    pub(crate) fn same_id(&mut self, key: &str, expected: i64) -> Result<(), Refusal> {
        match self.id(key)? {
            Some(id) if id != expected => {
                Err(invalid(self.field(key), "differs from the id in the path; leave it out or send the same"))
            }
            _ => Ok(()),
        }
    }

    /// Takes an array.
    ///
    /// # Errors
    /// Where the field is something else.
    pub(crate) fn array(&mut self, key: &str) -> Result<Option<Vec<Json>>, Refusal> {
        self.typed(key, "must be an array", |json| match json {
            Json::Array(items) => Some(items),
            _ => None,
        })
    }

    /// Takes an array of objects and reads each with its path.
    ///
    /// # Errors
    /// Where the field is something else, or an element is refused.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        read: impl FnMut(Object) -> Result<T, Refusal>,
    ) -> Result<Option<Vec<T>>, Refusal> {
        let Some(items) = self.array(key)? else { return Ok(None) };
        read_objects(items, &self.field(key), read).map(Some)
    }
}

/// Reads every element of an array, each with its path.
///
/// # Errors
/// Where an element is no object or is refused.
pub(crate) fn read_objects<T>(
    items: Vec<Json>,
    path: &str,
    mut read: impl FnMut(Object) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let read_one =
        |(position, item): (usize, Json)| Object::of(item, format!("{path}[{position}]")).and_then(&mut read);
    items.into_iter().enumerate().map(read_one).collect()
}

fn present(json: Json) -> Option<Json> {
    match json {
        Json::Null => None,
        json => Some(json),
    }
}

fn as_text(json: Json) -> Option<String> {
    match json {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

fn count_of(json: &Json) -> Option<i64> {
    match json {
        Json::Integer(number) => Some(*number).filter(|number| *number >= 0),
        Json::Text(text) => plain_number(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn object(text: &str) -> Object {
        Object::of(parse(text.as_bytes()).unwrap().unwrap(), "").unwrap()
    }

    fn field_of<T>(result: Result<T, Refusal>) -> String {
        let Err(refusal) = result else { panic!("was accepted") };
        refusal.violations()[0].field.clone()
    }

    #[test]
    fn ids_come_as_numbers_or_texts() {
        for text in [r#"{"id":12}"#, r#"{"id":"12"}"#] {
            assert_eq!(object(text).id("id").unwrap(), Some(12), "{text}");
        }
        for text in [r#"{"id":null}"#, "{}"] {
            assert_eq!(object(text).id("id").unwrap(), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_no_id() {
        for value in [
            "0",
            "-1",
            "1.0",
            "1e3",
            "9223372036854775808",
            "true",
            "{}",
            "[]",
            "\"\"",
            "\"0\"",
            "\"-1\"",
            "\"+1\"",
            "\"01\"",
            "\" 1\"",
            "\"1.0\"",
            "\"x\"",
            "\"0x10\"",
            "\"9223372036854775808\"",
            "\"\u{0663}\"",
        ] {
            assert_eq!(field_of(object(&format!("{{\"id\":{value}}}")).id("id")), "id", "{value}");
        }
    }

    #[test]
    fn versions_begin_at_0() {
        for (value, expected) in [("0", 0), ("\"0\"", 0), ("7", 7), ("\"7\"", 7)] {
            assert_eq!(
                object(&format!("{{\"version\":{value}}}")).number("version").unwrap(),
                Some(expected),
                "{value}"
            );
        }
        for value in ["-1", "\"-1\"", "\"00\"", "\"\"", "1.5"] {
            assert_eq!(field_of(object(&format!("{{\"version\":{value}}}")).number("version")), "version", "{value}");
        }
    }

    #[test]
    fn wrong_types_are_refused_by_their_path_without_their_content() {
        assert_eq!(field_of(object(r#"{"name":12}"#).text("name")), "name");
        assert_eq!(field_of(object(r#"{"masked":"true"}"#).flag("masked")), "masked");
        assert_eq!(field_of(object(r#"{"attributes":{}}"#).array("attributes")), "attributes");
        let nested = object(r#"{"attributes":[{"name":"a"},{"name":["planted"]}]}"#)
            .objects("attributes", |mut item| item.text("name"));
        let Err(refusal) = nested else { panic!("was accepted") };
        assert_eq!(refusal.violations()[0].field, "attributes[1].name");
        assert!(!refusal.message().contains("planted"));
        assert_eq!(field_of(object(r#"{"attributes":[1]}"#).objects("attributes", |_| Ok(()))), "attributes[0]");
    }

    #[test]
    fn spellings_in_any_case_are_one_key() {
        let names = ["username", "usename"];
        for key in ["username", "USERNAME", "userName", "usename", "Usename"] {
            let read = object(&format!("{{\"{key}\":\"ellie\"}}")).text_spelled(&names).unwrap();
            assert_eq!(read.as_deref(), Some("ellie"), "{key}");
        }
        assert_eq!(field_of(object(r#"{"username":"a","usename":"a"}"#).text_spelled(&names)), "username");
        assert_eq!(field_of(object(r#"{"username":"a","UserName":null}"#).text_spelled(&names)), "username");
    }

    #[test]
    fn the_id_of_a_body_matches_its_path() {
        for text in ["{}", r#"{"id":2}"#, r#"{"id":"2"}"#, r#"{"id":null}"#] {
            assert!(object(text).same_id("id", 2).is_ok(), "{text}");
        }
        assert_eq!(field_of(object(r#"{"id":14}"#).same_id("id", 2)), "id");
    }

    #[test]
    fn null_empties_a_text_of_an_update() {
        assert_eq!(object("{}").text_or_null("description").unwrap(), None);
        assert_eq!(object(r#"{"description":null}"#).text_or_null("description").unwrap().as_deref(), Some(""));
        assert_eq!(object(r#"{"description":"x"}"#).text_or_null("description").unwrap().as_deref(), Some("x"));
    }
}
