//! The API, browsable: Swagger UI from the binary itself, without network.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use coffre_error::{Reason, Refusal};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};

use crate::error::Failure;
use crate::request::Named;

/// What the pages of the documentation may load: themselves, and nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Leads to the first page.
pub(crate) async fn docs() -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static("/docs/index.html"))]).into_response()
}

/// Returns a file of the documentation.
pub(crate) async fn file(Named(name): Named) -> Result<Response, Failure> {
    let config = Arc::new(utoipa_swagger_ui::Config::from("/openapi.json"));
    let found = utoipa_swagger_ui::serve(&name, config).map_err(|fault| Refusal::internal(&fault))?;
    let Some(found) = found else { return Err(Refusal::new(Reason::RouteNotFound, "there is no such page").into()) };
    let mut response = found.bytes.into_owned().into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&found.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if found.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}
