//! Tokens for programs: grants, rotation, revocation, introspection (contract, section 3; RFC 6749, 6750, 7009, 7662).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_e2e::api::{ApiAccessChange, NewApiAccess, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::server::Engine;
use serde_json::Value;

use super::within_a_second;

/// What a token says, signature unseen.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) async fn a_password_buys_a_token(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "monitoring").await;
    let operator = case.basic("operator").await;
    let password = case.password_of(&operator);
    let grant = case
        .anonymous()
        .token_for_password(&client, &operator.username, &password)
        .await
        .for_operator(&operator.username)
        .event("oauth.token.issued")
        .ok();
    assert!((3595..=3600).contains(&grant.expires_in), "{}", grant.expires_in);
    assert!(grant.refresh().starts_with("coffre_rt_"), "a refresh token is recognised by its beginning");
    let claims = claims(&grant.access_token);
    assert_eq!(claims["sub"], operator.id.to_string());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    for key in ["roles", "permissions", "username", "scope", "client_id"] {
        assert!(claims.get(key).is_none(), "a token carries {key}: {claims}");
    }
    // The operator's rights are those that it has otherwise.
    let program = operator.with_token(&grant.access_token);
    program.list_credentials(&Default::default()).await.ok();
    program.list_lockers(None).await.ok();
    program.query_entries(&Default::default()).await.ok();
    program.dashboard().await.ok();
    program.mode().await.refused(403, "authz.permission_required");
    // A name is without regard to case, and so is a client id.
    let mut spelled = client.clone().in_body();
    spelled.id = client.id.to_uppercase();
    case.anonymous()
        .token_for_password(&spelled, &operator.username.to_uppercase(), &password)
        .await
        .for_operator(&operator.username)
        .ok();
}

pub(crate) async fn every_failed_grant_is_answered_alike(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "monitoring").await;
    let (known, disabled) = (case.basic("known").await, case.basic("disabled").await);
    let without = case.holder("without", &[permission::MANAGE_CREDENTIALS]).await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    case.admin.update_user(disabled.id, &change).await.activity("DISABLE_USER").ok();
    let anonymous = case.anonymous();
    let ask = async |username: &str, password: &str| {
        anonymous.token_for_password(&client, username, password).await.refused(400, "oauth.invalid_grant")
    };
    let wrong = ask(&known.username, &case.secret("wrong")).await;
    let mut others = vec![
        ask(&case.unique("nobody"), &case.secret("wrong")).await,
        ask(&disabled.username, &case.password_of(&disabled)).await,
        ask(&without.username, &case.password_of(&without)).await,
    ];
    if case.engine == Engine::Postgres {
        // `serve` asks for a new password after a reset, `dev` does not.
        let reset = case.basic("reset").await;
        let password = canary::password("given by an administrator");
        let change = UserChange { password: Some(password.clone()), ..UserChange::default() };
        case.recent_admin().await.update_user(reset.id, &change).await.ok();
        others.push(ask(&reset.username, &password).await);
    }
    for other in others {
        assert_eq!(other, wrong);
    }
    // Over 1 KiB nothing is computed.
    let long = anonymous.token_for_password(&client, &known.username, &"x".repeat(1025)).await;
    assert!(matches!(long.code(), Some("oauth.invalid_grant" | "request.invalid")), "{long:?}");
}

