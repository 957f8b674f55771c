//! Every refusal under `/oauth/` as RFC 6749, section 5.2, has it: whoever refused, the gateway before any route or a service.

use axum::body::Body;
use axum::response::Response;
use coffre_error::Reason;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tonic::Status;
use utoipa::ToSchema;

use crate::error::{Failure, Refused};

/// What every refusal under `/oauth/` looks like (RFC 6749, section 5.2).
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthError, example = json!({"error": "invalid_grant", "error_description": "the user name or the password is wrong"}))]
pub(crate) struct Error {
    /// `invalid_request`, `invalid_client`, `invalid_grant`, `unauthorized_client`, `unsupported_grant_type`, `invalid_scope`; where it is
    /// not for the client to mend, `temporarily_unavailable` or `server_error`.
    #[schema(value_type = String, examples("invalid_grant"))]
    error: &'static str,
    /// What was wrong and what to do.
    error_description: String,
}

/// Gives an answer under `/oauth/` what it has there: its refusal the shape of OAuth, and every answer the word that nobody keeps it.
pub(crate) fn dressed(mut response: Response) -> Response {
    if let Some(Refused { refusal, .. }) = response.extensions().get().cloned() {
        if refusal.reason() == Reason::StoreConflict {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let error = word(refusal.reason(), response.status());
        let body = Error { error, error_description: described(refusal.message()) };
        *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(WWW_AUTHENTICATE);
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"coffre\""));
        }
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The refusal of a service, with the fields named as the parameters of the form are.
pub(crate) fn of_service(status: Status) -> Failure {
    Failure::of_service(&status, |field| field.strip_prefix("client.").unwrap_or(field).to_owned())
}

fn word(reason: Reason, status: StatusCode) -> &'static str {
    match (reason, status) {
        (Reason::OauthClientInvalid, _) => "invalid_client",
        (Reason::OauthGrantInvalid, _) => "invalid_grant",
        (Reason::OauthClientUnauthorized, _) => "unauthorized_client",
        (Reason::OauthScopeInvalid, _) => "invalid_scope",
        (Reason::OauthGrantTypeUnsupported, _) => "unsupported_grant_type",
        (_, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => "temporarily_unavailable",
        (_, status) if status.is_server_error() => "server_error",
        (_, StatusCode::UNAUTHORIZED) => "invalid_client",
        _ => "invalid_request",
    }
}

/// A description holds printable ASCII but for `"` and `\`.
fn described(message: &str) -> String {
    let mut description = String::with_capacity(message.len());
    for letter in message.chars() {
        match letter {
            '"' => description.push('\''),
            '\\' => description.push('/'),
            '\u{2026}' => description.push_str("..."),
            ' '..='~' => description.push(letter),
            _ => description.push('?'),
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use coffre_error::Refusal;

    use super::*;
    use crate::error::http_status;

    #[test]
    fn every_reason_has_a_word_that_goes_with_its_status() {
        for reason in (1..).map_while(|number| Reason::try_from(number).ok()) {
            let status = http_status(reason);
            let word = word(reason, status);
            match word {
                "invalid_client" => assert_eq!(status, 401, "{reason:?}"),
                "temporarily_unavailable" => assert!([429, 503].contains(&status.as_u16()), "{reason:?}"),
                "server_error" => assert_eq!(status, 500, "{reason:?}"),
                "invalid_request" => assert!(status.is_client_error() && status != 401, "{reason:?}"),
                _ => assert_eq!(status, 400, "{reason:?}"),
            }
        }
    }

    #[test]
    fn a_description_holds_what_the_rfc_lets_it_hold() {
        assert_eq!(described("take `a`, \"b\" or \\c\u{2026}"), "take `a`, 'b' or /c...");
        assert_eq!(described("caf\u{e9}\r\n\0"), "caf????");
        let all: String = (0..0x180).filter_map(char::from_u32).collect();
        assert!(described(&all).bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
    }

    #[test]
    fn fields_are_named_as_in_the_form() {
        for (field, name) in
            [("client.client_id", "client_id"), ("refresh_token", "refresh_token"), ("password", "password")]
        {
            let failure = of_service(Refusal::invalid(field, "is too long").into());
            assert!(
                String::from_utf8(failure.body()).unwrap().contains(&format!("\"message\":\"{name}: is too long\""))
            );
        }
    }
}
