//! Two processes, one vault: what is done to its keys at one is felt at the other within a second (security.md 5.4).

use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Key, NewAttribute, NewValue, Protocol, Session, ValueChange};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::server::{Engine, Home, Server};

use crate::cases::{WITHIN_A_SECOND, within_a_second};
use crate::keys::own::{Kept, keeper, master_key, rotated, to_express, to_manual};
use crate::keys::sealed::{gauge, readiness};

/// The same caller at another server.
fn at(session: &Session, server: &Server) -> Session {
    Session {
        api: Api { ledger: session.api.ledger.clone(), ..Api::new(server, session.api.protocol) },
        ..session.clone()
    }
}

async fn closed_within_a_second(what: &str, kept: &Kept, case: &Case<'_>, server: &Server) -> Duration {
    let there = at(&kept.owner(case), server);
    within_a_second(what, async || there.list_values(kept.credential.id).await.code() == Some("vault.sealed")).await
}

async fn open_within_a_second(what: &str, kept: &Kept, case: &Case<'_>, server: &Server) -> Duration {
    let there = at(&kept.owner(case), server);
    within_a_second(what, async || there.list_values(kept.credential.id).await.outcome.is_ok()).await
}

#[test]
fn what_is_done_to_the_keys_at_one_is_felt_at_the_other() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let (one, two) = (home.start(), home.start());
        for protocol in Protocol::BOTH {
            let case = Case::on(&one, protocol).await;
            let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
            let there = at(&keeper, &two);
            open_within_a_second("both are open", &kept, &case, &two).await;

            // A seal at one, an unseal at the other.
            let mut took = Vec::new();
            keeper.seal_vault().await.ok();
            took.push(("sealed", closed_within_a_second("sealed at one", &kept, &case, &two).await));
            assert!(!there.key_applied().await.ok());
            within_a_second("the probe says so", async || readiness(&two).await["vault"] == "sealed").await;
            assert_eq!(gauge(&two, "coffre_vault_sealed").await, 1.0);
            there.unseal_vault().await.ok();
            took.push(("opened", open_within_a_second("opened at the other", &kept, &case, &one).await));

            // People hold the key: the other has to be told, for it cannot know the new root key. Until then it gives nothing away.
            to_manual(&keeper, &master).await;
            kept.is_readable(&case).await;
            took.push(("to Manual", closed_within_a_second("Manual at one", &kept, &case, &two).await));
            assert_eq!(there.mode().await.ok(), "Manual");
            there.apply_key(Key::Master(&master)).await.ok();
            open_within_a_second("the key is applied", &kept, &case, &two).await;
            kept.is_readable(&case).await;

            // A seal is ended at both by one key at one; the other still has its root key, or is told it again.
            there.seal_vault().await.ok();
            took.push(("sealed in Manual", closed_within_a_second("sealed at the other", &kept, &case, &one).await));
            keeper.apply_key(Key::Master(&master)).await.ok();
            there.apply_key(Key::Master(&master)).await.ok();
            open_within_a_second("both have the key", &kept, &case, &two).await;

            // The server holds it again: the other follows by itself.
            to_express(&there, &master).await;
            took.push(("to Express", open_within_a_second("Express at the other", &kept, &case, &one).await));
            assert_eq!(keeper.mode().await.ok(), "Express");
            case.settle().await;
            let longest = took.iter().max_by_key(|(_, took)| *took).unwrap();
            assert!(longest.1 < WITHIN_A_SECOND, "{longest:?} of {took:?}");
        }
        assert!(one.stop().success() && two.stop().success());
    });
}

#[test]
fn in_manual_one_that_starts_waits_for_the_key_and_the_other_goes_on() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let (one, two) = (home.start(), home.start());
        let case = Case::on(&one, Protocol::Rest).await;
        let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
        to_manual(&keeper, &master).await;
        assert!(two.stop().success());
        let two = home.start();
        let there = at(&keeper, &two);
        assert!(!there.key_applied().await.ok());
        at(&kept.owner(&case), &two).list_values(kept.credential.id).await.refused(503, "vault.sealed");
        // The other looks at the state all the time, and stays open.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            kept.is_readable(&case).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(keeper.key_applied().await.ok());
        // It is no seal on purpose, so opening one changes nothing for the other.
        there.apply_key(Key::Master(&master)).await.ok();
        open_within_a_second("the key is applied", &kept, &case, &two).await;
        kept.is_readable(&case).await;
        case.settle().await;
        assert!(one.stop().success() && two.stop().success());
    });
}

#[test]
fn a_rotation_at_one_while_the_other_writes_loses_nothing() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let (one, two) = (home.start(), home.start());
        let case = Case::on(&one, Protocol::Grpc).await;
        let (keeper, owner) = (keeper(&case).await, case.basic("many").await);
        let held = crate::keys::rotation::many(&case, &owner, 10).await;
        let writer = at(&owner, &two);
        let attributes: Vec<NewAttribute> = (0..20).map(|at| NewAttribute::standard(&format!("w{at}"))).collect();
        let written = writer.create_credential(&case.unique("written"), &attributes).await.ok();
        let new = written.attributes.iter().map(|one| NewValue::new(one.id, case.secret("0")));
        let mut values = writer.create_values(written.id, &new.collect::<Vec<_>>()).await.ok();
        let before = keeper.rotation().await.ok().term;
        for round in 1..=2 {
            let rotating = async {
                keeper.start_rotation().await.ok();
                rotated(&keeper).await
            };
            let begun = Instant::now();
            let writing = async {
                while begun.elapsed() < Duration::from_secs(4) {
                    for value in &mut values {
                        let text = case.secret(&format!("{round} {}", value.version));
                        let change = ValueChange { value: text.clone(), ..ValueChange::default() };
                        *value = writer.update_value(written.id, value.id, &change).await.ok();
                        assert_eq!(value.value, text);
                    }
                }
            };
            let (rotation, ()) = tokio::join!(rotating, writing);
            assert_eq!((rotation.term, rotation.done), (before + round, rotation.total), "{rotation:?}");
            for reader in [&owner, &writer] {
                assert_eq!(reader.list_values(written.id).await.ok(), values);
                crate::keys::rotation::all_there(reader, &held).await;
            }
        }
        let terms = |query| coffre_e2e::tables::ids(&home, "vault", query);
        let newest = std::collections::BTreeSet::from([before + 2]);
        assert_eq!(terms("SELECT DISTINCT term AS id FROM attribute_values"), newest);
        assert_eq!(terms("SELECT term AS id FROM terms"), newest);
        case.settle().await;
        assert!(one.stop().success() && two.stop().success());
    });
}
