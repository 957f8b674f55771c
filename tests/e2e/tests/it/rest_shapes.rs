//! The shapes of JSON that existing clients rely on (contract, sections 1, 2, 4, 5).

use coffre_e2e::api::NewAttribute;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use serde_json::{Value, json};

const CREDENTIALS: &str = "/v2/credentialvault/credentials";

rest_cases! {
    a_sign_in_carries_every_documented_key,
    a_sign_in_takes_the_documented_spellings,
    tokens_are_validated_and_refreshed_as_documented,
    a_sign_out_takes_every_documented_body,
    ids_are_texts_here_and_numbers_there,
    requests_carry_ids_as_numbers_or_texts,
    the_old_paths_are_the_same,
    answers_mirror_the_shape_of_the_request,
    roles_take_permissions_in_every_form,
    operations_answer_without_a_token,
    every_answer_says_that_it_is_not_to_be_kept,
}

#[track_caller]
fn has_keys(json: &Value, keys: &[&str]) {
    for key in keys {
        assert!(json.get(key).is_some(), "the documented key `{key}` is missing: {json}");
    }
}

const USER: [&str; 29] = [
    "id",
    "username",
    "domain",
    "firstName",
    "lastName",
    "email",
    "emailVerified",
    "version",
    "principalId",
    "deleted",
    "disabled",
    "clientRegistered",
    "description",
    "passwordSet",
    "questionsSet",
    "enableAutoLogin",
    "roles",
    "sysAssignedRoles",
    "groupNames",
    "permissions",
    "licenseFeatures",
    "createdBy",
    "createdOn",
    "updatedBy",
    "updatedOn",
    "publicKey",
    "appType",
    "routingName",
    "appUrl",
];

async fn a_sign_in_carries_every_documented_key(case: &Case<'_>) {
    let user = case.basic("shape").await;
    let body = json!({"username": user.username, "password": case.password_of(&user)});
    let answer = case.api.http.post("/v1/authentication").json(&body).send().await.is(200);
    assert!(answer["token"].is_string());
    let shown = &answer["user"];
    has_keys(shown, &USER);
    assert_eq!(shown["id"], json!(user.id), "a number");
    assert_eq!(shown["principalId"], shown["id"]);
    for key in ["domain", "publicKey", "appUrl"] {
        assert_eq!(shown[key], Value::Null, "{key}");
    }
    for (key, value) in [
        ("deleted", false),
        ("disabled", false),
        ("clientRegistered", false),
        ("questionsSet", false),
        ("enableAutoLogin", false),
        ("passwordSet", true),
    ] {
        assert_eq!(shown[key], json!(value), "{key}");
    }
    has_keys(&shown["roles"][0], &["id", "name"]);
    has_keys(&shown["permissions"][0], &["id", "action", "resourceType"]);
}

async fn a_sign_in_takes_the_documented_spellings(case: &Case<'_>) {
    let user = case.basic("spelling").await;
    let (name, password) = (&user.username, case.password_of(&user));
    for body in [
        json!({"username": name, "password": password}),
        json!({"usename": name, "password": password}),
        json!({"Username": name, "PASSWORD": password}),
        json!({"userName": name, "password": password, "multipleLogin": true}),
    ] {
        for path in ["/v1/authentication", "/v2/authentication", "/v1/authentication/"] {
            // Whatever token header came along.
            let request = case.api.http.post(path).header("x-authorization", "Authorization token");
            request.json(&body).send().await.is(200);
        }
    }
}

async fn tokens_are_validated_and_refreshed_as_documented(case: &Case<'_>) {
    let user = case.basic("token").await;
    let token = user.token.clone().unwrap();
    let http = &case.api.http;
    assert_eq!(
        http.get(format!("/v1/authentication/token?token={token}")).send().await.is(200),
        json!({"valid": true})
    );
    assert_eq!(http.get("/v1/authentication/token?token=x").send().await.is(200), json!({"valid": false}));
    let validate = http.post("/v1/authentication/token/validate").json(&json!({"token": token}));
    assert_eq!(validate.send().await.is(200), json!({"valid": true}));
    let fresh = http.post("/v1/authentication/token").json(&json!({"token": token})).send().await.is(200);
    let fresh = fresh["token"].as_str().unwrap();
    assert_ne!(fresh, token);
    http.get(CREDENTIALS).token(fresh).send().await.is(200);
    http.post("/v1/authentication/token").json(&json!({"token": "x"})).send().await.refused(401, "auth.token_invalid");
}

