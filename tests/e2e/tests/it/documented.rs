//! Every request that the old document prints for signing in, credentials, values, mode and key state (and, in [`lockers`], for lockers, in [`keys`] for the master key), sent by real `curl` as it is printed,
//! with the placeholders filled and the host and ids of today; the answers are compared with what is printed, key by key and type by type.
//! Then the same story over gRPC with real `grpcurl`.
//!
//! What had to be repaired, because it is no JSON or a slip of the pen:
//!
//! | printed | sent |
//! |---|---|
//! | `"userProvided": <False or true>, - Attribute type "masked": …` (update of a credential) | a boolean, without the words behind it |
//! | the list of credentials ends in `"completed": false ] }` | compared with the missing brace put in |
//! | `POST …/credentials/12/username` (example of creating a value) | 404; the path above it, `…/attributevalue`, works |
//! | `"X-Authorization" : "Authorization token"` sent along with the sign-in | as printed: it is not looked at there |
//! | the answer to the update and the transfer still prints `"version": 0` and the old owner | the new version and owner |

mod keys;
mod lockers;
mod oauth;

use std::process::Command;

use coffre_e2e::api::Protocol;
use coffre_e2e::canary;
use coffre_e2e::case::{Case, run};
use coffre_e2e::server::Engine;
use coffre_e2e::tools::grpcurl;
use serde_json::{Value, json};

/// Runs curl with words as a person types them; the status and the body.
fn curl(words: &[&str]) -> (u16, Value) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"])
        .args(words)
        .output()
        .expect("the replay of the document needs curl");
    assert!(output.status.success(), "curl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    };
    (status.parse().unwrap(), body)
}

/// Compares an answer with what is printed: every printed key is there, with a value of the same kind.
///
/// Numbers and strings of digits are one kind: the document prints ids now as the one, now as the other (contract, section 1).
fn resembles(place: &str, printed: &Value, answer: &Value) {
    match (printed, answer) {
        (Value::Object(printed), Value::Object(answer)) => {
            for (key, value) in printed {
                let found = answer
                    .get(key)
                    .unwrap_or_else(|| panic!("{place}: the printed key `{key}` is missing: {answer:?}"));
                resembles(&format!("{place}.{key}"), value, found);
            }
        }
        (Value::Array(printed), Value::Array(answer)) => {
            assert!(!answer.is_empty() || printed.is_empty(), "{place}: an empty list");
            for found in answer {
                resembles(&format!("{place}[]"), &printed[0], found);
            }
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        // Printed null, and null where there is nothing.
        (Value::Null, Value::String(_)) | (Value::String(_), Value::Null) => {}
        (Value::Number(_), Value::String(digits)) if digits.parse::<i64>().is_ok() => {}
        (Value::Number(_), Value::Number(_)) => {}
        (Value::String(printed), Value::String(found)) => {
            let is_time = |text: &str| text.len() > 18 && text.as_bytes()[10] == b'T';
            assert_eq!(is_time(printed), is_time(found), "{place}: {printed} and {found}");
            if is_time(found) {
                assert!(found.ends_with('Z') && found.len() == 24, "{place}: {found}");
            }
        }
        _ => panic!("{place}: printed {printed}, answered {answer}"),
    }
}

fn printed_attribute() -> Value {
    json!({"id": 61, "createdBy": 1, "createdOn": "2018-06-25T14:13:58+05:30", "updatedBy": 1, "updatedOn": "2018-06-25T14:13:58+05:30",
           "tenantId": 1, "version": 0, "name": "Username", "description": "-", "userProvided": true, "masked": true})
}

fn printed_credential() -> Value {
    json!({"id": 12, "createdBy": 1, "createdOn": "2018-06-25T14:13:58+05:30", "updatedBy": 1, "updatedOn": "2018-06-25T14:13:58+05:30",
           "tenantId": 1, "version": 0, "name": "SharePoint Login", "description": "-", "lockerId": null, "ownerId": 1,
           "attributes": [printed_attribute()]})
}

fn printed_value() -> Value {
    json!({"id": 30, "createdBy": 1, "createdOn": "2018-06-27T14:18:13+05:30", "updatedBy": 1, "updatedOn": "2018-06-27T14:18:13+05:30",
           "tenantId": 1, "version": 0, "userId": null, "value": "Jane.Smith", "credentialAttributeId": 62})
}

#[test]
fn every_printed_request_works_as_printed() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Rest, replay);
    }
}

