use std::time::Duration;

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{ActivityType, Outcome};
use coffre_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use coffre_proto::auth::v1::*;
use coffre_test_support::on_each_engine;
use coffre_types::Timestamp;
use diesel::RunQueryDsl as _;
use futures_util::future::join_all;
use tonic::{Response, Status};

use crate::portal::access;
use crate::world::{ADMIN_ROLE, As, BASIC_ROLE, ELSEWHERE, PASSWORD, World, eventually, outcome, password_of, reason};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// *Connect to the API*.
const CONNECT: i64 = 9;
/// *Generate API key*.
const GENERATE: i64 = 10;

type Answer<T> = Result<T, Reason>;

impl As {
    fn api_keys(&self) -> ApiKeyServiceClient<Channel> {
        ApiKeyServiceClient::new(self.channel.clone())
    }

    pub async fn create_key_until(&self, name: &str, until: Option<Timestamp>) -> Answer<CreateApiKeyResponse> {
        let request = CreateApiKeyRequest { name: name.into(), expire_time: until.map(Timestamp::to_proto) };
        let answer = self.api_keys().create_api_key(self.request(request)).await;
        answer.map(Response::into_inner).map_err(|status| reason(&status))
    }

    /// Makes a key and returns its id and what opens with it.
    pub async fn create_key(&self, name: &str) -> Answer<(i64, String)> {
        self.create_key_until(name, None).await.map(|answer| (answer.api_key.unwrap().id, answer.key))
    }

    pub async fn keys(&self) -> Answer<Vec<ApiKey>> {
        let answer = self.api_keys().list_api_keys(self.request(ListApiKeysRequest {})).await;
        answer.map(|answer| answer.into_inner().api_keys).map_err(|status| reason(&status))
    }

    pub async fn delete_key(&self, id: i64) -> Answer<()> {
        let answer = self.api_keys().delete_api_key(self.request(DeleteApiKeyRequest { id })).await;
        answer.map(|_| ()).map_err(|status| reason(&status))
    }

    pub async fn try_sign_in_with_key(&self, username: &str, key: &str) -> Result<SignInResponse, Status> {
        let request = SignInRequest { username: username.into(), api_key: key.into(), ..Default::default() };
        self.authentication().sign_in(self.request(request)).await.map(Response::into_inner)
    }

    pub async fn sign_in_with_key(&self, username: &str, key: &str) -> Answer<SignInResponse> {
        self.try_sign_in_with_key(username, key).await.map_err(|status| reason(&status))
    }
}

impl World {
    /// Makes a user who may have API keys, and signs it in.
    pub async fn key_holder(&self, name: &str) -> (i64, As) {
        let role = self.admin().await.create_role(&format!("keys of {name}"), &[GENERATE]).await.unwrap();
        self.user(name, &[role.id]).await
    }

    /// Signs a user in with a key.
    pub async fn by_key(&self, name: &str, key: &str) -> As {
        self.caller(&self.nobody().sign_in_with_key(name, key).await.unwrap().token)
    }

    pub async fn execute(&self, sql: &'static str) {
        let done = self.first.database.write(move |tx| {
            Sql::new(sql).execute(tx.conn())?;
            Ok::<_, coffre_db::Error>(())
        });
        done.await.unwrap();
    }

    async fn rows_of_keys(&self) -> i64 {
        let count = |conn: &mut _| coffre_db::dialect::id(conn, Sql::new("SELECT count(*) AS id FROM api_keys"));
        self.first.database.read(count).await.unwrap()
    }
}

fn time(moment: Timestamp) -> Option<prost_types::Timestamp> {
    Some(moment.to_proto())
}

fn details(event: &coffre_proto::audit::v1::Event) -> Vec<(&str, &str)> {
    event.details.iter().map(|detail| (detail.key.as_str(), detail.value.as_str())).collect()
}

