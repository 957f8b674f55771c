//! Signing in and out (contract, section 2; security.md 1 and 2).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_e2e::api::{Session, UserChange};
use coffre_e2e::case::Case;
use serde_json::{Value, json};

use super::within_a_second;

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) async fn signing_in_answers_a_token_and_the_user(case: &Case<'_>) {
    let user = case.basic("ellie").await;
    let signed_in = case
        .anonymous()
        .sign_in(&user.username, &case.password_of(&user))
        .await
        .about_user(&user.username)
        .event("session.opened")
        .ok();
    assert_eq!(signed_in.user.id, user.id);
    assert_eq!(signed_in.user.username, user.username);
    assert!(signed_in.user.roles.iter().any(|(_, name)| name == "AAE_Basic"), "{:?}", signed_in.user.roles);
    let actions: Vec<&str> = signed_in.user.permissions.iter().map(|one| one.action.as_str()).collect();
    assert!(actions.contains(&"managecredentials") && actions.contains(&"connect"), "{actions:?}");
    assert!(case.anonymous().validate(&signed_in.token).await.ok());
    // A name is without regard to case.
    case.anonymous()
        .sign_in(&user.username.to_uppercase(), &case.password_of(&user))
        .await
        .about_user(&user.username)
        .ok();
}

pub(crate) async fn every_failed_sign_in_is_answered_alike(case: &Case<'_>) {
    let user = case.basic("known").await;
    let disabled = case.basic("disabled").await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    case.admin.update_user(disabled.id, &change).await.activity("DISABLE_USER").ok();
    let anonymous = case.anonymous();
    let wrong = anonymous.sign_in(&user.username, &case.secret("wrong")).await.refused(401, "auth.sign_in_failed");
    let unknown =
        anonymous.sign_in(&case.unique("nobody"), &case.secret("wrong")).await.refused(401, "auth.sign_in_failed");
    let off =
        anonymous.sign_in(&disabled.username, &case.password_of(&disabled)).await.refused(401, "auth.sign_in_failed");
    let empty = anonymous.sign_in(&user.username, "").await;
    assert!(matches!(empty.outcome, Err(ref refused) if refused.status == 401 || refused.status == 400), "{empty:?}");
    assert_eq!(wrong, unknown);
    assert_eq!(wrong, off);
    // Over 1 KiB nothing is computed.
    let long = anonymous.sign_in(&user.username, &"x".repeat(1025)).await;
    assert!(matches!(long.outcome, Err(ref refused) if refused.status == 401 || refused.status == 400), "{long:?}");
}

pub(crate) async fn a_token_that_is_not_ours_is_not_valid(case: &Case<'_>) {
    let anonymous = case.anonymous();
    for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(!anonymous.validate(token).await.ok(), "{token}");
    }
    anonymous.refresh("a.b.c").await.refused(401, "auth.token_invalid");
    anonymous.get_credential(1).await.refused(401, "auth.token_required");
    let forged = Session { token: Some("a.b.c".to_owned()), ..anonymous };
    forged.get_credential(1).await.refused(401, "auth.token_invalid");
}

