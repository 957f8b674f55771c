//! What a sealed vault does, and what opens it again (contract, section 5; security.md 5.4).

use std::time::Duration;

use coffre_e2e::api::{CredentialChange, Key, ModeKeys, NewAttribute, NewValue, Protocol, Session, ValueChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::http::Http;
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::server::Server;
use coffre_e2e::tables;
use coffre_proto::vault::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::own::{Kept, Own, entry_of, keeper, key_file, kinds, master_key, to_express, to_manual};
use crate::cases::within_a_second;

vault_cases! {
    in_manual_a_restart_waits_for_the_master_key,
    a_seal_on_purpose_holds_until_somebody_opens_it,
    in_manual_a_seal_is_ended_by_the_key_alone,
    the_recovery_key_opens_a_vault_whose_key_file_is_lost,
    the_recovery_key_stands_in_for_a_lost_master_key,
    an_old_sign_in_changes_no_key,
}

/// What a REST probe is told.
pub(crate) async fn readiness(server: &Server) -> serde_json::Value {
    Http::new(server.http).get("/readyz").send().await.is(200)
}

/// The value of a gauge.
pub(crate) async fn gauge(server: &Server, name: &str) -> f64 {
    let answer = Http::new(server.management).get("/metrics").send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line =
        text.lines().find(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Everything but values works, and values are refused in a way that programs understand.
pub(crate) async fn is_sealed(case: &Case<'_>, kept: &Kept, keeper: &Session) {
    let (owner, id) = (kept.owner(case), kept.credential.id);
    let new = [NewValue::new(kept.credential.attributes[1].id, case.secret("late"))];
    let change = ValueChange { value: case.secret("late"), ..ValueChange::default() };
    let refused = [
        owner.list_values(id).await.refused(503, "vault.sealed"),
        owner.create_values(id, &new).await.refused(503, "vault.sealed"),
        owner.update_value(id, kept.value.id, &change).await.refused(503, "vault.sealed"),
        owner.transport_key().await.refused(503, "vault.sealed"),
        keeper.start_rotation().await.refused(503, "vault.sealed"),
    ];
    for refused in refused {
        assert!(refused.retry_after.is_some_and(|seconds| seconds > 0), "it says when to come back: {refused:?}");
        assert!(refused.message.contains("sealed"), "{refused:?}");
    }
    if case.protocol == Protocol::Grpc {
        let request = v1::ListAttributeValuesRequest { credential_id: id, attribute_id: None, user_id: None };
        let rpc = coffre_e2e::operation::LIST_VALUES.rpc;
        let status = owner.unary::<_, v1::ListAttributeValuesResponse>(rpc, tonic::Request::new(request)).await;
        let (status, details) = status.map_err(|status| (status.clone(), status.get_error_details())).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("VAULT_SEALED"), "{status:?}");
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay >= Duration::from_secs(1)), "{status:?}");
    }

    // Signing in, users, roles, metadata, lockers, audit.
    let again = case.anonymous().open(&owner.username, &kept.password).await;
    assert_eq!(again.get_credential(id).await.ok().name, kept.credential.name);
    assert!(!again.list_credentials(&Default::default()).await.ok().is_empty());
    let change = CredentialChange { description: Some("while sealed".to_owned()), ..CredentialChange::default() };
    again.update_credential(id, &change).await.ok();
    let made = again.create_credential(&case.unique("while sealed"), &[NewAttribute::standard("a")]).await.ok();
    again.delete_credential(made.id, None).await.ok();
    assert_eq!(again.list_contents(kept.locker).await.ok().len(), 1);
    let locker = again.create_locker(&case.unique("while sealed"), None).await.ok();
    again.delete_locker(locker.id, None).await.ok();
    assert!(!again.dashboard().await.ok().applied);
    let role = case.role("while sealed", &[permission::MANAGE_CREDENTIALS]).await;
    let user = case.user("while sealed", &[role]).await;
    case.admin.delete_user(user.id).await.ok();
    case.admin.delete_role(role).await.ok();
    assert!(case.admin.query_entries(&Query::default().page(0, 1)).await.ok().total.is_some_and(|total| total > 0));

    // Mode and keys.
    assert!(!keeper.key_applied().await.ok());
    keeper.mode().await.ok();
    assert_eq!(kinds(keeper).await.len(), 2);
    keeper.rotation().await.ok();

    // Probes and collectors.
    within_a_second("the probe says so", async || readiness(case.server).await["vault"] == "sealed").await;
    let ready = readiness(case.server).await;
    assert_eq!(ready["status"], "ready", "a sealed vault is ready");
    assert_eq!(coffre_e2e::model::time(&ready, "sealedSince").len(), 24);
    let components = Http::new(case.server.management).get("/readyz").send().await;
    let text = String::from_utf8_lossy(&components.body).into_owned();
    assert!(components.status == 200 && text.contains("sealed since"), "{text}");
    assert_eq!(gauge(case.server, "coffre_vault_sealed").await, 1.0);
    let since = gauge(case.server, "coffre_vault_sealed_since_seconds").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 120.0..=now).contains(&since), "since {since}, now {now}");
    let log = std::fs::read_to_string(&case.server.log).unwrap();
    let line = log.lines().rev().find(|line| line.contains("the vault is sealed"));
    assert!(line.is_some_and(|line| line.contains("since") && line.contains('Z')), "the log says since when: {line:?}");
}

