//! Bearer tokens that somebody made himself, and what a resource says about them (security.md 1.5, 1.6; RFC 6750).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_e2e::api::{Protocol, Session};
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home};
use serde_json::{Value, json};

use super::CREDENTIALS;

rest_cases! {
    a_token_that_somebody_made_is_refused,
    a_token_of_another_installation_is_refused,
    a_resource_says_why_a_token_was_not_enough,
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// Panics where any path takes a token, or a client is told that it is good.
async fn is_refused(case: &Case<'_>, client: &coffre_e2e::api::Client, what: &str, forged: &str) {
    let caller = case.anonymous().with_token(forged);
    assert_eq!(caller.list_credentials(&Default::default()).await.code(), Some("auth.token_invalid"), "{what}");
    assert_eq!(caller.list_lockers(None).await.code(), Some("auth.token_invalid"), "{what}");
    assert_eq!(caller.dashboard().await.code(), Some("auth.token_invalid"), "{what}");
    assert_eq!(caller.query_entries(&Default::default()).await.code(), Some("auth.token_invalid"), "{what}");
    assert!(!case.anonymous().validate(forged).await.ok(), "{what}");
    assert!(!case.anonymous().introspect(client, forged).await.ok().active, "{what}");
    case.anonymous().revoke(client, forged).await.ok();
}

async fn a_token_that_somebody_made_is_refused(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "forger").await;
    let operator = case.basic("operator").await;
    let grant = case.grant(&client, &operator).await;
    let token = &grant.access_token;
    let (header, claims) = (part(token, 0), part(token, 1));
    let signature = token.rsplit_once('.').unwrap().1;
    let keys = case.anonymous().key_set().await.ok();
    let (_, public) = keys.iter().find(|(id, _)| header["kid"] == json!(id)).unwrap();
    let public = URL_SAFE_NO_PAD.decode(public).unwrap();
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let with = |key: &str, value: Value| {
        let mut header = header.clone();
        header[key] = value;
        header
    };
    let same_signature = |header: &Value| format!("{}.{}.{signature}", encode(header), encode(&claims));
    // The public key as the secret of an HMAC: what a verifier that believes the header would take.
    let by_hmac = |algorithm: &str, kind: hmac::Algorithm, secret: &[u8]| {
        let signed = format!("{}.{}", encode(&with("alg", json!(algorithm))), encode(&claims));
        let tag = hmac::sign(&hmac::Key::new(kind, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let mut forged = vec![
        ("alg none", format!("{}.{}.", encode(&with("alg", json!("none"))), encode(&claims))),
        ("alg None", format!("{}.{}.", encode(&with("alg", json!("None"))), encode(&claims))),
        ("HS256 with the public key", by_hmac("HS256", hmac::HMAC_SHA256, &public)),
        ("HS512 with the public key", by_hmac("HS512", hmac::HMAC_SHA512, &public)),
        (
            "HS256 with the public key in Base64",
            by_hmac("HS256", hmac::HMAC_SHA256, URL_SAFE_NO_PAD.encode(&public).as_bytes()),
        ),
        ("HS256 with nothing", by_hmac("HS256", hmac::HMAC_SHA256, b"")),
        ("no signature", format!("{}.{}", encode(&header), encode(&claims))),
        ("a critical header", same_signature(&with("crit", json!(["x"])))),
    ];
    let kids = [
        json!("../../../../dev/null"),
        json!("/etc/hostname"),
        json!("' OR '1'='1"),
        json!("x'; DROP TABLE signing_keys; --"),
        json!("unknown"),
        json!(""),
        json!("k".repeat(5000)),
        json!(7),
        json!(null),
        json!(["a"]),
    ];
    for kid in &kids {
        forged.push(("a kid of its own", same_signature(&with("kid", kid.clone()))));
    }
    for (key, value) in [
        ("sub", json!(case.admin.id.to_string())),
        ("exp", json!(4_102_444_800_i64)),
        ("iss", json!("another")),
        ("aud", json!("another")),
        ("sid", json!("AAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        let mut changed = claims.clone();
        changed[key] = value;
        forged.push(("another claim", format!("{}.{}.{signature}", encode(&header), encode(&changed))));
    }
    for (index, (what, token)) in forged.iter().enumerate() {
        // Refused tokens count for nobody; the calls are many, though, so each is made from an address of its own.
        let apart = Case::on(case.server, case.protocol).await;
        is_refused(&apart, &client, &format!("{index}: {what}"), token).await;
        apart.api.ledger.forget();
    }
    operator.with_token(token).list_credentials(&Default::default()).await.ok();
}

async fn a_token_of_another_installation_is_refused(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "here").await;
    // The same name, the same ids, other keys.
    let other = Home::new(Engine::Sqlite).start();
    let there = Case::on(&other, Protocol::Rest).await;
    let their_admin = there.api_administrator().await;
    let (_, their_client) = there.access(&their_admin, "there").await;
    let their_operator = there.basic("operator").await;
    let theirs = there.grant(&their_client, &their_operator).await;
    let session: Session = there.admin.clone();
    is_refused(case, &client, "a session of another installation", session.token.as_deref().unwrap()).await;
    is_refused(case, &client, "an OAuth token of another installation", &theirs.access_token).await;
    case.anonymous().token_for_refresh(&client, theirs.refresh()).await.refused(400, "oauth.invalid_grant");
    case.anonymous().introspect(&their_client, "x").await.refused(401, "oauth.invalid_client");
    their_operator.with_token(&theirs.access_token).list_credentials(&Default::default()).await.ok();
    there.api.ledger.forget();
}

async fn a_resource_says_why_a_token_was_not_enough(case: &Case<'_>) {
    let plain = case.user("plain", &[]).await;
    let get = || case.api.http.get(CREDENTIALS);
    let challenge = |answer: &coffre_e2e::http::HttpAnswer| answer.header("www-authenticate").map(ToOwned::to_owned);
    let none = get().send().await;
    assert_eq!((none.status, challenge(&none).as_deref()), (401, Some("Bearer realm=\"coffre\"")));
    let bad = get().header("authorization", "Bearer a.b.c").send().await;
    let said = challenge(&bad).unwrap_or_default();
    assert!(
        bad.status == 401 && said.starts_with("Bearer realm=\"coffre\"") && said.contains("error=\"invalid_token\""),
        "{said}"
    );
    let missing = get().token(plain.token.as_deref().unwrap()).send().await;
    let said = challenge(&missing).unwrap_or_default();
    assert!(missing.status == 403 && said.contains("error=\"insufficient_scope\""), "{said}");
}