async fn a_sign_out_takes_every_documented_body(case: &Case<'_>) {
    for form in 0..4 {
        let user = case.basic(&format!("leaver {form}")).await;
        let token = user.token.clone().unwrap();
        let request = case.api.http.post("/v1/authentication/logout");
        let request = match form {
            0 => request.token(&token).json(&json!({})),
            1 => request.token(&token),
            2 => request.token(&token).json(&json!({"token": token})),
            _ => request.json(&json!({"token": token})),
        };
        request.send().await.is(204);
        crate::cases::within_a_second("the token is refused", async || {
            user.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
        })
        .await;
    }
    let answer = case.api.http.post("/v1/authentication/logout").json(&json!({})).send().await;
    assert_eq!(answer.status, 401, "{:?}", answer.body);
}

async fn ids_are_texts_here_and_numbers_there(case: &Case<'_>) {
    let admin = case.admin.token.as_deref().unwrap();
    let user = case.basic("ids").await;
    let http = &case.api.http;
    let v1 = http.get(format!("/v1/usermanagement/users/{}", user.id)).token(admin).send().await.is(200);
    has_keys(&v1, &USER);
    assert_eq!(v1["id"], json!(user.id));
    let v2 = http.get(format!("/v2/usermanagement/users/{}", user.id)).token(admin).send().await.is(200);
    assert_eq!(v2["id"], json!(user.id.to_string()));
    assert_eq!(v2["username"], v1["username"]);
    let filter = json!({"filter": {"operator": "eq", "field": "username", "value": user.username}});
    let v1 = http.post("/v1/usermanagement/users/list").token(admin).json(&filter).send().await.is(200);
    assert_eq!(v1["list"][0]["id"], json!(user.id));
    let v2 = http.post("/v2/usermanagement/users/list").token(admin).json(&filter).send().await.is(200);
    assert_eq!(v2["list"][0]["id"], json!(user.id.to_string()));
    assert_eq!(v2["page"], v1["page"]);
    let roles = http.get("/v1/usermanagement/roles").token(admin).send().await.is(200);
    assert!(roles.as_array().is_some_and(|all| all.len() >= 3 && all[0]["id"].is_i64()), "a bare array: {roles}");
    let roles = http.post("/v1/usermanagement/roles/list").token(admin).send().await.is(200);
    has_keys(&roles, &["page", "list"]);
    let created = user.create_credential(&case.unique("ids"), &[NewAttribute::standard("a")]).await.ok();
    let json = http.get(format!("{CREDENTIALS}/{}", created.id)).token(user.token.as_deref().unwrap()).send().await;
    assert_eq!(json.header("etag"), Some("\"0\""));
    let json = json.is(200);
    for key in ["id", "ownerId", "createdBy", "updatedBy", "tenantId", "version"] {
        assert!(json[key].is_string(), "{key}: {json}");
    }
    assert_eq!(json["lockerId"], Value::Null);
    has_keys(
        &json["permissions"],
        &["canReadValues", "canWriteValues", "canUpdate", "canDelete", "canTransferOwnership", "canAssignLocker"],
    );
}

async fn requests_carry_ids_as_numbers_or_texts(case: &Case<'_>) {
    let user = case.basic("sender").await;
    let token = user.token.as_deref().unwrap();
    let http = &case.api.http;
    let created = user
        .create_credential(&case.unique("typed"), &[NewAttribute::standard("a"), NewAttribute::standard("b")])
        .await
        .ok();
    let path = format!("{CREDENTIALS}/{}", created.id);
    let attribute = created.attributes[0].id;
    for (version, as_text) in [(0, false), (1, true)] {
        let id = |id: i64| if as_text { json!(id.to_string()) } else { json!(id) };
        let body = json!({
            "id": id(created.id), "version": id(version), "name": created.name, "description": format!("described {version}"), "lockerId": null,
            "ownerId": id(user.id), "attributes": [{"id": id(attribute), "version": id(version), "description": format!("d{version}")}],
        });
        assert_eq!(
            http.put(&*path).token(token).json(&body).send().await.is(200)["version"],
            json!((version + 1).to_string())
        );
    }
    let body = json!([{"credentialAttributeId": attribute.to_string(), "value": case.secret("a")}]);
    http.post(format!("{path}/attributevalues")).token(token).json(&body).send().await.is(201);
    let body = json!([{"credentialAttributeId": created.attributes[1].id, "value": case.secret("b"), "userId": null}]);
    http.post(format!("{path}/attributevalues")).token(token).json(&body).send().await.is(201);
    for flag in ["true", "TRUE", "%22true%22"] {
        http.get(format!("{CREDENTIALS}?consumed={flag}")).token(token).send().await.is(200);
    }
}

