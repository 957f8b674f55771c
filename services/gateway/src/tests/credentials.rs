//! C1–C6 and A1, with the requests as the old document prints them.

use coffre_proto::vault::v1::{
    Attribute, CreateCredentialRequest, CreateCredentialResponse, Credential, DeleteAttributeRequest,
    DeleteCredentialRequest, GetCredentialResponse, ListCredentialsRequest, ListCredentialsResponse, Permissions,
    TransferCredentialRequest, TransferCredentialResponse, UpdateCredentialRequest, UpdateCredentialResponse,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, assert_pages, assert_unchanged, page, send, send_with};

const TOKEN: (&str, &str) = ("x-authorization", "the.token.x");

fn stored() -> Credential {
    let time = Some(Timestamp { seconds: 1_531_721_072, nanos: 905_123_456 });
    Credential {
        id: 10,
        name: "SharePoint Login".into(),
        description: Some("Credentials to login to SharePoint".into()),
        owner_id: 1,
        locker_id: None,
        attributes: vec![Attribute {
            id: 58,
            name: "Username".into(),
            description: None,
            user_provided: true,
            masked: true,
            creator_id: 1,
            create_time: time,
            updater_id: 1,
            update_time: time,
            ..Attribute::default()
        }],
        permissions: Some(Permissions { can_read_values: true, can_update: true, ..Permissions::default() }),
        creator_id: 1,
        create_time: time,
        updater_id: 2,
        update_time: time,
        version: 7,
        completed: false,
    }
}

fn expected() -> Value {
    json!({
        "id": "10", "createdBy": "1", "createdOn": "2018-07-16T06:04:32.905Z", "updatedBy": "2", "updatedOn": "2018-07-16T06:04:32.905Z",
        "tenantId": "1", "version": "7", "name": "SharePoint Login", "description": "Credentials to login to SharePoint",
        "lockerId": null, "ownerId": "1",
        "attributes": [{
            "id": "58", "createdBy": "1", "createdOn": "2018-07-16T06:04:32.905Z", "updatedBy": "1", "updatedOn": "2018-07-16T06:04:32.905Z",
            "tenantId": "1", "version": "0", "name": "Username", "description": null, "userProvided": true, "masked": true, "passwordFlag": false
        }],
        "completed": false,
        "permissions": {
            "canReadValues": true, "canWriteValues": false, "canUpdate": true, "canDelete": false, "canTransferOwnership": false,
            "canAssignLocker": false
        }
    })
}

#[tokio::test]
async fn the_printed_creation_works_and_answers_every_key() {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/CreateCredential", &CreateCredentialResponse { credential: Some(stored()) });
    let body = r#"{ "name": "SharePoint Login", "description": "Credentials to login to SharePoint", "attributes": [ { "name": "Username", "description": "Name of the user", "userProvided": true, "masked": true } ] }"#;
    let answer = send(&upstream.gateway(), "POST", "/v2/credentialvault/credentials", body).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (201, expected()));
    assert_eq!(answer.header("etag"), Some("\"7\""));
    assert_eq!(answer.header("location"), Some("/v2/credentialvault/credentials/10"));
    let asked: CreateCredentialRequest = upstream.asked();
    assert_eq!((asked.name.as_str(), asked.attributes.len()), ("SharePoint Login", 1));
    assert!(asked.attributes[0].user_provided && asked.attributes[0].masked && !asked.attributes[0].password);
    assert_eq!(asked.attributes[0].description.as_deref(), Some("Name of the user"));
}