on_each_engine! {
    async fn a_key_is_shown_once_and_opens_sessions(db: TestDb) {
        let world = World::start(&db).await;
        let (id, ada) = world.key_holder("ada").await;
        world.events();
        let made = ada.create_key_until(" The Nightly Build ", None).await.unwrap();
        let (shown, key) = (made.api_key.unwrap(), made.key);
        assert!(key.starts_with("coffre_ak_") && key.len() == 10 + 59, "{}", key.len());
        assert_eq!(shown.hint, format!("coffre_ak_…{}", &key[key.len() - 4..]));
        let now = coffre_types::Clock::now(&*world.clock);
        assert_eq!((shown.create_time, shown.expire_time), (time(now), time(now.plus(90 * DAY))));
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.activity_type()), ("api_key.created", ActivityType::UpdateUser));
        assert_eq!(event.object.clone().unwrap().r#type, "apiKey");
        assert!(!format!("{event:?}").contains(&key));
        assert_eq!(ada.keys().await.unwrap(), std::slice::from_ref(&shown));

        world.clock.advance(Duration::from_secs(60));
        world.events();
        let answer = world.nobody().sign_in_with_key(" ADA ", &key).await.unwrap();
        assert_eq!(answer.user.as_ref().unwrap().id, id);
        let event = world.last_event();
        assert_eq!((event.event.as_str(), outcome(&event)), ("session.opened", Outcome::Successful));
        assert!(details(&event).contains(&("apiKey", &*format!("{} ({})", shown.name, shown.id))), "{event:?}");
        let program = world.caller(&answer.token);
        assert_eq!(program.keys().await.unwrap()[0].last_use_time, time(now.plus(Duration::from_secs(60))));
        let fresh = program.refresh(&program.token).await.unwrap();
        assert!(world.first.accepts(&fresh).await, "a session like any other");
        program.sign_out("").await.unwrap();
        world.first.refuses_soon(&fresh).await;
    }

    async fn rule_1_7_a_key_is_made_right_after_signing_in_with_the_password(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        let (_, key) = ada.create_key("one").await.unwrap();
        let program = world.by_key("ada", &key).await;
        assert_eq!(program.create_key("two").await.unwrap_err(), Reason::AuthRecentSignInRequired, "a key makes no keys");
        let refused = program.change_password(&password_of("ada"), "an entirely new password").await.unwrap_err();
        assert_eq!(refused, Reason::AuthRecentSignInRequired, "nor changes it the password");
        world.clock.advance(Duration::from_secs(5 * 60 + 1));
        assert_eq!(ada.create_key("two").await.unwrap_err(), Reason::AuthRecentSignInRequired);
        world.sign_in("ada", &password_of("ada")).await.create_key("two").await.unwrap();
        let (_, basic) = world.user("basic", &[BASIC_ROLE]).await;
        assert_eq!(basic.create_key("one").await.unwrap_err(), Reason::AuthzPermissionRequired);
        assert_eq!(basic.keys().await.unwrap_err(), Reason::AuthzPermissionRequired);
    }

    async fn keys_have_names_of_their_own_and_a_number_that_bounds_them(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        let (first, _) = ada.create_key("Build").await.unwrap();
        for same in ["build", " BUILD", "Ｂuild"] {
            assert_eq!(ada.create_key(same).await.unwrap_err(), Reason::ApiKeyNameTaken, "{same}");
        }
        for bad in ["", " ", "a\nb", &"x".repeat(256)] {
            assert_eq!(ada.create_key(bad).await.unwrap_err(), Reason::RequestInvalid, "{bad:?}");
        }
        let (_, bob) = world.key_holder("bob").await;
        bob.create_key("build").await.expect("another's keys have names of their own");
        ada.delete_key(first).await.unwrap();
        let (second, _) = ada.create_key("build").await.unwrap();
        assert!(second > first, "ids are never used again");
        for number in 1..50 {
            ada.create_key(&format!("key {number}")).await.unwrap();
        }
        assert_eq!(ada.create_key("one more").await.unwrap_err(), Reason::ApiKeyLimit);
        assert_eq!(ada.keys().await.unwrap().len(), 50);
        ada.delete_key(second).await.unwrap();
        ada.create_key("one more").await.unwrap();
        let names: Vec<String> = ada.keys().await.unwrap().into_iter().map(|key| key.name).collect();
        assert_eq!((names[0].as_str(), names[49].as_str()), ("one more", "key 1"), "the newest first");
    }

    async fn a_key_expires_and_so_does_what_it_opened(db: TestDb) {
        let config = coffre_auth::Config { housekeeping: Duration::from_millis(20), ..crate::world::config() };
        let world = World::with(&db, config).await;
        let (_, ada) = world.key_holder("ada").await;
        let now = coffre_types::Clock::now(&*world.clock);
        for refused in [now, now.minus(DAY), now.plus(366 * DAY + DAY)] {
            assert_eq!(ada.create_key_until("k", Some(refused)).await.unwrap_err(), Reason::RequestInvalid);
        }
        let until = now.plus(Duration::from_secs(10 * 60));
        let key = ada.create_key_until("short", Some(until)).await.unwrap().key;
        let answer = world.nobody().sign_in_with_key("ada", &key).await.unwrap();
        assert_eq!(answer.expire_time, time(until), "its token does not outlive it");
        world.clock.advance(Duration::from_secs(10 * 60));
        assert!(!world.nobody().validate(&answer.token).await);
        assert_eq!(world.nobody().refresh(&answer.token).await.unwrap_err(), Reason::AuthTokenInvalid);
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        let ada = world.sign_in("ada", &password_of("ada")).await;
        assert_eq!(ada.keys().await.unwrap().len(), 1, "it is still listed");
        assert_eq!(ada.create_key("SHORT").await.unwrap_err(), Reason::ApiKeyNameTaken);
        world.clock.advance(29 * DAY);
        let ada = world.sign_in("ada", &password_of("ada")).await;
        assert_eq!(ada.keys().await.unwrap().len(), 1);
        world.clock.advance(DAY);
        assert_eq!(world.sign_in("ada", &password_of("ada")).await.keys().await.unwrap(), []);
        world.clock.advance(Duration::from_secs(1));
        eventually(async || world.rows_of_keys().await == 0).await;
    }

    async fn whoever_makes_keys_that_expire_at_once_has_no_more_rows_than_others(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        for number in 0..55 {
            let now = coffre_types::Clock::now(&*world.clock);
            let soon = now.plus(Duration::from_millis(1));
            ada.create_key_until(&format!("key {number}"), Some(soon)).await.unwrap();
            world.clock.advance(Duration::from_millis(2));
        }
        let listed = ada.keys().await.unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str()), (51, "key 54"));
    }

    async fn a_revoked_key_and_its_sessions_end_everywhere_and_nothing_else_does(db: TestDb) {
        let world = World::start(&db).await;
        let other_replica = world.replica().await;
        let (_, ada) = world.key_holder("ada").await;
        let (id, key) = ada.create_key("one").await.unwrap();
        let (_, other) = ada.create_key("two").await.unwrap();
        let (one, two) = (world.by_key("ada", &key).await, world.by_key("ada", &other).await);
        for replica in [&world.first, &other_replica] {
            assert!(replica.accepts(&one.token).await && replica.accepts(&two.token).await);
        }
        let (_, bob) = world.key_holder("bob").await;
        assert_eq!(bob.delete_key(id).await.unwrap_err(), Reason::ApiKeyNotFound, "one's own alone");
        world.events();
        ada.delete_key(id).await.unwrap();
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.object.unwrap().name.as_str()), ("api_key.deleted", "one"));
        world.first.refuses_soon(&one.token).await;
        other_replica.refuses_soon(&one.token).await;
        assert!(!world.nobody().validate(&one.token).await);
        assert!(other_replica.accepts(&two.token).await && other_replica.accepts(&ada.token).await);
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        assert_eq!(ada.delete_key(id).await.unwrap_err(), Reason::ApiKeyNotFound);
        assert_eq!(ada.keys().await.unwrap().len(), 1);
    }

    async fn without_the_permission_a_key_opens_nothing_and_can_still_be_revoked(db: TestDb) {
        let world = World::start(&db).await;
        let (id, ada) = world.key_holder("ada").await;
        let (number, key) = ada.create_key("one").await.unwrap();
        let program = world.by_key("ada", &key).await;
        assert!(world.first.accepts(&program.token).await);
        let admin = world.admin().await;
        let role = admin.user(id).await.unwrap().roles[0].id;
        let permissions = |ids: &[i64]| UpdateRoleRequest {
            id: role,
            permissions: Some(crate::world::permission_ids(ids)),
            ..Default::default()
        };
        admin.update_role(permissions(&[])).await.unwrap();
        world.first.refuses_soon(&program.token).await;
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        admin.update_role(permissions(&[GENERATE])).await.unwrap();
        world.by_key("ada", &key).await;
        admin.update_role(permissions(&[])).await.unwrap();
        eventually(async || ada.keys().await == Err(Reason::AuthzPermissionRequired)).await;
        ada.delete_key(number).await.unwrap();
    }

    async fn rule_2_1_every_failure_of_a_key_gets_the_same_answer_for_the_same_work(db: TestDb) {
        let mut config = crate::world::config();
        config.throttle.block_after = 1000;
        config.throttle.delay_after = 1000;
        let world = World::with(&db, config).await;
        let (_, ada) = world.key_holder("ada").await;
        let (number, key) = ada.create_key("one").await.unwrap();
        let (_, right) = ada.create_key("right").await.unwrap();
        ada.delete_key(number).await.unwrap();
        let soon = coffre_types::Clock::now(&*world.clock).plus(Duration::from_millis(1));
        let expired = ada.create_key_until("short", Some(soon)).await.unwrap().key;
        world.clock.advance(Duration::from_millis(2));
        let admin = world.admin().await;
        let (disabled_id, disabled) = world.key_holder("disabled").await;
        let (_, of_disabled) = disabled.create_key("one").await.unwrap();
        let off = UpdateUserRequest { id: disabled_id, disabled: Some(true), ..Default::default() };
        admin.update_user(off).await.unwrap();
        let (poor_id, poor) = world.key_holder("poor").await;
        let (_, of_poor) = poor.create_key("one").await.unwrap();
        let without = UpdateUserRequest { id: poor_id, roles: Some(RoleIds { ids: vec![BASIC_ROLE] }), ..Default::default() };
        admin.update_user(without).await.unwrap();
        let mut guessed = right.clone().into_bytes();
        let place = guessed.len() - 20;
        guessed[place] = if guessed[place] == b'A' { b'B' } else { b'A' };
        let misspelt = String::from_utf8(guessed).unwrap();
        let cases = [
            ("nobody at all", right.as_str(), "unknown user"),
            ("ada", "not a key", "not an API key"),
            ("ada", misspelt.as_str(), "not an API key"),
            ("ada", PASSWORD, "not an API key"),
            ("ada", &of_disabled, "wrong API key"),
            ("ada", &key, "revoked API key"),
            ("ada", &expired, "expired API key"),
            ("disabled", &of_disabled, "disabled"),
            ("poor", &of_poor, "may not use API keys"),
        ];
        let before = world.first.app.hashes();
        world.events();
        let mut answers = Vec::new();
        for (name, key, cause) in cases {
            let refused = world.nobody().try_sign_in_with_key(name, key).await.unwrap_err();
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
            let event = world.last_event();
            assert_eq!((event.event.as_str(), event.reason.as_str()), ("session.opened", "AUTH_SIGN_IN_FAILED"), "{cause}");
            assert_eq!(details(&event), [("cause", cause)]);
            assert!(!format!("{event:?}").contains(key), "{cause}");
        }
        let password = world.nobody().try_sign_in("nobody at all", "wrong").await.unwrap_err();
        answers.push((password.code(), password.message().to_owned(), password.details().to_vec()));
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "as a wrong password does: {answers:?}");
        assert_eq!(world.first.app.hashes(), before + 1, "the password alone was hashed");
        world.by_key("ada", &right).await;
    }

    async fn rule_2_2_failures_of_a_key_never_stand_in_the_way_of_the_password(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        let (_, key) = ada.create_key("one").await.unwrap();
        let nobody = world.nobody();
        for name in ["ada", "ADA", " ada", "Ada ", "ａda"] {
            assert_eq!(nobody.sign_in_with_key(name, "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
        }
        let refused = nobody.try_sign_in_with_key("ada", &key).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::AuthThrottled, "one count, whatever the spelling");
        let wait = Refusal::from_status(&refused).delay().unwrap();
        assert_eq!(wait, world.config.throttle.first_block);
        nobody.sign_in("ada", &password_of("ada")).await.expect("the password is another matter");
        nobody.from(ELSEWHERE).sign_in_with_key("ada", &key).await.expect("and so is another address");
        world.clock.advance(wait + Duration::from_millis(1));
        nobody.sign_in_with_key("ada", &key).await.expect("the block is over");
        nobody.sign_in_with_key("ada", "wrong").await.unwrap_err();
        nobody.sign_in_with_key("ada", &key).await.expect("and success has settled the count");

        for _ in 0..5 {
            assert_eq!(nobody.sign_in("ada", "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
        }
        assert_eq!(nobody.sign_in("ada", &password_of("ada")).await.unwrap_err(), Reason::AuthThrottled);
        nobody.sign_in_with_key("ada", &key).await.expect("nor the other way round");
        assert_eq!(nobody.sign_in("ada", &password_of("ada")).await.unwrap_err(), Reason::AuthThrottled);
        for _ in 0..5 {
            assert_eq!(nobody.sign_in_with_key("nobody", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        }
        assert_eq!(nobody.sign_in_with_key("nobody", &key).await.unwrap_err(), Reason::AuthThrottled, "names that nobody has, alike");
    }

    async fn either_a_password_or_a_key_is_shown(db: TestDb) {
        let world = World::start(&db).await;
        let both = SignInRequest { username: "admin".into(), password: PASSWORD.into(), api_key: "coffre_ak_x".into() };
        let neither = SignInRequest { username: "admin".into(), ..Default::default() };
        let long = SignInRequest { username: "admin".into(), api_key: "x".repeat(1025), ..Default::default() };
        let unnamed = SignInRequest { api_key: "x".into(), ..Default::default() };
        let nobody = world.nobody();
        for request in [both, neither, long, unnamed] {
            let refused = nobody.authentication().sign_in(nobody.request(request)).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::RequestInvalid);
        }
    }

    async fn rule_2_5_a_key_copied_to_another_user_opens_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let (_, mallory) = world.key_holder("mallory").await;
        let (_, key) = mallory.create_key("one").await.unwrap();
        let (_, theirs) = world.admin().await.create_key("theirs").await.unwrap();
        world.execute("UPDATE api_keys SET user_id = 1 WHERE name_key = 'one'").await;
        assert_eq!(world.nobody().sign_in_with_key("admin", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        assert_eq!(world.nobody().sign_in_with_key("mallory", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        world.execute("UPDATE api_keys SET hash = (SELECT hash FROM api_keys WHERE name_key = 'one') WHERE name_key = 'theirs'").await;
        for key in [&key, &theirs] {
            assert_eq!(world.nobody().sign_in_with_key("admin", key).await.unwrap_err(), Reason::AuthSignInFailed);
        }
    }

    async fn a_reset_ends_every_way_in_and_one_s_own_change_leaves_the_keys(db: TestDb) {
        let world = World::start(&db).await;
        let (id, ada) = world.key_holder("ada").await;
        let (_, key) = ada.create_key("one").await.unwrap();
        let program = world.by_key("ada", &key).await;
        ada.change_password(&password_of("ada"), "an entirely new password").await.unwrap();
        world.first.refuses_soon(&program.token).await;
        let program = world.by_key("ada", &key).await;
        let admin = world.admin().await;
        let disabled = |disabled| UpdateUserRequest { id, disabled: Some(disabled), ..Default::default() };
        admin.update_user(disabled(true)).await.unwrap();
        world.first.refuses_soon(&program.token).await;
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        admin.update_user(disabled(false)).await.unwrap();
        let program = world.by_key("ada", &key).await;

        world.events();
        let reset = UpdateUserRequest { id, password: Some("reset by the administrator".into()), ..Default::default() };
        admin.update_user(reset).await.unwrap();
        let event = world.last_event();
        let told: Vec<_> = event.changes.iter().map(|change| (change.field.as_str(), change.old_value.as_deref(), change.new_value.as_deref())).collect();
        assert_eq!(told[0], ("password", None, Some("reset")));
        assert_eq!((told[1].0, told[1].2, told.len()), ("apiKeys", None, 2));
        assert!(told[1].1.unwrap().starts_with("one ("), "{told:?}");
        world.first.refuses_soon(&program.token).await;
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        let ada = world.sign_in("ada", "reset by the administrator").await;
        ada.change_password("reset by the administrator", "a password of my own").await.unwrap();
        eventually(async || ada.keys().await == Ok(Vec::new())).await;
        ada.create_key("one").await.expect("its name is free again");
    }

    async fn one_s_own_change_ends_every_way_in_where_that_is_asked_for(db: TestDb) {
        let world = World::start(&db).await;
        let role = world.admin().await.create_role("both", &[CONNECT, GENERATE]).await.unwrap();
        let (id, ada) = world.user("ada", &[role.id]).await;
        let program = world.program_of(CreateApiAccessRequest { operator_id: id, ..access("app") }).await;
        ada.confirm(program.id).await.unwrap();
        let token = world.nobody().token_of_its_own(&program).await.unwrap().access_token;
        let (_, key) = ada.create_key("one").await.unwrap();
        let by_key = world.by_key("ada", &key).await;
        ada.change_password_and("wrong", "an entirely new password", true).await.unwrap_err();
        world.by_key("ada", &key).await;
        world.events();
        ada.change_password_and(&password_of("ada"), "an entirely new password", true).await.unwrap();
        let event = world.last_event();
        assert_eq!(event.event, "user.password.changed");
        assert_eq!(event.changes.iter().map(|change| change.field.as_str()).collect::<Vec<_>>(), ["password", "apiKeys", "confirmations"]);
        assert_eq!(details(&event), [("apiKeys", "1"), ("confirmations", "1")]);
        world.first.refuses_soon(&by_key.token).await;
        world.first.refuses_soon(&token).await;
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
        assert_eq!(world.nobody().token_of_its_own(&program).await.unwrap_err(), Reason::OauthGrantInvalid);
        assert_eq!(ada.keys().await, Ok(Vec::new()), "the current session goes on");
        ada.confirm(program.id).await.unwrap();
        ada.change_password("an entirely new password", "a password of my own").await.unwrap();
        world.nobody().token_of_its_own(&program).await.expect("it lives on where nobody asks");
    }

    async fn no_key_is_made_behind_the_back_of_a_reset(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for round in 0..5 {
            let name = format!("user{round}");
            let (id, user) = world.key_holder(&name).await;
            let reset = UpdateUserRequest { id, password: Some("reset by the administrator".into()), ..Default::default() };
            let names: Vec<String> = (0..6).map(|number| format!("key {number}")).collect();
            let making = join_all(names.iter().map(|name| user.create_key(name)));
            let (made, reset) = tokio::join!(making, admin.update_user(reset));
            reset.unwrap();
            for (place, (_, key)) in made.into_iter().flatten().enumerate() {
                let nobody = world.nobody().from(&format!("192.0.2.{place}"));
                assert_eq!(nobody.sign_in_with_key(&name, &key).await.unwrap_err(), Reason::AuthSignInFailed);
            }
        }
    }

    async fn nothing_is_made_in_a_session_that_a_reset_has_ended_wherever_that_is_not_known_yet(db: TestDb) {
        let config = coffre_auth::Config { change_poll: Duration::from_millis(500), ..crate::world::config() };
        let world = World::with(&db, config).await;
        let far = world.replica().await;
        let admin = world.admin().await;
        let role = admin.create_role("programs", &[CONNECT, GENERATE]).await.unwrap();
        for round in 0..3 {
            let name = format!("user{round}");
            let (id, user) = world.user(&name, &[role.id]).await;
            let bound = CreateApiAccessRequest { operator_id: id, ..access(&format!("app{round}")) };
            let program = world.program_of(bound).await;
            let late = far.caller(&user.token);
            late.keys().await.unwrap();
            let reset = UpdateUserRequest { id, password: Some("reset by the administrator".into()), ..Default::default() };
            admin.update_user(reset).await.unwrap();
            let (made, confirmed) = tokio::join!(late.create_key("late"), late.confirm(program.id));
            assert_eq!((made.unwrap_err(), confirmed.unwrap_err()), (Reason::AuthTokenInvalid, Reason::AuthTokenInvalid));
        }
    }

    async fn the_bound_holds_for_keys_that_are_made_at_once(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        let names: Vec<String> = (0..56).map(|number| format!("key {number}")).collect();
        let made = join_all(names.iter().map(|name| ada.create_key(name))).await;
        let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
        assert_eq!(refused, [&Reason::ApiKeyLimit; 6]);
    }

    async fn a_deleted_user_leaves_no_key_that_works(db: TestDb) {
        let world = World::start(&db).await;
        let (id, ada) = world.key_holder("ada").await;
        let (_, key) = ada.create_key("one").await.unwrap();
        let program = world.by_key("ada", &key).await;
        let admin = world.admin().await;
        admin.delete_user(id).await.unwrap();
        world.first.refuses_soon(&program.token).await;
        world.user("ada", &[ADMIN_ROLE]).await;
        assert_eq!(world.nobody().sign_in_with_key("ada", &key).await.unwrap_err(), Reason::AuthSignInFailed);
    }

    async fn a_key_is_in_no_row_and_no_event(db: TestDb) {
        let world = World::start(&db).await;
        let (_, ada) = world.key_holder("ada").await;
        let answer = ada.create_key_until("one", None).await.unwrap();
        assert!(!format!("{answer:?}").contains(&answer.key));
        let request = SignInRequest { username: "ada".into(), api_key: answer.key.clone(), ..Default::default() };
        assert!(!format!("{request:?}").contains(&answer.key));
        world.by_key("ada", &answer.key).await;
        world.clock.advance(Duration::from_secs(1));
        let holds = |bytes: &[u8]| {
            let secret = &answer.key.as_bytes()[20..];
            bytes.windows(secret.len()).any(|window| window == secret)
        };
        let entries = world.kept.entries.lock().unwrap().clone();
        assert!(entries.iter().all(|entry| !holds(entry.bytes())));
        if let Some(folder) = db.folder() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                assert!(path.is_dir() || !holds(&std::fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    }
}