async fn the_old_paths_are_the_same(case: &Case<'_>) {
    let user = case.basic("old scripts").await;
    let token = user.token.as_deref().unwrap();
    let http = &case.api.http;
    let body = json!({"name": case.unique("old"), "attributes": [{"name": "a"}]});
    let created = http.post("/v1/credentialvault/credentials").token(token).json(&body).send().await.is(201);
    let id = created["id"].as_str().unwrap();
    let value = json!([{"credentialAttributeId": created["attributes"][0]["id"], "value": case.secret("old")}]);
    let stored = http
        .post(format!("/v2/credentialvault/credentials/{id}/attributevalue"))
        .token(token)
        .json(&value)
        .send()
        .await
        .is(201);
    let value = stored[0]["id"].as_str().unwrap();
    http.delete(format!("/v2/credentialvault/credentials/{id}/values/{value}")).token(token).send().await.is(204);
    // A slip of the pen of the document.
    let slip =
        http.post(format!("/v2/credentialvault/credentials/{id}/username")).token(token).json(&json!([])).send().await;
    slip.refused(404, "route.not_found");
}

async fn answers_mirror_the_shape_of_the_request(case: &Case<'_>) {
    let user = case.basic("mirror").await;
    let token = user.token.as_deref().unwrap();
    let http = &case.api.http;
    let created = user
        .create_credential(&case.unique("mirror"), &[NewAttribute::standard("a"), NewAttribute::standard("b")])
        .await
        .ok();
    let path = format!("{CREDENTIALS}/{}/attributevalues", created.id);
    let item = |index: usize| json!({"credentialAttributeId": created.attributes[index].id, "value": case.secret("m")});
    let array = http.post(&*path).token(token).json(&json!([item(0)])).send().await.is(201);
    assert!(array[0]["id"].is_string(), "{array}");
    let listed = http.post(&*path).token(token).json(&json!({"list": [item(1)]})).send().await.is(201);
    assert!(listed["list"][0]["id"].is_string(), "{listed}");
    let one = format!("{path}/{}", array[0]["id"].as_str().unwrap());
    let body = json!([{"id": array[0]["id"], "version": 0, "value": case.secret("n"), "credentialAttributeId": created.attributes[0].id.to_string()}]);
    let changed = http.put(&*one).token(token).json(&body).send().await.is(200);
    assert_eq!(changed[0]["version"], json!("1"), "{changed}");
    let changed =
        http.put(&*one).token(token).json(&json!({"value": case.secret("o"), "version": "1"})).send().await.is(200);
    assert_eq!(changed["version"], json!("2"), "{changed}");
    let stale = http.put(&*one).token(token).json(&json!({"value": case.secret("p"), "version": "1"})).send().await;
    stale.refused(409, "value.version_conflict");
    let values = http.get(&*path).token(token).send().await.is(200);
    assert_eq!(values["list"].as_array().unwrap().len(), 2);
}

async fn roles_take_permissions_in_every_form(case: &Case<'_>) {
    let admin = case.admin.token.as_deref().unwrap();
    let http = &case.api.http;
    let permissions = json!([{"id": 1}, {"id": "2"}, {"name": "Connect to the API"}, {"action": "viewall", "resourceType": "auditlog"}]);
    let body = json!({"name": case.unique("every form"), "permissions": permissions});
    let role = http.post("/v1/usermanagement/roles").token(admin).json(&body).send().await.is(201);
    let ids: Vec<i64> = role["permissions"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 6, 9]);
    for odd in [
        json!([{"id": 99}]),
        json!([{"name": "Everything"}]),
        json!([{"action": "viewall"}]),
        json!([{}]),
        json!([{"action": "create", "resourceType": "api"}]),
    ] {
        let body = json!({"name": case.unique("odd"), "permissions": odd});
        http.post("/v1/usermanagement/roles").token(admin).json(&body).send().await.refused(400, "request.invalid");
    }
}

