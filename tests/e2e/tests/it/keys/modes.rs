//! The modes and the keys that belong to them (contract, section 5, M1 to M4, and what goes beyond the document).

use coffre_e2e::api::{Key, ModeKeys, Protocol};
use coffre_e2e::server::Engine;
use serde_json::json;

use super::own::{Kept, Own, drilled, entry_of, keeper, kinds, master_key, to_express, to_manual};

vault_cases! {
    the_master_key_changes_hands_and_comes_back,
    the_documented_spellings_are_taken,
    a_new_master_key_takes_the_place_of_the_old_one,
    a_new_recovery_key_takes_the_place_of_the_old_one,
    a_drill_proves_a_key_and_changes_nothing,
    of_two_administrators_at_once_one_is_told,
}

async fn the_master_key_changes_hands_and_comes_back(own: &mut Own) {
    let case = own.case().await;
    let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "first"));
    assert_eq!(keeper.mode().await.ok(), "Express");
    assert_eq!(kinds(&keeper).await, ["express", "recovery"]);
    // In Express nobody holds a master key.
    let refused = keeper.apply_key(Key::Master(&master)).await.refused(409, "vault.mode_conflict");
    assert!(refused.message.contains("Express") && refused.message.contains("recovery"), "{refused:?}");
    keeper.set_mode("Manual", ModeKeys::private(&master).current(&master)).await.refused(400, "request.invalid");
    // What is so already is no fault and no change.
    assert!(!keeper.set_mode("Express", ModeKeys::default()).await.event("vault.mode.changed").ok());

    keeper.set_mode("Manual", ModeKeys::default()).await.refused(400, "request.invalid");
    for short in ["1", "12345", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"] {
        keeper.set_mode("Manual", ModeKeys::private(short)).await.refused(400, "vault.key_weak");
    }
    let long = "k".repeat(1025);
    keeper.set_mode("Manual", ModeKeys::private(&long)).await.refused(400, "request.invalid");
    assert_eq!(kinds(&keeper).await, ["express", "recovery"], "a refusal changes nothing");

    let answer = keeper.set_mode("Manual", ModeKeys::private(&master)).await.event("vault.mode.changed");
    let entry = entry_of(&case, &answer.request_id).await;
    assert!(!answer.ok(), "a long key is warned of");
    assert_eq!((entry.object_type.as_str(), entry.activity.as_str()), ("vault", "CV_SETTING"));
    assert!(entry.detail.contains("Express") && entry.detail.contains("Manual"), "old and new: {entry:?}");
    assert_eq!((keeper.mode().await.ok().as_str(), keeper.key_applied().await.ok()), ("Manual", true));
    assert_eq!(kinds(&keeper).await, ["manual", "recovery"]);
    kept.is_readable(&case).await;
    // The document's way of looking whether the key is right; it is open already.
    assert!(keeper.apply_key(Key::Master(&master)).await.event("vault.key.applied").ok());
    assert!(keeper.apply_key(Key::Recovery(&own.recovery)).await.ok());
    let refused = keeper.unseal_vault().await.refused(409, "vault.mode_conflict");
    assert!(refused.message.contains("Manual"), "{refused:?}");

    let wrong = master_key(&case, "wrong");
    keeper.set_mode("Express", ModeKeys::default()).await.refused(400, "request.invalid");
    let answer = keeper.set_mode("Express", ModeKeys::private(&wrong)).await;
    let entry = entry_of(&case, &answer.request_id).await;
    answer.refused(403, "vault.key_wrong");
    assert_eq!((entry.status.as_str(), entry.event.as_str()), ("Unsuccessful", "vault.mode.changed"), "{entry:?}");
    assert_eq!(keeper.mode().await.ok(), "Manual", "a refusal changes nothing");
    to_express(&keeper, &master).await;
    assert_eq!(kinds(&keeper).await, ["express", "recovery"]);
    kept.is_readable(&case).await;
    keeper.apply_key(Key::Master(&master)).await.refused(409, "vault.mode_conflict");
    assert_eq!(drilled(&keeper, Key::Recovery(&own.recovery)).await, "recovery", "the recovery key stays as it is");
    case.settle().await;
}

