//! What a user holds and who gets it when the user leaves, under two prefixes as users are: `/v1/usermanagement` with numbers as ids,
//! `/v2/usermanagement` with strings.

use axum::extract::State;
use axum::response::Response;
use coffre_proto::auth::v1::{self, ListUserHoldingsRequest, TransferUserHoldingsRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::Id;
use crate::request::{App, Ids, JsonBody, json};

/// What would be without an owner if a user left.
// `I` is the form of ids: a number, or [`Id`].
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Holdings<I: ToSchema> {
    /// The first 1 000 credentials that it owns, in the order of their ids.
    credentials: Vec<Holding<I>>,
    /// How many credentials it owns.
    credential_count: i64,
    /// The first 1 000 lockers of which it is the last owner, in the order of their ids.
    lockers: Vec<Holding<I>>,
    /// Of how many lockers it is the last owner.
    locker_count: i64,
}

/// Something that a user holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Holding<I: ToSchema> {
    id: I,
    #[schema(examples("SharePoint Login"))]
    name: String,
}

impl<I: From<i64> + ToSchema> From<v1::Holding> for Holding<I> {
    fn from(holding: v1::Holding) -> Self {
        Self { id: holding.id.into(), name: holding.name }
    }
}

/// Who gets everything.
#[derive(ToSchema)]
#[schema(example = json!({"userId": 9}))]
#[allow(dead_code)]
struct Recipient {
    /// The user who gets it; as a number or a string.
    #[schema(rename = "userId")]
    user_id: i64,
}

/// How much was given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"credentialCount": 12, "lockerCount": 3}))]
struct Transferred {
    /// How many credentials got the new owner.
    credential_count: i64,
    /// How many lockers got the new owner beside their other members.
    locker_count: i64,
}

/// Lists what would be without an owner if a user left: its credentials, and the lockers of which it is the last owner.
#[utoipa::path(
    get, path = "/v1/usermanagement/users/{id}/holdings", tag = "Users and roles", operation_id = "getUserHoldings",
    params(("id" = i64, Path, description = "The user's id")),
    responses(
        (status = 200, description = "What it holds", body = Holdings<i64>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "It is another user, and neither *Manage users and roles* nor *Administer all lockers* is held", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody),
        (status = 503, description = "A service that knows what it holds does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    held::<i64>(&app, caller, ids).await
}

/// Lists what would be without an owner if a user left, with strings as ids.
#[utoipa::path(
    get, path = "/v2/usermanagement/users/{id}/holdings", tag = "Users and roles", operation_id = "getUserHoldingsV2",
    params(("id" = i64, Path, description = "The user's id")),
    responses(
        (status = 200, description = "What it holds", body = Holdings<Id>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "It is another user, and neither *Manage users and roles* nor *Administer all lockers* is held", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody),
        (status = 503, description = "A service that knows what it holds does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn get_v2(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    held::<Id>(&app, caller, ids).await
}

async fn held<I>(app: &App, caller: Caller, [id]: [i64; 1]) -> Result<Response, Failure>
where
    I: From<i64> + ToSchema + Serialize,
{
    let request = caller.request(ListUserHoldingsRequest { id });
    let answer = app.clients.users().list_user_holdings(request).await?.into_inner();
    let holdings = Holdings::<I> {
        credentials: answer.credentials.into_iter().map(Holding::from).collect(),
        credential_count: answer.credential_count,
        lockers: answer.lockers.into_iter().map(Holding::from).collect(),
        locker_count: answer.locker_count,
    };
    Ok(json(StatusCode::OK, &holdings))
}

/// Hands all that a user holds to another.
///
/// Credentials get the new owner and stay in their lockers, lockers get it as an owner beside their other members. Where it ends early, what was given
/// stays given; repeat the request.
#[utoipa::path(
    post, path = "/v1/usermanagement/users/{id}/holdings/transfer", tag = "Users and roles", operation_id = "transferUserHoldings",
    params(("id" = i64, Path, description = "The user who holds")),
    request_body = Recipient,
    responses(
        (status = 200, description = "How much was given", body = Transferred),
        (status = 400, description = "`userId` is missing, is the same user, or is a user who is disabled or being deleted", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "It is another user, and *Administer all lockers* is not held; or its holder would give to itself", body = ErrorBody),
        (status = 404, description = "One of the two users does not exist", body = ErrorBody),
        (status = 503, description = "A service that knows what it holds does not answer; repeat the request", body = ErrorBody),
    )
)]
pub(crate) async fn transfer(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [id] = ids;
    let mut body = body.object()?;
    body.same_id("id", id)?;
    let request = caller.request(TransferUserHoldingsRequest { id, recipient_id: body.required_id("userId")? });
    let v1::TransferUserHoldingsResponse { credential_count, locker_count } =
        app.clients.users().transfer_user_holdings(request).await?.into_inner();
    Ok(json(StatusCode::OK, &Transferred { credential_count, locker_count }))
}

/// Hands all that a user holds to another, as under `/v1`: the answer has no ids.
#[utoipa::path(
    post, path = "/v2/usermanagement/users/{id}/holdings/transfer", tag = "Users and roles", operation_id = "transferUserHoldingsV2",
    params(("id" = i64, Path, description = "The user who holds")),
    request_body = Recipient,
    responses(
        (status = 200, description = "How much was given", body = Transferred),
        (status = 400, description = "`userId` is missing, is the same user, or is a user who is disabled or being deleted", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "It is another user, and *Administer all lockers* is not held; or its holder would give to itself", body = ErrorBody),
        (status = 404, description = "One of the two users does not exist", body = ErrorBody),
        (status = 503, description = "A service that knows what it holds does not answer; repeat the request", body = ErrorBody),
    )
)]
pub(crate) async fn transfer_v2(
    app: State<App>,
    caller: Caller,
    ids: Ids<1>,
    body: JsonBody,
) -> Result<Response, Failure> {
    transfer(app, caller, ids, body).await
}
