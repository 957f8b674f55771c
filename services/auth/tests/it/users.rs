use coffre_error::Reason;
use coffre_proto::audit::v1::ActivityType;
use coffre_proto::auth::v1::{CreateUserRequest, DeleteUserRequest, RoleIds, UpdateUserRequest};
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, Query, comparison};
use coffre_test_support::on_each_engine;

use crate::world::{ADMIN_ROLE, BASIC_ROLE, LOCKER_ADMIN_ROLE, World, eventually, reason};

fn change(id: i64) -> UpdateUserRequest {
    UpdateUserRequest { id, ..UpdateUserRequest::default() }
}

fn roles(id: i64, ids: &[i64]) -> UpdateUserRequest {
    UpdateUserRequest { roles: Some(RoleIds { ids: ids.to_vec() }), ..change(id) }
}

fn where_equal(field: &str, value: &str) -> Query {
    let comparison =
        Comparison { operator: comparison::Operator::Equal.into(), field: field.into(), value: value.into() };
    Query {
        filter: Some(Filter { condition: Some(Condition::Comparison(comparison)) }),
        count: true,
        ..Query::default()
    }
}

on_each_engine! {
    async fn a_user_is_made_read_changed_and_deleted(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        world.events();
        let made = admin.create_user_of(CreateUserRequest {
            username: "Ada".into(),
            password: "a long password".into(),
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
            email: "ada@example.org".into(),
            description: Some("counts".into()),
            disabled: false,
            roles: Some(RoleIds { ids: vec![BASIC_ROLE, BASIC_ROLE] }),
        }).await.unwrap();
        assert_eq!((made.version, made.creator_id, made.roles.len(), made.permissions.len()), (0, 1, 1, 3));
        assert_eq!(made, admin.user(made.id).await.unwrap());
        let event = world.events().into_iter().find(|event| event.event == "user.created").unwrap();
        assert_eq!(event.activity_type(), ActivityType::CreateUser);
        assert_eq!(event.object.clone().unwrap().name, "Ada");
        assert!(!format!("{event:?}").contains("a long password"));

        let request = UpdateUserRequest { email: Some("countess@example.org".into()), description: Some(String::new()), ..change(made.id) };
        let answer = admin.update_user(request.clone()).await.unwrap();
        let changed = answer.user.unwrap();
        assert!(answer.changed);
        assert_eq!((changed.version, changed.email.as_str(), changed.description.clone()), (1, "countess@example.org", None));
        assert_eq!((changed.first_name.as_str(), changed.roles.len()), ("Ada", 1), "what is not named stays");
        let event = world.last_event();
        let fields: Vec<_> = event.changes.iter().map(|change| (change.field.as_str(), change.old_value.as_deref(), change.new_value.as_deref())).collect();
        assert_eq!(fields, [("email", Some("ada@example.org"), Some("countess@example.org")), ("description", Some("counts"), None)]);

        let again = admin.update_user(request).await.unwrap();
        assert!(!again.changed);
        assert_eq!(again.user.unwrap().version, 1);

        admin.delete_user(made.id).await.unwrap();
        assert_eq!(world.vault.calls(), [("hold", made.id), ("release", made.id)]);
        assert_eq!(admin.user(made.id).await.unwrap_err(), Reason::UserNotFound);
        assert_eq!(admin.delete_user(made.id).await.unwrap_err(), Reason::UserNotFound);
        let next = admin.create_user("Ada", &[]).await.expect("the name is free again");
        assert!(next.id > made.id, "ids are never used again");
    }

    async fn names_are_unique_whatever_their_case_and_form(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        admin.create_user("Café Straße", &[]).await.unwrap();
        for same in ["café straße", "CAFÉ STRASSE", "cafe\u{301} strasse", " Café Straße "] {
            assert_eq!(admin.create_user(same, &[]).await.unwrap_err(), Reason::UserNameTaken, "{same}");
        }
        let other = admin.create_user("other", &[]).await.unwrap();
        let request = UpdateUserRequest { username: Some("CAFÉ STRASSE".into()), ..change(other.id) };
        assert_eq!(admin.update_user(request).await.unwrap_err(), Reason::UserNameTaken);
        let request = UpdateUserRequest { username: Some("OTHER".into()), ..change(other.id) };
        assert_eq!(admin.update_user(request).await.unwrap().user.unwrap().username, "OTHER");
        world.sign_in("other", "the password of other").await;
    }

    async fn bad_fields_are_named(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for name in ["", "   ", "a\u{0}b", "a\nb", &"x".repeat(256), "\u{202e}nimda"] {
            let request = CreateUserRequest { username: name.into(), password: "a long password".into(), ..Default::default() };
            assert_eq!(admin.create_user_of(request).await.unwrap_err(), Reason::RequestInvalid, "{name:?}");
        }
        assert_eq!(admin.create_user("ada", &[999]).await.unwrap_err(), Reason::RoleNotFound);
        assert_eq!(admin.create_user("ada", &[0]).await.unwrap_err(), Reason::RequestInvalid);
        for id in [0, -1, i64::MIN] {
            assert_eq!(admin.user(id).await.unwrap_err(), Reason::RequestInvalid);
        }
        assert_eq!(admin.user(i64::MAX).await.unwrap_err(), Reason::UserNotFound);
        let request = UpdateUserRequest { email: Some("x".repeat(256)), ..change(1) };
        assert_eq!(admin.update_user(request).await.unwrap_err(), Reason::RequestInvalid);
        let request = UpdateUserRequest { etag: "3".into(), email: Some("y".into()), ..change(1) };
        assert_eq!(admin.update_user(request).await.unwrap_err(), Reason::RequestInvalid);
    }

    async fn a_stale_version_changes_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let user = admin.create_user("ada", &[]).await.unwrap();
        let rename = |version: Option<i64>, etag: &str, to: &str| UpdateUserRequest {
            version,
            etag: etag.into(),
            first_name: Some(to.into()),
            ..change(user.id)
        };
        admin.update_user(rename(Some(0), "\"0\"", "one")).await.unwrap();
        assert_eq!(admin.update_user(rename(Some(0), "", "two")).await.unwrap_err(), Reason::UserVersionConflict);
        assert_eq!(admin.update_user(rename(None, "\"0\"", "two")).await.unwrap_err(), Reason::RequestPreconditionFailed);
        let delete = DeleteUserRequest { id: user.id, etag: "\"0\"".into() };
        let refused = admin.users().delete_user(admin.request(delete)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::RequestPreconditionFailed);
        assert_eq!(admin.user(user.id).await.unwrap().first_name, "one");
        assert_eq!(admin.user(user.id).await.unwrap().version, 1);
    }

    async fn of_two_writers_with_one_version_exactly_one_wins(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let user = admin.create_user("ada", &[]).await.unwrap();
        let rename = |to: String| UpdateUserRequest { version: Some(0), first_name: Some(to), ..change(user.id) };
        let answers = futures_util::future::join_all((0..8).map(|n| admin.update_user(rename(format!("n{n}"))))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(*refused, Reason::UserVersionConflict);
        }
    }

    async fn rule_3_1_roles_are_given_within_what_one_holds(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[7]).await.unwrap();
        let auditors = admin.create_role("auditors", &[6]).await.unwrap();
        let (own, manager) = world.user("manager", &[managers.id]).await;
        let other = manager.create_user("other", &[managers.id]).await.expect("what he holds himself");
        assert_eq!(manager.create_user("more", &[auditors.id]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(manager.update_user(roles(other.id, &[managers.id, auditors.id])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(manager.update_user(roles(own, &[managers.id, auditors.id])).await.unwrap_err(), Reason::AuthzSelfGrant);
        assert_eq!(manager.update_user(roles(other.id, &[ADMIN_ROLE])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        manager.update_user(roles(other.id, &[])).await.expect("taking away is no grant");

        let all_values = admin.create_role("all values", &[4]).await.expect("an administrator may give more");
        admin.update_user(roles(other.id, &[all_values.id])).await.unwrap();
        let refused = admin.update_user(roles(1, &[ADMIN_ROLE, LOCKER_ADMIN_ROLE, all_values.id])).await.unwrap_err();
        assert_eq!(refused, Reason::AuthzSelfGrant, "but never to himself");
    }

    async fn the_last_enabled_administrator_stays(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let disable = |id| UpdateUserRequest { disabled: Some(true), ..change(id) };
        assert_eq!(admin.update_user(disable(1)).await.unwrap_err(), Reason::UserLastAdministrator);
        assert_eq!(admin.update_user(roles(1, &[LOCKER_ADMIN_ROLE])).await.unwrap_err(), Reason::UserLastAdministrator);
        assert_eq!(admin.delete_user(1).await.unwrap_err(), Reason::UserLastAdministrator);
        let second = admin.create_user("second", &[ADMIN_ROLE]).await.unwrap();
        admin.update_user(disable(second.id)).await.unwrap();
        assert_eq!(admin.delete_user(1).await.unwrap_err(), Reason::UserLastAdministrator, "a disabled one does not count");
        admin.delete_user(second.id).await.expect("a disabled one may go");
        assert!(admin.user(1).await.is_ok());
    }

    async fn rule_3_4_administrators_who_remove_each_other_leave_one(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for round in 0..5 {
            let name = format!("second{round}");
            let (id, second) = world.user(&name, &[ADMIN_ROLE]).await;
            let strip = |id: i64| roles(id, &[]);
            let (one, other) = match round % 2 {
                0 => tokio::join!(admin.update_user(strip(id)), second.update_user(strip(1))),
                _ => {
                    let disable = |id| UpdateUserRequest { disabled: Some(true), ..change(id) };
                    tokio::join!(admin.update_user(disable(id)), second.update_user(disable(1)))
                }
            };
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            // Whoever is left restores the first one.
            if other.is_ok() {
                let left = second.clone();
                let back = UpdateUserRequest { disabled: Some(false), roles: Some(RoleIds { ids: vec![ADMIN_ROLE, LOCKER_ADMIN_ROLE] }), ..change(1) };
                left.update_user(back).await.unwrap();
            }
            let admin = world.admin().await;
            eventually(async || admin.user(1).await.is_ok()).await;
            admin.delete_user(id).await.unwrap();
        }
    }

    async fn lists_filter_order_and_count(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for name in ["Zoe", "ada", "Ben"] {
            admin.create_user(name, &[BASIC_ROLE]).await.unwrap();
        }
        let by_name = Query {
            order_by: vec![coffre_proto::query::v1::SortKey { field: "username".into(), direction: 0 }],
            count: true,
            ..Query::default()
        };
        let answer = admin.list_users(by_name).await.unwrap();
        let names: Vec<_> = answer.users.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names, ["ada", "admin", "Ben", "Zoe"]);
        assert_eq!(answer.page.unwrap().total_size, Some(4));
        for listed in answer.users {
            assert_eq!(listed, admin.user(listed.id).await.unwrap(), "a list shows what a user is, permissions included");
        }
        let answer = admin.list_users(where_equal("username", "ZOE")).await.unwrap();
        assert_eq!((answer.users.len(), answer.page.unwrap().filtered_size), (1, Some(1)));
        assert_eq!(admin.list_users(where_equal("password_hash", "x")).await.unwrap_err(), Reason::ListFieldUnknown);
    }

    async fn whoever_manages_lockers_sees_names_alone(db: TestDb) {
        let world = World::start(&db).await;
        let (_, basic) = world.user("basic", &[BASIC_ROLE]).await;
        let answer = basic.list_users(Query::default()).await.unwrap();
        assert_eq!(answer.users.len(), 2);
        for user in answer.users {
            let bare = coffre_proto::auth::v1::User { id: user.id, username: user.username.clone(), ..Default::default() };
            assert_eq!(user, bare);
        }
        assert_eq!(basic.list_users(where_equal("email", "x")).await.unwrap_err(), Reason::ListFieldUnknown);
        world.admin().await.create_role("mine", &[1]).await.unwrap();
        let roles = basic.list_roles().await.unwrap();
        assert_eq!(roles.len(), 1, "no system role");
        assert_eq!((roles[0].name.as_str(), roles[0].permissions.len()), ("mine", 0));
        let (_, nobody) = world.user("nobody", &[]).await;
        assert_eq!(nobody.list_users(Query::default()).await.unwrap_err(), Reason::AuthzPermissionRequired);
        assert_eq!(nobody.list_roles().await.unwrap_err(), Reason::AuthzPermissionRequired);
    }
}