#[tokio::test]
async fn flags_default_to_false_and_descriptions_to_null() {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/CreateCredential", &CreateCredentialResponse { credential: Some(stored()) });
    let gateway = upstream.gateway();
    for body in [
        r#"{"name":"n","attributes":[{"name":"a"}]}"#,
        r#"{"name":"n","description":null,"attributes":[{"name":"a","description":null,"masked":null,"id":5,"zzz":1}]}"#,
    ] {
        assert_eq!(send(&gateway, "POST", "/v2/credentialvault/credentials", body).await.status, 201);
        let asked: CreateCredentialRequest = upstream.asked();
        assert_eq!((asked.description, asked.attributes[0].description.clone()), (None, None));
        assert!(!asked.attributes[0].user_provided && !asked.attributes[0].masked && !asked.attributes[0].password);
    }
    send(&gateway, "POST", "/v2/credentialvault/credentials", "{}").await;
    assert_eq!(upstream.asked::<CreateCredentialRequest>().name, "", "that a name is needed is the vault's to say");
}

#[tokio::test]
async fn the_list_filters_by_consumption_and_names() {
    let upstream = Upstream::default();
    upstream.reply(
        "CredentialService/ListCredentials",
        &ListCredentialsResponse { credentials: vec![stored()], page: None },
    );
    let gateway = upstream.gateway();
    for (query, consumed, names) in [
        ("", None, &[][..]),
        ("?consumed=false", Some(false), &[]),
        ("?consumed=%22true%22&name=%22SharePoint%20Login%22", Some(true), &["SharePoint Login"]),
        ("?name=A+B&names=C,%20D%20,,E", None, &["A B", "C", "D", "E"]),
        ("?name=&names=", None, &[]),
    ] {
        let answer = send(&gateway, "GET", &format!("/v2/credentialvault/credentials{query}"), "").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"list": [expected()]})), "{query}");
        let asked: ListCredentialsRequest = upstream.asked();
        assert_eq!(
            (asked.consumed, asked.names),
            (consumed, names.iter().map(|name| (*name).to_owned()).collect()),
            "{query}"
        );
        assert!(asked.query.unwrap().whole);
    }
}

#[tokio::test]
async fn the_list_by_query_answers_a_page() {
    let upstream = Upstream::default();
    let method = "CredentialService/ListCredentials";
    upstream.reply(method, &ListCredentialsResponse { credentials: vec![stored()], page: page() });
    let path = "/v2/credentialvault/credentials/list";
    let query = |upstream: &Upstream| upstream.asked::<ListCredentialsRequest>().query.unwrap();
    assert_pages(&upstream, path, &expected(), query).await;
    upstream.reply(method, &ListCredentialsResponse { credentials: vec![], page: None });
    let answer = send(&upstream.gateway(), "POST", path, "").await;
    assert_eq!(answer.json(), json!({"page": {"offset": 0}, "list": []}));
}

#[tokio::test]
async fn one_credential_has_an_entity_tag() {
    let upstream = Upstream::default();
    let credential = Credential { locker_id: Some(2), description: None, ..stored() };
    upstream.reply("CredentialService/GetCredential", &GetCredentialResponse { credential: Some(credential) });
    let answer = send(&upstream.gateway(), "GET", "/v2/credentialvault/credentials/10", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("\"7\"")));
    assert_eq!((&answer.json()["lockerId"], &answer.json()["description"]), (&json!("2"), &Value::Null));
}

#[tokio::test]
async fn the_printed_update_works_with_numbers_and_strings() {
    let upstream = Upstream::default();
    upstream.reply(
        "CredentialService/UpdateCredential",
        &UpdateCredentialResponse { credential: Some(stored()), changed: true },
    );
    let body = r#"{ "id": "12", "version": 0, "name": "SharePoint Login", "description": "Login details for SharePoint", "lockerId": null, "ownerId": 1,
        "attributes": [ { "id": 61, "version": 0, "name": "User", "description": "SharePoint Username", "userProvided": false, "masked": true }, {"name": "New"} ] }"#;
    let headers = [TOKEN, ("if-match", "\"0\"")];
    let answer = send_with(&upstream.gateway(), "PUT", "/v2/credentialvault/credentials/12", &headers, body).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected()));
    let asked: UpdateCredentialRequest = upstream.asked();
    assert_eq!((asked.id, asked.version, asked.etag.as_str()), (12, Some(0), "\"0\""));
    assert_eq!((asked.owner_id, asked.locker_id), (Some(1), None));
    assert_eq!((asked.attributes[0].id, asked.attributes[0].version), (Some(61), Some(0)));
    assert_eq!((asked.attributes[0].user_provided, asked.attributes[0].password), (Some(false), None));
    assert_eq!((asked.attributes[1].id, asked.attributes[1].name.as_deref()), (None, Some("New")));
}