/// Values are read again, and whoever asks is told.
pub(crate) async fn is_open(case: &Case<'_>, kept: &Kept, keeper: &Session) {
    assert!(keeper.key_applied().await.ok());
    kept.is_readable(case).await;
    within_a_second("the probe says so", async || readiness(case.server).await["vault"] == "open").await;
    assert!(readiness(case.server).await.get("sealedSince").is_none());
    assert_eq!(gauge(case.server, "coffre_vault_sealed").await, 0.0);
    assert_eq!(gauge(case.server, "coffre_vault_sealed_since_seconds").await, 0.0);
    assert!(kept.owner(case).dashboard().await.ok().applied);
}

async fn in_manual_a_restart_waits_for_the_master_key(own: &mut Own) {
    let (kept, master) = {
        let case = own.case().await;
        let (keeper, master) = (keeper(&case).await, master_key(&case, "m"));
        let kept = Kept::new(&case).await;
        is_open(&case, &kept, &keeper).await;
        to_manual(&keeper, &master).await;
        is_open(&case, &kept, &keeper).await;
        case.settle().await;
        (kept, master)
    };
    // What is not there cannot open it.
    let express = std::fs::read(key_file(&own.home)).unwrap();
    own.restart(|home| std::fs::remove_file(key_file(home)).unwrap());
    let case = own.case().await;
    let keeper = keeper(&case).await;
    is_sealed(&case, &kept, &keeper).await;
    assert_eq!(keeper.mode().await.ok(), "Manual");
    let wrong = ModeKeys::private(&master).current(&master);
    keeper.set_mode("Manual", wrong).await.refused(503, "vault.sealed");
    keeper.replace_recovery_key(Some(&master)).await.refused(503, "vault.sealed");
    keeper.unseal_vault().await.refused(409, "vault.mode_conflict");
    keeper.apply_key(Key::Master(&master_key(&case, "wrong"))).await.refused(403, "vault.key_wrong");
    is_sealed_still(&keeper).await;
    let answer = keeper.apply_key(Key::Master(&master)).await.event("vault.key.applied");
    let entry = entry_of(&case, &answer.request_id).await;
    assert!(answer.ok());
    assert!(entry.detail.contains("manual"), "{entry:?}");
    is_open(&case, &kept, &keeper).await;
    // Without a key file there is no way to Express.
    let refused = keeper.set_mode("Express", ModeKeys::private(&master)).await.refused(409, "vault.mode_conflict");
    assert!(refused.message.contains("key file"), "{refused:?}");
    case.settle().await;
    drop(case);
    own.restart(|home| private_file(home, &express));
    let case = own.case().await;
    let keeper = super::own::keeper(&case).await;
    is_sealed_still(&keeper).await;
    keeper.apply_key(Key::Master(&master)).await.ok();
    to_express(&keeper, &master).await;
    is_open(&case, &kept, &keeper).await;
    case.settle().await;
    drop(case);
    own.restart(|_| {});
    let case = own.case().await;
    kept.is_readable(&case).await;
}

async fn is_sealed_still(keeper: &Session) {
    assert!(!keeper.key_applied().await.ok());
}

/// Puts a key file in its place.
pub(crate) fn private_file(home: &coffre_e2e::server::Home, content: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = key_file(home);
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}

