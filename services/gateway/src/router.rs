//! Every route in one list. The OpenAPI document comes from the same list, so that neither has what the other lacks.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use coffre_error::{Reason, Refusal};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clients::Clients;
use crate::config::Config;
use crate::docs;
use crate::edge::{Gateway, Parts};
use crate::error::Failure;
use crate::metrics::Templates;
use crate::oauth;
use crate::refusals::Refusals;
use crate::request::App;
use crate::routes::{
    api_access, api_access_secret, api_keys, attribute_values, audit, audit_export, audit_proofs, authentication,
    credential_access, credentials, dashboard, holdings, keys, locker_consumers, locker_credentials, locker_members,
    lockers, mode, oauth as tokens, oauth_metadata, operations, permissions, roles, rotation, users,
};

/// What the document says beside its routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Coffre",
        description = "An open credential vault. A token comes from `POST /v1/authentication`, or for programs from `POST /oauth/token`, \
                       and goes into `X-Authorization` as it is, or into `Authorization` behind `Bearer `.\n\nOther names of the same paths: `/v1/credentialvault/…` is \
                       `/v2/credentialvault/…`; `/v2/authentication…` is `/v1/authentication…`; under a credential, `attributevalue` and \
                       `values` are `attributevalues`. Repeated slashes and a slash at the end do not matter. Ids may be sent as numbers \
                       or strings. Every refusal has the shape of `ErrorBody`, and under `/oauth/` of `OAuthError`; every answer carries `X-Request-Id`, and \
                       every answer of a call that is in the audit `X-Audit-Id`: the id of its entry, for `GET /v1/audit/messages/{id}/proof`.\n\nWhere the server \
                       is set to the documented status codes, a PUT that changes nothing is answered by 304 instead of 200 with the \
                       resource, and a missing permission by 501 instead of 403.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    security(("token" = []), ("bearer" = [])),
    modifiers(&Schemes),
    tags(
        (name = "Authentication", description = "Signing in and out"),
        (name = "API keys", description = "What a program shows in place of its user's password"),
        (name = "OAuth 2.0", description = "Tokens for programs: the requests are forms, the refusals those of RFC 6749"),
        (name = "API access", description = "The OAuth clients that may ask for tokens"),
        (name = "Dashboard", description = "What a caller sees at a glance"),
        (name = "Credentials", description = "Credentials and their attributes"),
        (name = "Values", description = "Storing and reading secrets"),
        (name = "Lockers", description = "Sharing credentials: members run a locker, the users of consuming roles use what is inside"),
        (name = "Mode and keys", description = "The vault's mode and keys"),
        (name = "Users and roles", description = "People, and what they may do"),
        (name = "Audit", description = "The record of every call"),
        (name = "Operations", description = "Without a token"),
    )
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = ApiKeyValue::with_description("X-Authorization", "The token as it is");
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(token)));
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let client = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some("Id and secret of an API access, under `/oauth/` alone; or in the body"));
        components.add_security_scheme("client", SecurityScheme::Http(client.build()));
    }
}

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(authentication::sign_in))
        .routes(routes!(authentication::check, authentication::refresh))
        .routes(routes!(authentication::validate))
        .routes(routes!(authentication::sign_out))
        .routes(routes!(authentication::change_password))
        .routes(routes!(authentication::key_set))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::delete))
        .routes(routes!(tokens::token))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::introspect))
        .routes(routes!(oauth_metadata::get))
        .routes(routes!(api_access::create, api_access::list))
        .routes(routes!(api_access::list_by_query))
        .routes(routes!(api_access::get, api_access::update, api_access::delete))
        .routes(routes!(api_access_secret::rotate))
        .routes(routes!(api_access_secret::confirm, api_access_secret::withdraw))
        .routes(routes!(dashboard::get))
        .routes(routes!(users::create, users::list))
        .routes(routes!(users::list_by_query))
        .routes(routes!(users::get, users::update, users::delete))
        .routes(routes!(users::list_by_query_v2))
        .routes(routes!(users::get_v2))
        .routes(routes!(holdings::get))
        .routes(routes!(holdings::get_v2))
        .routes(routes!(holdings::transfer))
        .routes(routes!(holdings::transfer_v2))
        .routes(routes!(roles::create, roles::list))
        .routes(routes!(roles::list_by_query))
        .routes(routes!(roles::get, roles::update, roles::delete))
        .routes(routes!(permissions::list))
        .routes(routes!(credentials::create, credentials::list))
        .routes(routes!(credentials::list_by_query))
        .routes(routes!(credentials::get, credentials::update, credentials::delete))
        .routes(routes!(credentials::transfer))
        .routes(routes!(credentials::delete_attribute))
        .routes(routes!(attribute_values::create, attribute_values::list))
        .routes(routes!(attribute_values::update, attribute_values::delete))
        .routes(routes!(credential_access::explain))
        .routes(routes!(credential_access::missing_values))
        .routes(routes!(lockers::create, lockers::list))
        .routes(routes!(lockers::list_by_query))
        .routes(routes!(lockers::list_detailed))
        .routes(routes!(lockers::get, lockers::update, lockers::delete))
        .routes(routes!(locker_consumers::list, locker_consumers::add, locker_consumers::post))
        .routes(routes!(locker_consumers::remove))
        .routes(routes!(locker_members::list))
        .routes(routes!(locker_members::set, locker_members::remove))
        .routes(routes!(locker_credentials::list))
        .routes(routes!(locker_credentials::assign, locker_credentials::withdraw))
        .routes(routes!(mode::get, mode::set))
        .routes(routes!(keys::master_key, keys::apply))
        .routes(routes!(keys::drill))
        .routes(routes!(keys::seal))
        .routes(routes!(keys::unseal))
        .routes(routes!(keys::replace_recovery_key))
        .routes(routes!(keys::slots))
        .routes(routes!(rotation::start, rotation::get))
        .routes(routes!(keys::transport_key))
        .routes(routes!(audit::list_by_query))
        .routes(routes!(audit::get))
        .routes(routes!(audit_export::export))
        .routes(routes!(audit_proofs::proof))
        .routes(routes!(audit_proofs::latest))
        .routes(routes!(audit_proofs::consistency))
        .routes(routes!(audit_proofs::get))
        .routes(routes!(audit_proofs::create))
        .routes(routes!(audit_proofs::incidents))
        .routes(routes!(audit_proofs::cut))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::version))
}

