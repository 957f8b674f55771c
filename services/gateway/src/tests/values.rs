//! V1–V4, M1, M3 and T1, with the requests as the old document prints them.

use coffre_error::Reason;
use coffre_proto::vault::v1::{
    AttributeValue, CreateAttributeValuesRequest, CreateAttributeValuesResponse, DeleteAttributeValueRequest,
    GetMasterKeyStatusResponse, GetModeResponse, GetTransportPublicKeyResponse, ListAttributeValuesRequest,
    ListAttributeValuesResponse, Mode, UpdateAttributeValueRequest, UpdateAttributeValueResponse,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, send};
use crate::{Config, StatusCodes};

const VALUES: &str = "/v2/credentialvault/credentials/12/attributevalues";

fn stored(secret: &str) -> AttributeValue {
    let time = Some(Timestamp { seconds: 1_530_089_293, nanos: 0 });
    AttributeValue {
        id: 30,
        attribute_id: 62,
        user_id: None,
        value: secret.into(),
        value_set: !secret.is_empty(),
        version: 2,
        creator_id: 1,
        create_time: time,
        updater_id: 1,
        update_time: time,
    }
}

fn expected(secret: &str) -> Value {
    json!({
        "id": "30", "createdBy": "1", "createdOn": "2018-06-27T08:48:13.000Z", "updatedBy": "1", "updatedOn": "2018-06-27T08:48:13.000Z",
        "tenantId": "1", "version": "2", "userId": null, "value": secret, "credentialAttributeId": "62"
    })
}

#[tokio::test]
async fn an_answer_to_a_creation_mirrors_the_shape_of_its_request() {
    let upstream = Upstream::default();
    let answered = CreateAttributeValuesResponse { values: vec![stored("Jane.Smith")] };
    upstream.reply("AttributeValueService/CreateAttributeValues", &answered);
    let gateway = upstream.gateway();
    let item = r#"{ "credentialAttributeId": "30", "value": "Jane Smith" }"#;
    for (path, body, shape) in [
        (VALUES, format!("[{item}]"), json!([expected("Jane.Smith")])),
        ("/v2/credentialvault/credentials/12/attributevalue", format!("[{item}]"), json!([expected("Jane.Smith")])),
        (VALUES, format!("{{\"list\":[{item}]}}"), json!({"list": [expected("Jane.Smith")]})),
    ] {
        let answer = send(&gateway, "POST", path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (201, shape), "{path}");
        let asked: CreateAttributeValuesRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.encryption_key.as_str()), (12, ""));
        assert_eq!(
            (asked.values[0].attribute_id, asked.values[0].user_id, asked.values[0].value.as_str()),
            (30, None, "Jane Smith")
        );
    }
}