async fn a_seal_on_purpose_holds_until_somebody_opens_it(own: &mut Own) {
    let kept = {
        let case = own.case().await;
        let (keeper, kept) = (keeper(&case).await, Kept::new(&case).await);
        // What is deleted needs no key.
        let owner = kept.owner(&case);
        let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b")];
        let spare = owner.create_credential(&case.unique("spare"), &attributes).await.ok();
        let [a, b] = [0, 1].map(|index| NewValue::new(spare.attributes[index].id, case.secret("spare")));
        let values = owner.create_values(spare.id, &[a, b]).await.ok();

        let answer = keeper.seal_vault().await.event("vault.sealed");
        let entry = entry_of(&case, &answer.request_id).await;
        answer.ok();
        assert!(entry.detail.contains("sealed"), "old and new: {entry:?}");
        is_sealed(&case, &kept, &keeper).await;
        assert_eq!(keeper.mode().await.ok(), "Express");
        keeper.seal_vault().await.ok();
        owner.delete_value(spare.id, values[0].id).await.ok();
        owner.delete_attribute(spare.id, spare.attributes[1].id).await.ok();
        owner.delete_credential(spare.id, None).await.ok();
        keeper.apply_key(Key::Master(&master_key(&case, "none"))).await.refused(409, "vault.mode_conflict");
        case.settle().await;
        kept
    };
    own.restart(|_| {});
    {
        let case = own.case().await;
        let keeper = keeper(&case).await;
        is_sealed(&case, &kept, &keeper).await;
        let answer = keeper.unseal_vault().await.event("vault.unsealed");
        let entry = entry_of(&case, &answer.request_id).await;
        answer.ok();
        assert!(entry.detail.contains("sealed"), "{entry:?}");
        is_open(&case, &kept, &keeper).await;
        // Where it is open already there is nothing to do.
        keeper.unseal_vault().await.ok();
        // The recovery key ends a seal too.
        keeper.seal_vault().await.ok();
        keeper.apply_key(Key::Recovery(&own.recovery)).await.event("vault.key.applied").ok();
        is_open(&case, &kept, &keeper).await;
        case.settle().await;
    }
    own.restart(|_| {});
    kept.is_readable(&own.case().await).await;
}

async fn in_manual_a_seal_is_ended_by_the_key_alone(own: &mut Own) {
    let case = own.case().await;
    let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
    to_manual(&keeper, &master).await;
    keeper.seal_vault().await.ok();
    is_sealed(&case, &kept, &keeper).await;
    keeper.unseal_vault().await.refused(409, "vault.mode_conflict");
    keeper.set_mode("Express", ModeKeys::private(&master)).await.refused(503, "vault.sealed");
    keeper.apply_key(Key::Master(&master_key(&case, "wrong"))).await.refused(403, "vault.key_wrong");
    is_sealed_still(&keeper).await;
    keeper.apply_key(Key::Master(&master)).await.ok();
    is_open(&case, &kept, &keeper).await;
    to_express(&keeper, &master).await;
    // Whoever reads while it is sealed gets the value or the refusal, and nothing in between.
    let owner = kept.owner(&case);
    let reads = async {
        let (mut values, mut refused) = (0, 0);
        while refused < 20 {
            match owner.list_values(kept.credential.id).await.outcome {
                Ok(read) => {
                    assert_eq!(read, std::slice::from_ref(&kept.value));
                    values += 1;
                }
                Err(answer) => {
                    assert_eq!(answer.code, "vault.sealed");
                    refused += 1;
                }
            }
        }
        values
    };
    let seal = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        keeper.seal_vault().await.ok();
        // From now on nothing leaves.
        owner.list_values(kept.credential.id).await.refused(503, "vault.sealed");
    };
    let (values, ()) = tokio::join!(reads, seal);
    assert!(values > 0, "nothing was read before the seal");
    keeper.unseal_vault().await.ok();
    is_open(&case, &kept, &keeper).await;
    case.settle().await;
}

