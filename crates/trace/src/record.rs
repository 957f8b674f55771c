//! What a finished span says.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::TraceContext;

/// Which side of something a span tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It answers.
    Server,
    /// It asks.
    Client,
    /// It works.
    Internal,
}

/// The name of a span: of a text of the program, or of a template or an RPC, of which there are as many as the program has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Name {
    /// A text of the program.
    Of(&'static str),
    /// The template of a route, or the name of an RPC.
    Shared(Arc<str>),
}

impl Name {
    /// Takes the path of a gRPC call of ours, such as `/coffre.vault.v1.KeyService/Seal`; of what looks otherwise nothing is kept.
    #[must_use]
    pub fn of_rpc(path: &str) -> Self {
        let name = path.strip_prefix('/').filter(|name| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/".contains(&byte);
            name.starts_with("coffre.") && name.len() <= 128 && name.bytes().all(plain)
        });
        name.map_or(Self::Of("call"), |name| Self::Shared(name.into()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Of(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Name {
    fn from(text: &'static str) -> Self {
        Self::Of(text)
    }
}

/// The name of something noted. The words are those of OpenTelemetry's semantic conventions, where they have one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// The function of the program that asks.
    CodeFunction,
    /// The service whose database it is.
    DbNamespace,
    /// What is done at the database: one of our words, or the first of the statement.
    DbOperation,
    /// The engine.
    DbSystem,
    /// The audit's and the API's word for why it was refused.
    ErrorType,
    /// The method of the request.
    HttpMethod,
    /// The template of the route.
    HttpRoute,
    /// The status of the answer.
    HttpStatus,
    /// The request id.
    RequestId,
    /// The name of the RPC.
    RpcMethod,
    /// The gRPC status of the answer.
    RpcStatus,
    /// `grpc`.
    RpcSystem,
}

impl Key {
    /// Returns the word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeFunction => "code.function.name",
            Self::DbNamespace => "db.namespace",
            Self::DbOperation => "db.operation.name",
            Self::DbSystem => "db.system.name",
            Self::ErrorType => "error.type",
            Self::HttpMethod => "http.request.method",
            Self::HttpRoute => "http.route",
            Self::HttpStatus => "http.response.status_code",
            Self::RequestId => "coffre.request_id",
            Self::RpcMethod => "rpc.method",
            Self::RpcStatus => "rpc.grpc.status_code",
            Self::RpcSystem => "rpc.system",
        }
    }
}

/// What is noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A text.
    Name(Name),
    /// A number.
    Number(i64),
    /// A request id, which callers may choose: at most 128 visible characters.
    RequestId(Arc<str>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Name(Name::Of(text))
    }
}

impl From<Name> for Value {
    fn from(name: Name) -> Self {
        Self::Name(name)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Returns the time at which something is said to have begun. Nothing is decided by it: how long it took is measured otherwise.
#[allow(clippy::disallowed_methods, reason = "it is told to people, and to collectors that compare machines by it")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// A finished span.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its trace and its id.
    pub context: TraceContext,
    /// The span that it is part of.
    pub parent: Option<[u8; 8]>,
    /// Which side it tells of.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What was noted.
    pub notes: Vec<(Key, Value)>,
    /// It failed by a fault of ours.
    pub failed: bool,
}
