//! Section 2 of the contract.

use coffre_error::Reason;
use coffre_proto::auth::v1::{
    ChangePasswordRequest, GetJsonWebKeySetResponse, JsonWebKey, Permission, RefreshTokenRequest, RefreshTokenResponse,
    RoleSummary, SignInRequest, SignInResponse, SignOutRequest, User, ValidateTokenRequest, ValidateTokenResponse,
};
use prost_types::Timestamp;
use serde_json::json;

use super::{Upstream, send, send_with};

fn user() -> User {
    User {
        id: 1,
        username: "Ellie.Brown".into(),
        first_name: "Ellie".into(),
        last_name: "Brown".into(),
        email: "ellie@example.com".into(),
        roles: vec![RoleSummary { id: 2, name: "AAE_Basic".into() }],
        permissions: vec![Permission {
            id: 1,
            action: "managecredentials".into(),
            resource_type: "credentials".into(),
            name: "x".into(),
        }],
        password_set: true,
        version: 4,
        create_time: Some(Timestamp { seconds: 1_530_697_249, nanos: 187_000_000 }),
        updater_id: 1,
        update_time: Some(Timestamp { seconds: 1_530_697_249, nanos: 0 }),
        ..User::default()
    }
}

#[tokio::test]
async fn signing_in_answers_a_token_and_the_whole_user() {
    let upstream = Upstream::default();
    upstream.reply(
        "AuthenticationService/SignIn",
        &SignInResponse { token: "a.b.c".into(), expire_time: None, user: Some(user()) },
    );
    let expected = json!({
        "token": "a.b.c",
        "user": {
            "id": 1, "username": "Ellie.Brown", "domain": null, "firstName": "Ellie", "lastName": "Brown", "email": "ellie@example.com",
            "emailVerified": false, "version": 4, "principalId": 1, "deleted": false, "disabled": false, "clientRegistered": false,
            "description": null, "passwordSet": true, "questionsSet": false, "enableAutoLogin": false,
            "roles": [{"id": 2, "name": "AAE_Basic"}], "sysAssignedRoles": [], "groupNames": [],
            "permissions": [{"id": 1, "action": "managecredentials", "resourceType": "credentials"}], "licenseFeatures": [],
            "createdBy": 0, "createdOn": "2018-07-04T09:40:49.187Z", "updatedBy": 1, "updatedOn": "2018-07-04T09:40:49.000Z",
            "publicKey": null, "appType": "", "routingName": "", "appUrl": null
        }
    });
    for path in ["/v1/authentication", "/v2/authentication", "/v1/authentication/"] {
        let answer =
            send_with(&upstream.gateway(), "POST", path, &[], r#"{"username":"Ellie.Brown","password":"12345678"}"#)
                .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn an_api_key_signs_in_in_the_place_of_a_password() {
    let upstream = Upstream::default();
    upstream.refuse_for("AuthenticationService/SignIn", Reason::AuthSignInFailed);
    let gateway = upstream.gateway();
    for (body, password, api_key) in [
        (r#"{"username":"e","apiKey":"k"}"#, "", "k"),
        (r#"{"username":"e","APIKEY":"k"}"#, "", "k"),
        (r#"{"username":"e","apikey":"k","password":null}"#, "", "k"),
        (r#"{"username":"e","password":"p","apiKey":null}"#, "p", ""),
        // Which of the two counts, or that neither does, is for the service to say.
        (r#"{"username":"e","password":"p","apiKey":"k"}"#, "p", "k"),
    ] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        answer.assert_refused(401, "auth.sign_in_failed", "as any other sign-in does");
        let asked: SignInRequest = upstream.asked();
        assert_eq!((asked.password.as_str(), asked.api_key.as_str()), (password, api_key), "{body}");
    }
    let before = upstream.calls();
    for body in [
        r#"{"username":"e"}"#,
        r#"{"username":"e","apiKey":7}"#,
        r#"{"username":"e","apiKey":"k","apikey":"k"}"#,
        r#"{"apiKey":"k"}"#,
    ] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        answer.assert_refused(400, "request.invalid", body);
    }
    assert_eq!(upstream.calls(), before);
}

#[tokio::test]
async fn a_token_is_checked_in_the_query_or_the_body() {
    let upstream = Upstream::default();
    upstream.reply("AuthenticationService/ValidateToken", &ValidateTokenResponse { valid: true });
    let gateway = upstream.gateway();
    for (method, path, body) in [
        ("GET", "/v1/authentication/token?token=a.b.c", ""),
        ("GET", "/v2/authentication/token?token=a.b.c", ""),
        ("POST", "/v1/authentication/token/validate", r#"{"token":"a.b.c"}"#),
    ] {
        let answer = send_with(&gateway, method, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"valid": true})), "{path}");
        assert_eq!(upstream.asked::<ValidateTokenRequest>().token, "a.b.c");
    }
    for (method, path, body) in [
        ("GET", "/v1/authentication/token", ""),
        ("GET", "/v1/authentication/token?token=", ""),
        ("GET", "/v1/authentication/token?token=a&token=b", ""),
        ("POST", "/v1/authentication/token/validate", "{}"),
    ] {
        assert_eq!(send_with(&gateway, method, path, &[], body).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_without_a_header() {
    let upstream = Upstream::default();
    upstream.reply(
        "AuthenticationService/RefreshToken",
        &RefreshTokenResponse { token: "d.e.f".into(), expire_time: None },
    );
    let answer = send_with(&upstream.gateway(), "POST", "/v1/authentication/token", &[], r#"{"token":"a.b.c"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"token": "d.e.f"})));
    assert_eq!(upstream.asked::<RefreshTokenRequest>().token, "a.b.c");
}

#[tokio::test]
async fn signing_out_takes_a_body_or_none() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (body, token) in
        [("", ""), ("{}", ""), ("null", ""), (r#"{"token":"a.b.c"}"#, "a.b.c"), (r#"{"token":null}"#, "")]
    {
        let answer = send(&gateway, "POST", "/v1/authentication/logout", body).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{body}");
        assert_eq!(upstream.asked::<SignOutRequest>().token, token, "{body}");
        assert_eq!(upstream.last().metadata.get("authorization").unwrap(), "Bearer the.token.x");
    }
    assert_eq!(send(&gateway, "POST", "/v1/authentication/logout", "[]").await.status, 400);
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let answer = send(&gateway, "PUT", "/v1/authentication/password", r#"{"oldPassword":"a","newPassword":"b"}"#).await;
    assert_eq!(answer.status, 204);
    let asked: ChangePasswordRequest = upstream.asked();
    assert_eq!(
        (asked.old_password.as_str(), asked.new_password.as_str(), asked.revoke_other_access),
        ("a", "b", false)
    );
    for (revoke, expected) in [("true", true), ("false", false), ("null", false)] {
        let body = format!(r#"{{"oldPassword":"a","newPassword":"b","revokeOtherAccess":{revoke}}}"#);
        assert_eq!(send(&gateway, "PUT", "/v1/authentication/password", &body).await.status, 204, "{revoke}");
        assert_eq!(upstream.asked::<ChangePasswordRequest>().revoke_other_access, expected, "{revoke}");
    }
    let odd = r#"{"oldPassword":"a","newPassword":"b","revokeOtherAccess":1}"#;
    assert_eq!(send(&gateway, "PUT", "/v1/authentication/password", odd).await.status, 400);
    assert_eq!(send(&gateway, "PUT", "/v1/authentication/password", r#"{"newPassword":"b"}"#).await.status, 400);
}

#[tokio::test]
async fn the_signing_keys_are_public() {
    let upstream = Upstream::default();
    let key = JsonWebKey {
        kty: "OKP".into(),
        crv: "Ed25519".into(),
        x: "AA".into(),
        kid: "1".into(),
        alg: "EdDSA".into(),
        r#use: "sig".into(),
    };
    upstream.reply("AuthenticationService/GetJsonWebKeySet", &GetJsonWebKeySetResponse { keys: vec![key] });
    let answer = send_with(&upstream.gateway(), "GET", "/.well-known/jwks.json", &[], "").await;
    let expected =
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "1", "alg": "EdDSA", "use": "sig"}]});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
}