/// Returns the OpenAPI document of the REST API.
#[must_use]
pub fn openapi() -> OpenApi {
    completed(routes().into_openapi())
}

/// Paths that the document does not describe.
const OTHERS: [&str; 3] = ["/openapi.json", "/docs", "/docs/{file}"];

/// Paths that the gateway answers by itself.
const UNRECORDED: [&str; 4] = ["/healthz", "/readyz", "/version", "/.well-known/oauth-authorization-server"];

const ANY_REFUSAL: &str =
    "Any other refusal: 400, 405, 408, 413, 415, 429 with `Retry-After`, 431, 500, 503 with `Retry-After`";

/// What answers of calls that are in the audit carry.
fn receipt() -> Header {
    let id = ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned())));
    HeaderBuilder::new().schema(Some(id)).description(Some("The id of the call's entry in the audit")).build()
}

/// Adds the refusals that every call may give to the document, and the headers of its answers.
fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.headers.insert("X-Audit-Id".to_owned(), receipt().into());
    for (path, item) in &mut document.paths.paths {
        let shape = if oauth::is_path(path) { "OAuthError" } else { "ErrorBody" };
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let takes =
                operation.request_body.is_some() || operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
            let responses = &mut operation.responses.responses;
            let recorded = !UNRECORDED.contains(&path.as_str());
            for (status, response) in responses.iter_mut().filter(|_| recorded) {
                if let (true, RefOr::T(response)) = (status.starts_with('2'), response) {
                    let receipt = Ref::new("#/components/headers/X-Audit-Id");
                    response.headers.insert("X-Audit-Id".to_owned(), RefOr::Ref(receipt));
                }
            }
            if takes {
                let description = "Something in the path, the query or the body is not as it should be";
                responses.entry("400".to_owned()).or_insert_with(|| refusal(description, shape));
            }
            responses.entry("default".to_owned()).or_insert_with(|| refusal(ANY_REFUSAL, shape));
        }
    }
    document
}

fn refusal(description: &str, shape: &str) -> RefOr<utoipa::openapi::Response> {
    let body = Content::new(Some(Ref::from_schema_name(shape)));
    ResponseBuilder::new().description(description).content("application/json", body).build().into()
}

/// Builds the gateway over the services' clients.
#[must_use]
pub fn router(clients: Clients, config: Config) -> Gateway {
    let config = Arc::new(config);
    let (mut router, document) = routes().split_for_parts();
    let document = completed(document);
    let others = OTHERS.iter().copied().filter(|path| config.docs || !path.starts_with("/docs"));
    let templates =
        Templates::new(document.paths.paths.keys().map(String::as_str).chain(others), config.metrics.clone());
    let refusals = Refusals::new(config.metrics.clone());
    let intake = clients.intake();
    let document = Bytes::from(document.to_json().unwrap_or_default());
    router = router.route("/openapi.json", get(async move || openapi_document(document)));
    if config.docs {
        router = router.route("/docs", get(docs::docs)).route("/docs/{file}", get(docs::file));
    }
    let router: Router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(App { clients, config: config.clone() });
    Gateway::new(Parts { router, config, templates, refusals, intake })
}

fn openapi_document(document: Bytes) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document).into_response()
}

async fn not_found() -> Failure {
    Refusal::new(Reason::RouteNotFound, "there is no such path; GET /openapi.json lists those there are").into()
}

/// Answers OPTIONS with the methods of a path, and refuses every other that it does not have. `Allow` is set by the router.
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let refusal = Refusal::new(
        Reason::RouteMethodNotAllowed,
        "the path does not take this method; the Allow header lists those it takes",
    );
    Failure::from(refusal).into_response()
}
