//! Who the client says it is (RFC 6749, section 2.3.1): by HTTP Basic or in the form, and never in both ways at once.
//!
//! Id and secret of the header go on as they came. The RFC wants them encoded as a form is, and most clients do not do that; the service
//! tries both. Under `/oauth/` only a client shows who it is: a token in `Authorization` is no client, and `X-Authorization` is not read.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::v1::ClientAuthentication;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

use super::Form;
use crate::json::invalid;

/// Base64 as RFC 7617 has it; who leaves out the padding is understood too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads who the client says it is.
///
/// # Errors
/// `oauth.invalid_client` where it does not say so, or not in a way that is taken; `request.invalid` where it says so twice.
pub(crate) fn read(headers: &HeaderMap, form: &mut Form) -> Result<ClientAuthentication, Refusal> {
    let (id, secret) = (form.take("client_id"), form.take("client_secret"));
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(invalid("Authorization", "is there more than once; send it once"));
    }
    let Some(line) = line.filter(|line| !line.as_bytes().trim_ascii().is_empty()) else {
        let Some(client_id) = id else {
            return Err(refused(
                "the client is not named; send its id and secret by HTTP Basic, or as client_id and client_secret in the body",
            ));
        };
        return Ok(ClientAuthentication { client_id, client_secret: secret.unwrap_or_default(), basic: false });
    };
    let (client_id, client_secret) = credentials(line)?;
    if secret.is_some() {
        return Err(invalid(
            "client_secret",
            "is there beside the Authorization header; a client shows who it is in one way, so leave one of them out",
        ));
    }
    if id.is_some_and(|id| id != client_id && id != form_decoded(&client_id)) {
        return Err(invalid(
            "client_id",
            "differs from the client of the Authorization header; leave it out or send the same",
        ));
    }
    Ok(ClientAuthentication { client_id, client_secret, basic: true })
}

fn refused(message: &str) -> Refusal {
    Refusal::new(Reason::OauthClientInvalid, message)
}

/// Splits the credentials of HTTP Basic at the first colon: an id has none, a secret may have some.
fn credentials(line: &HeaderValue) -> Result<(String, String), Refusal> {
    let line = line.as_bytes().trim_ascii();
    let encoded = match line.split_at_checked(6) {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case(b"Basic ") => encoded.trim_ascii(),
        _ if line.eq_ignore_ascii_case(b"Basic") => Default::default(),
        _ => {
            return Err(refused(
                "the Authorization header takes HTTP Basic here, with the id and the secret of the client",
            ));
        }
    };
    let text = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts =
        text.as_deref().filter(|text| !text.chars().any(char::is_control)).and_then(|text| text.split_once(':'));
    match parts {
        Some((id, secret)) if !id.is_empty() => Ok((id.to_owned(), secret.to_owned())),
        _ => Err(refused(
            "the Authorization header takes the Base64 of `id:secret` behind Basic, in UTF-8 and without control characters",
        )),
    }
}

fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn basic(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    fn of(lines: &[&str], body: &str) -> Result<(String, String, bool), Reason> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        let mut form = Form::read(&headers, body.as_bytes()).unwrap();
        read(&headers, &mut form)
            .map(|client| (client.client_id, client.client_secret, client.basic))
            .map_err(|refusal| refusal.reason())
    }

    fn named(id: &str, secret: &str, basic: bool) -> Result<(String, String, bool), Reason> {
        Ok((id.to_owned(), secret.to_owned(), basic))
    }

    #[test]
    fn basic_is_split_at_the_first_colon_and_goes_on_as_it_came() {
        for (sent, id, secret) in [
            ("public-api:7Du:IZ9qBG%50G", "public-api", "7Du:IZ9qBG%50G"),
            ("a:50%25+x y", "a", "50%25+x y"),
            ("my+app%21:::", "my+app%21", "::"),
            ("caf\u{e9}:\u{20ac}", "caf\u{e9}", "\u{20ac}"),
            ("a:", "a", ""),
        ] {
            assert_eq!(of(&[&basic(sent)], ""), named(id, secret, true), "{sent}");
        }
        let (standard, bare) = (basic("a:b"), basic("a:b").replace('=', ""));
        for line in [
            &bare,
            &standard.replace("Basic", "bASIC"),
            &standard.replace("Basic ", "Basic   "),
            &format!(" {standard} "),
        ] {
            assert_eq!(of(&[line], ""), named("a", "b", true), "{line}");
        }
    }

    #[test]
    fn credentials_of_the_body_are_decoded_and_need_no_secret_to_be_named() {
        assert_eq!(of(&[], "client_id=my+app&client_secret=a%3Ab%2B"), named("my app", "a:b+", false));
        assert_eq!(of(&[""], "client_id=a&client_secret=b"), named("a", "b", false));
        assert_eq!(of(&[], "client_id=a"), named("a", "", false));
    }

    #[test]
    fn no_client_or_another_scheme_is_an_invalid_client() {
        for line in ["Bearer a.b.c", "Digest x", "Basic", "Basic ", "Basic !", "Basicx", "a.b.c"] {
            assert_eq!(of(&[line], "client_id=a&client_secret=b"), Err(Reason::OauthClientInvalid), "{line}");
        }
        for body in ["", "client_secret=b", "client_id=&client_secret=b"] {
            assert_eq!(of(&[], body), Err(Reason::OauthClientInvalid), "{body}");
        }
        for bytes in [&b"no colon"[..], b":secret", b"", b"caf\xe9:b", b"a\0:b", b"a:b\x15", b"a:b\r\n"] {
            assert_eq!(of(&[&basic(bytes)], ""), Err(Reason::OauthClientInvalid), "{bytes:?}");
        }
    }

    #[test]
    fn the_printed_header_is_no_text() {
        // As the document prints it: it holds a byte that is no UTF-8, and a control character.
        assert_eq!(of(&["Basic cHVibGijLWFwaTo3RHU6SVo5cUJHFTUwRw=="], ""), Err(Reason::OauthClientInvalid));
    }

    #[test]
    fn two_ways_at_once_are_refused_but_for_the_same_id() {
        let header = basic("a:b");
        for body in ["client_secret=b", "client_id=a&client_secret=b", "client_id=other", "client_id=A"] {
            assert_eq!(of(&[&header], body), Err(Reason::RequestInvalid), "{body}");
        }
        assert_eq!(of(&[&header], "client_id=a"), named("a", "b", true));
        assert_eq!(of(&[&header], "client_id=&client_secret="), named("a", "b", true));
        assert_eq!(of(&[&basic("my+app:b")], "client_id=my+app"), named("my+app", "b", true));
        assert_eq!(of(&[&header, &header], ""), Err(Reason::RequestInvalid));
        assert_eq!(of(&[&header, ""], ""), Err(Reason::RequestInvalid));
    }
}
