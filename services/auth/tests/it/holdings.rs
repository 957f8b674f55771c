//! What users hold, and how it is handed over.

use coffre_error::Reason;
use coffre_proto::audit::v1::{ActivityType, Outcome, Source};
use coffre_proto::auth::v1::UpdateUserRequest;
use coffre_test_support::on_each_engine;

use crate::keeper::Fails;
use crate::world::{BASIC_ROLE, LOCKER_ADMIN_ROLE, World, outcome};

fn detail(event: &coffre_proto::audit::v1::Event, key: &str) -> Option<String> {
    event.details.iter().find(|detail| detail.key == key).map(|detail| detail.value.clone())
}

on_each_engine! {
    async fn holdings_are_listed_to_their_holder_and_to_those_who_administer(db: TestDb) {
        let world = World::start(&db).await;
        let (id, ada) = world.user("ada", &[BASIC_ROLE]).await;
        let (_, lockers) = world.user("lockers", &[LOCKER_ADMIN_ROLE]).await;
        let (_, other) = world.user("other", &[BASIC_ROLE]).await;
        world.vault.holds(&["Mail", "CRM"]);
        world.locker.holds(&["Team"]);
        for caller in [&ada, &lockers, &world.admin().await] {
            world.events();
            let found = caller.holdings(id).await.unwrap();
            let names: Vec<_> = found.credentials.iter().chain(&found.lockers).map(|held| (held.id, held.name.as_str())).collect();
            assert_eq!(names, [(1, "Mail"), (2, "CRM"), (1, "Team")]);
            assert_eq!((found.credential_count, found.locker_count), (2, 1));
            let event = world.last_event();
            assert_eq!((event.event.as_str(), event.object.clone().unwrap().name.as_str()), ("user.holdings.listed", "ada"));
            assert_eq!((detail(&event, "credentials"), detail(&event, "lockers")), (Some("2".into()), Some("1".into())));
        }
        assert_eq!(other.holdings(id).await.unwrap_err(), Reason::AuthzPermissionRequired);
        let object = world.last_event().object.unwrap();
        assert_eq!((object.r#type.as_str(), object.id, object.name.as_str()), ("user", id.to_string(), ""));
        assert_eq!(other.holdings(9999).await.unwrap_err(), Reason::AuthzPermissionRequired, "who exists is not his affair");
        assert_eq!(world.nobody().holdings(id).await.unwrap_err(), Reason::AuthTokenRequired);
        let admin = world.admin().await;
        assert_eq!(admin.holdings(9999).await.unwrap_err(), Reason::UserNotFound);
        assert_eq!(admin.holdings(0).await.unwrap_err(), Reason::RequestInvalid);
        world.vault.holds_many(1500);
        let found = admin.holdings(id).await.unwrap();
        assert_eq!((found.credentials.len(), found.credential_count), (1000, 1500));
        for keeper in [&world.vault, &world.locker] {
            keeper.fail("list", Fails::Before);
            assert_eq!(admin.holdings(id).await.unwrap_err(), Reason::ServiceUnavailable, "half a list is none");
            keeper.mend();
        }
    }

    async fn holdings_are_handed_over_in_parts_until_nothing_remains(db: TestDb) {
        let world = World::start(&db).await;
        let (giver, ada) = world.user("ada", &[BASIC_ROLE]).await;
        let (recipient, _) = world.user("heir", &[]).await;
        world.vault.holds_many(250);
        world.locker.holds(&["Team"]);
        world.events();
        world.vault.askers();
        assert_eq!(ada.transfer(giver, recipient).await.unwrap(), (250, 1));
        assert_eq!((world.vault.left(), world.locker.left()), (0, 0));
        let askers = world.vault.askers();
        assert_eq!(askers.len(), 3, "parts of 100");
        let event = world.last_event();
        for asker in askers {
            assert_eq!((asker.user_id, asker.user_name.as_str()), (giver, "ada"));
            assert_eq!((asker.source(), asker.client_address.as_str()), (event.source(), event.client_address.as_str()));
            assert_ne!(asker.source(), Source::Unspecified);
            assert_eq!(asker.request_id, event.request_id, "one call");
        }
        assert_eq!((event.event.as_str(), event.activity_type()), ("user.holdings.transferred", ActivityType::UpdateUser));
        assert_eq!(event.object.clone().unwrap().id, giver.to_string());
        assert_eq!(detail(&event, "recipient"), Some(format!("{recipient} (heir)")));
        assert_eq!((detail(&event, "credentials"), detail(&event, "lockers")), (Some("250".into()), Some("1".into())));
        assert_eq!(ada.transfer(giver, recipient).await.unwrap(), (0, 0), "again: nothing to give");
    }

    async fn a_hand_over_that_is_interrupted_goes_on_where_it_stood(db: TestDb) {
        let world = World::start(&db).await;
        let (giver, _) = world.user("ada", &[]).await;
        let (recipient, _) = world.user("heir", &[]).await;
        let (_, admin) = world.user("lockers", &[LOCKER_ADMIN_ROLE]).await;
        world.vault.holds_many(250);
        world.locker.holds_many(150);
        world.vault.fail_after("transfer", Fails::Before, 1);
        world.events();
        assert_eq!(admin.transfer(giver, recipient).await.unwrap_err(), Reason::ServiceUnavailable);
        assert_eq!((world.vault.left(), world.locker.left()), (150, 150), "what was given stays given");
        let event = world.last_event();
        assert_eq!((outcome(&event), detail(&event, "credentials")), (Outcome::Unsuccessful, Some("100".into())));
        // An answer that is lost was given too.
        world.vault.fail_after("transfer", Fails::After, 0);
        assert_eq!(admin.transfer(giver, recipient).await.unwrap_err(), Reason::ServiceUnavailable);
        world.vault.mend();
        world.locker.fail_after("transfer", Fails::Before, 1);
        assert_eq!(admin.transfer(giver, recipient).await.unwrap_err(), Reason::ServiceUnavailable);
        assert_eq!((world.vault.left(), world.locker.left()), (0, 50));
        world.locker.mend();
        assert_eq!(admin.transfer(giver, recipient).await.unwrap(), (0, 50));
        assert_eq!(admin.holdings(giver).await.unwrap().locker_count, 0);
    }

    async fn every_refusal_of_a_hand_over_gives_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let (giver, ada) = world.user("ada", &[BASIC_ROLE]).await;
        let (recipient, heir) = world.user("heir", &[BASIC_ROLE]).await;
        let (admins, admin) = world.user("lockers", &[LOCKER_ADMIN_ROLE]).await;
        let users = world.admin().await;
        let (disabled, _) = world.user("disabled", &[]).await;
        users.update_user(UpdateUserRequest { id: disabled, disabled: Some(true), ..UpdateUserRequest::default() }).await.unwrap();
        let (departing, _) = world.user("departing", &[]).await;
        world.vault.holds(&["Mail"]);
        world.locker.fail("restore", Fails::Before);
        assert_eq!(users.delete_user(departing).await.unwrap_err(), Reason::UserHoldsObjects);
        world.locker.mend();

        for (caller, from, to, expected) in [
            (&world.nobody(), giver, recipient, Reason::AuthTokenRequired),
            (&heir, giver, recipient, Reason::AuthzPermissionRequired),
            (&heir, giver, admins, Reason::AuthzPermissionRequired),
            (&heir, 9999, recipient, Reason::AuthzPermissionRequired),
            (&admin, giver, admins, Reason::AuthzSelfGrant),
            (&admin, 9999, recipient, Reason::UserNotFound),
            (&admin, giver, 9999, Reason::UserNotFound),
            (&admin, giver, departing, Reason::UserNotFound),
            (&admin, giver, disabled, Reason::RequestInvalid),
            (&admin, giver, giver, Reason::RequestInvalid),
            (&ada, giver, giver, Reason::RequestInvalid),
            (&admin, 0, recipient, Reason::RequestInvalid),
            (&admin, giver, -1, Reason::RequestInvalid),
        ] {
            world.events();
            assert_eq!(caller.transfer(from, to).await.unwrap_err(), expected, "{from} to {to}");
            if [Reason::AuthzPermissionRequired, Reason::AuthzSelfGrant, Reason::UserNotFound].contains(&expected) {
                // The entry says about whom it was, and names nobody to somebody who was refused at the door.
                let event = world.last_event();
                let object = event.object.clone().unwrap();
                let name = if expected == Reason::UserNotFound && from == giver { "ada" } else { "" };
                assert_eq!((object.r#type.as_str(), object.id, object.name.as_str()), ("user", from.to_string(), name));
                assert_eq!(detail(&event, "recipient"), Some(to.to_string()));
            }
        }
        // The administrator of users hands over as little as anybody else, but for what he holds himself.
        assert_eq!(world.vault.left(), 1);
        world.vault.departs(recipient);
        assert_eq!(admin.transfer(giver, recipient).await.unwrap_err(), Reason::UserNotFound, "the keeper knows better");
        assert_eq!(world.vault.left(), 1);
        for keeper in [&world.vault, &world.locker] {
            keeper.fail("transfer", Fails::Before);
            assert_eq!(admin.transfer(giver, admins + 1000).await.unwrap_err(), Reason::UserNotFound);
            let (other, _) = world.user(&format!("other {}", world.vault.left()), &[]).await;
            assert_eq!(admin.transfer(giver, other).await.unwrap_err(), Reason::ServiceUnavailable);
            keeper.mend();
            world.vault.holds(&[]);
        }
    }
}
