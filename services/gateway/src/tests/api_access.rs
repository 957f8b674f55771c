//! Administration of API accesses.

use coffre_error::Reason;
use coffre_proto::auth::v1::{
    ApiAccess, ConfirmApiAccessRequest, ConfirmApiAccessResponse, CreateApiAccessRequest, CreateApiAccessResponse,
    DeleteApiAccessRequest, GetApiAccessResponse, ListApiAccessesRequest, ListApiAccessesResponse,
    RotateApiAccessSecretRequest, RotateApiAccessSecretResponse, UpdateApiAccessRequest, UpdateApiAccessResponse,
    WithdrawApiAccessConfirmationRequest,
};
use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, assert_pages, assert_unchanged, page, send, send_with};

const PATH: &str = "/v1/apiaccess";
const ONE: &str = "/v1/apiaccess/3";

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn access() -> Option<ApiAccess> {
    let time = Some(Timestamp { seconds: 1_530_697_249, nanos: 187_000_000 });
    Some(ApiAccess {
        id: 3,
        client_id: "supervision".into(),
        description: Some("The monitoring engine".into()),
        scope: "public-api".into(),
        access_token_life: seconds(5400),
        refresh_token_life: seconds(90 * 86_400),
        password_grant: true,
        refresh_grant: true,
        client_credentials_grant: true,
        operator_id: 8,
        confirm_time: time,
        disabled: false,
        previous_secret_expire_time: time,
        secret_create_time: time,
        version: 4,
        creator_id: 1,
        create_time: time,
        updater_id: 2,
        update_time: time,
    })
}

fn shown() -> Value {
    let time = "2018-07-04T09:40:49.187Z";
    json!({
        "id": "3", "clientId": "supervision", "description": "The monitoring engine", "scope": "public-api",
        "accessTokenLife": {"hours": 1, "minutes": 30}, "refreshTokenLife": {"hours": 2160, "minutes": 0},
        "passwordGrant": true, "refreshGrant": true, "clientCredentialsGrant": true, "operatorId": "8", "confirmedOn": time,
        "disabled": false, "secretCreatedOn": time, "previousSecretExpiresOn": time, "version": "4", "createdBy": "1",
        "createdOn": time, "updatedBy": "2", "updatedOn": time
    })
}

fn with_secret(mut access: Value) -> Value {
    access["clientSecret"] = "coffre_cs_x".into();
    access
}

