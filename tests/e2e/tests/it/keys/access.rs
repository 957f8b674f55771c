//! Who may change the keys: the rows of `crate::access` on a vault of their own, and programs, which may nothing (security.md 1.7).

use coffre_e2e::api::{Key, ModeKeys, NewApiAccess, Session};
use coffre_e2e::case::{Case, permission};

use super::own::{Own, kinds, master_key};

vault_cases! {
    each_caller_gets_the_answer_of_its_row,
    programs_change_no_key,
}

async fn each_caller_gets_the_answer_of_its_row(own: &mut Own) {
    let case = own.case().await;
    crate::access::rows_about_keys(&case).await;
    case.settle().await;
}

/// Tries everything; which codes came.
async fn tries(case: &Case<'_>, program: &Session, recovery: &str) -> Vec<Option<String>> {
    let key = Key::Recovery(recovery);
    let code = |code: Option<&str>| code.map(ToOwned::to_owned);
    vec![
        code(program.set_mode("Manual", ModeKeys::private(&master_key(case, "never"))).await.code()),
        code(program.apply_key(key).await.code()),
        code(program.drill_key(key).await.code()),
        code(program.unseal_vault().await.code()),
        code(program.start_rotation().await.code()),
        code(program.replace_recovery_key(Some(recovery)).await.code()),
    ]
}

async fn programs_change_no_key(own: &mut Own) {
    let case = own.case().await;
    let permissions = [
        permission::MANAGE_SETTINGS,
        permission::MANAGE_API_ACCESS,
        permission::CONNECT_TO_API,
        permission::GENERATE_API_KEY,
    ];
    let operator = case.holder("operator", &permissions).await;
    let new = NewApiAccess { client_id: case.unique("keys"), password_grant: Some(true), ..NewApiAccess::default() };
    let (_, client) = operator.create_api_access(&new).await.ok();
    let by_oauth = operator.with_token(&case.grant(&client, &operator).await.access_token);
    let (_, key) = operator.create_api_key("keys", None).await.ok();
    let by_key = case.anonymous().open_with_key(&operator.username, &key).await;
    for (what, program) in [("an OAuth token", &by_oauth), ("the token of a key", &by_key)] {
        for code in tries(&case, program, &own.recovery).await {
            let code = code.as_deref();
            assert!(matches!(code, Some("auth.recent_sign_in_required" | "auth.token_kind")), "{what}: {code:?}");
        }
        // Looking is not reserved.
        assert_eq!(program.mode().await.ok(), "Express");
        assert_eq!(kinds(program).await, ["express", "recovery"]);
        program.rotation().await.ok();
    }
    by_oauth.seal_vault().await.refused(403, "auth.token_kind");
    assert!(operator.key_applied().await.ok());
    // Closing is open to every session of somebody who may.
    by_key.seal_vault().await.ok();
    by_key.unseal_vault().await.refused(403, "auth.recent_sign_in_required");
    operator.unseal_vault().await.ok();
    case.settle().await;
}
