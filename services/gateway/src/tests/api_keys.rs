//! One's own API keys.

use coffre_error::Refusal;
use coffre_proto::auth::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, DeleteApiKeyRequest, ListApiKeysResponse,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, send};

const PATH: &str = "/v1/apikeys";

fn key() -> ApiKey {
    let time = |seconds| Some(Timestamp { seconds, nanos: 187_000_000 });
    ApiKey {
        id: 5,
        name: "nightly backup".into(),
        hint: "coffre_ak_\u{2026}x7Qw".into(),
        create_time: time(1_530_697_249),
        expire_time: time(1_538_473_249),
        last_use_time: None,
    }
}

fn shown() -> Value {
    json!({
        "id": "5", "name": "nightly backup", "hint": "coffre_ak_\u{2026}x7Qw", "createdOn": "2018-07-04T09:40:49.187Z",
        "expiresOn": "2018-10-02T09:40:49.187Z", "lastUsedOn": null
    })
}

#[tokio::test]
async fn a_key_is_made_and_shown_once() {
    let upstream = Upstream::default();
    let reply = CreateApiKeyResponse { api_key: Some(key()), key: "coffre_ak_x".into() };
    upstream.reply("ApiKeyService/CreateApiKey", &reply);
    let gateway = upstream.gateway();
    let expire_time = Some(Timestamp { seconds: 1_801_440_000, nanos: 500_000_000 });
    for (body, expire_time) in [
        (r#"{"name":"nightly backup"}"#, None),
        (r#"{"name":"nightly backup","expiresOn":null}"#, None),
        (r#"{"name":"nightly backup","expiresOn":"2027-02-01T00:00:00.5Z","key":"mine"}"#, expire_time),
        (r#"{"name":"nightly backup","expiresOn":"2027-02-01T02:00:00.5+02:00"}"#, expire_time),
    ] {
        let answer = send(&gateway, "POST", PATH, body).await;
        let mut expected = shown();
        expected["key"] = "coffre_ak_x".into();
        assert_eq!(answer.outcome(), (201, expected), "{body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let expected = CreateApiKeyRequest { name: "nightly backup".into(), expire_time };
        assert_eq!(upstream.asked::<CreateApiKeyRequest>(), expected, "{body}");
    }
}

#[tokio::test]
async fn other_forms_are_refused_by_their_path() {
    let upstream = Upstream::default();
    let forms = [
        (r#"{"name":7}"#, "name"),
        (r#"{"name":"n","expiresOn":"tomorrow"}"#, "expiresOn"),
        (r#"{"name":"n","expiresOn":""}"#, "expiresOn"),
        (r#"{"name":"n","expiresOn":"2027-02-01"}"#, "expiresOn"),
        (r#"{"name":"n","expiresOn":1801440000}"#, "expiresOn"),
    ];
    assert_forms_refused(&upstream, "POST", PATH, &forms).await;
    upstream.refuse("ApiKeyService/CreateApiKey", Refusal::invalid("expire_time", "is in the past"));
    let answer = send(&upstream.gateway(), "POST", PATH, r#"{"name":"n"}"#).await;
    assert_eq!(answer.json()["message"], "expiresOn: is in the past");
}

#[tokio::test]
async fn keys_are_listed_without_themselves_and_revoked_one_by_one() {
    let upstream = Upstream::default();
    let used = ApiKey { last_use_time: key().create_time, ..key() };
    upstream.reply("ApiKeyService/ListApiKeys", &ListApiKeysResponse { api_keys: vec![key(), used] });
    let gateway = upstream.gateway();
    let mut also = shown();
    also["lastUsedOn"] = "2018-07-04T09:40:49.187Z".into();
    assert_eq!(send(&gateway, "GET", PATH, "").await.outcome(), (200, json!({"list": [shown(), also]})));
    send(&gateway, "DELETE", "/v1/apikeys/5", "").await.assert_empty(204, "revoked");
    assert_eq!(upstream.asked::<DeleteApiKeyRequest>().id, 5);
    send(&gateway, "DELETE", "/v1/apikeys/mine", "").await.assert_refused(400, "request.invalid", "no id");
}
