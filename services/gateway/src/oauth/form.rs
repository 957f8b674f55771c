//! The parameters of a request, from its body.
//!
//! What counts is the body and not its label: any `Content-Type` is fine, as everywhere in this API, as long as the body is a form. Its
//! bytes are UTF-8 once decoded (RFC 6749, appendix B). A parameter of ours that is there twice is refused, one that is empty counts as
//! absent, and one that is none of ours is not looked at (section 3.2). The query of the path is never read: it ends in logs.

use coffre_error::{Reason, Refusal};
use coffre_secret::SecretText;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use crate::json::invalid;

/// Every parameter that some call looks at.
const NAMES: [&str; 9] = [
    "grant_type",
    "scope",
    "username",
    "password",
    "refresh_token",
    "client_id",
    "client_secret",
    "token",
    "token_type_hint",
];

/// The parameters of a request, each once. Any of them may be a secret.
pub(crate) struct Form(Vec<(&'static str, SecretText)>);

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// Where it is no form, or a parameter is there twice or holds what no parameter may hold.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        if let Some(kind) = what_else(headers, body) {
            let message = format!(
                "the body is {kind}; send the parameters as application/x-www-form-urlencoded, such as \
                 grant_type=password&username=...&password=..."
            );
            return Err(Refusal::new(Reason::RequestInvalid, message));
        }
        // A line end is none of the form's signs: it comes from the file in which the form was written.
        let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let mut parameters: Vec<(&'static str, SecretText)> = Vec::with_capacity(NAMES.len());
        for pair in body.get(..end).unwrap_or_default().split(|byte| *byte == b'&') {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, Default::default()),
            };
            let name = decoded(name);
            let Some(name) = NAMES.iter().find(|known| known.as_bytes() == name) else { continue };
            if parameters.iter().any(|(seen, _)| seen == name) {
                return Err(invalid(*name, "is there more than once; send it once"));
            }
            let value = String::from_utf8(decoded(value)).map_err(|_| invalid(*name, "is not UTF-8"))?;
            if value.contains('\0') {
                return Err(invalid(*name, "holds a NUL character, which nothing of ours does"));
            }
            parameters.push((name, SecretText::new(value)));
        }
        Ok(Self(parameters))
    }

    /// Takes a parameter; an empty one counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(position).1.into_exposed()).filter(|value| !value.is_empty())
    }

    /// Takes a parameter that must be there.
    ///
    /// # Errors
    /// Where it is absent or empty.
    pub(crate) fn required(&mut self, name: &'static str) -> Result<String, Refusal> {
        self.take(name).ok_or_else(|| {
            invalid(name, "is required, in the body; parameters of the query and empty ones do not count")
        })
    }
}

/// Names what a body is, where it is plainly no form.
fn what_else(headers: &HeaderMap, body: &[u8]) -> Option<&'static str> {
    let label = headers.get(CONTENT_TYPE).map(|label| label.as_bytes()).unwrap_or_default();
    if label.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
        return Some("multipart");
    }
    matches!(body.trim_ascii().first(), Some(b'{' | b'[' | b'"')).then_some("JSON")
}

/// Decodes `application/x-www-form-urlencoded`. A `%` without two digits behind it stands for itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<Form, Refusal> {
        Form::read(&HeaderMap::new(), body)
    }

    fn fault(body: &[u8]) -> Refusal {
        match read(body) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{:?} was read", String::from_utf8_lossy(body)),
        }
    }

    #[test]
    fn parameters_are_decoded_once() {
        for (sent, password) in [
            ("a%20b+c", "a b c"),
            ("%2520", "%20"),
            ("caf%C3%A9", "caf\u{e9}"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("a%3Ab:c", "a:b:c"),
            ("50%", "50%"),
            ("50%zz%2", "50%zz%2"),
            ("%2B%26%3D", "+&="),
            ("a=b==", "a=b=="),
            ("tab%09", "tab\t"),
        ] {
            let mut form = read(format!("password={sent}").as_bytes()).unwrap();
            assert_eq!(form.take("password").as_deref(), Some(password), "{sent}");
        }
    }

    #[test]
    fn an_empty_parameter_is_an_absent_one() {
        let mut form = read(b"&&scope=&username&=x&password=p&").unwrap();
        assert_eq!((form.take("scope"), form.take("username")), (None, None));
        assert_eq!(form.take("password").as_deref(), Some("p"));
        assert!(read(b"scope=").unwrap().required("scope").is_err());
        assert!(read(b"").unwrap().required("scope").is_err());
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_refused_by_its_name() {
        for body in [
            "password=planted&password=planted",
            "password=planted&scope=a&passwor%64=",
            "password=&password=",
            "password&password",
        ] {
            let refusal = fault(body.as_bytes());
            assert_eq!(refusal.reason(), Reason::RequestInvalid, "{body}");
            assert_eq!(refusal.violations()[0].field, "password", "{body}");
            assert!(!refusal.message().contains("planted"));
        }
    }

    #[test]
    fn a_parameter_that_is_none_of_ours_is_not_looked_at() {
        let mut form = read(b"audience=a&audience=b&%FF=%FF&x=%00&Password=no&scope=s").unwrap();
        assert_eq!((form.take("scope").as_deref(), form.take("password")), (Some("s"), None));
        assert!(form.take("audience").is_none());
    }

    #[test]
    fn what_is_not_utf_8_or_holds_nul_is_refused_without_repeating_it() {
        for (body, field) in [
            (&b"password=%FF"[..], "password"),
            (b"username=caf\xe9", "username"),
            (b"client_secret=a%00b", "client_secret"),
        ] {
            let refusal = fault(body);
            assert_eq!((refusal.reason(), refusal.violations()[0].field.as_str()), (Reason::RequestInvalid, field));
        }
    }

    #[test]
    fn a_line_end_behind_the_form_is_not_a_part_of_it() {
        let mut form = read(b"scope=a%0A\r\n").unwrap();
        assert_eq!(form.take("scope").as_deref(), Some("a\n"));
        assert!(read(b"\n").unwrap().take("scope").is_none());
    }

    #[test]
    fn what_counts_is_the_body_and_not_its_label() {
        for label in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
            "application/json",
            "text/plain",
            "",
            "nonsense",
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(label))]);
            assert!(Form::read(&headers, b"scope=a").unwrap().take("scope").is_some(), "{label}");
            for body in [&b"{\"grant_type\":\"password\"}"[..], b" [1]", b"\"planted\""] {
                let refusal = Form::read(&headers, body).err().unwrap();
                assert_eq!(refusal.reason(), Reason::RequestInvalid, "{label}");
                assert!(refusal.message().contains("application/x-www-form-urlencoded"), "{label}");
                assert!(!refusal.message().contains("planted"));
            }
        }
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=x"))]);
        assert!(Form::read(&headers, b"--x\r\n").err().unwrap().message().contains("multipart"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_a_client_encodes_arrives_as_it_was(value in "[^\u{0}]{1,40}") {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
            let mut form = read(format!("scope=s&password={encoded}&username=u").as_bytes()).unwrap();
            prop_assert_eq!(form.take("password"), Some(value));
        }
    }
}
