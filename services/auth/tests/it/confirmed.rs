//! Tokens of programs on their own, and the confirmation on which they stand.

use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::audit::v1::ActivityType;
use coffre_proto::auth::v1::{
    ConfirmApiAccessRequest, CreateApiAccessRequest, RoleIds, UpdateApiAccessRequest, UpdateUserRequest,
};
use coffre_test_support::on_each_engine;
use coffre_types::TokenKind;

use crate::portal::{access, change, minutes};
use crate::world::{BASIC_ROLE, World, password_of};

on_each_engine! {
    async fn rule_3_3_a_program_acts_as_its_operator_once_he_has_confirmed_it(db: TestDb) {
        let world = World::start(&db).await;
        let (ada, operator) = world.user("ada", &[BASIC_ROLE]).await;
        let (_, other) = world.user("bob", &[BASIC_ROLE]).await;
        let program = world.program_of(CreateApiAccessRequest { operator_id: ada, ..access("app") }).await;
        let nobody = world.nobody();
        assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
        for caller in [&other, &world.admin().await] {
            assert_eq!(caller.confirm(program.id).await.unwrap_err(), Reason::ApiAccessNotFound, "it is not theirs");
        }
        world.events();
        let confirmed = operator.confirm(program.id).await.unwrap();
        assert!(confirmed.confirm_time.is_some());
        assert_eq!((confirmed.version, confirmed.updater_id), (1, ada));
        assert_eq!(world.last_event().event, "api_access.confirmed");
        assert_eq!(operator.confirm(program.id).await.unwrap(), confirmed, "again: the same");
        world.events();
        let grant = nobody.token_of_its_own(&program).await.unwrap();
        assert_eq!((grant.refresh_token.as_str(), grant.expires_in), ("", 3600));
        let caller = world.first.authenticator.authenticate(&grant.access_token).await.unwrap();
        assert_eq!((caller.user_id.get(), caller.kind, caller.client_id.as_deref()), (ada, TokenKind::PublicApi, Some("app")));
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.activity_type(), event.details[0].value.as_str()), ("oauth.token.issued", ActivityType::ClientLogin, "client_credentials"));
        assert_eq!(event.actor.unwrap().user_id, ada);
    }

    async fn there_is_something_to_confirm_only_where_the_grant_is_allowed(db: TestDb) {
        let world = World::start(&db).await;
        let (ada, operator) = world.user("ada", &[BASIC_ROLE]).await;
        let request = CreateApiAccessRequest { operator_id: ada, client_credentials_grant: Some(false), ..access("app") };
        let program = world.program_of(request).await;
        assert_eq!(operator.confirm(program.id).await.unwrap_err(), Reason::ApiAccessNotBindable);
        let (_, without) = world.user("without", &[]).await;
        assert_eq!(without.confirm(program.id).await.unwrap_err(), Reason::AuthzPermissionRequired);
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(operator.confirm(program.id).await.unwrap_err(), Reason::AuthRecentSignInRequired);
    }

    async fn rule_3_3_an_operator_confirms_what_he_has_read(db: TestDb) {
        let world = World::start(&db).await;
        let (ada, operator) = world.user("ada", &[BASIC_ROLE]).await;
        let program = world.program_of(CreateApiAccessRequest { operator_id: ada, ..access("app") }).await;
        let with = |version: Option<i64>, etag: &str| ConfirmApiAccessRequest { id: program.id, version, etag: etag.into() };
        let read = operator.api_access(program.id).await.unwrap().version;
        // Who manages it changes it under his hands: another secret, and a longer life.
        let admin = world.admin().await;
        let other = admin.rotate(&program, 0).await.unwrap();
        admin.update_api_access(UpdateApiAccessRequest { access_token_life: minutes(24 * 60), ..change(program.id) }).await.unwrap();
        for (request, expected) in [
            (with(Some(read), ""), Reason::ApiAccessVersionConflict),
            (with(Some(99), ""), Reason::ApiAccessVersionConflict),
            (with(None, "\"0\""), Reason::RequestPreconditionFailed),
            (with(Some(-1), ""), Reason::RequestInvalid),
            (with(None, "0"), Reason::RequestInvalid),
        ] {
            let shown = format!("{request:?}");
            assert_eq!(operator.confirm_what_was_read(request).await.unwrap_err(), expected, "{shown}");
        }
        assert_eq!(world.nobody().token_of_its_own(&other).await.unwrap_err(), Reason::OauthGrantInvalid, "nothing is confirmed");
        let now = operator.api_access(program.id).await.unwrap().version;
        let confirmed = operator.confirm_what_was_read(with(Some(now), &format!("\"{now}\""))).await.unwrap();
        assert!(confirmed.confirm_time.is_some());
        world.nobody().token_of_its_own(&other).await.unwrap();
        assert_eq!(operator.confirm_what_was_read(with(Some(now), "")).await.unwrap_err(), Reason::ApiAccessVersionConflict);
        operator.confirm_what_was_read(with(None, "*")).await.expect("again: the same");
    }

    async fn what_takes_a_confirmation_back_ends_the_tokens_that_stand_on_it(db: TestDb) {
        let world = World::start(&db).await;
        let (bob, _) = world.user("bob", &[BASIC_ROLE]).await;
        for how in ["the operator", "an administrator", "another operator", "nobody any more", "the grant", "a new secret"] {
            let (id, program) = world.bound_program(how, &format!("ada of {how}")).await;
            let nobody = world.nobody();
            let token = nobody.token_of_its_own(&program).await.unwrap().access_token;
            assert!(world.first.accepts(&token).await, "{how}");
            let (admin, operator) = (world.admin().await, world.sign_in(&format!("ada of {how}"), &password_of(&format!("ada of {how}"))).await);
            world.events();
            let mut shown = program.clone();
            match how {
                "the operator" => operator.withdraw(program.id).await.unwrap(),
                "an administrator" => admin.withdraw(program.id).await.unwrap(),
                "another operator" => drop(admin.update_api_access(UpdateApiAccessRequest { operator_id: Some(bob), ..change(program.id) }).await.unwrap()),
                "nobody any more" => drop(admin.update_api_access(UpdateApiAccessRequest { operator_id: Some(0), ..change(program.id) }).await.unwrap()),
                "the grant" => drop(admin.update_api_access(UpdateApiAccessRequest { client_credentials_grant: Some(false), ..change(program.id) }).await.unwrap()),
                _ => shown = admin.rotate(&program, 0).await.unwrap(),
            }
            if how != "a new secret" {
                let event = world.last_event();
                assert!(event.changes.iter().any(|change| change.field == "confirmation"), "{how}");
            }
            world.first.refuses_soon(&token).await;
            assert_eq!(admin.api_access(program.id).await.unwrap().confirm_time, None, "{how}");
            // Giving back what was taken gives no confirmation back.
            let restored = UpdateApiAccessRequest { operator_id: Some(id), client_credentials_grant: Some(true), ..change(program.id) };
            admin.update_api_access(restored).await.unwrap();
            assert_eq!(nobody.token_of_its_own(&shown).await.unwrap_err(), Reason::OauthGrantInvalid, "{how}");
            operator.withdraw(program.id).await.expect("again: the same");
            operator.confirm(program.id).await.unwrap();
            nobody.token_of_its_own(&shown).await.unwrap_or_else(|refused| panic!("{how}: {refused:?}"));
            assert!(!world.first.accepts(&token).await, "an old token stays dead");
        }
    }

    async fn a_confirmation_is_withdrawn_at_any_time_and_by_nobody_else(db: TestDb) {
        let world = World::start(&db).await;
        let (_, program) = world.bound_program("app", "ada").await;
        let (_, other) = world.user("bob", &[BASIC_ROLE]).await;
        let operator = world.sign_in("ada", &password_of("ada")).await;
        assert_eq!(other.withdraw(program.id).await.unwrap_err(), Reason::ApiAccessNotFound);
        world.clock.advance(Duration::from_secs(600));
        operator.withdraw(program.id).await.expect("without a recent sign-in");
        assert_eq!(world.nobody().token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
    }

    async fn rule_3_3_a_secret_in_its_grace_keeps_its_confirmation_until_that_is_over(db: TestDb) {
        let world = World::start(&db).await;
        let (_, old) = world.bound_program("app", "ada").await;
        let nobody = world.nobody();
        let before = nobody.token_of_its_own(&old).await.unwrap();
        let new = world.admin().await.rotate(&old, 10).await.unwrap();
        assert_eq!(nobody.token_of_its_own(&new).await.unwrap_err(), Reason::OauthGrantInvalid, "the new one needs the operator again");
        let within = nobody.token_of_its_own(&old).await.unwrap();
        assert_eq!(within.expires_in, 600, "no token outlives the secret on which it stands");
        assert!(world.first.accepts(&before.access_token).await && world.first.accepts(&within.access_token).await);
        world.sign_in("ada", &password_of("ada")).await.confirm(new.id).await.unwrap();
        let own = nobody.token_of_its_own(&new).await.unwrap();
        world.clock.advance(Duration::from_secs(600));
        world.first.refuses_soon(&before.access_token).await;
        assert!(!world.first.accepts(&within.access_token).await && world.first.accepts(&own.access_token).await);
        assert_eq!(nobody.token_of_its_own(&old).await.unwrap_err(), Reason::OauthClientInvalid);
    }

    async fn an_operator_who_may_not_connect_lends_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let (id, program) = world.bound_program("app", "ada").await;
        let (admin, nobody) = (world.admin().await, world.nobody());
        let set = async |request: UpdateUserRequest| drop(admin.update_user(UpdateUserRequest { id, ..request }).await.unwrap());
        set(UpdateUserRequest { disabled: Some(true), ..Default::default() }).await;
        assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
        set(UpdateUserRequest { disabled: Some(false), roles: Some(RoleIds::default()), ..Default::default() }).await;
        assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
        set(UpdateUserRequest { roles: Some(RoleIds { ids: vec![BASIC_ROLE] }), ..Default::default() }).await;
        nobody.token_of_its_own(&program).await.expect("his word stands");
        admin.delete_user(id).await.unwrap();
        assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
    }

    async fn an_operator_who_is_deleted_is_nobodys_operator(db: TestDb) {
        let world = World::start(&db).await;
        let (id, program) = world.bound_program("app", "ada").await;
        let admin = world.admin().await;
        let unconfirmed = world.program_of(CreateApiAccessRequest { operator_id: id, ..access("other") }).await;
        let (bob, _) = world.user("bob", &[BASIC_ROLE]).await;
        let of_bob = world.program_of(CreateApiAccessRequest { operator_id: bob, ..access("of bob") }).await;
        let before = admin.api_access(program.id).await.unwrap();
        let token = world.nobody().token_of_its_own(&program).await.unwrap().access_token;
        world.events();
        admin.delete_user(id).await.unwrap();
        let event = world.events().into_iter().find(|event| event.event == "user.deleted").unwrap();
        let told = event.changes.iter().find(|change| change.field == "operatorOf").unwrap();
        let names = format!("{} (app), {} (other)", program.id, unconfirmed.id);
        assert_eq!((told.old_value.as_deref(), told.new_value.as_deref()), (Some(names.as_str()), None));
        for program in [&program, &unconfirmed] {
            let left = admin.api_access(program.id).await.unwrap();
            assert_eq!((left.operator_id, left.confirm_time, left.updater_id), (0, None, 1), "{}", program.client_id);
            assert_eq!(world.nobody().token_of_its_own(program).await.unwrap_err(), Reason::OauthGrantInvalid);
        }
        assert_eq!(admin.api_access(program.id).await.unwrap().version, before.version + 1);
        assert_eq!(admin.api_access(of_bob.id).await.unwrap().operator_id, bob, "another's stays his");
        world.first.refuses_soon(&token).await;
    }

    async fn rule_2_5_a_confirmation_that_was_taken_back_cannot_be_put_back(db: TestDb) {
        let world = World::start(&db).await;
        for how in ["the operator", "the grant", "a reset", "a reset that did not find it"] {
            let name = format!("ada of {how}");
            let (id, program) = world.bound_program(how, &name).await;
            let nobody = world.nobody();
            let token = nobody.token_of_its_own(&program).await.unwrap().access_token;
            assert!(world.first.accepts(&token).await);
            world.execute("CREATE TABLE kept AS SELECT id, confirmation, confirmed_at FROM api_access_secrets").await;
            let (admin, operator) = (world.admin().await, world.sign_in(&name, &password_of(&name)).await);
            let reset = UpdateUserRequest { id, password: Some(password_of("another")), ..Default::default() };
            let allowed = |allowed| UpdateApiAccessRequest { client_credentials_grant: Some(allowed), ..change(program.id) };
            match how {
                "the operator" => operator.withdraw(program.id).await.unwrap(),
                "the grant" => {
                    admin.update_api_access(allowed(false)).await.unwrap();
                    admin.update_api_access(allowed(true)).await.unwrap();
                }
                "a reset" => drop(admin.update_user(reset).await.unwrap()),
                _ => {
                    // Whoever writes the database hides it from the reset.
                    world.execute("UPDATE api_access_secrets SET confirmation = NULL").await;
                    admin.update_user(reset).await.unwrap();
                }
            }
            if how.starts_with("a reset") {
                let own = world.sign_in(&name, &password_of("another")).await;
                own.change_password(&password_of("another"), "a password of my own").await.unwrap();
            }
            world.first.refuses_soon(&token).await;
            world.execute(
                "UPDATE api_access_secrets SET confirmation = (SELECT kept.confirmation FROM kept WHERE kept.id = api_access_secrets.id), \
                 confirmed_at = (SELECT kept.confirmed_at FROM kept WHERE kept.id = api_access_secrets.id)",
            ).await;
            world.execute("UPDATE sessions SET ended_at = NULL, first_epoch = 0, epoch = (SELECT users.epoch FROM users WHERE users.id = sessions.user_id)").await;
            assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid, "{how}");
            assert!(!world.first.accepts(&token).await, "{how}: nor do its sessions come back");
            world.execute("DROP TABLE kept").await;
        }
    }

    async fn rule_2_5_a_confirmation_that_a_database_writer_made_counts_for_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let (_, own) = world.bound_program("mallory's", "mallory").await;
        let target = world.program_of(CreateApiAccessRequest { operator_id: 1, ..access("target") }).await;
        for (what, sql) in [
            ("copied", "UPDATE api_access_secrets SET confirmed_at = 1, confirmation = (SELECT confirmation FROM api_access_secrets WHERE access_id = 1) WHERE access_id = 2"),
            ("operator", "UPDATE api_accesses SET operator_id = 1 WHERE id = 1"),
            ("row", "UPDATE api_access_secrets SET access_id = 2 WHERE access_id = 1"),
        ] {
            world.execute(sql).await;
            for program in [own.clone(), target.clone(), target.showing(&own.secret)] {
                let refused = world.nobody().token_of_its_own(&program).await;
                let expected = what == "copied" && program.id == own.id && program.client_id == own.client_id;
                assert_eq!(refused.is_ok(), expected, "{what}: {}", program.client_id);
            }
        }
    }
}
