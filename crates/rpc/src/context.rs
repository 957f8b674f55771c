//! What a handler may ask about the call it answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Source;
use coffre_types::Caller;

use crate::{Access, Guard};

/// The call that a handler answers.
pub struct CallContext {
    pub(crate) request_id: Arc<str>,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) source: Source,
    pub(crate) record: Arc<CallRecord>,
    pub(crate) caller: Option<Arc<Caller>>,
    /// What let the caller in, for calls that go on: see [`crate::Admission`].
    pub(crate) guard: Arc<Guard>,
    pub(crate) access: Access,
}

impl CallContext {
    /// Returns the context of a request that came through [`Layered`](crate::Layered).
    ///
    /// # Errors
    /// `INTERNAL` where the handler was wired without the layers.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Arc<Self>, Refusal> {
        request
            .extensions()
            .get::<Arc<Self>>()
            .cloned()
            .ok_or_else(|| Refusal::internal("a handler was reached without its layers"))
    }

    /// Returns the caller.
    ///
    /// # Errors
    /// `AUTH_TOKEN_REQUIRED` where the RPC is open and no caller was looked for.
    pub fn caller(&self) -> Result<&Arc<Caller>, Refusal> {
        self.caller.as_ref().ok_or_else(|| Refusal::new(Reason::AuthTokenRequired, "sign in and send the token"))
    }

    /// Returns the record of the call, which the handler fills.
    #[must_use]
    pub fn record(&self) -> &Arc<CallRecord> {
        &self.record
    }

    /// Returns the request id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Returns the caller's address.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Returns the way by which the call came.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("request_id", &self.request_id)
            .field("client_address", &self.client_address)
            .field("source", &self.source)
            .field("record", &self.record)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
