//! What ends the access of a program, within one second and on every path (security.md 1.3, 1.4).

use coffre_e2e::api::{ApiAccessChange, Client, RoleChange, Session, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{ApiAccess, TokenGrant};

use super::within_a_second;

/// Panics where a token is still taken a second later by any service.
pub(crate) async fn is_refused_everywhere(program: &Session) {
    let gone = Some("auth.token_invalid");
    within_a_second("credentials refuse it", async || {
        program.list_credentials(&Default::default()).await.code() == gone
    })
    .await;
    within_a_second("lockers refuse it", async || program.list_lockers(None).await.code() == gone).await;
    within_a_second("the dashboard refuses it", async || program.dashboard().await.code() == gone).await;
    within_a_second("the audit refuses it", async || program.query_entries(&Default::default()).await.code() == gone)
        .await;
    let token = program.token.as_deref().unwrap();
    assert!(!program.api.anonymous().validate(token).await.ok());
}

struct Program {
    admin: Session,
    access: ApiAccess,
    client: Client,
    operator: Session,
    grant: TokenGrant,
    /// The operator, by the program's token.
    program: Session,
}

impl Program {
    /// A program that has used its token on every path.
    async fn new(case: &Case<'_>, operator: Session) -> Self {
        let admin = case.api_administrator().await;
        let (access, client) = case.access(&admin, "ended").await;
        let grant = case.grant(&client, &operator).await;
        let program = operator.with_token(&grant.access_token);
        program.list_credentials(&Default::default()).await.ok();
        program.list_lockers(None).await.ok();
        program.dashboard().await.ok();
        program.query_entries(&Default::default()).await.ok();
        Self { admin, access, client, operator, grant, program }
    }

    /// Panics where anything of it still works.
    async fn has_ended(&self, case: &Case<'_>) {
        is_refused_everywhere(&self.program).await;
        let refresh = case.anonymous().token_for_refresh(&self.client, self.grant.refresh()).await;
        assert!(matches!(refresh.code(), Some("oauth.invalid_grant" | "oauth.invalid_client")), "{refresh:?}");
    }
}

pub(crate) async fn a_disabled_access_ends_its_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    let set = |disabled| ApiAccessChange { disabled: Some(disabled), ..ApiAccessChange::default() };
    assert!(it.admin.update_api_access(it.access.id, &set(true)).await.ok().disabled);
    it.has_ended(case).await;
    let again = case.anonymous().token_for_refresh(&it.client, it.grant.refresh()).await;
    again.refused(401, "oauth.invalid_client");
    // The operator's own session goes on.
    it.operator.list_credentials(&Default::default()).await.ok();
    // What has ended stays so when the access comes back.
    it.admin.update_api_access(it.access.id, &set(false)).await.ok();
    let again = case.anonymous().token_for_refresh(&it.client, it.grant.refresh()).await;
    again.refused(400, "oauth.invalid_grant");
    it.program.list_credentials(&Default::default()).await.refused(401, "auth.token_invalid");
    case.grant(&it.client, &it.operator).await;
}

pub(crate) async fn a_deleted_access_ends_its_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    it.admin.delete_api_access(it.access.id).await.ok();
    it.has_ended(case).await;
    case.anonymous().introspect(&it.client, &it.grant.access_token).await.refused(401, "oauth.invalid_client");
    it.operator.list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn without_the_right_to_connect_tokens_end(case: &Case<'_>) {
    let connect = case.role("connect", &[permission::CONNECT_TO_API]).await;
    let rest = case.role("rest", &[permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS]).await;
    let it = Program::new(case, case.user("operator", &[connect, rest]).await).await;
    let roles = |roles: &[i64]| UserChange { roles: Some(roles.to_vec()), ..UserChange::default() };
    case.admin.update_user(it.operator.id, &roles(&[rest])).await.ok();
    it.has_ended(case).await;
    it.operator.list_credentials(&Default::default()).await.ok();
    let password = case.password_of(&it.operator);
    let refused = case.anonymous().token_for_password(&it.client, &it.operator.username, &password).await;
    refused.refused(400, "oauth.invalid_grant");
}

pub(crate) async fn a_role_that_loses_the_right_ends_tokens(case: &Case<'_>) {
    let all = [permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS, permission::CONNECT_TO_API];
    let role = case.role("operators", &all).await;
    let it = Program::new(case, case.user("operator", &[role]).await).await;
    let change = RoleChange { permissions: Some(all[..2].to_vec()), ..RoleChange::default() };
    case.admin.update_role(role, &change).await.ok();
    it.has_ended(case).await;
    it.operator.list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn a_disabled_operator_ends_its_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    let set = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    case.admin.update_user(it.operator.id, &set(true)).await.activity("DISABLE_USER").ok();
    it.has_ended(case).await;
    case.admin.update_user(it.operator.id, &set(false)).await.activity("ENABLE_USER").ok();
    let again = case.anonymous().token_for_refresh(&it.client, it.grant.refresh()).await;
    again.refused(400, "oauth.invalid_grant");
    case.grant(&it.client, &it.operator).await;
}

pub(crate) async fn a_deleted_operator_ends_its_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    case.admin.delete_user(it.operator.id).await.ok();
    it.has_ended(case).await;
}

pub(crate) async fn a_reset_password_ends_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    let change = UserChange { password: Some(canary::password("reset")), ..UserChange::default() };
    case.recent_admin().await.update_user(it.operator.id, &change).await.ok();
    it.has_ended(case).await;
}

pub(crate) async fn a_changed_password_ends_tokens(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    let old = case.password_of(&it.operator);
    it.operator.change_password(&old, &canary::password("changed by itself")).await.ok();
    it.has_ended(case).await;
    it.operator.list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn a_changed_role_is_felt_by_programs(case: &Case<'_>) {
    let role = case.role("rights", &[permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS]).await;
    let connect = case.role("connect", &[permission::CONNECT_TO_API]).await;
    let it = Program::new(case, case.user("operator", &[role, connect]).await).await;
    let set = |permissions: &[i64]| RoleChange { permissions: Some(permissions.to_vec()), ..RoleChange::default() };
    case.admin.update_role(role, &set(&[])).await.ok();
    let missing = Some("authz.permission_required");
    within_a_second("credentials are closed", async || {
        it.program.list_credentials(&Default::default()).await.code() == missing
    })
    .await;
    within_a_second("lockers are closed", async || it.program.list_lockers(None).await.code() == missing).await;
    // Rights end nothing: the token goes on, and what is given back counts.
    it.program.dashboard().await.ok();
    case.admin.update_role(role, &set(&[permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS])).await.ok();
    within_a_second("credentials are open", async || {
        it.program.list_credentials(&Default::default()).await.code().is_none()
    })
    .await;
    it.program.list_lockers(None).await.ok();
}

pub(crate) async fn signing_out_ends_a_programs_session(case: &Case<'_>) {
    let it = Program::new(case, case.basic("operator").await).await;
    it.program.sign_out().await.ok();
    it.has_ended(case).await;
    it.operator.list_credentials(&Default::default()).await.ok();
}
