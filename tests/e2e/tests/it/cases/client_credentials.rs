//! An access that acts as its operator with its own secret alone (contract, section 3; security.md 3.3).

use coffre_e2e::api::{ApiAccessChange, Client, NewApiAccess, Session, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::ApiAccess;

use super::oauth_ends::is_refused_everywhere;
use super::within_a_second;

/// An access that is bound to an operator who has not confirmed it.
async fn bound(case: &Case<'_>, what: &str, admin: &Session, operator: &Session) -> (ApiAccess, Client) {
    let new = NewApiAccess {
        client_id: case.unique(what),
        client_credentials_grant: Some(true),
        operator_id: Some(operator.id),
        ..NewApiAccess::default()
    };
    admin.create_api_access(&new).await.ok()
}

pub(crate) async fn a_confirmed_access_acts_as_its_operator(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (operator, other) = (case.basic("operator").await, case.basic("other").await);
    let (access, client) = bound(case, "robot", &admin, &operator).await;
    assert_eq!((access.operator_id, access.confirmed), (Some(operator.id), false));
    let anonymous = case.anonymous();
    anonymous.token_for_client(&client).await.refused(400, "oauth.invalid_grant");
    // Nobody confirms for another, also not whoever administers API accesses.
    other.confirm_api_access(access.id).await.refused(404, "api_access.not_found");
    let by_admin = admin.confirm_api_access(access.id).await;
    assert!(matches!(by_admin.code(), Some("api_access.not_found" | "authz.permission_required")), "{by_admin:?}");
    anonymous.token_for_client(&client).await.refused(400, "oauth.invalid_grant");
    // The operator sees what it confirms.
    assert_eq!(operator.get_api_access(access.id).await.ok(), access);
    assert!(operator.confirm_api_access(access.id).await.event("api_access.confirmed").ok().confirmed);
    operator.confirm_api_access(access.id).await.ok();
    let grant = anonymous.token_for_client(&client).await.for_operator(&operator.username).ok();
    assert_eq!(grant.refresh_token, None, "never with a refresh token");
    let program = operator.with_token(&grant.access_token);
    let created =
        program.create_credential(&case.unique("made"), &[coffre_e2e::api::NewAttribute::standard("a")]).await.ok();
    assert_eq!(created.owner_id, operator.id);
    program.mode().await.refused(403, "authz.permission_required");
    let told = anonymous.introspect(&client, &grant.access_token).await.ok();
    assert_eq!((told.active, told.user_id), (true, operator.id));
    // The password grant is another one, and off.
    let password = case.password_of(&operator);
    let refused = anonymous.token_for_password(&client, &operator.username, &password).await;
    refused.refused(400, "oauth.unauthorized_client");
}

pub(crate) async fn a_binding_is_checked(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let new = |operator_id| NewApiAccess {
        client_id: case.unique("bound"),
        client_credentials_grant: Some(true),
        operator_id,
        ..NewApiAccess::default()
    };
    admin.create_api_access(&new(Some(i64::MAX))).await.refused(404, "user.not_found");
    let (access, client) = admin.create_api_access(&new(None)).await.ok();
    case.anonymous().token_for_client(&client).await.refused(400, "oauth.invalid_grant");
    // Where the grant is off there is nothing to confirm.
    let operator = case.basic("operator").await;
    let change = ApiAccessChange {
        client_credentials_grant: Some(false),
        operator_id: Some(operator.id),
        ..ApiAccessChange::default()
    };
    admin.update_api_access(access.id, &change).await.ok();
    operator.confirm_api_access(access.id).await.refused(409, "api_access.not_bindable");
    // Who may not connect confirms nothing.
    let without = case.holder("without", &[permission::MANAGE_CREDENTIALS]).await;
    let (access, _) = bound(case, "unconnected", &admin, &without).await;
    without.confirm_api_access(access.id).await.refused(403, "authz.permission_required");
}

pub(crate) async fn a_new_secret_needs_the_operator_again(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let (access, first) = bound(case, "robot", &admin, &operator).await;
    let anonymous = case.anonymous();
    operator.confirm_api_access(access.id).await.ok();
    let old = anonymous.token_for_client(&first).await.for_operator(&operator.username).ok();
    let (rotated, second) = admin.rotate_secret(access.id, None, Some(60)).await.ok();
    assert!(!rotated.confirmed, "a confirmation counts for the secret for which it was given");
    anonymous.token_for_client(&second).await.refused(400, "oauth.invalid_grant");
    // The old one keeps its confirmation while it lasts.
    anonymous.token_for_client(&first).await.for_operator(&operator.username).ok();
    operator.with_token(&old.access_token).list_credentials(&Default::default()).await.ok();
    operator.confirm_api_access(access.id).await.ok();
    anonymous.token_for_client(&second).await.for_operator(&operator.username).ok();
}

pub(crate) async fn what_ends_a_confirmation_ends_its_tokens(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (operator, heir) = (case.basic("operator").await, case.basic("heir").await);
    let change = |change: ApiAccessChange| change;
    let ends: [(&str, Option<ApiAccessChange>); 3] = [
        ("withdrawn", None),
        ("another operator", Some(change(ApiAccessChange { operator_id: Some(heir.id), ..Default::default() }))),
        (
            "the grant is off",
            Some(change(ApiAccessChange { client_credentials_grant: Some(false), ..Default::default() })),
        ),
    ];
    for (what, change) in ends {
        let new = NewApiAccess {
            client_id: case.unique(what),
            client_credentials_grant: Some(true),
            operator_id: Some(operator.id),
            ..NewApiAccess::default()
        };
        let (access, client) = admin.create_api_access(&new).await.ok();
        operator.confirm_api_access(access.id).await.ok();
        let anonymous = case.anonymous();
        let grant = anonymous.token_for_client(&client).await.for_operator(&operator.username).ok();
        let program = operator.with_token(&grant.access_token);
        program.list_credentials(&Default::default()).await.ok();
        match change {
            None => {
                operator.withdraw_confirmation(access.id).await.event("api_access.confirmation.withdrawn").ok();
                operator.withdraw_confirmation(access.id).await.ok();
            }
            Some(change) => {
                assert!(!admin.update_api_access(access.id, &change).await.ok().confirmed, "{what}");
            }
        }
        is_refused_everywhere(&program).await;
        let refused = anonymous.token_for_client(&client).await;
        assert!(matches!(refused.code(), Some("oauth.invalid_grant" | "oauth.unauthorized_client")), "{refused:?}");
        // What is put back counts only once it is confirmed again.
        let back = ApiAccessChange {
            client_credentials_grant: Some(true),
            operator_id: Some(operator.id),
            ..ApiAccessChange::default()
        };
        admin.update_api_access(access.id, &back).await.ok();
        anonymous.token_for_client(&client).await.refused(400, "oauth.invalid_grant");
        program.list_credentials(&Default::default()).await.refused(401, "auth.token_invalid");
    }
}

pub(crate) async fn a_reset_password_ends_what_its_user_confirmed(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let (access, client) = bound(case, "robot", &admin, &operator).await;
    operator.confirm_api_access(access.id).await.ok();
    let grant = case.anonymous().token_for_client(&client).await.for_operator(&operator.username).ok();
    let program = operator.with_token(&grant.access_token);
    program.list_credentials(&Default::default()).await.ok();
    let change = UserChange { password: Some(canary::password("reset robot")), ..UserChange::default() };
    case.recent_admin().await.update_user(operator.id, &change).await.ok();
    is_refused_everywhere(&program).await;
    assert!(!admin.get_api_access(access.id).await.ok().confirmed);
    case.anonymous().token_for_client(&client).await.refused(400, "oauth.invalid_grant");
}

pub(crate) async fn a_changed_password_leaves_what_its_user_confirmed(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let (access, client) = bound(case, "robot", &admin, &operator).await;
    operator.confirm_api_access(access.id).await.ok();
    let old = case.password_of(&operator);
    operator.change_password(&old, &canary::password("changed robot")).await.ok();
    assert!(admin.get_api_access(access.id).await.ok().confirmed);
    let grant = case.anonymous().token_for_client(&client).await.for_operator(&operator.username).ok();
    within_a_second("a token after the change works", async || {
        operator.with_token(&grant.access_token).list_credentials(&Default::default()).await.code().is_none()
    })
    .await;
    // Disabled it may nothing; enabled again it may, because the confirmation still stands.
    let set = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    case.admin.update_user(operator.id, &set(true)).await.activity("DISABLE_USER").ok();
    case.anonymous().token_for_client(&client).await.refused(400, "oauth.invalid_grant");
    case.admin.update_user(operator.id, &set(false)).await.activity("ENABLE_USER").ok();
    case.anonymous().token_for_client(&client).await.for_operator(&operator.username).ok();
}