#[tokio::test]
async fn an_access_is_created_and_its_secret_shown() {
    let upstream = Upstream::default();
    let reply = CreateApiAccessResponse { api_access: access(), client_secret: "coffre_cs_x".into() };
    upstream.reply("ApiAccessService/CreateApiAccess", &reply);
    let gateway = upstream.gateway();
    let body = r#"{"clientId":"supervision","clientSecret":"0123456789abcdef","description":"The monitoring engine","scope":"public-api",
        "accessTokenLife":{"hours":1,"minutes":30},"refreshTokenLife":{"hours":"2160","minutes":"0"},"passwordGrant":true,
        "refreshGrant":false,"clientCredentialsGrant":true,"operatorId":"8","disabled":true,"unknown":1}"#;
    let answer = send(&gateway, "POST", PATH, body).await;
    assert_eq!(answer.outcome(), (201, with_secret(shown())));
    assert_eq!((answer.header("location"), answer.header("etag")), (Some(ONE), Some("\"4\"")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let expected = CreateApiAccessRequest {
        client_id: "supervision".into(),
        client_secret: "0123456789abcdef".into(),
        description: Some("The monitoring engine".into()),
        scope: "public-api".into(),
        access_token_life: seconds(5400),
        refresh_token_life: seconds(90 * 86_400),
        password_grant: Some(true),
        refresh_grant: Some(false),
        client_credentials_grant: Some(true),
        operator_id: 8,
        disabled: true,
    };
    assert_eq!(upstream.asked::<CreateApiAccessRequest>(), expected);
    for body in [
        r#"{"clientId":"a"}"#,
        r#"{"clientId":"a","clientSecret":"","description":null,"accessTokenLife":null,"operatorId":null,"passwordGrant":null}"#,
    ] {
        send(&gateway, "POST", PATH, body).await;
        let expected = CreateApiAccessRequest { client_id: "a".into(), ..CreateApiAccessRequest::default() };
        assert_eq!(upstream.asked::<CreateApiAccessRequest>(), expected, "what is left out is for the service: {body}");
    }
}

#[tokio::test]
async fn an_access_is_read_with_every_key_and_without_its_secret() {
    let upstream = Upstream::default();
    upstream.reply("ApiAccessService/GetApiAccess", &GetApiAccessResponse { api_access: access() });
    let gateway = upstream.gateway();
    let answer = send(&gateway, "GET", ONE, "").await;
    assert_eq!((answer.outcome(), answer.header("etag")), ((200, shown()), Some("\"4\"")));
    let bare = access().map(|access| ApiAccess {
        description: None,
        operator_id: 0,
        confirm_time: None,
        previous_secret_expire_time: None,
        ..access
    });
    upstream.reply("ApiAccessService/GetApiAccess", &GetApiAccessResponse { api_access: bare });
    let mut expected = shown();
    for key in ["description", "operatorId", "confirmedOn", "previousSecretExpiresOn"] {
        expected[key] = Value::Null;
    }
    assert_eq!(send(&gateway, "GET", ONE, "").await.json(), expected);
}

#[tokio::test]
async fn accesses_are_listed() {
    let upstream = Upstream::default();
    let reply = ListApiAccessesResponse { api_accesses: access().into_iter().collect(), page: page() };
    upstream.reply("ApiAccessService/ListApiAccesses", &reply);
    let query = |upstream: &Upstream| upstream.asked::<ListApiAccessesRequest>().query.unwrap();
    assert_pages(&upstream, "/v1/apiaccess/list", &shown(), query).await;
    let answer = send(&upstream.gateway(), "GET", PATH, "").await;
    assert_eq!(answer.outcome(), (200, json!({"list": [shown()]})));
    assert!(query(&upstream).whole && !query(&upstream).count);
}

#[tokio::test]
async fn a_change_carries_what_the_body_carries() {
    let upstream = Upstream::default();
    let reply = UpdateApiAccessResponse { api_access: access(), changed: false };
    upstream.reply("ApiAccessService/UpdateApiAccess", &reply);
    assert_unchanged(&upstream, ONE, &shown()).await;
    let gateway = upstream.gateway();
    for (body, expected) in [
        (r#"{"id":"3"}"#, UpdateApiAccessRequest::default()),
        (
            r#"{"version":"4","clientId":"b","description":null,"refreshTokenLife":{"minutes":5},"disabled":false}"#,
            UpdateApiAccessRequest {
                version: Some(4),
                client_id: Some("b".into()),
                description: Some(String::new()),
                refresh_token_life: seconds(300),
                disabled: Some(false),
                ..UpdateApiAccessRequest::default()
            },
        ),
        (
            r#"{"operatorId":null,"passwordGrant":false,"refreshGrant":true,"clientCredentialsGrant":false,"clientSecret":null}"#,
            UpdateApiAccessRequest {
                operator_id: Some(0),
                password_grant: Some(false),
                refresh_grant: Some(true),
                client_credentials_grant: Some(false),
                ..UpdateApiAccessRequest::default()
            },
        ),
        (r#"{"operatorId":9}"#, UpdateApiAccessRequest { operator_id: Some(9), ..UpdateApiAccessRequest::default() }),
    ] {
        assert_eq!(send(&gateway, "PUT", ONE, body).await.status, 200, "{body}");
        assert_eq!(upstream.asked::<UpdateApiAccessRequest>(), UpdateApiAccessRequest { id: 3, ..expected }, "{body}");
    }
    let headers = [("x-authorization", "t"), ("if-match", "\"4\"")];
    send_with(&gateway, "PUT", ONE, &headers, "{}").await;
    assert_eq!(upstream.asked::<UpdateApiAccessRequest>().etag, "\"4\"");
}

#[tokio::test]
async fn other_forms_are_refused_by_their_path() {
    let upstream = Upstream::default();
    let forms = [
        ("", ""),
        ("[]", ""),
        (r#"{"clientId":7}"#, "clientId"),
        (r#"{"clientId":"a","accessTokenLife":60}"#, "accessTokenLife"),
        (r#"{"clientId":"a","accessTokenLife":{}}"#, "accessTokenLife"),
        (r#"{"clientId":"a","refreshTokenLife":{"hours":-1}}"#, "refreshTokenLife.hours"),
        (r#"{"clientId":"a","passwordGrant":"yes"}"#, "passwordGrant"),
        (r#"{"clientId":"a","operatorId":"bot"}"#, "operatorId"),
        (r#"{"clientId":"a","operatorId":0}"#, "operatorId"),
    ];
    for (body, field) in forms {
        let answer = send(&upstream.gateway(), "POST", PATH, body).await;
        answer.assert_refused(400, "request.invalid", body);
        assert_eq!(answer.json()["details"][0]["field"].as_str().unwrap_or_default(), field, "{body}");
    }
    let forms = [
        (r#"{"id":14}"#, "id"),
        (r#"{"clientSecret":"0123456789abcdef"}"#, "clientSecret"),
        (r#"{"version":-1}"#, "version"),
    ];
    assert_forms_refused(&upstream, "PUT", ONE, &forms).await;
    let forms = [
        (r#"{"gracePeriod":"1:00"}"#, "gracePeriod"),
        (r#"{"clientSecret":7}"#, "clientSecret"),
        (r#"{"id":1}"#, "id"),
    ];
    assert_forms_refused(&upstream, "POST", "/v1/apiaccess/3/secret", &forms).await;
}

#[tokio::test]
async fn a_secret_is_rotated_with_or_without_a_body() {
    let upstream = Upstream::default();
    let reply = RotateApiAccessSecretResponse { api_access: access(), client_secret: "coffre_cs_x".into() };
    upstream.reply("ApiAccessService/RotateApiAccessSecret", &reply);
    let gateway = upstream.gateway();
    for (body, client_secret, grace_period) in [
        ("", "", None),
        ("{}", "", None),
        (r#"{"clientSecret":null,"gracePeriod":null}"#, "", None),
        (
            r#"{"clientSecret":"0123456789abcdef","gracePeriod":{"hours":24,"minutes":0}}"#,
            "0123456789abcdef",
            seconds(86_400),
        ),
    ] {
        let answer = send(&gateway, "POST", "/v1/apiaccess/3/secret", body).await;
        assert_eq!((answer.outcome(), answer.header("etag")), ((200, with_secret(shown())), Some("\"4\"")), "{body}");
        let expected = RotateApiAccessSecretRequest {
            id: 3,
            client_secret: client_secret.into(),
            grace_period,
            etag: String::new(),
        };
        assert_eq!(upstream.asked::<RotateApiAccessSecretRequest>(), expected, "{body}");
    }
    send_with(&gateway, "POST", "/v1/apiaccess/3/secret", &[("if-match", "\"4\"")], "").await;
    assert_eq!(upstream.asked::<RotateApiAccessSecretRequest>().etag, "\"4\"");
}

#[tokio::test]
async fn a_binding_is_confirmed_and_taken_back() {
    let upstream = Upstream::default();
    upstream.reply("ApiAccessService/ConfirmApiAccess", &ConfirmApiAccessResponse { api_access: access() });
    let gateway = upstream.gateway();
    let answer = send(&gateway, "POST", "/v1/apiaccess/3/confirmation", "").await;
    assert_eq!((answer.outcome(), answer.header("etag")), ((200, shown()), Some("\"4\"")));
    let read = ConfirmApiAccessRequest { id: 3, ..ConfirmApiAccessRequest::default() };
    assert_eq!(upstream.asked::<ConfirmApiAccessRequest>(), read);
    for body in [r#"{"version":4}"#, r#"{"version":"4","id":"3","unknown":1}"#] {
        let headers = [("x-authorization", "t"), ("if-match", "\"4\"")];
        send_with(&gateway, "POST", "/v1/apiaccess/3/confirmation", &headers, body).await;
        let expected = ConfirmApiAccessRequest { version: Some(4), etag: "\"4\"".into(), ..read.clone() };
        assert_eq!(upstream.asked::<ConfirmApiAccessRequest>(), expected, "{body}");
    }
    assert_forms_refused(
        &upstream,
        "POST",
        "/v1/apiaccess/3/confirmation",
        &[(r#"{"version":-1}"#, "version"), (r#"{"id":1}"#, "id")],
    )
    .await;
    send(&gateway, "DELETE", "/v1/apiaccess/3/confirmation", "").await.assert_empty(204, "withdrawn");
    assert_eq!(upstream.asked::<WithdrawApiAccessConfirmationRequest>().id, 3);
    upstream.refuse_for("ApiAccessService/ConfirmApiAccess", Reason::AuthRecentSignInRequired);
    let answer = send(&gateway, "POST", "/v1/apiaccess/3/confirmation", "").await;
    answer.assert_refused(403, "auth.recent_sign_in_required", "");
}

#[tokio::test]
async fn an_access_is_deleted() {
    let upstream = Upstream::default();
    let headers = [("x-authorization", "t"), ("if-match", "\"4\"")];
    let answer = send_with(&upstream.gateway(), "DELETE", ONE, &headers, "").await;
    answer.assert_empty(204, "deleted");
    let expected = DeleteApiAccessRequest { id: 3, etag: "\"4\"".into() };
    assert_eq!(upstream.asked::<DeleteApiAccessRequest>(), expected);
}
