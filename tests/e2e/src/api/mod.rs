//! A caller: every call over REST or gRPC, with answers and refusals in one form.

mod api_access;
mod api_keys;
mod audit;
mod authentication;
mod contents;
mod holdings;
mod keys;
mod lockers;
mod oauth;
mod roles;
mod users;
mod values;
mod vault;

use std::net::IpAddr;
use std::sync::Arc;

use coffre_error::{Reason, Refusal};
use http::Method;
use prost::Message;
use serde_json::Value as Json;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::http::{Http, HttpAnswer};
use crate::ledger::{Expectation, Ledger};
use crate::model::Refused;
use crate::operation::Operation;
use crate::ports::Ports;
use crate::server::Server;

pub use self::api_access::{ApiAccessChange, NewApiAccess};
pub use self::audit::{Checkpoint, Proof};
pub use self::authentication::SignedIn;
pub use self::keys::{Key, ModeKeys};
pub use self::lockers::LockerChange;
pub use self::oauth::{Client, INTROSPECT, REVOKE, Shown, TOKEN, basic};
pub use self::roles::{NewRole, RoleChange};
pub use self::users::{NewUser, UserChange};
pub use self::values::{NewValue, ValueChange};
pub use self::vault::{AttributeChange, CredentialChange, ListCredentials, NewAttribute};

/// The way of the calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Rest,
    Grpc,
}

impl Protocol {
    pub const BOTH: [Self; 2] = [Self::Rest, Self::Grpc];

    /// What the audit calls it.
    pub fn source(self) -> &'static str {
        match self {
            Self::Rest => "API",
            Self::Grpc => "gRPC",
        }
    }
}

/// A way to a server.
#[derive(Clone, Debug)]
pub struct Api {
    pub protocol: Protocol,
    pub http: Http,
    pub channel: Ports,
    pub ledger: Arc<Ledger>,
}

impl Api {
    pub fn new(server: &Server, protocol: Protocol) -> Self {
        Self::from_address(server, protocol, None)
    }

    /// Comes from another address of this machine.
    pub fn from_address(server: &Server, protocol: Protocol, from: Option<IpAddr>) -> Self {
        let channel = Ports::of(server, from);
        Self { protocol, http: Http::from_address(server.http, from), channel, ledger: Arc::default() }
    }

    /// A caller without a token.
    pub fn anonymous(&self) -> Session {
        Session { api: self.clone(), token: None, id: 0, username: String::new() }
    }
}

/// A caller.
#[derive(Clone, Debug)]
pub struct Session {
    pub api: Api,
    pub token: Option<String>,
    pub id: i64,
    pub username: String,
}

/// The answer to one call.
#[derive(Debug)]
#[must_use]
pub struct Answer<T> {
    pub request_id: String,
    pub outcome: Result<T, Refused>,
    /// The entity tag of a REST answer.
    pub etag: Option<String>,
    /// The id of the call's entry in the audit, as the answer names it.
    pub audit_id: Option<String>,
    pub status: u16,
    what: &'static str,
    ledger: Arc<Ledger>,
}

impl<T> Answer<T> {
    /// The content of a success.
    #[track_caller]
    pub fn ok(self) -> T {
        match self.outcome {
            Ok(content) => content,
            Err(refused) => panic!("{} is refused: {refused:?}", self.what),
        }
    }

