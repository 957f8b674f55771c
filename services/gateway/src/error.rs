//! How a refusal becomes an HTTP answer: the only table of statuses, and the only shape of an error body.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use coffre_error::{Reason, Refusal, code, grpc_code};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;

/// A refusal that is on its way to a REST client.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    refusal: Refusal,
    /// The gateway refused, and not a service.
    own: bool,
}

/// What every refusal looks like.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "credential.not_found", "details": [], "message": "there is no such credential, or you may not see it"}))]
pub(crate) struct ErrorBody<'a> {
    /// A stable dotted word.
    #[schema(example = "credential.version_conflict")]
    code: &'a str,
    /// The fields that broke a rule, and further facts such as the permission that is missing.
    details: Vec<Detail<'a>>,
    /// What was wrong and what to do.
    message: &'a str,
}

/// One further fact of a refusal.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Detail<'a> {
    /// A field that broke a rule.
    Field {
        /// The field's path in the request.
        field: &'a str,
        /// What is wrong with it.
        description: &'a str,
    },
    /// A fact for programs.
    Fact {
        /// Its name.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
}

/// Returns the status that goes with a reason (contract, sections 1 and 7): the one of its gRPC code, but for what only HTTP tells
/// apart. A new reason chooses its gRPC code in `coffre-error`, where the match is exhaustive.
pub(crate) fn http_status(reason: Reason) -> StatusCode {
    match reason {
        Reason::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::RequestHeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Reason::RequestEncodingUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::RequestPreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Reason::RouteMethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        _ => of_code(grpc_code(reason)),
    }
}

const fn of_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound | Code::Unimplemented => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal | Code::Unknown | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Failure {
    /// The client did not send its body in time: the one timeout that is the client's and not ours.
    pub(crate) fn slow_body() -> Self {
        let refusal = Refusal::new(Reason::RequestTimeout, "the body did not arrive in time; send the request again");
        Self { status: StatusCode::REQUEST_TIMEOUT, refusal, own: true }
    }

    /// The gateway's own deadline passed.
    pub(crate) fn deadline() -> Self {
        Refusal::new(Reason::RequestTimeout, "the request took longer than the gateway waits; repeat it")
            .retry_after(Duration::from_secs(1))
            .into()
    }

    /// The HTTP parser refused what it read.
    pub(crate) fn unread(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Refusal::new(
                Reason::RequestMalformed,
                "the request is not HTTP as it should be: look at its first line, its headers and its Content-Length",
            ),
            _ => Refusal::new(
                Reason::RequestHeadersTooLarge,
                "the path or the headers are too large or too many; send less",
            ),
        }
        .into()
    }

    /// A service refused; its fields get the names that they have in the request.
    pub(crate) fn of_service(status: &Status, rename: impl Fn(&str) -> String) -> Self {
        let refusal = Refusal::from_status(status).rename_fields(rename);
        Self { status: http_status(refusal.reason()), refusal, own: false }
    }

    /// Writes the body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let refusal = &self.refusal;
        let fields =
            refusal.violations().iter().map(|v| Detail::Field { field: &v.field, description: &v.description });
        let facts = refusal.facts().iter().map(|(key, value)| Detail::Fact { key, value });
        let body = ErrorBody {
            code: code(refusal.reason()),
            details: fields.chain(facts).collect(),
            message: refusal.message(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { status: http_status(refusal.reason()), refusal, own: true }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::of_service(&status, json_path)
    }
}

/// For conversions that cannot fail where others can.
impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Turns `attributes[0].user_provided` into `attributes[0].userProvided`, with the names that the published JSON chose otherwise.
fn json_path(field: &str) -> String {
    // The body of a member is the member itself.
    let field = field.strip_prefix("member.").unwrap_or(field);
    let mut path = String::with_capacity(field.len());
    for (position, segment) in field.split('.').enumerate() {
        if position > 0 {
            path.push('.');
        }
        match segment {
            "attribute_id" => path.push_str("credentialAttributeId"),
            "recipient_id" => path.push_str("userId"),
            "expire_time" => path.push_str("expiresOn"),
            // A consumer is named `{"id"}`.
            "role_id" => path.push_str("id"),
            // Sizes of checkpoints are `from` and `to` in a query, the bookmark of an export is `from`.
            "from_size" | "from_index" => path.push_str("from"),
            "to_size" => path.push_str("to"),
            "before_time" => path.push_str("before"),
            // A mode is named `{"name"}`.
            "mode" => path.push_str("name"),
            "password" if position > 0 && field.starts_with("attributes") => path.push_str("passwordFlag"),
            _ => camel_case(segment, &mut path),
        }
    }
    path
}

fn camel_case(segment: &str, out: &mut String) {
    let mut upper = false;
    for letter in segment.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            out.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
}