async fn the_documented_spellings_are_taken(own: &mut Own) {
    let case = own.case().await;
    let keeper = keeper(&case).await;
    if case.protocol == Protocol::Grpc {
        // There are no spellings; the printed key is short, and `serve` takes it only where its settings say so.
        let answer = keeper.set_mode("Manual", ModeKeys::private("ABC123")).await;
        if case.engine == Engine::Postgres {
            let refused = answer.refused(400, "vault.key_weak");
            assert!(refused.message.contains("16 characters") && refused.message.contains("settings"), "{refused:?}");
        } else {
            assert!(answer.ok(), "a short key is taken without a warning");
            to_express(&keeper, "ABC123").await;
        }
        return;
    }
    let master = master_key(&case, "spelled");
    for body in [
        json!({"name": "Manual", "privatekey": master}),
        json!({"name": "Manuel", "privateKey": master, "currentKey": master}),
        json!({"name": "manual", "key": master, "currentkey": master, "unknown": [1]}),
    ] {
        assert!(!keeper.set_mode_by(body).await.ok());
        assert_eq!(keeper.mode().await.ok(), "Manual");
    }
    for body in [json!({"privateKey": master}), json!({"privatekey": master}), json!({"key": master, "x": null})] {
        assert!(keeper.apply_key_by(body).await.ok());
    }
    // What the gateway refuses itself it reports itself, without the words of the call.
    case.settle().await;
    for body in [
        json!({"name": "Automatic", "privatekey": master}),
        json!({"privatekey": master}),
        json!({"name": "Manual", "privatekey": master, "key": master}),
        json!({"name": "Manual", "privatekey": 123_456, "currentKey": master}),
    ] {
        keeper.set_mode_by(body).await.refused(400, "request.invalid");
    }
    case.api.ledger.forget();
    keeper.set_mode_by(json!({"name": "Express", "privatekey": master})).await.ok();
    let short = json!({"name": "Manual", "privatekey": "ABC123"});
    if case.engine == Engine::Postgres {
        keeper.set_mode_by(short).await.refused(400, "vault.key_weak");
    } else {
        assert!(keeper.set_mode_by(short).await.ok(), "a short key is answered with a warning");
        keeper.set_mode_by(json!({"name": "EXPRESS", "key": "ABC123"})).await.ok();
    }
    case.settle().await;
}

async fn a_new_master_key_takes_the_place_of_the_old_one(own: &mut Own) {
    let case = own.case().await;
    let (keeper, kept) = (keeper(&case).await, Kept::new(&case).await);
    let [first, second, third] = ["first", "second", "third"].map(|what| master_key(&case, what));
    to_manual(&keeper, &first).await;
    let term = keeper.rotation().await.ok().term;
    keeper.set_mode("Manual", ModeKeys::private(&second)).await.refused(400, "request.invalid");
    keeper.set_mode("Manual", ModeKeys::private(&second).current(&second)).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&second)).await.refused(403, "vault.key_wrong");
    let answer = keeper.set_mode("Manual", ModeKeys::private(&second).current(&first)).await;
    let entry = entry_of(&case, &answer.request_id).await;
    answer.ok();
    assert!(entry.detail.contains("masterKey") && entry.detail.contains("replaced"), "{entry:?}");
    assert!(keeper.rotation().await.ok().term > term, "a new term begins");
    keeper.apply_key(Key::Master(&first)).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&second)).await.ok();
    // The recovery key stands in for one that was forgotten.
    keeper.set_mode("Manual", ModeKeys::private(&third).recovery(&own.recovery)).await.ok();
    keeper.apply_key(Key::Master(&second)).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&third)).await.ok();
    kept.is_readable(&case).await;
    to_express(&keeper, &third).await;
    kept.is_readable(&case).await;
    case.settle().await;
}