    /// The refusal, after a look at its status and code word.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Refused {
        match self.outcome {
            Ok(_) => panic!("{} succeeds; {status} {code} is expected", self.what),
            Err(refused) => {
                assert_eq!(
                    (refused.status, refused.code.as_str()),
                    (status, code),
                    "{}: {}",
                    self.what,
                    refused.message
                );
                refused
            }
        }
    }

    /// The code word of the refusal, if it is one.
    pub fn code(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(|refused| refused.code.as_str())
    }

    /// The audit names another user than the caller, or one that is not looked at where the name is empty.
    pub fn by(self, user_name: &str) -> Self {
        self.ledger.amend(&self.request_id, |expected| expected.user_name = user_name.to_owned());
        self
    }

    /// The audit names this object.
    pub fn about(self, object: impl Into<String>) -> Self {
        self.ledger.amend(&self.request_id, |expected| expected.object_name = Some(object.into()));
        self
    }

    /// The audit names this object where the call succeeded: one that was refused has no object yet.
    pub fn about_new(self, object: impl Into<String>) -> Self {
        if self.outcome.is_ok() { self.about(object) } else { self }
    }

    /// The audit's fine word is this one.
    pub fn event(self, event: &str) -> Self {
        self.ledger.amend(&self.request_id, |expected| expected.event = Some(event.to_owned()));
        self
    }

    /// Another service recorded this event so often for the call.
    pub fn beside(self, event: &'static str, count: usize) -> Self {
        self.ledger.amend(&self.request_id, |expected| expected.exactly.push((event, count)));
        self
    }

    /// The audit's documented word is this one.
    pub fn activity(self, activity: &'static str) -> Self {
        self.ledger.amend(&self.request_id, |expected| expected.activities = vec![activity]);
        self
    }

    fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            request_id: self.request_id,
            outcome: self.outcome.map(f),
            etag: self.etag,
            audit_id: self.audit_id,
            status: self.status,
            what: self.what,
            ledger: self.ledger,
        }
    }
}

/// A REST request to be.
#[derive(Debug)]
pub struct Rest {
    method: Method,
    path: String,
    body: Option<Json>,
    form: Option<String>,
    headers: Vec<(&'static str, String)>,
    etag: Option<String>,
}

pub fn rest(method: Method, path: impl Into<String>) -> Rest {
    Rest { method, path: path.into(), body: None, form: None, headers: Vec::new(), etag: None }
}

/// Encodes the fields of a form.
pub fn form(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    fields.join("&")
}

impl Rest {
    #[must_use]
    pub fn json(mut self, body: Json) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends a form in place of JSON.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.form = Some(form(fields));
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn if_match(mut self, etag: Option<&str>) -> Self {
        self.etag = etag.map(ToOwned::to_owned);
        self
    }
}

/// Encodes one part of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Session {
    fn expect<T>(&self, operation: Operation, request_id: &str, outcome: &Result<T, Refused>) {
        self.api.ledger.add(Expectation {
            request_id: request_id.to_owned(),
            rpc: operation.rpc,
            activities: operation.activities.to_vec(),
            successful: outcome.is_ok(),
            refusal: outcome.as_ref().err().map(|refused| (refused.status, refused.code.clone())),
            user_name: self.username.clone(),
            source: self.api.protocol.source(),
            object_name: None,
            event: None,
            beside: operation.beside,
            exactly: Vec::new(),
        });
    }

