//! The shapes of JSON about lockers that existing clients rely on (contract, section 5).

use std::collections::BTreeSet;

use coffre_e2e::case::{Case, permission};
use serde_json::{Value, json};

use crate::cases::contents::credential;
use crate::cases::lockers::locker;
use crate::cases::within_a_second;

const LOCKERS: &str = "/v2/credentialvault/lockers";
const CREDENTIALS: &str = "/v2/credentialvault/credentials";

rest_cases! {
    a_locker_carries_exactly_its_documented_keys,
    members_and_counts_are_in_detailed_lists_alone,
    a_credential_in_a_locker_names_it,
    access_and_missing_values_have_their_shapes,
    who_shares_lists_users_and_roles_by_name,
}

const LOCKER: [&str; 10] = [
    "createdBy",
    "createdOn",
    "description",
    "id",
    "lockerPermission",
    "name",
    "tenantId",
    "updatedBy",
    "updatedOn",
    "version",
];

#[track_caller]
fn keys(json: &Value) -> BTreeSet<&str> {
    json.as_object().unwrap_or_else(|| panic!("an object: {json}")).keys().map(String::as_str).collect()
}

async fn a_locker_carries_exactly_its_documented_keys(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let made = http.post(LOCKERS).token(token).json(&json!({"name": case.unique("shaped")})).send().await;
    assert_eq!(made.header("etag"), Some("\"0\""));
    let made = made.is(201);
    let path = format!("{LOCKERS}/{}", made["id"].as_str().unwrap());
    let read = http.get(&*path).token(token).send().await;
    assert_eq!(read.header("etag"), Some("\"0\""));
    let listed = http.get(LOCKERS).token(token).send().await.is(200);
    assert_eq!(keys(&listed), BTreeSet::from(["list"]), "as documented, without a page: {listed}");
    for one in [&made, &read.is(200), &listed["list"][0]] {
        assert_eq!(keys(one), BTreeSet::from(LOCKER), "{one}");
        for id in ["id", "createdBy", "updatedBy", "tenantId", "version"] {
            assert!(one[id].is_string(), "{id}: {one}");
        }
        let all = json!({"isOwner": true, "isManager": true, "isParticipant": true, "isConsumer": false});
        assert_eq!(one["lockerPermission"], all);
    }
    let changed = http.put(&*path).token(token).json(&json!({"description": "x"})).send().await;
    assert_eq!(changed.header("etag"), Some("\"1\""));
    assert_eq!(keys(&changed.is(200)), BTreeSet::from(LOCKER));
    let stale = http.put(&*path).token(token).header("if-match", "\"0\"").json(&json!({"description": "y"}));
    stale.send().await.refused(412, "request.precondition_failed");
    let deleted = http.delete(&*path).token(token).header("if-match", "*").send().await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
}

async fn members_and_counts_are_in_detailed_lists_alone(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    locker(case, &owner, "detailed").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let detailed: BTreeSet<&str> = LOCKER.into_iter().chain(["members", "countOfCredentials"]).collect();
    let advanced = http.get(format!("{LOCKERS}/advanced")).token(token).send().await.is(200);
    let paged = http.post(format!("{LOCKERS}/list")).token(token).send().await.is(200);
    for list in [&advanced, &paged] {
        let one = &list["list"][0];
        assert_eq!(keys(one), detailed, "{one}");
        assert_eq!(one["countOfCredentials"], json!(0));
        let member = json!({"id": owner.id.to_string(), "permissions": ["participate", "own", "manage"]});
        assert_eq!(one["members"], json!([member]));
    }
    assert_eq!(paged["page"], json!({"offset": 0, "total": 1, "totalFilter": 1}));
}

async fn a_credential_in_a_locker_names_it(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (it, inside) = (locker(case, &owner, "holder").await, credential(case, &owner, "inside").await);
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let path = format!("{LOCKERS}/{}/credentials", it.id);
    let put = http.put(format!("{path}/{}", inside.id)).token(token).send().await;
    assert_eq!(put.header("etag"), Some("\"1\""));
    assert_eq!(put.is(200)["lockerId"], json!(it.id.to_string()));
    let listed = http.get(&*path).token(token).send().await.is(200);
    let read = http.get(format!("{CREDENTIALS}/{}", inside.id)).token(token).send().await.is(200);
    assert_eq!(listed, json!({"list": [read]}));
    let out = http.delete(format!("{path}/{}", inside.id)).token(token).send().await;
    assert_eq!((out.status, out.body.len()), (204, 0));
    let read = http.get(format!("{CREDENTIALS}/{}", inside.id)).token(token).send().await.is(200);
    assert_eq!(read["lockerId"], Value::Null);
}

async fn access_and_missing_values_have_their_shapes(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let bot = case.user("bot", &[role]).await;
    let (it, inside) = (locker(case, &owner, "shared").await, credential(case, &owner, "inside").await);
    owner.assign(it.id, inside.id).await.ok();
    owner.add_consumer(it.id, role).await.ok();
    within_a_second("the bot sees it", async || bot.get_credential(inside.id).await.outcome.is_ok()).await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let path = format!("{CREDENTIALS}/{}", inside.id);
    let told = http.get(format!("{path}/access?userId={}", bot.id)).token(token).send().await.is(200);
    let through = json!({
        "standing": "consumer", "roleId": role.to_string(), "roleName": case.unique("bots"), "effective": true,
        "missingPermission": told["list"][0]["through"][0]["missingPermission"], "actions": ["see", "readStandard", "readOwn", "writeOwn"],
    });
    let user = json!({
        "userId": bot.id.to_string(), "username": bot.username, "disabled": false,
        "actions": ["see", "readStandard", "readOwn", "writeOwn"], "through": [through],
    });
    let expected = json!({
        "credentialId": inside.id.to_string(), "lockerId": it.id.to_string(), "lockerName": it.name, "list": [user],
    });
    assert_eq!(told, expected);
    let missing = http.get(format!("{path}/missingvalues")).token(token).send().await.is(200);
    let expected = json!({
        "userId": bot.id.to_string(), "username": bot.username, "disabled": false,
        "attributeIds": [inside.attribute("u").id.to_string()],
    });
    assert_eq!(missing, json!({"list": [expected]}));
}

async fn who_shares_lists_users_and_roles_by_name(case: &Case<'_>) {
    // Whoever may make lockers finds those with whom to share, and learns nothing but their names.
    let owner = case.basic("owner").await;
    let other = case.basic("other").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let filter = |field: &str, value: &str| json!({"filter": {"operator": "eq", "field": field, "value": value}});
    let users = http.post("/v1/usermanagement/users/list").token(token);
    let users = users.json(&filter("username", &other.username)).send().await.is(200);
    assert_eq!(users["list"], json!([{"id": other.id, "username": other.username}]));
    let roles = http.post("/v1/usermanagement/roles/list").token(token);
    let roles = roles.json(&filter("name", &case.unique("bots"))).send().await.is(200);
    assert_eq!(roles["list"], json!([{"id": role, "name": case.unique("bots")}]));
}
