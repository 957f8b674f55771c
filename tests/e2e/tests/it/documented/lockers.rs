//! Every request that the old document prints for lockers, sent by real `curl` as it is printed, with the placeholders filled and the host and
//! ids of today; the answers are compared with what is printed.
//!
//! What had to be repaired:
//!
//! | printed | sent |
//! |---|---|
//! | 2, creating: `POST …/credentials/<id>/attributevalue`, example `POST …/credentials/12/username` | both are refused (400, 404): it is `POST …/lockers` |
//! | 3: the credential is sent for by `POST` in the introduction ("à l'aide de la méthode POST … GET …/lockers") | `GET` |
//! | 5: the answer to the update without `tenantId` | it carries one like every answer |
//! | 7: the consumers come with 204 | 200, because they come in a body |
//! | 8: the example `PUT …/lockers/2` with `{ "id": 14 }` | 400: that is an update of another locker; the path above it, `…/consumers`, works |
//! | 11: `["permission type"]` | each of the words, `participe` of the table of parameters too |
//! | 9, 12, 15: "the credential with the id …" where a consumer, a member or a credential is meant | as printed |
//! | 13: the path runs into the sentence before it | the path |

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, permission, run};
use coffre_e2e::server::Engine;
use serde_json::{Value, json};

use super::{curl, resembles};

fn printed_locker() -> Value {
    json!({"id": 2, "name": "SharePoint Locker", "description": "", "createdBy": 2, "createdOn": "2018-07-04T09:40:49.187Z", "updatedBy": 2,
           "updatedOn": "2018-07-04T09:41:04.682Z", "tenantId": 1, "version": 1})
}

fn printed_member() -> Value {
    json!({"id": 2, "permissions": ["participate", "own", "manage"]})
}

fn printed_inside() -> Value {
    let attribute = json!({"id": 58, "name": "username", "description": "", "userProvided": true, "masked": false, "createdBy": 2,
        "createdOn": "2018-07-04T10:09:32.854Z", "updatedBy": 2, "updatedOn": "2018-07-04T10:09:32.854Z", "tenantId": 1, "version": 0});
    json!({"id": 10, "name": "SharePoint Credentials", "description": "", "completed": false, "lockerId": 2, "ownerId": 2,
           "attributes": [attribute], "createdBy": 2, "createdOn": "2018-07-04T10:09:32.854Z", "updatedBy": 2,
           "updatedOn": "2018-07-04T10:10:04.316Z", "tenantId": 1, "version": 1})
}

#[test]
fn every_printed_request_about_lockers_works_as_printed() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Rest, replay);
    }
}