async fn replay(case: &Case<'_>) {
    let base = case.server.url();
    let user = case.basic("Ellie.Brown").await;
    let next_owner = case.basic("next owner").await;
    let password = case.password_of(&user);
    let url = |path: &str| format!("{base}{path}");
    let content = ["--header", "Content-Type: application/json"];

    // Signing in: with the header that the document sends along, and with the key that it prints.
    let body = format!(r#"{{ "username": "{}", "password": "{password}" }}"#, user.username);
    let sign_in = url("/v1/authentication");
    let (status, answer) = curl(&[
        "-X",
        "POST",
        &sign_in,
        "-H",
        "X-Authorization: Authorization token",
        content[0],
        content[1],
        "-d",
        &body,
    ]);
    assert_eq!(status, 200, "{answer}");
    let body = format!("{{\n\n\"usename\": \"{}\",\n\n\"password\": \"{password}\"\n\n}}", user.username);
    let (status, answer) = curl(&["-X", "POST", &sign_in, content[0], content[1], "-d", &body]);
    assert_eq!(status, 200, "{answer}");
    let token = answer["token"].as_str().unwrap().to_owned();
    canary::remember_token(&token);
    let header = format!("X-Authorization: {token}");
    let call = |method: &str, path: &str, body: Option<&str>| {
        let address = url(path);
        let mut words = vec!["-X", method, &address, "-H", &header];
        if let Some(body) = body {
            words.extend([content[0], content[1], "-d", body]);
        }
        curl(&words)
    };

    // 1. Create a credential.
    let name = case.unique("SharePoint Login");
    let body = format!(
        r#"{{ "name": "{name}", "description": "Credentials to login to SharePoint", "attributes": [ {{ "name": "Username", "description": "Name of the user", "userProvided": true, "masked": true }} ] }}"#
    );
    let (status, created) = call("POST", "/v2/credentialvault/credentials", Some(&body));
    assert_eq!(status, 201, "{created}");
    let printed = json!({
        "id": "10", "name": "SharePoint Login", "description": "Credentials to login to SharePoint", "ownerId": "1",
        "attributes": [{"id": "58", "name": "Username", "description": "Name of the user", "userProvided": true, "masked": true, "createdBy": "1",
                        "createdOn": "2018-07-16T06:04:32.905Z", "updatedBy": "1", "updatedOn": "2018-07-16T06:04:32.905Z", "version": "0"}],
        "createdBy": "1", "createdOn": "2018-07-16T06:04:32.905Z", "updatedBy": "1", "updatedOn": "2018-07-16T06:04:32.905Z", "version": "0",
    });
    resembles("created", &printed, &created);
    let (id, attribute) =
        (created["id"].as_str().unwrap().to_owned(), created["attributes"][0]["id"].as_str().unwrap().to_owned());

    // 2. List credentials.
    let mut printed = printed_credential();
    printed["completed"] = json!(false);
    let printed = json!({"list": [printed]});
    for query in [
        "",
        "?consumed=false",
        "?consumed=\"false\"",
        "?consumed=%22false%22",
        &format!("?consumed=false&name={}", name.replace(' ', "%20")),
    ] {
        let (status, listed) = call("GET", &format!("/v2/credentialvault/credentials{query}"), None);
        assert_eq!(status, 200, "{query}: {listed}");
        resembles("listed", &printed, &listed);
        assert_eq!(listed["list"].as_array().unwrap().len(), 1, "{query}: {listed}");
    }
    let names = format!("/v2/credentialvault/credentials?names={},Another", name.replace(' ', "%20"));
    assert_eq!(call("GET", &names, None).1["list"].as_array().unwrap().len(), 1);
    let (status, listed) = call("GET", "/v2/credentialvault/credentials?consumed=true", None);
    assert_eq!((status, listed["list"].as_array().map(Vec::len)), (200, Some(0)));

    // 3. One credential.
    let path = format!("/v2/credentialvault/credentials/{id}");
    let (status, read) = call("GET", &path, None);
    assert_eq!(status, 200);
    resembles("read", &printed_credential(), &read);

    // 4. Update it, with the sample as it stands but for its placeholders.
    let body = format!(
        r#"{{ "id": "{id}", "version": 0, "name": "{name}", "description": "Login details for SharePoint", "lockerId": null, "ownerId": {}, "attributes": [ {{ "id": {attribute}, "version": 0, "name": "Username", "description": "SharePoint Username", "userProvided": true, "masked": true }} ] }}"#,
        user.id
    );
    let (status, updated) = call("PUT", &path, Some(&body));
    assert_eq!(status, 200, "{updated}");
    resembles("updated", &printed_credential(), &updated);
    assert_eq!(updated["description"], "Login details for SharePoint");
    assert_eq!(updated["attributes"][0]["description"], "SharePoint Username");
    assert_eq!(updated["version"], "1");
    // "Enter only the parameters to update."
    let (status, updated) = call("PUT", &path, Some(r#"{ "description": "Only this" }"#));
    assert_eq!((status, &updated["version"]), (200, &json!("2")));

    // Values. 1. Create, on the printed path and on the other one.
    let value = case.secret("Jane Smith");
    let body = format!("[\n\n{{\n\n\"credentialAttributeId\": \"{attribute}\",\n\n\"value\": \"{value}\"\n\n}}\n\n]");
    let (status, slip) = call("POST", &format!("{path}/username"), Some(&body));
    assert_eq!((status, &slip["code"]), (404, &json!("route.not_found")));
    let (status, stored) = call("POST", &format!("{path}/attributevalue"), Some(&body));
    assert_eq!(status, 201, "{stored}");
    resembles("stored", &json!([printed_value()]), &stored);
    let (status, again) = call("POST", &format!("{path}/attributevalues"), Some(&body));
    assert_eq!((status, &again["code"]), (409, &json!("value.exists")));

    // 2. List.
    let (status, values) = call("GET", &format!("{path}/attributevalues"), None);
    assert_eq!(status, 200);
    resembles("values", &json!({"list": [printed_value()]}), &values);
    assert_eq!(values["list"][0]["value"], json!(value));
    let narrowed = format!("{path}/attributevalues?credentialAttributeId={attribute}&userId={}", user.id);
    assert_eq!(call("GET", &narrowed, None).1["list"].as_array().map(Vec::len), Some(1));

    // 3. Update, with the two slashes that are printed.
    let value_id = stored[0]["id"].as_str().unwrap();
    let changed = case.secret("Jane Doe");
    let body = format!(
        r#"[ {{ "id": "{value_id}", "version": 0, "value" : "{changed}", "credentialAttributeId": "{attribute}" }} ]"#
    );
    let (status, updated) =
        call("PUT", &format!("/v2/credentialvault//credentials/{id}/attributevalues/{value_id}"), Some(&body));
    assert_eq!(status, 200, "{updated}");
    let mut printed = printed_value();
    printed["value"] = json!("");
    resembles("updated value", &json!([printed]), &updated);
    assert_eq!(updated[0]["value"], "", "masked");

    // 4. Delete.
    let (status, body) = call("DELETE", &format!("{path}/attributevalues/{value_id}"), None);
    assert_eq!((status, body), (204, Value::Null));

    // 5. Give it to another owner, who deletes it (6).
    let (status, given) = call("PUT", &format!("{path}/owner/{}", next_owner.id), None);
    assert_eq!(status, 200, "{given}");
    resembles("given", &printed_credential(), &given);
    assert_eq!(given["ownerId"], json!(next_owner.id.to_string()));
    assert_eq!(call("DELETE", &path, None).0, 404, "it is not the old owner's any more");
    let heir = format!("X-Authorization: {}", next_owner.token.as_deref().unwrap());
    let (status, body) = curl(&["-X", "DELETE", &url(&path), "-H", &heir]);
    assert_eq!((status, body), (204, Value::Null));

    // Mode and key state, as the administrator.
    let admin = format!("X-Authorization: {}", case.admin.token.as_deref().unwrap());
    let mode = curl(&["-X", "GET", &url("/v2/credentialvault/mode"), "-H", &admin]);
    assert_eq!(mode, (200, json!({"name": "Express"})));
    let key = curl(&["-X", "GET", &url("/v2/credentialvault/keys/private"), "-H", &admin]);
    assert_eq!(key, (200, json!({"applied": true})));
    assert_eq!(call("GET", "/v2/credentialvault/mode", None).0, 403);

    // The table of status codes.
    assert_eq!(curl(&["-X", "GET", &url("/v2/credentialvault/credentials")]).0, 401);
    assert_eq!(call("POST", "/v2/credentialvault/credentials", Some("{")).0, 400);
    assert_eq!(call("GET", "/v2/credentialvault/credentials/9223372036854775807", None).0, 404);
}

#[test]
fn the_story_works_with_grpcurl() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Grpc, grpcurl_story);
    }
}

