use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::audit::v1::ActivityType;
use coffre_proto::auth::v1::{CreateApiAccessRequest, RotateApiAccessSecretRequest, UpdateApiAccessRequest};
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, Query, SortKey, comparison};
use coffre_test_support::{Canary, on_each_engine};

use crate::portal::{Program, access, change, minutes};
use crate::world::{BASIC_ROLE, World, outcome, reason};

fn where_equal(field: &str, value: &str) -> Query {
    let comparison =
        Comparison { operator: comparison::Operator::Equal.into(), field: field.into(), value: value.into() };
    Query { filter: Some(Filter { condition: Some(Condition::Comparison(comparison)) }), ..Query::default() }
}

on_each_engine! {
    async fn an_api_access_is_made_with_a_secret_that_is_shown_once(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        world.events();
        let request = CreateApiAccessRequest { client_id: "Supervision".into(), ..Default::default() };
        let answer = admin.create_api_access(request.clone()).await.unwrap();
        let (made, secret) = (answer.api_access.unwrap(), answer.client_secret);
        assert!(secret.starts_with("coffre_cs_") && secret.len() == 58, "{}", secret.len());
        assert_eq!((made.scope.as_str(), made.version, made.creator_id, made.operator_id), ("public-api", 0, 1, 0));
        assert_eq!((made.access_token_life, made.refresh_token_life), (minutes(60), minutes(720)));
        assert_eq!((made.password_grant, made.refresh_grant, made.client_credentials_grant, made.disabled), (false, true, false, false));
        assert_eq!((made.confirm_time, made.previous_secret_expire_time), (None, None));
        assert_eq!(made.secret_create_time, made.create_time);
        assert_eq!(admin.api_access(made.id).await.unwrap(), made);
        let event = world.events().into_iter().find(|event| event.event == "api_access.created").unwrap();
        assert_eq!(event.activity_type(), ActivityType::EditSettings);
        let fields: Vec<_> = event.changes.iter().map(|change| (change.field.as_str(), change.new_value.as_deref().unwrap_or(""))).collect();
        assert!(fields.contains(&("clientSecret", "generated")) && fields.contains(&("accessTokenLife", "1 h")), "{fields:?}");
        assert!(!format!("{event:?}").contains(&secret));
        let taken = CreateApiAccessRequest { client_id: " SUPERVISION ".into(), ..request };
        assert_eq!(admin.create_api_access(taken).await.unwrap_err(), Reason::ApiAccessClientIdTaken);
    }

    async fn fields_that_break_a_rule_are_refused(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let good = || access("app");
        let life = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        for (what, bad) in [
            ("a colon", CreateApiAccessRequest { client_id: "a:b".into(), ..good() }),
            ("no id", CreateApiAccessRequest { client_id: " ".into(), ..good() }),
            ("a short secret", CreateApiAccessRequest { client_secret: "x".repeat(15), ..good() }),
            ("a long secret", CreateApiAccessRequest { client_secret: "x".repeat(257), ..good() }),
            ("a NUL", CreateApiAccessRequest { client_secret: "0123456789abcdef\0".into(), ..good() }),
            ("letters beyond ASCII", CreateApiAccessRequest { client_secret: "0123456789abcdefé".into(), ..good() }),
            ("our form", CreateApiAccessRequest { client_secret: "coffre_cs_chosen_by_hand".into(), ..good() }),
            ("a scope", CreateApiAccessRequest { scope: "admin".into(), ..good() }),
            ("no life", CreateApiAccessRequest { access_token_life: life(0, 0), ..good() }),
            ("a negative life", CreateApiAccessRequest { access_token_life: life(-60, 0), ..good() }),
            ("seconds", CreateApiAccessRequest { access_token_life: life(90, 0), ..good() }),
            ("nanoseconds", CreateApiAccessRequest { access_token_life: life(60, 1), ..good() }),
            ("25 hours", CreateApiAccessRequest { access_token_life: minutes(25 * 60), ..good() }),
            ("91 days", CreateApiAccessRequest { refresh_token_life: minutes(91 * 24 * 60), ..good() }),
            ("an operator under 0", CreateApiAccessRequest { operator_id: -1, ..good() }),
        ] {
            assert_eq!(admin.create_api_access(bad).await.unwrap_err(), Reason::RequestInvalid, "{what}");
        }
        let nobody = CreateApiAccessRequest { operator_id: 999, ..good() };
        let longest = format!("the heron stands still{}", "~".repeat(234));
        assert_eq!(admin.create_api_access(nobody).await.unwrap_err(), Reason::UserNotFound);
        let most = CreateApiAccessRequest {
            client_secret: longest.clone(), access_token_life: minutes(24 * 60), refresh_token_life: minutes(90 * 24 * 60), ..good()
        };
        assert_eq!(admin.create_api_access(most).await.unwrap().client_secret, longest);
        let program = Program { id: 1, client_id: String::new(), secret: String::new() };
        assert_eq!(admin.rotate(&program, 31 * 24 * 60).await.unwrap_err(), Reason::RequestInvalid);
    }

    async fn a_chosen_secret_that_is_easy_to_guess_is_refused_and_says_why(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let program = world.program("Supervision Nord").await;
        for (guessable, why) in [
            ("aaaaaaaaaaaaaaaa", "repeats itself"),
            ("password1234password1234", "easy to guess"),
            ("1234567890123456", "easy to guess"),
            ("supervision.nord", "easy to guess"),
        ] {
            let new = CreateApiAccessRequest { client_secret: guessable.into(), ..access("Supervision-Nord") };
            let refused = admin.api_accesses().create_api_access(admin.request(new)).await.unwrap_err();
            let words = refused.message();
            assert_eq!(reason(&refused), Reason::RequestInvalid, "{guessable}");
            assert!(words.contains("client_secret: is easy to guess") && words.contains(why), "{words}");
            assert!(words.contains("one is generated") && !words.contains(guessable), "{words}");
            let other = RotateApiAccessSecretRequest { id: program.id, client_secret: guessable.into(), ..Default::default() };
            assert_eq!(admin.rotate_to(other).await.unwrap_err(), Reason::RequestInvalid, "{guessable}");
        }
        assert_eq!(admin.api_access(program.id).await.unwrap().version, 0);
    }

    async fn the_setting_that_turns_the_estimate_off_turns_it_off_for_chosen_secrets_too(db: TestDb) {
        let config = coffre_auth::Config { password_strength_check: false, ..crate::world::config() };
        let world = World::with(&db, config).await;
        let program = world.program_of(CreateApiAccessRequest { client_secret: "a".repeat(16), ..access("app") }).await;
        let other = RotateApiAccessSecretRequest { id: program.id, client_secret: "b".repeat(16), ..Default::default() };
        world.admin().await.rotate_to(other).await.unwrap();
    }

    async fn a_change_carries_what_it_changes_and_knows_the_version(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let program = world.program_of(CreateApiAccessRequest { description: Some("old".into()), ..access("app") }).await;
        world.events();
        let request = UpdateApiAccessRequest { access_token_life: minutes(5), description: Some(String::new()), version: Some(0), ..change(program.id) };
        let answer = admin.update_api_access(request.clone()).await.unwrap();
        let changed = answer.api_access.unwrap();
        assert!(answer.changed);
        assert_eq!((changed.version, changed.access_token_life, changed.description.clone(), changed.password_grant), (1, minutes(5), None, true));
        let event = world.last_event();
        let fields: Vec<_> = event.changes.iter().map(|change| (change.field.as_str(), change.old_value.as_deref(), change.new_value.as_deref())).collect();
        assert_eq!(fields, [("description", Some("old"), None), ("accessTokenLife", Some("1 h"), Some("5 min"))]);
        assert_eq!(admin.update_api_access(request.clone()).await.unwrap_err(), Reason::ApiAccessVersionConflict);
        let again = admin.update_api_access(UpdateApiAccessRequest { version: None, ..request.clone() }).await.unwrap();
        assert_eq!((again.changed, again.api_access.unwrap().version), (false, 1));
        let stale = UpdateApiAccessRequest { etag: "\"0\"".into(), disabled: Some(true), ..change(program.id) };
        assert_eq!(admin.update_api_access(stale).await.unwrap_err(), Reason::RequestPreconditionFailed);
        assert_eq!(admin.update_api_access(change(99)).await.unwrap_err(), Reason::ApiAccessNotFound);
        world.program("other").await;
        let taken = UpdateApiAccessRequest { client_id: Some("OTHER".into()), ..change(program.id) };
        assert_eq!(admin.update_api_access(taken).await.unwrap_err(), Reason::ApiAccessClientIdTaken);
        let renamed = UpdateApiAccessRequest { client_id: Some("APP".into()), ..change(program.id) };
        assert_eq!(admin.update_api_access(renamed).await.unwrap().api_access.unwrap().client_id, "APP");
    }

    async fn a_deleted_access_leaves_its_client_id_and_takes_its_tokens_along(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let (_, grant) = world.operator_with_token("ada", &program).await;
        assert!(world.first.accepts(&grant.access_token).await);
        let admin = world.admin().await;
        admin.delete_api_access(program.id).await.unwrap();
        world.first.refuses_soon(&grant.access_token).await;
        assert_eq!(admin.api_access(program.id).await.unwrap_err(), Reason::ApiAccessNotFound);
        assert_eq!(admin.delete_api_access(program.id).await.unwrap_err(), Reason::ApiAccessNotFound);
        assert_eq!(world.nobody().renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthClientInvalid);
        let next = world.program("app").await;
        assert!(next.id > program.id, "its number is never used again");
        assert_eq!(world.nobody().renew(&next, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
    }

    async fn lists_are_filtered_and_sorted_by_what_the_contract_names(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let ada = admin.create_user("ada", &[BASIC_ROLE]).await.unwrap().id;
        for (name, operator_id) in [("Zebra", 0), ("apple", ada)] {
            admin.create_api_access(CreateApiAccessRequest { operator_id, ..access(name) }).await.unwrap();
        }
        let names = async |query| -> Vec<String> {
            admin.list_api_accesses(query).await.unwrap().into_iter().map(|access| access.client_id).collect()
        };
        assert_eq!(names(Query::default()).await, ["Zebra", "apple"]);
        assert_eq!(names(where_equal("clientId", "APPLE")).await, ["apple"]);
        assert_eq!(names(where_equal("operatorId", &ada.to_string())).await, ["apple"]);
        assert_eq!(names(where_equal("passwordGrant", "false")).await, Vec::<String>::new());
        for field in ["id", "description", "refreshGrant", "clientCredentialsGrant", "disabled", "createdOn", "updatedOn"] {
            assert_eq!(names(Query { order_by: vec![SortKey { field: field.into(), ..SortKey::default() }], ..Query::default() }).await.len(), 2, "{field}");
        }
        assert_eq!(admin.list_api_accesses(where_equal("hash", "x")).await.unwrap_err(), Reason::ListFieldUnknown);
    }

    async fn an_access_is_seen_by_those_who_manage_them_and_by_its_operator(db: TestDb) {
        let world = World::start(&db).await;
        let (ada, operator) = world.user("ada", &[BASIC_ROLE]).await;
        let (_, other) = world.user("bob", &[BASIC_ROLE]).await;
        let program = world.program_of(CreateApiAccessRequest { operator_id: ada, ..access("app") }).await;
        assert_eq!(operator.api_access(program.id).await.unwrap().client_id, "app");
        for id in [program.id, 999] {
            assert_eq!(other.api_access(id).await.unwrap_err(), Reason::AuthzPermissionRequired, "{id}");
        }
        assert_eq!(operator.api_access(999).await.unwrap_err(), Reason::AuthzPermissionRequired);
        world.program("nobody's").await;
        let names = async |caller: &crate::world::As, query| -> Vec<String> {
            caller.list_api_accesses(query).await.unwrap().into_iter().map(|access| access.client_id).collect()
        };
        assert_eq!(names(&world.admin().await, Query::default()).await, ["app", "nobody's"]);
        assert_eq!(names(&operator, Query::default()).await, ["app"], "what he may read he finds");
        assert_eq!(operator.list_api_accesses(Query::default()).await.unwrap(), [operator.api_access(program.id).await.unwrap()]);
        assert_eq!(names(&other, Query::default()).await, Vec::<String>::new());
        for caller in [&operator, &other] {
            assert_eq!(names(caller, where_equal("clientId", "nobody's")).await, Vec::<String>::new(), "no filter shows more");
            assert_eq!(names(caller, where_equal("operatorId", "1")).await, Vec::<String>::new());
        }
        assert_eq!(operator.create_api_access(access("x")).await.unwrap_err(), Reason::AuthzPermissionRequired);
        assert_eq!(operator.update_api_access(change(program.id)).await.unwrap_err(), Reason::AuthzPermissionRequired);
        assert_eq!(operator.rotate(&program, 0).await.unwrap_err(), Reason::AuthzPermissionRequired);
        assert_eq!(operator.delete_api_access(program.id).await.unwrap_err(), Reason::AuthzPermissionRequired);
    }

    async fn rule_1_7_changes_need_a_recent_sign_in_and_never_take_a_token_of_the_oauth_side(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let admin = world.admin().await;
        let role = admin.create_role("portal", &[8, 9]).await.unwrap().id;
        world.user("ada", &[role]).await;
        let program_of_ada = world.caller(&world.nobody().token(&program, "ada").await.unwrap().access_token);
        let expected = Reason::AuthRecentSignInRequired;
        world.clock.advance(Duration::from_secs(5 * 60 + 1));
        for caller in [&program_of_ada, &admin] {
            assert_eq!(caller.create_api_access(access("x")).await.unwrap_err(), expected);
            assert_eq!(caller.update_api_access(change(program.id)).await.unwrap_err(), expected);
            assert_eq!(caller.rotate(&program, 0).await.unwrap_err(), expected);
            assert_eq!(caller.delete_api_access(program.id).await.unwrap_err(), expected);
        }
        assert_eq!(program_of_ada.confirm(program.id).await.unwrap_err(), expected);
        assert_eq!(program_of_ada.api_access(program.id).await.unwrap_err(), Reason::AuthTokenKind);
        assert_eq!(program_of_ada.list_api_accesses(Query::default()).await.unwrap_err(), Reason::AuthTokenKind);
        assert_eq!(program_of_ada.withdraw(program.id).await.unwrap_err(), Reason::AuthTokenKind);
        assert_eq!(admin.api_access(program.id).await.unwrap().version, 0, "nothing has changed, and reading goes on");
    }

    async fn a_secret_is_in_no_row_and_no_event(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let (one, two) = (Canary::new(), Canary::new());
        let program = world.program_of(CreateApiAccessRequest { client_secret: one.text().into(), ..access("app") }).await;
        let (_, grant) = world.operator_with_token("ada", &program).await;
        let request = RotateApiAccessSecretRequest { id: program.id, client_secret: two.text().into(), ..Default::default() };
        assert!(!format!("{request:?}").contains(two.text()));
        admin.rotate_to(request).await.unwrap();
        assert_eq!(world.nobody().token(&program, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
        assert_eq!(world.nobody().token(&program.named(two.text()), "ada").await.unwrap_err(), Reason::OauthClientInvalid);
        let program = program.showing(two.text());
        world.nobody().renew(&program, &grant.refresh_token).await.unwrap();
        let entries = world.kept.entries.lock().unwrap().clone();
        let texts = [one.text(), two.text(), &grant.refresh_token, &grant.access_token];
        for text in texts {
            assert!(entries.iter().all(|entry| !entry.bytes().windows(text.len()).any(|part| part == text.as_bytes())));
        }
        if let Some(folder) = db.folder() {
            assert_eq!((one.find_under(folder), two.find_under(folder)), (None, None));
        }
        assert!(world.events().iter().any(|event| outcome(event) == coffre_proto::audit::v1::Outcome::Successful));
    }
}