async fn operations_answer_without_a_token(case: &Case<'_>) {
    let http = &case.api.http;
    http.get("/healthz").send().await.is(200);
    http.get("/readyz").send().await.is(200);
    let version = http.get("/version").send().await.is(200);
    assert!(version["version"].is_string(), "{version}");
    let document = http.get("/openapi.json").send().await.is(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{}", document["openapi"]);
    for path in [
        "/v1/authentication",
        "/v2/credentialvault/credentials/{id}/attributevalues",
        "/v1/audit/messages/list",
        "/v1/usermanagement/users/{id}",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path} is not in the document");
    }
    let page = http.get("/docs").send().await;
    let location = page.header("location").map(ToOwned::to_owned);
    let page = match location {
        Some(location) => http.get(location).send().await,
        None => page,
    };
    assert_eq!(page.status, 200);
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(html.contains("<html"), "{html}");
    for outside in ["src=\"http", "src=\"//", "href=\"http", "cdn", "unpkg"] {
        assert!(!html.contains(outside), "the page needs the network: {outside}");
    }
}

async fn every_answer_says_that_it_is_not_to_be_kept(case: &Case<'_>) {
    let user = case.basic("headers").await;
    for path in [CREDENTIALS, "/v2/credentialvault/credentials/1", "/nowhere"] {
        let answer = case.api.http.get(path).token(user.token.as_deref().unwrap()).send().await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(
            answer.header("content-type").map(|kind| kind.split(';').next().unwrap()),
            Some("application/json"),
            "{path}"
        );
    }
}

/// The old server's irregular status codes, and the rules about the last administrator, which need a server of their own.
#[test]
fn documented_status_codes_are_exactly_two() {
    run_apart(Engine::Sqlite, async |engine| {
        let server = Home::new(engine).with("COFFRE_STATUS_CODES", "documented").start();
        let case = Case::on(&server, coffre_e2e::api::Protocol::Rest).await;
        let http = Http::new(server.http);
        let owner = case.basic("owner").await;
        let token = owner.token.clone().unwrap();
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let path = format!("{CREDENTIALS}/{}", created.id);
        let unchanged = http.put(&*path).token(&token).json(&json!({"name": created.name})).send().await;
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        http.put(&*path).token(&token).json(&json!({"description": "new"})).send().await.is(200);
        let own = format!("{path}/owner/{}", owner.id);
        assert_eq!(http.put(own).token(&token).send().await.status, 304);
        // Never for a value.
        let value = json!([{"credentialAttributeId": created.attributes[0].id, "value": case.secret("same")}]);
        let stored = http.post(format!("{path}/attributevalues")).token(&token).json(&value).send().await.is(201);
        let same = json!({"value": case.secret("same")});
        let one = format!("{path}/attributevalues/{}", stored[0]["id"].as_str().unwrap());
        http.put(one).token(&token).json(&same).send().await.is(200);
        // A locker, and what enters it.
        let locker = owner.create_locker(&case.unique("kept"), None).await.ok();
        let one = format!("/v2/credentialvault/lockers/{}", locker.id);
        let unchanged = http.put(&*one).token(&token).json(&json!({"name": locker.name})).send().await;
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        http.put(&*one).token(&token).json(&json!({"description": "new"})).send().await.is(200);
        // A permission that is missing in the role.
        let plain = case.user("plain", &[]).await;
        let plain_token = plain.token.as_deref().unwrap();
        let body = json!({"name": "x", "attributes": [{"name": "a"}]});
        let refused = http.post(CREDENTIALS).token(plain_token).json(&body).send().await;
        assert_eq!((refused.status, refused.code().as_str()), (501, "authz.permission_required"));
        http.get("/v2/credentialvault/mode").token(&token).send().await.refused(501, "authz.permission_required");
        let body = json!({"name": "x"});
        let refused = http.post("/v2/credentialvault/lockers").token(plain_token).json(&body).send().await;
        refused.refused(501, "authz.permission_required");
        // Everything else stays.
        let other = case.basic("other").await;
        http.get(&*path).token(other.token.as_deref().unwrap()).send().await.refused(404, "credential.not_found");
        http.get(CREDENTIALS).send().await.refused(401, "auth.token_required");
        http.put(&*path)
            .token(&token)
            .json(&json!({"version": 99}))
            .send()
            .await
            .refused(409, "credential.version_conflict");
    });
}