pub(crate) async fn every_failed_client_is_answered_alike(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "generated").await;
    let chosen = NewApiAccess {
        client_secret: Some(case.secret("chosen one")),
        client_id: case.unique("chosen"),
        password_grant: Some(true),
        ..NewApiAccess::default()
    };
    let (_, chosen) = admin.create_api_access(&chosen).await.ok();
    let (off, disabled) = case.access(&admin, "disabled").await;
    let change = ApiAccessChange { disabled: Some(true), ..ApiAccessChange::default() };
    admin.update_api_access(off.id, &change).await.ok();
    let operator = case.basic("operator").await;
    let mut unknown = client.clone();
    unknown.id = case.unique("nobody");
    let clients = [
        unknown.clone(),
        unknown.with_secret(case.secret("wrong")),
        client.with_secret(case.secret("wrong")),
        client.with_secret(&*chosen.secret),
        client.with_secret(""),
        chosen.with_secret(case.secret("wrong")),
        chosen.with_secret(&*client.secret),
        disabled.clone(),
        disabled.in_body(),
    ];
    let mut seen = Vec::new();
    for client in clients {
        // From an address of its own: failures count.
        let apart = Case::on(case.server, case.protocol).await;
        let (anonymous, password) = (apart.anonymous(), case.password_of(&operator));
        let refused = anonymous.token_for_password(&client, &operator.username, &password).await;
        seen.push(refused.refused(401, "oauth.invalid_client"));
        anonymous.introspect(&client, "x").await.refused(401, "oauth.invalid_client");
        anonymous.revoke(&client, "x").await.refused(401, "oauth.invalid_client");
        anonymous.token_for_client(&client).await.refused(401, "oauth.invalid_client");
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

pub(crate) async fn a_grant_that_is_off_is_refused(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let password = case.password_of(&operator);
    let new = NewApiAccess { client_id: case.unique("nothing"), ..NewApiAccess::default() };
    let (access, client) = admin.create_api_access(&new).await.ok();
    let anonymous = case.anonymous();
    let refused = anonymous.token_for_password(&client, &operator.username, &password).await;
    refused.refused(400, "oauth.unauthorized_client");
    anonymous.token_for_client(&client).await.refused(400, "oauth.unauthorized_client");
    let set = |password_grant, refresh_grant| ApiAccessChange { password_grant, refresh_grant, ..Default::default() };
    admin.update_api_access(access.id, &set(Some(true), None)).await.ok();
    let with = case.grant(&client, &operator).await;
    admin.update_api_access(access.id, &set(None, Some(false))).await.ok();
    let without = case.grant(&client, &operator).await;
    assert_eq!(without.refresh_token, None, "no refresh token where the access has none");
    anonymous.token_for_refresh(&client, with.refresh()).await.refused(400, "oauth.unauthorized_client");
    // It goes on where the grant comes back: nothing was used up.
    admin.update_api_access(access.id, &set(None, Some(true))).await.ok();
    anonymous.token_for_refresh(&client, with.refresh()).await.for_operator(&operator.username).ok();
}

pub(crate) async fn the_scope_is_the_one_there_is(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "scoped").await;
    let operator = case.basic("operator").await;
    let (password, anonymous) = (case.password_of(&operator), case.anonymous());
    let ask =
        async |scope| anonymous.scoped_token_for_password(&client, &operator.username, &password, Some(scope)).await;
    let grant = ask("public-api").await.for_operator(&operator.username).ok();
    for other in ["admin", "public-api admin", "PUBLIC-API", "public-api,admin", "*"] {
        ask(other).await.refused(400, "oauth.invalid_scope");
        anonymous
            .scoped_token_for_refresh(&client, grant.refresh(), Some(other))
            .await
            .refused(400, "oauth.invalid_scope");
    }
    let again = anonymous.scoped_token_for_refresh(&client, grant.refresh(), Some("public-api")).await;
    again.for_operator(&operator.username).ok();
    let new = NewApiAccess { scope: Some("admin".to_owned()), client_id: case.unique("s"), ..Default::default() };
    admin.create_api_access(&new).await.refused(400, "request.invalid");
}

pub(crate) async fn a_refresh_token_is_used_up_by_its_use(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "refresher").await;
    let operator = case.basic("operator").await;
    let anonymous = case.anonymous();
    let refresh = async |token: &str| anonymous.token_for_refresh(&client, token).await;
    let first = case.grant(&client, &operator).await;
    let second = refresh(first.refresh()).await.for_operator(&operator.username).event("oauth.token.refreshed").ok();
    assert_ne!(second.access_token, first.access_token);
    assert_ne!(second.refresh_token, first.refresh_token);
    // Whoever lost the answer gets it again.
    let again = refresh(first.refresh()).await.for_operator(&operator.username).ok();
    assert_eq!((&again.access_token, &again.refresh_token), (&second.access_token, &second.refresh_token));
    for grant in [&first, &second] {
        operator.with_token(&grant.access_token).list_credentials(&Default::default()).await.ok();
    }
    let third = refresh(second.refresh()).await.for_operator(&operator.username).ok();
    // The first one's successor is used: somebody has a copy, so all of it ends.
    refresh(first.refresh()).await.refused(400, "oauth.invalid_grant");
    refresh(third.refresh()).await.refused(400, "oauth.invalid_grant");
    for grant in [&first, &second, &third] {
        let program = operator.with_token(&grant.access_token);
        within_a_second("the family's access tokens are refused", async || {
            program.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
        })
        .await;
    }
    assert!(!anonymous.introspect(&client, third.refresh()).await.ok().active);
    // Another family is not touched.
    operator.list_credentials(&Default::default()).await.ok();
    case.grant(&client, &operator).await;
}