async fn replay(case: &Case<'_>) {
    let base = case.server.url();
    let (user, other) = (case.basic("Ellie.Brown").await, case.basic("Amy.Chen").await);
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let header = format!("X-Authorization: {}", user.token.as_deref().unwrap());
    let call = |method: &str, path: &str, body: Option<&str>| {
        let address = format!("{base}{path}");
        let mut words = vec!["-X", method, &address, "-H", &header, "-H", "Content-Type: application/json"];
        if let Some(body) = body {
            words.extend(["-d", body]);
        }
        curl(&words)
    };
    let lockers = "/v2/credentialvault/lockers";

    // 2. Create a locker: not where the document prints it by mistake, but where lockers are.
    let attributes = [coffre_e2e::api::NewAttribute::user_provided("username")];
    let credential = user.create_credential(&case.unique("SharePoint Credentials"), &attributes).await.ok().id;
    let name = case.unique("SalesForce Locker");
    let body = format!(
        r#"{{ "name": "{name}", "description": "Use this to store all credentials for the SalesForce application" }}"#
    );
    let slip = call("POST", &format!("/v2/credentialvault/credentials/{credential}/attributevalue"), Some(&body));
    assert_eq!((slip.0, &slip.1["code"]), (400, &json!("request.invalid")));
    let slip = call("POST", &format!("/v2/credentialvault/credentials/{credential}/username"), Some(&body));
    assert_eq!((slip.0, &slip.1["code"]), (404, &json!("route.not_found")));
    let (status, created) = call("POST", lockers, Some(&body));
    assert_eq!(status, 201, "{created}");
    let mut printed = printed_locker();
    printed["version"] = json!(0);
    resembles("created", &printed, &created);
    assert_eq!((&created["version"], &created["name"]), (&json!("0"), &json!(name)));
    let id = created["id"].as_str().unwrap().to_owned();
    let path = format!("{lockers}/{id}");

    // 1. List the lockers.
    for query in ["", "?consumed=false", "?consumed=\"false\"", "?consumed=%22false%22"] {
        let (status, listed) = call("GET", &format!("{lockers}{query}"), None);
        assert_eq!(status, 200, "{query}: {listed}");
        resembles("listed", &json!({"list": [printed_locker()]}), &listed);
        assert_eq!(listed["list"].as_array().map(Vec::len), Some(1), "{query}: {listed}");
    }
    let (status, consumed) = call("GET", &format!("{lockers}?consumed=\"true\""), None);
    assert_eq!((status, consumed["list"].as_array().map(Vec::len)), (200, Some(0)));

    // 4. One of them.
    let (status, read) = call("GET", &path, None);
    assert_eq!(status, 200);
    resembles("read", &printed_locker(), &read);

    // 5. Update it, with the two slashes that are printed.
    let renamed = case.unique("SharePoint-Locker");
    let body = format!(
        r#"{{ "id": "{id}", "name": "{renamed}", "description": "Locker to manage SharePoint credentials", "version": 0 }}"#
    );
    let (status, updated) = call("PUT", &format!("/v2/credentialvault//lockers/{id}"), Some(&body));
    assert_eq!(status, 200, "{updated}");
    resembles("updated", &printed_locker(), &updated);
    assert_eq!((&updated["name"], &updated["version"]), (&json!(renamed), &json!("1")));

    // 8. Add a consumer: the example is an update of another locker.
    let consumer = format!(r#"{{ "id": {role} }}"#);
    let slip = call("PUT", &path, Some(&consumer));
    assert_eq!((slip.0, &slip.1["code"]), (400, &json!("request.invalid")));
    assert_eq!(call("PUT", &format!("{path}/consumers"), Some(&consumer)), (204, Value::Null));
    let quoted = format!(r#"{{ "id": "{role}" }}"#);
    assert_eq!(call("PUT", &format!("{path}/consumers"), Some(&quoted)), (204, Value::Null));

    // 7. The consumers.
    let (status, consumers) = call("GET", &format!("{path}/consumers"), None);
    assert_eq!((status, consumers), (200, json!({"list": [{"id": role.to_string()}]})));

    // 11. Add a member and change it.
    let member = format!("{path}/members/{}", other.id);
    for words in [r#"["participate", "manage"]"#, r#"["participe"]"#, r#"["own"]"#, r#"["manage"]"#] {
        let body = format!(r#"{{ "permissions": {words} }}"#);
        assert_eq!(call("PUT", &member, Some(&body)), (204, Value::Null), "{words}");
    }

    // 10. The members.
    let (status, members) = call("GET", &format!("{path}/members"), None);
    assert_eq!(status, 200);
    resembles("members", &json!({"list": [printed_member()]}), &members);
    assert_eq!(members["list"][1], json!({"id": other.id.to_string(), "permissions": ["participate", "manage"]}));

    // 13. Put a credential in, without a body and with one.
    let inside = format!("{path}/credentials/{credential}");
    let (status, put) = call("PUT", &inside, None);
    assert_eq!(status, 200, "{put}");
    resembles("put in", &printed_inside(), &put);
    // Whom this trusts with what is said beside what is printed (security.md 3.2).
    assert!(
        put["notice"].as_str().is_some_and(|text| text.contains("trust") && text.contains("standard values")),
        "{put}"
    );
    let (status, again) = call("PUT", &inside, Some("{}"));
    assert_eq!((status, &again["version"]), (200, &put["version"]));

    // 14. What is inside, with the slash that is printed.
    let (status, listed) = call("GET", &format!("{path}/credentials/"), None);
    assert_eq!(status, 200);
    resembles("inside", &json!({"list": [printed_inside()]}), &listed);
    let (found, mut put) = (&listed["list"], put);
    put.as_object_mut().unwrap().remove("notice");
    assert_eq!(found, &json!([put]));

    // 3. Lockers with further fields.
    let (status, advanced) = call("GET", &format!("{lockers}/advanced"), None);
    assert_eq!(status, 200);
    let mut printed = printed_locker();
    printed["members"] = json!([printed_member()]);
    printed["countOfCredentials"] = json!(1);
    resembles("advanced", &json!({"list": [printed]}), &advanced);
    assert_eq!(advanced["list"][0]["members"], members["list"]);
    assert_eq!(advanced["list"][0]["countOfCredentials"], json!(1));

    // 15, 12, 9, 6. Everything out again.
    assert_eq!(call("DELETE", &path, None).0, 409, "it holds a credential");
    assert_eq!(call("DELETE", &inside, None), (204, Value::Null));
    assert_eq!(call("DELETE", &inside, None).0, 404);
    assert_eq!(call("DELETE", &member, None), (204, Value::Null));
    assert_eq!(call("DELETE", &format!("{path}/consumers/{role}"), None), (204, Value::Null));
    assert_eq!(call("DELETE", &path, None), (204, Value::Null));
    assert_eq!(call("GET", &path, None).0, 404);
}
