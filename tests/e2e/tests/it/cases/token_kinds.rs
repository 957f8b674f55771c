//! Tokens, keys and secrets never pass for one another: every path takes its own kinds alone (security.md 1.6, 1.7).

use coffre_e2e::api::{ApiAccessChange, Client, NewApiAccess, NewUser, Session, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Query, TokenGrant};

/// Everything that somebody with all the rights in question can hold.
struct Keyring {
    client: Client,
    operator: Session,
    grant: TokenGrant,
    key: String,
    access: i64,
}

async fn keyring(case: &Case<'_>) -> Keyring {
    let permissions = [
        permission::MANAGE_CREDENTIALS,
        permission::MANAGE_LOCKERS,
        permission::MANAGE_SETTINGS,
        permission::MANAGE_USERS,
        permission::MANAGE_API_ACCESS,
        permission::CONNECT_TO_API,
        permission::GENERATE_API_KEY,
    ];
    let operator = case.holder("everything", &permissions).await;
    let new = NewApiAccess {
        client_id: case.unique("keyring"),
        password_grant: Some(true),
        client_credentials_grant: Some(true),
        operator_id: Some(operator.id),
        ..NewApiAccess::default()
    };
    let (access, client) = operator.create_api_access(&new).await.ok();
    let grant = case.grant(&client, &operator).await;
    let (_, key) = operator.create_api_key("ring", None).await.ok();
    Keyring { client, operator, grant, key, access: access.id }
}

pub(crate) async fn rule_1_6_no_kind_passes_for_another(case: &Case<'_>) {
    let it = keyring(case).await;
    let session = it.operator.token.clone().unwrap();
    let by_key = case.anonymous().open_with_key(&it.operator.username, &it.key).await.token.unwrap();
    let refresh = it.grant.refresh().to_owned();
    let secrets = [
        ("a session's token", session.as_str(), true),
        ("the token of a key", &by_key, true),
        ("an OAuth token", &it.grant.access_token, true),
        ("a refresh token", &refresh, false),
        ("an API key", &it.key, false),
        ("a client secret", &it.client.secret, false),
    ];
    let anonymous = case.anonymous();
    for (what, secret, is_bearer) in secrets {
        // Resources of every service.
        let bearer = it.operator.with_token(secret);
        let expected = (!is_bearer).then_some("auth.token_invalid");
        assert_eq!(bearer.list_credentials(&Default::default()).await.code(), expected, "{what}");
        assert_eq!(bearer.list_lockers(None).await.code(), expected, "{what}");
        assert_eq!(bearer.query_entries(&Default::default()).await.code(), expected, "{what}");
        assert_eq!(bearer.dashboard().await.code(), expected, "{what}");
        assert_eq!(bearer.query_users(&Query::default().page(0, 1)).await.code(), expected, "{what}");
        assert_eq!(bearer.mode().await.code(), expected, "{what}");
        assert_eq!(anonymous.validate(secret).await.ok(), is_bearer, "{what}");
        // Only a session's token is renewed as one.
        let renewed = anonymous.refresh(secret).await;
        let is_session = secret == session || secret == by_key;
        assert_eq!(renewed.outcome.is_ok(), is_session, "{what}: {renewed:?}");
        if !is_session {
            assert!(matches!(renewed.code(), Some("auth.token_invalid" | "auth.token_kind")), "{what}: {renewed:?}");
        }
        // Only a refresh token is one.
        if secret != refresh {
            let answer = anonymous.token_for_refresh(&it.client, secret).await;
            assert_eq!(answer.code(), Some("oauth.invalid_grant"), "{what}");
        }
        // A client is told of OAuth tokens alone, and ends them alone.
        let told = anonymous.introspect(&it.client, secret).await.ok();
        assert_eq!(told.active, secret == it.grant.access_token || secret == refresh, "{what}");
        if !told.active {
            anonymous.revoke(&it.client, secret).await.ok();
        }
    }
    // Only the client's secret opens its door; only a password or a key opens a session. Each at an address of its own, because wrong ones count.
    for (what, secret, _) in secrets {
        let case = Case::on(case.server, case.protocol).await;
        let anonymous = case.anonymous();
        if secret != it.client.secret {
            let answer = anonymous.introspect(&it.client.with_secret(secret), "x").await;
            assert_eq!(answer.code(), Some("oauth.invalid_client"), "{what}");
        }
        let sign_in = anonymous.sign_in(&it.operator.username, secret).await;
        assert!(matches!(sign_in.code(), Some("auth.sign_in_failed" | "request.invalid")), "{what}: {sign_in:?}");
        if secret != it.key {
            let sign_in = anonymous.sign_in_with_key(&it.operator.username, secret).await;
            assert!(matches!(sign_in.code(), Some("auth.sign_in_failed" | "request.invalid")), "{what}: {sign_in:?}");
        }
        case.api.ledger.forget();
    }
    // Nothing of this has harmed any of them.
    for token in [&session, &by_key, &it.grant.access_token] {
        it.operator.with_token(token).list_credentials(&Default::default()).await.ok();
    }
    anonymous.token_for_refresh(&it.client, &refresh).await.for_operator(&it.operator.username).ok();
}