    /// Makes a REST call.
    pub async fn rest(&self, operation: Operation, rest: Rest) -> Answer<HttpAnswer> {
        let request_id = format!("e2e-{}", uuid::Uuid::new_v4());
        let is_oauth = rest.path.starts_with("/oauth/");
        let mut request = self.api.http.request(rest.method, rest.path).header("x-request-id", &request_id);
        for (name, value) in &rest.headers {
            request = request.header(name, value);
        }
        if let Some(form) = rest.form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        if let Some(token) = &self.token {
            request = request.token(token);
        }
        if let Some(etag) = &rest.etag {
            request = request.header("if-match", etag);
        }
        if let Some(body) = &rest.body {
            request = request.json(body);
        }
        let answer = request.send().await;
        assert_eq!(answer.header("x-request-id"), Some(request_id.as_str()), "the request id comes back");
        let (status, etag) = (answer.status, answer.header("etag").map(ToOwned::to_owned));
        let audit_id = answer.header("x-audit-id").map(ToOwned::to_owned);
        if is_oauth {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "nobody keeps this: {answer:?}");
        }
        let outcome = if (200..300).contains(&status) {
            Ok(answer)
        } else {
            let code = if is_oauth { answer.oauth_code() } else { answer.code() };
            let text = if is_oauth { "error_description" } else { "message" };
            assert!(!crate::canary::is_in(&answer.body), "a secret in the refusal: {answer:?}");
            Err(Refused {
                status,
                code,
                message: answer.json()[text].as_str().unwrap_or_default().to_owned(),
                retry_after: answer
                    .header("retry-after")
                    .map(|seconds| seconds.parse().expect("Retry-After is in seconds")),
            })
        };
        self.expect(operation, &request_id, &outcome);
        let (what, ledger) = (operation.rpc, self.api.ledger.clone());
        Answer { request_id, outcome, etag, audit_id, status, what, ledger }
    }

    /// Makes a gRPC call.
    pub async fn grpc<I, O>(&self, operation: Operation, message: I) -> Answer<O>
    where
        I: Message + Send + Sync + 'static,
        O: Message + Default + Send + Sync + 'static,
    {
        let request_id = format!("e2e-{}", uuid::Uuid::new_v4());
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-request-id", MetadataValue::try_from(&request_id).unwrap());
        let outcome = self.answered(operation.rpc, request).await;
        let metadata = outcome.as_ref().map_or_else(Status::metadata, tonic::Response::metadata);
        let audit_id = metadata.get("x-audit-id").map(|id| id.to_str().unwrap().to_owned());
        let outcome = outcome.map(tonic::Response::into_inner).map_err(|status| refused(&status));
        self.expect(operation, &request_id, &outcome);
        let status = outcome.as_ref().map_or_else(|refused| refused.status, |_| 200);
        let (what, ledger) = (operation.rpc, self.api.ledger.clone());
        Answer { request_id, outcome, etag: None, audit_id, status, what, ledger }
    }

    /// Makes a gRPC call with the caller's token and gives the bare answer.
    ///
    /// # Errors
    /// The status.
    pub async fn unary<I, O>(&self, rpc: &str, request: Request<I>) -> Result<O, Status>
    where
        I: Message + Send + Sync + 'static,
        O: Message + Default + Send + Sync + 'static,
    {
        self.answered(rpc, request).await.map(tonic::Response::into_inner)
    }

    async fn answered<I, O>(&self, rpc: &str, mut request: Request<I>) -> Result<tonic::Response<O>, Status>
    where
        I: Message + Send + Sync + 'static,
        O: Message + Default + Send + Sync + 'static,
    {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
        }
        let mut client = tonic::client::Grpc::new(self.api.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/{rpc}").parse().unwrap();
        client.unary(request, path, ProstCodec::<I, O>::default()).await
    }
}

/// Reads a refusal and checks that code and reason go together (contract, section 7).
pub fn refused(status: &Status) -> Refused {
    let refusal = Refusal::from_status(status);
    assert!(!crate::canary::is_in(format!("{status:?}").as_bytes()), "a secret in the refusal: {status:?}");
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("a refusal carries ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "coffre", "{status:?}");
    let http = match (status.code(), refusal.reason()) {
        (Code::FailedPrecondition, Reason::RequestPreconditionFailed) => 412,
        (Code::InvalidArgument | Code::ResourceExhausted, Reason::RequestTooLarge) => 413,
        (Code::InvalidArgument, _) => 400,
        (Code::Unauthenticated, _) => 401,
        (Code::PermissionDenied, _) => 403,
        (Code::NotFound | Code::Unimplemented, _) => 404,
        (Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition, _) => 409,
        (Code::ResourceExhausted, _) => 429,
        (Code::Internal, _) => 500,
        (Code::Unavailable | Code::DeadlineExceeded, _) => 503,
        (code, reason) => panic!("no status of the contract for {code:?} {reason:?}"),
    };
    Refused {
        status: http,
        code: coffre_error::code(refusal.reason()).to_owned(),
        message: status.message().to_owned(),
        retry_after: refusal.delay().map(|delay| delay.as_secs().max(1)),
    }
}