#[tokio::test]
async fn a_masked_value_is_echoed_empty() {
    let upstream = Upstream::default();
    upstream.reply(
        "AttributeValueService/CreateAttributeValues",
        &CreateAttributeValuesResponse { values: vec![stored("")] },
    );
    let answer = send(&upstream.gateway(), "POST", VALUES, r#"[{"credentialAttributeId":30,"value":"x"}]"#).await;
    assert_eq!(answer.json(), json!([expected("")]));
}

#[tokio::test]
async fn creations_of_another_form_are_refused_by_their_path() {
    let forms = [
        (r#"[{"value":"x"}]"#, "[0].credentialAttributeId"),
        (r#"[{"credentialAttributeId":1,"value":"x"},{"credentialAttributeId":2}]"#, "[1].value"),
        (r#"[{"credentialAttributeId":1,"value":7}]"#, "[0].value"),
        (r#"[{"credentialAttributeId":1,"value":null}]"#, "[0].value"),
        (r#"{"list":[{"credentialAttributeId":"x","value":"v"}]}"#, "list[0].credentialAttributeId"),
        (r#"[{"credentialAttributeId":1,"value":"v","userId":-3}]"#, "[0].userId"),
        ("[1]", "[0]"),
        ("", ""),
        ("{}", ""),
        ("7", ""),
        ("null", ""),
        (r#"{"credentialAttributeId":1,"value":"v"}"#, ""),
        // The document prints this path for the creation of a locker.
        (r#"{"name":"SalesForce Locker","description":"d"}"#, ""),
    ];
    assert_forms_refused(&Upstream::default(), "POST", VALUES, &forms).await;
}

#[tokio::test]
async fn an_encryption_key_goes_on_with_its_plus_signs() {
    let upstream = Upstream::default();
    upstream.reply(
        "AttributeValueService/CreateAttributeValues",
        &CreateAttributeValuesResponse { values: vec![stored("")] },
    );
    upstream
        .reply("AttributeValueService/UpdateAttributeValue", &UpdateAttributeValueResponse { value: Some(stored("")) });
    let gateway = upstream.gateway();
    for key in ["PFJTQ+/a==", "PFJTQ%2B/a%3D%3D", "%22PFJTQ+/a==%22"] {
        send(
            &gateway,
            "POST",
            &format!("{VALUES}?encryptionKey={key}"),
            r#"[{"credentialAttributeId":30,"value":"eA=="}]"#,
        )
        .await;
        assert_eq!(upstream.asked::<CreateAttributeValuesRequest>().encryption_key, "PFJTQ+/a==", "{key}");
        send(&gateway, "PUT", &format!("{VALUES}/30?encryptionKey={key}"), r#"{"value":"eA=="}"#).await;
        assert_eq!(upstream.asked::<UpdateAttributeValueRequest>().encryption_key, "PFJTQ+/a==", "{key}");
    }
}

#[tokio::test]
async fn values_are_read_in_a_list_and_narrowed_by_attribute_and_user() {
    let upstream = Upstream::default();
    let own = AttributeValue { user_id: Some(9), ..stored("s") };
    upstream.reply(
        "AttributeValueService/ListAttributeValues",
        &ListAttributeValuesResponse { values: vec![stored("Jane.Smith"), own] },
    );
    let gateway = upstream.gateway();
    for (query, attribute, user) in [
        ("", None, None),
        ("?credentialAttributeId=62", Some(62), None),
        ("?credentialAttributeId=%2262%22&userId=9", Some(62), Some(9)),
    ] {
        let answer = send(&gateway, "GET", &format!("{VALUES}{query}"), "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["list"][0], expected("Jane.Smith"));
        assert_eq!(answer.json()["list"][1]["userId"], "9");
        let asked: ListAttributeValuesRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.attribute_id, asked.user_id), (12, attribute, user), "{query}");
    }
    for query in ["?userId=x", "?credentialAttributeId=-1", "?userId=1&userId=1"] {
        assert_eq!(send(&gateway, "GET", &format!("{VALUES}{query}"), "").await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn an_answer_to_a_change_mirrors_the_shape_of_its_request() {
    let upstream = Upstream::default();
    upstream
        .reply("AttributeValueService/UpdateAttributeValue", &UpdateAttributeValueResponse { value: Some(stored("")) });
    let gateway = upstream.gateway();
    let printed = r#"[ { "id": "30", "version": 0, "value" : "Jane", "credentialAttributeId": "62" } ]"#;
    for (path, body, shape) in [
        ("/v2/credentialvault//credentials/12/attributevalues/30", printed, json!([expected("")])),
        (
            "/v2/credentialvault/credentials/12/attributevalues/30",
            r#"{"value":"Jane","version":"0","id":30,"credentialAttributeId":62}"#,
            expected(""),
        ),
    ] {
        let answer = send(&gateway, "PUT", path, body).await;
        assert_eq!((answer.status.as_u16(), answer.json(), answer.header("etag")), (200, shape, Some("\"2\"")));
        let asked: UpdateAttributeValueRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.id, asked.version, asked.attribute_id), (12, 30, Some(0), Some(62)));
        assert_eq!(asked.value, "Jane");
    }
    let forms = [
        ("[]", ""),
        (r#"[{"value":"a"},{"value":"b"}]"#, ""),
        ("{}", "value"),
        ("", ""),
        (r#"{"value":null}"#, "value"),
        (r#"[{"id":31,"value":"a"}]"#, "[0].id"),
        (r#"{"value":"a","version":"x"}"#, "version"),
    ];
    assert_forms_refused(&upstream, "PUT", &format!("{VALUES}/30"), &forms).await;
    assert_eq!(
        send(&gateway, "PUT", &format!("{VALUES}/30"), r#"{"value":""}"#).await.status,
        200,
        "an empty secret is a secret"
    );
}

#[tokio::test]
async fn a_changed_value_is_never_304() {
    let upstream = Upstream::default();
    upstream
        .reply("AttributeValueService/UpdateAttributeValue", &UpdateAttributeValueResponse { value: Some(stored("")) });
    let gateway = upstream.gateway_with(Config { status_codes: StatusCodes::Documented, ..Config::default() });
    assert_eq!(send(&gateway, "PUT", &format!("{VALUES}/30"), r#"{"value":"a"}"#).await.status, 200);
}

#[tokio::test]
async fn a_value_is_deleted_under_both_names_of_its_path() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for path in [
        "/v2/credentialvault/credentials/12/attributevalues/30",
        "/v2/credentialvault/credentials/12/values/30",
        "/v1/credentialvault/credentials/12/values/30/",
    ] {
        assert_eq!(send(&gateway, "DELETE", path, "").await.status, 204, "{path}");
        let asked: DeleteAttributeValueRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.id), (12, 30));
    }
}

#[tokio::test]
async fn a_sealed_vault_is_503_and_never_an_empty_value() {
    let upstream = Upstream::default();
    upstream.refuse_for("AttributeValueService/ListAttributeValues", Reason::VaultSealed);
    let answer = send(&upstream.gateway(), "GET", VALUES, "").await;
    answer.assert_refused(503, "vault.sealed", "");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn mode_and_keys_answer_as_documented() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (mode, name) in [(Mode::Express, "Express"), (Mode::Manual, "Manual")] {
        upstream.reply("KeyService/GetMode", &GetModeResponse { mode: mode.into() });
        assert_eq!(send(&gateway, "GET", "/v2/credentialvault/mode", "").await.json(), json!({"name": name}));
    }
    upstream.reply("KeyService/GetMode", &GetModeResponse { mode: 0 });
    assert_eq!(send(&gateway, "GET", "/v2/credentialvault/mode", "").await.status, 500);
    upstream.reply("KeyService/GetMasterKeyStatus", &GetMasterKeyStatusResponse { applied: true });
    assert_eq!(send(&gateway, "GET", "/v2/credentialvault/keys/private", "").await.json(), json!({"applied": true}));
    upstream
        .reply("KeyService/GetTransportPublicKey", &GetTransportPublicKeyResponse { public_key: "PFJTQQ==".into() });
    let answer = send(&gateway, "GET", "/v2/credentialvault/keys/transport/public", "").await;
    assert_eq!(answer.json(), json!({"publicKey": "PFJTQQ=="}));
}
