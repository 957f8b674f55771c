//! The vault's mode and key state (contract, section 5, M1 and M3).

use coffre_e2e::case::{Case, permission};

pub(crate) async fn mode_and_key_state_are_told_to_holders_of_settings(case: &Case<'_>) {
    let holder = case.holder("settings", &[permission::MANAGE_SETTINGS]).await;
    for caller in [&holder, &case.admin] {
        assert_eq!(caller.mode().await.ok(), "Express");
        assert!(caller.key_applied().await.ok());
    }
}

pub(crate) async fn mode_and_key_state_are_told_to_nobody_else(case: &Case<'_>) {
    let basic = case.basic("basic").await;
    let refused = basic.mode().await.refused(403, "authz.permission_required");
    assert!(refused.message.contains("View and manage settings"), "the message names the permission: {refused:?}");
    basic.key_applied().await.refused(403, "authz.permission_required");
    case.anonymous().mode().await.refused(401, "auth.token_required");
    case.anonymous().key_applied().await.refused(401, "auth.token_required");
}
