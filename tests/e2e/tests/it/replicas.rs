//! Two processes on one PostgreSQL (architecture.md 1; security.md 1.4).

mod keys;
mod oauth;
mod sharing;

use coffre_e2e::api::{Api, NewAttribute, NewValue, Protocol, Session, UserChange};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::server::{Engine, Home};

use crate::cases::within_a_second;

#[test]
fn two_replicas_are_one_vault() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let (one, two) = (home.start(), home.start());
        for protocol in Protocol::BOTH {
            let case = Case::on(&one, protocol).await;
            let there = Api { ledger: case.api.ledger.clone(), ..Api::new(&two, protocol) };
            let at_two = |session: &Session| Session { api: there.clone(), ..session.clone() };

            // Signed in at one, used at the other.
            let owner = case.basic("owner").await;
            let owner_there = at_two(&owner);
            let created =
                owner_there.create_credential(&case.unique("shared"), &[NewAttribute::standard("a")]).await.ok();
            let secret = case.secret("written at two");
            owner_there.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
            assert_eq!(owner.list_values(created.id).await.ok()[0].value, secret, "sealed at one, opened at the other");
            // A transport key of one is known to the other.
            let key = crate::cases::transport::transport_key(&case, &owner).await;
            let change = coffre_e2e::api::ValueChange {
                value: crate::cases::transport::encrypt(&key, case.secret("by transport").as_bytes()),
                encryption_key: Some(key),
                ..Default::default()
            };
            let value = owner.list_values(created.id).await.ok()[0].id;
            owner_there.update_value(created.id, value, &change).await.ok();

            // Two writers at two replicas: one wins.
            let version = owner.get_credential(created.id).await.ok().version;
            let change = |text: &str| coffre_e2e::api::CredentialChange {
                version: Some(version),
                description: Some(text.to_owned()),
                ..Default::default()
            };
            let (here, elsewhere) = (change("here"), change("there"));
            let (first, second) = tokio::join!(
                owner.update_credential(created.id, &here),
                owner_there.update_credential(created.id, &elsewhere)
            );
            assert_eq!(
                [first.outcome.is_ok(), second.outcome.is_ok()].iter().filter(|won| **won).count(),
                1,
                "{first:?} {second:?}"
            );

            // A page of one goes on at the other.
            for index in 0..3 {
                owner
                    .create_credential(&case.unique(&format!("page {index}")), &[NewAttribute::standard("a")])
                    .await
                    .ok();
            }
            let page = owner.query_credentials(&Query::default().sort("id", false).page(0, 2)).await.ok();
            let rest = owner_there
                .query_credentials(&Query::default().sort("id", false).page(0, 2).token(page.next))
                .await
                .ok();
            assert_eq!((page.total, rest.items.len()), (Some(4), 2));

            // A role taken away at one is gone at the other within a second.
            let user = case.basic("stripped").await;
            let user_there = at_two(&user);
            user_there.list_credentials(&Default::default()).await.ok();
            case.admin
                .update_user(user.id, &UserChange { roles: Some(Vec::new()), ..UserChange::default() })
                .await
                .ok();
            within_a_second("the right is gone at the other", async || {
                user_there.list_credentials(&Default::default()).await.code() == Some("authz.permission_required")
            })
            .await;

            // Signed out at one, refused at the other within a second.
            let leaver = case.basic("leaver").await;
            let leaver_there = at_two(&leaver);
            leaver_there.list_credentials(&Default::default()).await.ok();
            leaver.sign_out().await.ok();
            within_a_second("the token is refused at the other", async || {
                leaver_there.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
            })
            .await;

            // In both directions.
            sharing::a_right_taken_away_at_one_is_gone_at_the_other(&case, &there).await;
            let reversed = Case::on(&two, protocol).await;
            let here = Api { ledger: reversed.api.ledger.clone(), ..Api::new(&one, protocol) };
            sharing::a_right_taken_away_at_one_is_gone_at_the_other(&reversed, &here).await;
            sharing::a_locker_deleted_at_one_while_a_credential_enters_at_the_other(&case, &there).await;
            reversed.settle().await;

            // Both write the audit, each call once, and both tell the same.
            case.settle().await;
            let of_owner = || Query::filter(Filter::new("userName", "eq", &*owner.username)).page(0, 1);
            let at_one = case.admin.query_entries(&of_owner()).await.ok().total_filter;
            let at_the_other = at_two(&case.admin).query_entries(&of_owner()).await.ok().total_filter;
            assert_eq!(at_one, at_the_other);
            assert!(at_one.is_some_and(|count| count > 10), "{at_one:?}");
        }
        // One goes; the other serves on.
        one.kill();
        let case = Case::on(&two, Protocol::Rest).await;
        let owner = case.basic("survivor").await;
        owner.create_credential(&case.unique("after the loss"), &[NewAttribute::standard("a")]).await.ok();
        case.settle().await;
        assert!(two.stop().success());
    });
}
