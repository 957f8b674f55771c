//! Reading the audit.

use axum::extract::State;
use axum::response::Response;
use coffre_proto::audit::v1::{self, ActivityType, GetEntryRequest, ListEntriesRequest, Outcome, Source};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, ListBody, Paged, moment};
use crate::request::{App, JsonBody, Named, json, paged, present};

/// One entry of the audit. Everything is a string.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[schema(examples("0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c"))]
    id: String,
    /// The documented word.
    #[schema(examples("READ_CREDENTIAL"))]
    activity_type: String,
    /// One sentence for people.
    event_description: String,
    /// The name of the installation.
    environment_name: String,
    /// The host that answered.
    host_name: String,
    /// Empty for an unknown caller.
    user_name: String,
    /// `Successful`, `Unsuccessful` or `Unknown`.
    status: &'static str,
    /// `API`, `Console`, `gRPC` or `System`.
    source: &'static str,
    object_name: String,
    object_type: String,
    /// What changed, old and new; never a value.
    detail: String,
    created_on: String,
    /// From where the call came; empty for what is no call.
    client_address: String,
    request_id: String,
    /// The caller's user id; `"0"` where none is known.
    created_by: Id,
    /// The fine word.
    #[schema(examples("credential.value.read"))]
    event: String,
    /// The position in the log, in the order of arrival.
    log_index: Id,
}

impl From<v1::Entry> for Entry {
    fn from(entry: v1::Entry) -> Self {
        let event = entry.event.unwrap_or_default();
        let (activity_type, status, source) =
            (activity(event.activity_type()), status(event.outcome()), source(event.source()));
        let actor = event.actor.unwrap_or_default();
        let object = event.object.unwrap_or_default();
        Self {
            id: entry.id,
            activity_type,
            event_description: entry.description,
            environment_name: event.environment_name,
            host_name: event.host_name,
            user_name: actor.user_name,
            status,
            source,
            object_name: object.name,
            object_type: object.r#type,
            detail: entry.detail,
            created_on: moment(entry.create_time).unwrap_or_default(),
            client_address: event.client_address,
            request_id: event.request_id,
            created_by: Id(actor.user_id),
            event: event.event,
            log_index: Id(entry.log_index),
        }
    }
}

fn activity(kind: ActivityType) -> String {
    let kind = if kind == ActivityType::Unspecified { ActivityType::AuditUnsetActivityType } else { kind };
    let name = kind.as_str_name();
    name.strip_prefix("ACTIVITY_TYPE_").unwrap_or(name).to_owned()
}

const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Successful => "Successful",
        Outcome::Unsuccessful => "Unsuccessful",
        Outcome::Unknown | Outcome::Unspecified => "Unknown",
    }
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Api => "API",
        Source::Console => "Console",
        Source::Grpc => "gRPC",
        Source::System | Source::Unspecified => "System",
    }
}

/// Lists audit entries by filter, order and page, newest first unless asked otherwise. Without *View everyone's audit log actions*: one's own.
#[utoipa::path(
    post, path = "/v1/audit/messages/list", tag = "Audit", operation_id = "listAuditEntries",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of entries", body = Paged<Entry>),
        (status = 400, description = "An unknown field, or more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    )
)]
pub(crate) async fn list_by_query(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    paged::<Entry, _, _>(body, async |query| {
        let request = caller.request(ListEntriesRequest { query: Some(query) });
        let answer = app.clients.audit().list_entries(request).await?.into_inner();
        Ok((answer.entries, answer.page))
    })
    .await
}

/// Returns an audit entry.
#[utoipa::path(
    get, path = "/v1/audit/messages/{id}", tag = "Audit", operation_id = "getAuditEntry",
    params(("id" = String, Path, description = "The entry's id")),
    responses(
        (status = 200, description = "The entry", body = Entry),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such entry, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Named(id): Named) -> Result<Response, Failure> {
    let answer = app.clients.audit().get_entry(caller.request(GetEntryRequest { id })).await?.into_inner();
    Ok(json(StatusCode::OK, &Entry::from(present(answer.entry)?)))
}