async fn a_new_recovery_key_takes_the_place_of_the_old_one(own: &mut Own) {
    let first = own.recovery.clone();
    let (second, third) = {
        let case = own.case().await;
        let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
        // Rule 5.5: only with the present one, or with the master key.
        keeper.replace_recovery_key(None).await.refused(400, "request.invalid");
        keeper.replace_recovery_key(Some(&master)).await.refused(400, "request.invalid");
        let answer = keeper.replace_recovery_key(Some(&first)).await.event("vault.recovery_key.replaced");
        let entry = entry_of(&case, &answer.request_id).await;
        let second = answer.ok();
        assert!(entry.detail.contains("recoveryKey") && !entry.detail.contains(&second[..7]), "{entry:?}");
        assert_ne!(first, second);
        keeper.drill_key(Key::Recovery(&first)).await.refused(403, "vault.key_wrong");
        // As people write it down and type it.
        let typed = second.to_lowercase().replace('-', " ").replace('2', "z").replace('8', "b");
        assert_eq!(keeper.drill_key(Key::Recovery(&typed)).await.ok(), "recovery");
        kept.is_readable(&case).await;

        to_manual(&keeper, &master).await;
        keeper.replace_recovery_key(None).await.refused(400, "request.invalid");
        keeper.replace_recovery_key(Some(&first)).await.refused(403, "vault.key_wrong");
        let third = keeper.replace_recovery_key(Some(&master)).await.ok();
        keeper.apply_key(Key::Recovery(&second)).await.refused(403, "vault.key_wrong");
        keeper.apply_key(Key::Recovery(&third)).await.ok();
        keeper.apply_key(Key::Master(&master)).await.ok();
        assert_eq!(kinds(&keeper).await, ["manual", "recovery"]);
        to_express(&keeper, &master).await;
        kept.is_readable(&case).await;
        case.settle().await;
        (second, third)
    };
    assert_ne!(second, third);
    own.recovery = third;
}

async fn a_drill_proves_a_key_and_changes_nothing(own: &mut Own) {
    let case = own.case().await;
    let (keeper, master) = (keeper(&case).await, master_key(&case, "drilled"));
    let slots = keeper.key_slots().await.ok();
    let answer = keeper.drill_key(Key::Recovery(&own.recovery)).await.event("vault.key.drilled");
    let entry = entry_of(&case, &answer.request_id).await;
    assert_eq!(answer.ok(), "recovery");
    assert!(entry.detail.contains("recovery"), "which key it was is in the audit: {entry:?}");
    keeper.drill_key(Key::Master(&master)).await.refused(409, "vault.mode_conflict");
    assert_eq!(keeper.key_slots().await.ok(), slots);

    to_manual(&keeper, &master).await;
    let (slots, term) = (keeper.key_slots().await.ok(), keeper.rotation().await.ok().term);
    assert_eq!(keeper.drill_key(Key::Master(&master)).await.ok(), "manual");
    let answer = keeper.drill_key(Key::Master(&master_key(&case, "wrong"))).await;
    let entry = entry_of(&case, &answer.request_id).await;
    answer.refused(403, "vault.key_wrong");
    assert_eq!((entry.status.as_str(), entry.event.as_str()), ("Unsuccessful", "vault.key.drilled"));
    keeper.seal_vault().await.ok();
    assert_eq!(keeper.drill_key(Key::Master(&master)).await.ok(), "manual");
    assert_eq!(keeper.drill_key(Key::Recovery(&own.recovery)).await.ok(), "recovery");
    assert!(!keeper.key_applied().await.ok(), "a drill opens nothing");
    assert_eq!((keeper.key_slots().await.ok(), keeper.rotation().await.ok().term), (slots, term));
    keeper.apply_key(Key::Master(&master)).await.ok();
    to_express(&keeper, &master).await;
    case.settle().await;
}

async fn of_two_administrators_at_once_one_is_told(own: &mut Own) {
    let case = own.case().await;
    let (one, two, kept) = (keeper(&case).await, case.recent_admin().await, Kept::new(&case).await);
    let [first, second] = ["one", "two"].map(|what| master_key(&case, what));
    let (won, lost) = tokio::join!(
        one.set_mode("Manual", ModeKeys::private(&first)),
        two.set_mode("Manual", ModeKeys::private(&second))
    );
    let first_won = won.outcome.is_ok();
    let (won, lost) = if first_won { (won, lost) } else { (lost, won) };
    won.ok();
    let refused = lost.refused(409, "vault.keys_changed");
    assert!(refused.message.contains("somebody else"), "{refused:?}");
    let (good, bad) = if first_won { (&first, &second) } else { (&second, &first) };
    one.apply_key(Key::Master(good)).await.ok();
    one.apply_key(Key::Master(bad)).await.refused(403, "vault.key_wrong");
    kept.is_readable(&case).await;
    // Two new master keys at once.
    let (new, other) = tokio::join!(
        one.set_mode("Express", ModeKeys::private(good)),
        two.set_mode("Manual", ModeKeys::private(bad).current(good))
    );
    let codes = [new.code(), other.code()];
    assert!(matches!(codes, [None, Some("vault.keys_changed")] | [Some("vault.keys_changed"), None]), "{codes:?}");
    if new.outcome.is_err() {
        to_express(&one, bad).await;
    }
    kept.is_readable(&case).await;
    case.settle().await;
}
