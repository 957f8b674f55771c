//! What `/oauth/…` has of its own: its requests are forms, its clients show who they are, and its refusals have the shape of RFC 6749.
//!
//! - `form.rs`: the parameters of a request, from its body alone (RFC 6749, sections 3.2 and appendix B)
//! - `client.rs`: the client's id and secret, from the header or the form (section 2.3.1)
//! - `errors.rs`: every refusal under `/oauth/`, whoever refused, as section 5.2 has it

mod client;
mod errors;
mod form;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts as _};
use coffre_proto::auth::v1::ClientAuthentication;
use http::Request;

pub(crate) use self::errors::{Error, dressed, of_service};
pub(crate) use self::form::Form;
use crate::caller::{Anybody, Caller};
use crate::error::Failure;
use crate::request::{App, read_whole};

/// The largest form, in bytes: several times what the longest password, secret and token need with every byte encoded.
const FORM_BYTES: usize = 64 * 1024;

/// Says whether a path is one where OAuth is spoken; the path as the routes spell it.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix("/oauth").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A request of a client that has said who it is. Whether that is true is for the service to find out.
pub(crate) struct ClientRequest {
    pub(crate) caller: Caller,
    pub(crate) client: ClientAuthentication,
    pub(crate) form: Form,
}

impl FromRequest<App> for ClientRequest {
    type Rejection = Failure;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Anybody(caller) = Anybody::from_request_parts(&mut parts, app).await?;
        let headers = parts.headers.clone();
        let body = read_whole(Request::from_parts(parts, body), app, FORM_BYTES).await?;
        let mut form = Form::read(&headers, &body)?;
        let client = client::read(&headers, &mut form)?;
        Ok(Self { caller, client, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_under_oauth_is_one_of_its_paths() {
        for (path, is) in [
            ("/oauth/token", true),
            ("/oauth/nothing/at/all", true),
            ("/oauth", true),
            ("/oauthx/token", false),
            ("/v1/oauth/token", false),
            ("/.well-known/oauth-authorization-server", false),
        ] {
            assert_eq!(is_path(path), is, "{path}");
        }
    }
}
