//! Everything that can be traced, down to the libraries: no secret is in a span or an event, at any level (security.md 6.5).

use coffre_e2e::api::{Key, ModeKeys, NewAttribute, NewValue, Protocol};
use coffre_e2e::canary;
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home};

use crate::keys::own::{keeper, master_key, to_express, to_manual};

on_each_engine! {
    no_secret_is_in_a_span_or_an_event_of_any_level,
}

async fn no_secret_is_in_a_span_or_an_event_of_any_level(engine: Engine) {
    let home = Home::new(engine).with("COFFRE_LOG", "trace");
    let server = home.start();
    for protocol in Protocol::BOTH {
        let case = Case::on(&server, protocol).await;
        let owner = case.basic("traced").await;
        let wrong = canary::secret("a wrong password");
        case.anonymous().sign_in(&owner.username, &wrong).await.refused(401, "auth.sign_in_failed");
        let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b")];
        let created = owner.create_credential(&case.unique("traced"), &attributes).await.ok();
        let new = NewValue::new(created.attributes[0].id, case.secret("traced"));
        let written = owner.create_values(created.id, &[new]).await.ok();
        owner.list_values(created.id).await.ok();
        // Refusals carry what was sent furthest.
        let again = NewValue::new(created.attributes[0].id, case.secret("traced again"));
        owner.create_values(created.id, &[again]).await.refused(409, "value.exists");
        owner.delete_value(created.id, written[0].id).await.ok();
        keys(&case).await;
        case.settle().await;
    }
    let log = std::fs::read(&server.log).unwrap();
    let text = String::from_utf8_lossy(&log);
    assert!(
        text.contains("\"TRACE\"") && text.contains("\"spans\""),
        "the log holds traces and spans, or this reads too little"
    );
    assert!(!canary::is_in(&log), "a planted secret is in {}", server.log.display());
    let tokens = canary::search([&home.folder], &["admin-password", "database-url"]);
    assert!(tokens.is_empty(), "planted secrets are in {tokens:#?}");
}

/// Every call that carries a key, taken and refused.
async fn keys(case: &Case<'_>) {
    let (keeper, master) = (keeper(case).await, master_key(case, "traced"));
    to_manual(&keeper, &master).await;
    let wrong = master_key(case, "wrong");
    keeper.apply_key(Key::Master(&wrong)).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&format!("{wrong} {}", "k".repeat(1024)))).await.refused(400, "request.invalid");
    keeper.set_mode("Manual", ModeKeys::private(&wrong).current(&wrong)).await.refused(403, "vault.key_wrong");
    let recovery = keeper.replace_recovery_key(Some(&master)).await.ok();
    keeper.drill_key(Key::Recovery(&recovery)).await.ok();
    keeper.drill_key(Key::Recovery(&recovery[..70])).await.refused(400, "request.invalid");
    to_express(&keeper, &master).await;
}