pub(crate) async fn a_refresh_token_belongs_to_its_client(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "owner").await;
    let (_, other) = case.access(&admin, "other").await;
    let operator = case.basic("operator").await;
    let (anonymous, grant) = (case.anonymous(), case.grant(&client, &operator).await);
    anonymous.token_for_refresh(&other, grant.refresh()).await.refused(400, "oauth.invalid_grant");
    let stolen = client.with_secret(&*other.secret);
    anonymous.token_for_refresh(&stolen, grant.refresh()).await.refused(401, "oauth.invalid_client");
    // Revoking what is another's changes nothing and is no error.
    anonymous.revoke(&other, grant.refresh()).await.ok();
    anonymous.revoke(&other, &grant.access_token).await.ok();
    assert!(!anonymous.introspect(&other, &grant.access_token).await.ok().active);
    assert!(!anonymous.introspect(&other, grant.refresh()).await.ok().active);
    let next = anonymous.token_for_refresh(&client, grant.refresh()).await.for_operator(&operator.username).ok();
    // Also not where it is used up already: who asks must be the client before anybody looks for copies.
    let last = anonymous.token_for_refresh(&client, next.refresh()).await.for_operator(&operator.username).ok();
    anonymous.token_for_refresh(&other, grant.refresh()).await.refused(400, "oauth.invalid_grant");
    anonymous.token_for_refresh(&stolen, grant.refresh()).await.refused(401, "oauth.invalid_client");
    operator.with_token(&last.access_token).list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn what_is_revoked_is_refused_everywhere(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "revoker").await;
    let operator = case.basic("operator").await;
    let anonymous = case.anonymous();
    for by_refresh_token in [true, false] {
        let grant = case.grant(&client, &operator).await;
        let program = operator.with_token(&grant.access_token);
        program.list_credentials(&Default::default()).await.ok();
        let token = if by_refresh_token { grant.refresh() } else { &grant.access_token };
        anonymous.revoke(&client, token).await.event("oauth.token.revoked").ok();
        super::oauth_ends::is_refused_everywhere(&program).await;
        anonymous.token_for_refresh(&client, grant.refresh()).await.refused(400, "oauth.invalid_grant");
        // Again, and what was never ours: 200.
        anonymous.revoke(&client, token).await.ok();
    }
    for odd in ["x", "coffre_rt_AAAA", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        anonymous.revoke(&client, odd).await.ok();
        assert!(!anonymous.introspect(&client, odd).await.ok().active);
    }
}

pub(crate) async fn a_client_is_told_about_its_own_tokens(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "teller").await;
    let operator = case.basic("operator").await;
    let (anonymous, grant) = (case.anonymous(), case.grant(&client, &operator).await);
    for token in [grant.access_token.as_str(), grant.refresh()] {
        let told = anonymous.introspect(&client, token).await.event("oauth.token.introspected").ok();
        assert!(told.active);
        assert_eq!((told.scope.as_str(), told.client_id.as_str()), ("public-api", client.id.as_str()));
        assert_eq!((told.username.as_str(), told.user_id), (operator.username.as_str(), operator.id));
    }
    let told = anonymous.introspect(&client, &grant.access_token).await.ok();
    let claims = claims(&grant.access_token);
    assert_eq!((Some(told.expires_at), Some(told.issuer.as_str())), (claims["exp"].as_i64(), claims["iss"].as_str()));
    // A token of a sign-in is no client's.
    assert!(!anonymous.introspect(&client, operator.token.as_deref().unwrap()).await.ok().active);
}

pub(crate) async fn a_new_secret_takes_the_old_ones_place(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (access, first) = case.access(&admin, "rotated").await;
    let operator = case.basic("operator").await;
    let (password, anonymous) = (case.password_of(&operator), case.anonymous());
    let works = async |client| {
        let answer = anonymous.token_for_password(client, &operator.username, &password).await;
        let answer = answer.for_operator(&operator.username);
        let code = answer.code().map(ToOwned::to_owned);
        assert!(matches!(code.as_deref(), None | Some("oauth.invalid_client")), "{answer:?}");
        code.is_none()
    };
    let grant = case.grant(&first, &operator).await;
    // With a grace period both are good, and the tokens go on.
    let (rotated, second) =
        admin.rotate_secret(access.id, None, Some(60)).await.event("api_access.secret.rotated").ok();
    assert!(rotated.previous_secret && rotated.version == access.version + 1);
    assert_ne!(first.secret, second.secret);
    assert!(works(&first).await && works(&second).await);
    let grant = anonymous.token_for_refresh(&first, grant.refresh()).await.for_operator(&operator.username).ok();
    // The one before the last ends at once.
    let chosen = case.secret("the third secret");
    let (_, third) = admin.rotate_secret(access.id, Some(&chosen), Some(60)).await.ok();
    assert!(!works(&first).await && works(&second).await && works(&third).await);
    // Without a grace period the old ones do.
    let (rotated, fourth) = admin.rotate_secret(access.id, None, None).await.ok();
    assert!(!rotated.previous_secret);
    assert!(!works(&second).await && !works(&third).await && works(&fourth).await);
    anonymous.token_for_refresh(&fourth, grant.refresh()).await.for_operator(&operator.username).ok();
    admin.rotate_secret(access.id, Some("short"), None).await.refused(400, "request.invalid");
    admin.rotate_secret(access.id, None, Some(31 * 24 * 60)).await.refused(400, "request.invalid");
    assert!(works(&fourth).await);
}