#[tokio::test]
async fn an_update_carries_only_what_the_body_does() {
    let upstream = Upstream::default();
    upstream.reply(
        "CredentialService/UpdateCredential",
        &UpdateCredentialResponse { credential: Some(stored()), changed: true },
    );
    let gateway = upstream.gateway();
    let path = "/v2/credentialvault/credentials/12";
    assert_eq!(send(&gateway, "PUT", path, "{}").await.status, 200);
    assert_eq!(
        upstream.asked::<UpdateCredentialRequest>(),
        UpdateCredentialRequest { id: 12, ..UpdateCredentialRequest::default() }
    );
    send(&gateway, "PUT", path, r#"{"version":"7","description":null,"lockerId":"3"}"#).await;
    let asked: UpdateCredentialRequest = upstream.asked();
    assert_eq!((asked.version, asked.description.as_deref(), asked.locker_id), (Some(7), Some(""), Some(3)));
    let forms = [
        (r#"{"id":13}"#, "id"),
        (r#"{"id":"13"}"#, "id"),
        (r#"{"version":-1}"#, "version"),
        (r#"{"ownerId":"x"}"#, "ownerId"),
        (r#"{"attributes":[{"id":0}]}"#, "attributes[0].id"),
        ("[]", ""),
        ("", ""),
    ];
    assert_forms_refused(&upstream, "PUT", path, &forms).await;
}

#[tokio::test]
async fn an_unchanged_put_is_304_only_with_the_documented_codes() {
    let upstream = Upstream::default();
    upstream.reply(
        "CredentialService/UpdateCredential",
        &UpdateCredentialResponse { credential: Some(stored()), changed: false },
    );
    upstream.reply(
        "CredentialService/TransferCredential",
        &TransferCredentialResponse { credential: Some(stored()), changed: false },
    );
    for path in ["/v2/credentialvault/credentials/10", "/v2/credentialvault/credentials/10/owner/1"] {
        assert_unchanged(&upstream, path, &expected()).await;
    }
}

#[tokio::test]
async fn an_owner_is_changed_without_a_body() {
    let upstream = Upstream::default();
    upstream.reply(
        "CredentialService/TransferCredential",
        &TransferCredentialResponse { credential: Some(stored()), changed: true },
    );
    let gateway = upstream.gateway();
    for body in ["", "{ not json"] {
        let answer = send(&gateway, "PUT", "/v2/credentialvault/credentials/12/owner/2", body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected()));
        let asked: TransferCredentialRequest = upstream.asked();
        assert_eq!((asked.id, asked.owner_id), (12, 2));
    }
    let answer = send(&gateway, "PUT", "/v2/credentialvault/credentials/12/owner/x", "").await;
    assert_eq!(answer.json()["details"][0]["field"], "userId");
}

#[tokio::test]
async fn deletions_answer_204_without_a_body() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let headers = [TOKEN, ("if-match", "\"1\""), ("if-match", "\"2\"")];
    let answer = send_with(&gateway, "DELETE", "/v2/credentialvault/credentials/11", &headers, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    let asked: DeleteCredentialRequest = upstream.asked();
    assert_eq!((asked.id, asked.etag.as_str()), (11, "\"1\", \"2\""));
    let answer = send(&gateway, "DELETE", "/v2/credentialvault/credentials/11/attributes/61", "").await;
    assert_eq!(answer.status, 204);
    let asked: DeleteAttributeRequest = upstream.asked();
    assert_eq!((asked.credential_id, asked.attribute_id), (11, 61));
}