async fn the_recovery_key_opens_a_vault_whose_key_file_is_lost(own: &mut Own) {
    let kept = Kept::new(&own.case().await).await;
    own.restart(|home| std::fs::remove_file(key_file(home)).unwrap());
    let master = {
        let case = own.case().await;
        let (keeper, master) = (keeper(&case).await, master_key(&case, "m"));
        is_sealed(&case, &kept, &keeper).await;
        let log = std::fs::read_to_string(&case.server.log).unwrap();
        assert!(log.contains("no key file") && log.contains("recovery key"), "the log says what to do: {log}");
        let refused = keeper.unseal_vault().await.refused(403, "vault.key_wrong");
        assert!(refused.message.contains("key file"), "{refused:?}");
        keeper.apply_key(Key::Recovery(&own.recovery)).await.event("vault.key.applied").ok();
        is_open(&case, &kept, &keeper).await;
        // New slots: the people's key takes the place of the file.
        keeper.set_mode("Manual", ModeKeys::private(&master).recovery(&own.recovery)).await.ok();
        assert_eq!(kinds(&keeper).await, ["manual", "recovery"]);
        case.settle().await;
        master
    };
    // A new file is tied to the vault.
    own.restart(|home| private_file(home, &[7; 32]));
    {
        let case = own.case().await;
        let keeper = keeper(&case).await;
        is_sealed_still(&keeper).await;
        keeper.apply_key(Key::Master(&master)).await.ok();
        to_express(&keeper, &master).await;
        case.settle().await;
    }
    own.restart(|_| {});
    kept.is_readable(&own.case().await).await;
    // A foreign file is as good as none; with the recovery key the vault is tied to it.
    own.restart(|home| private_file(home, &[8; 32]));
    {
        let case = own.case().await;
        let keeper = keeper(&case).await;
        is_sealed(&case, &kept, &keeper).await;
        keeper.unseal_vault().await.refused(403, "vault.key_wrong");
        keeper.apply_key(Key::Recovery(&own.recovery)).await.ok();
        keeper.set_mode("Express", ModeKeys::default()).await.refused(403, "vault.key_wrong");
        keeper.set_mode("Express", ModeKeys::default().recovery(&own.recovery)).await.ok();
        case.settle().await;
    }
    own.restart(|_| {});
    kept.is_readable(&own.case().await).await;
    // Replaced under us: what runs goes on with what it has read, and a start with the foreign file opens nothing.
    let right = std::fs::read(key_file(&own.home)).unwrap();
    private_file(&own.home, &[9; 32]);
    {
        let case = own.case().await;
        let keeper = keeper(&case).await;
        keeper.seal_vault().await.ok();
        keeper.unseal_vault().await.ok();
        kept.is_readable(&case).await;
        case.settle().await;
    }
    own.restart(|_| {});
    is_sealed_still(&keeper(&own.case().await).await).await;
    own.restart(|home| private_file(home, &right));
    kept.is_readable(&own.case().await).await;
}

async fn the_recovery_key_stands_in_for_a_lost_master_key(own: &mut Own) {
    let (kept, forgotten) = {
        let case = own.case().await;
        let (keeper, master) = (keeper(&case).await, master_key(&case, "forgotten"));
        let kept = Kept::new(&case).await;
        to_manual(&keeper, &master).await;
        (kept, master)
    };
    own.restart(|_| {});
    let case = own.case().await;
    let (keeper, new) = (keeper(&case).await, master_key(&case, "new"));
    is_sealed_still(&keeper).await;
    keeper.apply_key(Key::Recovery(&own.recovery)).await.ok();
    is_open(&case, &kept, &keeper).await;
    keeper.set_mode("Manual", ModeKeys::private(&new).recovery(&own.recovery)).await.ok();
    keeper.apply_key(Key::Master(&forgotten)).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&new)).await.ok();
    keeper.set_mode("Express", ModeKeys::default().recovery(&own.recovery)).await.ok();
    kept.is_readable(&case).await;
    case.settle().await;
}

/// Rule 1.7: a session that was opened more than five minutes ago, and one that a program opened.
async fn an_old_sign_in_changes_no_key(own: &mut Own) {
    let (old, kept) = {
        let case = own.case().await;
        (keeper(&case).await, Kept::new(&case).await)
    };
    let earlier = format!("UPDATE sessions SET password_time = password_time - 301000000 WHERE user_id = {}", old.id);
    own.restart(|home| tables::execute(home, "auth", &earlier));
    let case = own.case().await;
    let old = Session { api: case.api.clone(), ..old };
    let master = master_key(&case, "never");
    let recovery = Key::Recovery(&own.recovery);
    let recent = "auth.recent_sign_in_required";
    let refused = old.set_mode("Manual", ModeKeys::private(&master)).await.refused(403, recent);
    assert!(refused.message.contains("sign in again"), "it says what to do: {refused:?}");
    old.apply_key(recovery).await.refused(403, recent);
    old.drill_key(recovery).await.refused(403, recent);
    old.unseal_vault().await.refused(403, recent);
    old.start_rotation().await.refused(403, recent);
    old.replace_recovery_key(Some(&own.recovery)).await.refused(403, recent);
    assert_eq!(kinds(&old).await, ["express", "recovery"]);
    // Closing is always allowed, opening is not.
    old.seal_vault().await.ok();
    kept.owner(&case).list_values(kept.credential.id).await.refused(503, "vault.sealed");
    old.unseal_vault().await.refused(403, recent);
    let again = case.anonymous().open(&old.username, &coffre_e2e::canary::password(&old.username)).await;
    again.unseal_vault().await.ok();
    kept.is_readable(&case).await;
    let applied = Query::filter(Filter::And(vec![
        Filter::new("userName", "eq", &*old.username),
        Filter::new("event", "eq", "vault.mode.changed"),
        Filter::new("status", "eq", "Unsuccessful"),
    ]));
    case.settle().await;
    assert_eq!(case.admin.query_entries(&applied).await.ok().items.len(), 1, "the refusal is in the audit");
}