async fn grpcurl_story(case: &Case<'_>) {
    let user = case.basic("grpcurl").await;
    let address = case.server.grpc.to_string();
    let call = |token: Option<&str>, rpc: &str, body: &Value| -> Result<Value, String> {
        let mut command = Command::new(grpcurl());
        command.args(["-plaintext", "-max-time", "30", "-emit-defaults"]);
        if let Some(token) = token {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        let output = command.args(["-d", &body.to_string(), &address, rpc]).output();
        let output = output.unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    let list = Command::new(grpcurl()).args(["-plaintext", &address, "list"]).output().unwrap();
    let services = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(services.contains("coffre.vault.v1.CredentialService") && !services.contains("internal"), "{services}");

    let body = json!({"username": user.username, "password": case.password_of(&user)});
    let signed_in = call(None, "coffre.auth.v1.AuthenticationService/SignIn", &body).unwrap();
    let token = signed_in["token"].as_str().unwrap();
    canary::remember_token(token);
    let body = json!({"name": case.unique("SharePoint Login"), "attributes": [{"name": "Username", "masked": true}]});
    let created = call(Some(token), "coffre.vault.v1.CredentialService/CreateCredential", &body).unwrap();
    let id = &created["credential"]["id"];
    assert!(id.is_string(), "{created}");
    let secret = case.secret("Jane Smith");
    let body = json!({"credentialId": id, "values": [{"attributeId": created["credential"]["attributes"][0]["id"], "value": secret}]});
    let stored = call(Some(token), "coffre.vault.v1.AttributeValueService/CreateAttributeValues", &body).unwrap();
    assert_eq!(stored["values"][0]["valueSet"], false, "masked: {stored}");
    let body = json!({"credentialId": id});
    let read = call(Some(token), "coffre.vault.v1.AttributeValueService/ListAttributeValues", &body).unwrap();
    assert_eq!(read["values"][0]["value"], json!(secret));
    let body = json!({"query": {"filter": {"comparison": {"operator": "OPERATOR_EQUAL", "field": "event", "value": "credential.value.read"}}, "count": true}});
    let begun = std::time::Instant::now();
    loop {
        let audit = call(Some(token), "coffre.audit.v1.AuditService/ListEntries", &body).unwrap();
        if audit["entries"].as_array().is_some_and(|entries| entries.len() == 1) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{audit}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let refused = call(Some(token), "coffre.vault.v1.KeyService/GetMode", &json!({})).unwrap_err();
    assert!(refused.contains("PermissionDenied") && refused.contains("AUTHZ_PERMISSION_REQUIRED"), "{refused}");
    let refused = call(None, "coffre.vault.v1.CredentialService/GetCredential", &json!({"id": id})).unwrap_err();
    assert!(refused.contains("Unauthenticated") && refused.contains("AUTH_TOKEN_REQUIRED"), "{refused}");
}