pub(crate) async fn rule_1_7_programs_cannot_do_what_is_reserved(case: &Case<'_>) {
    let it = keyring(case).await;
    let by_key = case.anonymous().open_with_key(&it.operator.username, &it.key).await;
    let by_oauth = it.operator.with_token(&it.grant.access_token);
    let subject = NewUser { username: case.unique("subject"), ..NewUser::default() };
    let subject = NewUser { password: canary::password(&subject.username), ..subject };
    let subject = it.operator.create_user(&subject).await.ok();
    let access = it.operator.get_api_access(it.access).await.ok();
    let new = NewApiAccess { client_id: case.unique("never"), ..NewApiAccess::default() };
    let change = ApiAccessChange { description: Some("never".to_owned()), ..ApiAccessChange::default() };
    let reset = UserChange { password: Some(canary::password("never")), ..UserChange::default() };
    let old = case.password_of(&it.operator);
    for (what, program) in [("an OAuth token", &by_oauth), ("the token of a key", &by_key)] {
        let answers = [
            ("create an access", program.create_api_access(&new).await.code().map(ToOwned::to_owned)),
            ("change one", program.update_api_access(it.access, &change).await.code().map(ToOwned::to_owned)),
            ("new secret", program.rotate_secret(it.access, None, None).await.code().map(ToOwned::to_owned)),
            ("confirm", program.confirm_api_access(it.access).await.code().map(ToOwned::to_owned)),
            ("delete an access", program.delete_api_access(it.access).await.code().map(ToOwned::to_owned)),
            ("create a key", program.create_api_key("never", None).await.code().map(ToOwned::to_owned)),
            ("reset a password", program.update_user(subject.id, &reset).await.code().map(ToOwned::to_owned)),
            (
                "change the own password",
                program.change_password(&old, &canary::password("never")).await.code().map(ToOwned::to_owned),
            ),
        ];
        for (act, code) in answers {
            assert!(
                matches!(code.as_deref(), Some("auth.recent_sign_in_required" | "auth.token_kind")),
                "{act} with {what}: {code:?}"
            );
        }
        // Nor may a program look at what opens doors, by an OAuth token.
        let reads = [
            program.get_api_access(it.access).await.code().map(ToOwned::to_owned),
            program.query_api_accesses(&Query::default().page(0, 1)).await.code().map(ToOwned::to_owned),
            program.list_api_keys().await.code().map(ToOwned::to_owned),
        ];
        let expected = if program.token == by_oauth.token { Some("auth.token_kind") } else { None };
        for code in reads {
            assert_eq!(code.as_deref(), expected, "{what}");
        }
    }
    by_oauth.delete_api_key(1).await.refused(403, "auth.token_kind");
    assert_eq!(it.operator.get_api_access(it.access).await.ok(), access, "a refusal changes nothing");
    assert_eq!(it.operator.list_api_keys().await.ok().len(), 1);
    case.anonymous().open(&it.operator.username, &old).await;
    // What is not reserved a program may, within its operator's rights.
    by_oauth.query_users(&Query::default().page(0, 1)).await.ok();
    let first_name = UserChange { first_name: Some("F".to_owned()), ..UserChange::default() };
    by_oauth.update_user(subject.id, &first_name).await.ok();
    by_key.delete_user(subject.id).await.ok();
}