/// Marks an answer with its refusal: for the log, the audit, the documented status codes, and where a refusal has another shape.
#[derive(Clone)]
pub(crate) struct Refused {
    pub(crate) refusal: Arc<Refusal>,
    /// The gateway refused, and not a service.
    pub(crate) own: bool,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        let Self { status, refusal, own } = self;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(challenge) = challenge(refusal.reason(), status) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_seconds(refusal.delay())));
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response.extensions_mut().insert(Refused { refusal: Arc::new(refusal), own });
        response
    }
}

/// What a client would have to show (RFC 6750, section 3): no word where it showed nothing, or no token.
fn challenge(reason: Reason, status: StatusCode) -> Option<&'static str> {
    match reason {
        Reason::AuthTokenInvalid => Some("Bearer realm=\"coffre\", error=\"invalid_token\""),
        Reason::AuthTokenConflict => Some("Bearer realm=\"coffre\", error=\"invalid_request\""),
        Reason::AuthzPermissionRequired | Reason::AuthTokenKind => {
            Some("Bearer realm=\"coffre\", error=\"insufficient_scope\"")
        }
        _ => (status == StatusCode::UNAUTHORIZED).then_some("Bearer realm=\"coffre\""),
    }
}

/// Whole seconds, rounded up, at least one.
fn retry_seconds(delay: Option<Duration>) -> u64 {
    let delay = delay.unwrap_or(Duration::from_secs(1));
    let rounded = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    rounded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_documented_status() {
        let table = [
            (
                400,
                "REQUEST_INVALID REQUEST_MALFORMED LIST_TOO_LARGE LIST_FIELD_UNKNOWN LIST_TOKEN_INVALID AUTH_TOKEN_CONFLICT AUTH_PASSWORD_WEAK TRANSPORT_KEY_UNKNOWN TRANSPORT_VALUE_UNREADABLE TRANSPORT_VALUE_TOO_LONG OAUTH_GRANT_INVALID OAUTH_CLIENT_UNAUTHORIZED OAUTH_SCOPE_INVALID OAUTH_GRANT_TYPE_UNSUPPORTED VAULT_KEY_WEAK AUDIT_SEARCH_TOO_WIDE",
            ),
            (401, "AUTH_TOKEN_REQUIRED AUTH_TOKEN_INVALID AUTH_SIGN_IN_FAILED OAUTH_CLIENT_INVALID"),
            (
                403,
                "AUTH_PASSWORD_CHANGE_REQUIRED AUTH_TOKEN_KIND AUTH_RECENT_SIGN_IN_REQUIRED AUTH_PASSWORD_WRONG AUTHZ_PERMISSION_REQUIRED AUTHZ_SELF_GRANT AUTHZ_GRANT_EXCEEDS CREDENTIAL_NOT_PERMITTED LOCKER_NOT_PERMITTED VAULT_KEY_WRONG",
            ),
            (
                404,
                "ROUTE_NOT_FOUND USER_NOT_FOUND ROLE_NOT_FOUND CREDENTIAL_NOT_FOUND CREDENTIAL_OWNER_UNKNOWN ATTRIBUTE_NOT_FOUND VALUE_NOT_FOUND AUDIT_ENTRY_NOT_FOUND LOCKER_NOT_FOUND LOCKER_MEMBER_NOT_FOUND LOCKER_CONSUMER_NOT_FOUND CREDENTIAL_NOT_IN_LOCKER API_ACCESS_NOT_FOUND API_KEY_NOT_FOUND AUDIT_CHECKPOINT_NOT_FOUND",
            ),
            (405, "ROUTE_METHOD_NOT_ALLOWED"),
            (
                409,
                "USER_NAME_TAKEN USER_VERSION_CONFLICT USER_LAST_ADMINISTRATOR USER_HOLDS_OBJECTS ROLE_NAME_TAKEN ROLE_VERSION_CONFLICT ROLE_SYSTEM ROLE_IN_USE CREDENTIAL_NAME_TAKEN CREDENTIAL_VERSION_CONFLICT CREDENTIAL_IN_LOCKER ATTRIBUTE_VERSION_CONFLICT ATTRIBUTE_NAME_TAKEN ATTRIBUTE_HAS_VALUES VALUE_EXISTS VALUE_VERSION_CONFLICT STORE_CONFLICT LOCKER_NAME_TAKEN LOCKER_VERSION_CONFLICT LOCKER_NOT_EMPTY LOCKER_LAST_OWNER LOCKER_BEING_DELETED API_ACCESS_CLIENT_ID_TAKEN API_ACCESS_VERSION_CONFLICT API_ACCESS_NOT_BINDABLE API_KEY_NAME_TAKEN API_KEY_LIMIT VAULT_KEYS_CHANGED VAULT_MODE_CONFLICT AUDIT_CUT AUDIT_LOG_DAMAGED",
            ),
            (412, "REQUEST_PRECONDITION_FAILED"),
            (413, "REQUEST_TOO_LARGE"),
            (415, "REQUEST_ENCODING_UNSUPPORTED"),
            (429, "AUTH_THROTTLED VAULT_KEY_THROTTLED"),
            (431, "REQUEST_HEADERS_TOO_LARGE"),
            (500, "UNSPECIFIED VALUE_CORRUPT VAULT_KEY_DAMAGED INTERNAL"),
            (
                503,
                "REQUEST_TIMEOUT REQUEST_OVERLOADED AUTH_UNAVAILABLE VAULT_SEALED TRANSPORT_KEY_PENDING AUDIT_UNAVAILABLE STORE_UNAVAILABLE SERVICE_UNAVAILABLE",
            ),
        ];
        let mut seen = 0;
        for (status, reasons) in table {
            for name in reasons.split(' ') {
                let reason = Reason::from_str_name(&format!("ERROR_REASON_{name}")).unwrap();
                assert_eq!(http_status(reason).as_u16(), status, "{name}");
                seen += 1;
            }
        }
        let all = (0..).take_while(|number| Reason::try_from(*number).is_ok()).count();
        assert_eq!(seen, all, "a reason is not in this table");
    }

    #[test]
    fn every_grpc_code_has_the_documented_status() {
        for (code, status) in [
            (Code::InvalidArgument, 400),
            (Code::OutOfRange, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::NotFound, 404),
            (Code::Unimplemented, 404),
            (Code::AlreadyExists, 409),
            (Code::Aborted, 409),
            (Code::FailedPrecondition, 409),
            (Code::ResourceExhausted, 429),
            (Code::Internal, 500),
            (Code::Unknown, 500),
            (Code::DataLoss, 500),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 503),
            (Code::Cancelled, 503),
            (Code::Ok, 200),
        ] {
            assert_eq!(of_code(code).as_u16(), status, "{code:?}");
        }
    }

    #[test]
    fn a_resource_says_what_a_client_has_to_show() {
        for (reason, expected) in [
            (Reason::AuthTokenRequired, Some("Bearer realm=\"coffre\"")),
            (Reason::AuthSignInFailed, Some("Bearer realm=\"coffre\"")),
            (Reason::AuthTokenInvalid, Some("Bearer realm=\"coffre\", error=\"invalid_token\"")),
            (Reason::AuthTokenKind, Some("Bearer realm=\"coffre\", error=\"insufficient_scope\"")),
            (Reason::AuthTokenConflict, Some("Bearer realm=\"coffre\", error=\"invalid_request\"")),
            (Reason::AuthzPermissionRequired, Some("Bearer realm=\"coffre\", error=\"insufficient_scope\"")),
            (Reason::AuthzSelfGrant, None),
            (Reason::AuthRecentSignInRequired, None),
            (Reason::CredentialNotFound, None),
        ] {
            let response = Failure::from(Refusal::new(reason, "x")).into_response();
            let shown = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(shown, expected, "{reason:?}");
        }
    }

    #[test]
    fn a_slow_body_is_408_and_a_slow_service_503() {
        assert_eq!(Failure::slow_body().into_response().status(), 408);
        assert_eq!(Failure::deadline().into_response().status(), 503);
        assert_eq!(Failure::from(Status::deadline_exceeded("")).into_response().status(), 503);
    }

    #[test]
    fn fields_are_named_as_in_the_json() {
        assert_eq!(json_path("attributes[0].user_provided"), "attributes[0].userProvided");
        assert_eq!(json_path("attributes[3].password"), "attributes[3].passwordFlag");
        assert_eq!(json_path("password"), "password");
        assert_eq!(json_path("values[1].attribute_id"), "values[1].credentialAttributeId");
        assert_eq!(json_path("member.permissions[0]"), "permissions[0]");
        assert_eq!(json_path("member.user_id"), "userId");
        assert_eq!(json_path("recipient_id"), "userId");
        assert_eq!(json_path("role_id"), "id");
        assert_eq!(json_path("mode"), "name");
        assert_eq!(json_path("recovery_key"), "recoveryKey");
        assert_eq!(json_path("access_token_life"), "accessTokenLife");
        assert_eq!(json_path("expire_time"), "expiresOn");
        let status = Status::from(Refusal::invalid("first_name", "is too long"));
        let refusal = Refusal::from_status(&status).rename_fields(json_path);
        assert_eq!(refusal.message(), "firstName: is too long");
        assert_eq!(refusal.violations()[0].field, "firstName");
    }

    #[test]
    fn delays_are_rounded_up_to_whole_seconds() {
        assert_eq!(retry_seconds(None), 1);
        assert_eq!(retry_seconds(Some(Duration::ZERO)), 1);
        assert_eq!(retry_seconds(Some(Duration::from_millis(1200))), 2);
        assert_eq!(retry_seconds(Some(Duration::from_secs(30))), 30);
    }
}