pub(crate) async fn tokens_are_signed_by_a_published_key_and_carry_identity_alone(case: &Case<'_>) {
    let user = case.basic("claims").await;
    let token = user.token.as_deref().unwrap();
    let (header, claims) = (part(token, 0), part(token, 1));
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(claims["sub"], json!(user.id.to_string()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 20 * 60);
    for key in ["iss", "aud", "sid", "epoch", "jti"] {
        assert!(claims.get(key).is_some(), "{key} is missing: {claims}");
    }
    for key in ["roles", "permissions", "username", "name", "email"] {
        assert!(claims.get(key).is_none(), "a token carries {key}: {claims}");
    }
    let keys = case.anonymous().key_set().await.ok();
    let (_, key) = keys.iter().find(|(id, _)| header["kid"] == json!(id)).expect("the key is published");
    let key = UnparsedPublicKey::new(&ED25519, URL_SAFE_NO_PAD.decode(key).unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .expect("the signature is that of the published key");
}

pub(crate) async fn a_forged_token_is_refused(case: &Case<'_>) {
    let user = case.basic("forged").await;
    let token = user.token.clone().unwrap();
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let foreign =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap();
    let sign = |header: &Value, claims: &Value| {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(foreign.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let signature = token.rsplit_once('.').unwrap().1;
    let mut promoted = claims.clone();
    promoted["sub"] = json!(case.admin.id.to_string());
    let mut none = header.clone();
    none["alg"] = json!("none");
    let mut hmac = header.clone();
    hmac["alg"] = json!("HS256");
    let mut own_key = header.clone();
    own_key["jwk"] =
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(foreign.public_key().as_ref())});
    let mut unknown = header.clone();
    unknown["kid"] = json!("unknown");
    let forgeries = [
        ("alg none without a signature", format!("{}.{}.", encode(&none), encode(&claims))),
        ("alg none with the old signature", format!("{}.{}.{signature}", encode(&none), encode(&claims))),
        ("another subject", format!("{}.{}.{signature}", encode(&header), encode(&promoted))),
        ("a foreign key", sign(&header, &claims)),
        ("a foreign key that comes along", sign(&own_key, &claims)),
        ("an unknown key id", sign(&unknown, &claims)),
        ("another algorithm", sign(&hmac, &claims)),
        ("cut short", token[..token.len() - 4].to_owned()),
        ("one part", token.split('.').next().unwrap().to_owned()),
    ];
    for (what, forgery) in forgeries {
        let caller = Session { token: Some(forgery.clone()), ..user.clone() };
        let answer = caller.list_credentials(&Default::default()).await;
        assert_eq!(answer.code(), Some("auth.token_invalid"), "{what}: {answer:?}");
        assert!(!case.anonymous().validate(&forgery).await.ok(), "{what}");
    }
    user.list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn a_refreshed_token_is_of_the_same_session(case: &Case<'_>) {
    let user = case.basic("refresh").await;
    let old = user.token.clone().unwrap();
    let new = case.anonymous().refresh(&old).await.ok();
    assert_ne!(old, new);
    assert_eq!(part(&old, 1)["sid"], part(&new, 1)["sid"]);
    for token in [&old, &new] {
        let caller = Session { token: Some(token.clone()), ..user.clone() };
        caller.list_credentials(&Default::default()).await.ok();
    }
    let renewed = Session { token: Some(new), ..user.clone() };
    renewed.sign_out().await.ok();
    within_a_second("the old token ends with its session", async || {
        user.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    case.anonymous().refresh(&old).await.refused(401, "auth.token_invalid");
}

pub(crate) async fn signing_out_ends_every_token_of_the_session_within_a_second(case: &Case<'_>) {
    let user = case.basic("leaver").await;
    let stays = case.anonymous().open(&user.username, &case.password_of(&user)).await;
    let credential =
        user.create_credential(&case.unique("kept"), &[coffre_e2e::api::NewAttribute::standard("a")]).await.ok();
    user.sign_out().await.ok();
    within_a_second("the token is refused", async || {
        user.get_credential(credential.id).await.code() == Some("auth.token_invalid")
    })
    .await;
    within_a_second("the token is refused by the audit", async || {
        user.query_entries(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    assert!(!case.anonymous().validate(user.token.as_deref().unwrap()).await.ok());
    stays.get_credential(credential.id).await.ok();
}

pub(crate) async fn a_changed_password_ends_the_other_sessions(case: &Case<'_>) {
    let user = case.basic("changer").await;
    let other = case.anonymous().open(&user.username, &case.password_of(&user)).await;
    let new = coffre_e2e::canary::password("the new one");
    user.change_password(&case.password_of(&user), &new).await.ok();
    within_a_second("the other session ends", async || {
        other.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    user.list_credentials(&Default::default()).await.ok();
    case.anonymous().sign_in(&user.username, &case.password_of(&user)).await.refused(401, "auth.sign_in_failed");
    case.anonymous().sign_in(&user.username, &new).await.about_user(&user.username).ok();
}

pub(crate) async fn a_password_change_needs_the_old_and_a_good_new_one(case: &Case<'_>) {
    let user = case.basic("careful").await;
    let old = case.password_of(&user);
    let good = coffre_e2e::canary::password("a good one");
    user.change_password(&case.secret("not it"), &good).await.refused(403, "auth.password_wrong");
    user.change_password(&old, "short").await.refused(400, "auth.password_weak");
    user.change_password(&old, &user.username).await.refused(400, "auth.password_weak");
    case.anonymous().change_password(&old, &good).await.refused(401, "auth.token_required");
    case.anonymous().sign_in(&user.username, &old).await.about_user(&user.username).ok();
}
