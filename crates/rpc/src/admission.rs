//! Looking again at whether a caller may still do what it was let in for: calls that go on for long.

use std::fmt;
use std::sync::Arc;

use coffre_error::Refusal;
use coffre_types::Caller;

use crate::metadata::bearer;
use crate::{Access, CallContext, Guard};

/// What a caller was let in with: its token, and the door.
#[derive(Clone)]
pub struct Admission {
    guard: Arc<Guard>,
    access: Access,
    token: Arc<str>,
}

impl Admission {
    /// Returns the admission of a call that came through [`Layered`](crate::Layered).
    ///
    /// # Errors
    /// `INTERNAL` where the handler was wired without the layers, `AUTH_TOKEN_REQUIRED` where the RPC is open.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Refusal> {
        let call = CallContext::of(request)?;
        call.caller()?;
        let headers = request.metadata().as_ref();
        let token = bearer(headers)?.ok_or_else(|| Refusal::internal("a caller was let in without a token"))?;
        Ok(Self { guard: call.guard.clone(), access: call.access, token: Arc::from(token) })
    }

    /// Returns the caller as it is now.
    ///
    /// # Errors
    /// As for a new call: the token has expired, the session has ended, a permission is missing, nobody can be recognised.
    pub async fn look_again(&self) -> Result<Arc<Caller>, Refusal> {
        let guard = &self.guard;
        let caller = guard.authenticator.authenticate(&self.token).await?;
        self.access.admit(&caller, guard.clock.now(), guard.limits.recent_sign_in)?;
        Ok(caller)
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}

/// Without the token.
impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("access", &self.access).finish_non_exhaustive()
    }
}
