//! Replicas of auth on one database, with a vault and a locker service that say what the test wants.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_audit_client::{Outbox, Site};
use coffre_auth::config::Hashing;
use coffre_auth::{App, Config, Deps, FirstAdministrator, POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS};
use coffre_authn::{Authenticator, Settings};
use coffre_channel::Channel;
use coffre_db::{Connection, Database, DatabaseUrl, Error, Journal, JournalEntry, Options};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{Event, Outcome};
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::v1::authentication_service_client::AuthenticationServiceClient;
use coffre_proto::auth::v1::role_service_client::RoleServiceClient;
use coffre_proto::auth::v1::user_service_client::UserServiceClient;
use coffre_proto::auth::v1::*;
use coffre_rpc::{Guard, Layered, Limits, RpcMetrics};
use coffre_secret::{SecretBytes, SecretText};
use coffre_test_support::TestDb;
use coffre_types::{Activity, FixedClock, Timestamp};
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::keeper::FakeKeeper;

pub const PASSWORD: &str = "planted-admin-password";
pub const HOME: &str = "203.0.113.9";
pub const ELSEWHERE: &str = "198.51.100.7";
pub const ADMIN_ROLE: i64 = 1;
pub const BASIC_ROLE: i64 = 2;
pub const LOCKER_ADMIN_ROLE: i64 = 3;

/// One process of auth.
pub struct Replica {
    pub app: App,
    pub layered: Layered,
    pub authenticator: Authenticator,
    pub database: Database,
}

pub struct World {
    pub url: DatabaseUrl,
    pub clock: Arc<FixedClock>,
    pub vault: FakeKeeper,
    pub locker: FakeKeeper,
    pub kept: Kept,
    pub config: Config,
    pub first: Replica,
}

pub fn config() -> Config {
    Config {
        hashing: Hashing { memory_kib: 64, passes: 1, threads: NonZeroUsize::new(2).unwrap(), waiting: 1024 },
        change_poll: Duration::from_millis(20),
        heartbeat: Duration::from_millis(40),
        ..Config::default()
    }
}

pub fn key() -> SecretBytes {
    SecretBytes::new(vec![7; 32])
}

pub fn open(url: &DatabaseUrl, clock: &Arc<FixedClock>, kept: &Kept) -> (Database, Outbox) {
    let options = Options::new(url.clone(), "auth");
    coffre_db::migrate(&options, SQLITE_MIGRATIONS, POSTGRES_MIGRATIONS).unwrap();
    let site = Arc::new(Site {
        service: "auth",
        host_name: "host".into(),
        environment_name: "test".into(),
        clock: clock.clone(),
    });
    let outbox = Outbox::with_anonymous_quota(site, &SecretBytes::new(vec![9; 32]), 1_000_000);
    let database = Database::open(options, || Box::new(kept.clone())).unwrap();
    outbox.attach(database.clone());
    (database, outbox)
}

pub async fn initialise(
    database: &Database,
    outbox: &Outbox,
    clock: &Arc<FixedClock>,
) -> Result<(), coffre_auth::InitError> {
    let clock: Arc<dyn coffre_types::Clock> = clock.clone();
    let administrator =
        FirstAdministrator { username: "admin".into(), password: SecretText::new(PASSWORD.into()), must_change: false };
    coffre_auth::init(&config(), database, outbox, &clock, &key(), administrator).await.map(|_| ())
}

impl World {
    pub async fn start(db: &TestDb) -> Self {
        Self::with(db, config()).await
    }

    pub async fn with(db: &TestDb, config: Config) -> Self {
        let url = DatabaseUrl::parse(db.url()).unwrap();
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
        let (vault, locker, kept) = (FakeKeeper::default(), FakeKeeper::default(), Kept::default());
        let (database, outbox) = open(&url, &clock, &kept);
        initialise(&database, &outbox, &clock).await.unwrap();
        let first = Self::build(database, outbox, &config, &clock, [&vault, &locker]).await;
        Self { url, clock, vault, locker, kept, config, first }
    }

    async fn build(
        database: Database,
        outbox: Outbox,
        config: &Config,
        clock: &Arc<FixedClock>,
        [vault, locker]: [&FakeKeeper; 2],
    ) -> Replica {
        let deps = Deps {
            database: database.clone(),
            outbox,
            clock: clock.clone(),
            auth_key: key(),
            vault: vault.channel(),
            locker: locker.channel(),
            activity: Activity::new(clock.clone()),
        };
        let app = coffre_auth::build(config.clone(), deps).await.unwrap();
        let internal = Channel::in_process(app.parts.internal.clone().prepare());
        let authenticator = Authenticator::start(internal, Settings::default(), clock.clone());
        authenticator.ready().await;
        let metrics = RpcMetrics::register(&prometheus::Registry::new()).unwrap();
        let guard = Guard {
            authenticator: authenticator.clone(),
            clock: clock.clone(),
            metrics,
            limits: Limits::default(),
            stopping: Default::default(),
            activity: Activity::new(clock.clone()),
            tracer: Default::default(),
        };
        let layered = Layered::new(&app.parts, guard);
        Replica { app, layered, authenticator, database }
    }

    /// What the other services ask of auth.
    pub fn internal(&self) -> CallerServiceClient<Channel> {
        CallerServiceClient::new(Channel::in_process(self.first.app.parts.internal.clone().prepare()))
    }

    /// Lets a minute pass, after which what a process left on its way counts as abandoned, and settles it.
    pub async fn settle(&self) {
        self.clock.advance(Duration::from_secs(61));
        self.first.app.settle_deletions().await.unwrap();
    }

    /// Starts another process on the same database.
    pub async fn replica(&self) -> Replica {
        let (database, outbox) = open(&self.url, &self.clock, &self.kept);
        Self::build(database, outbox, &self.config, &self.clock, [&self.vault, &self.locker]).await
    }

    pub fn caller(&self, token: &str) -> As {
        self.first.caller(token)
    }

    pub fn nobody(&self) -> As {
        self.first.caller("")
    }

    pub async fn admin(&self) -> As {
        self.sign_in("admin", PASSWORD).await
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> As {
        let answer = self.nobody().sign_in(username, password).await.unwrap();
        self.caller(&answer.token)
    }

    /// Makes a user and signs it in.
    pub async fn user(&self, name: &str, roles: &[i64]) -> (i64, As) {
        let admin = self.admin().await;
        let user = admin.create_user(name, roles).await.unwrap();
        (user.id, self.sign_in(name, &password_of(name)).await)
    }

    /// The events since the last call.
    pub fn events(&self) -> Vec<Event> {
        let entries = std::mem::take(&mut *self.kept.entries.lock().unwrap());
        entries.iter().map(|entry| Event::decode(entry.bytes().as_ref()).unwrap()).collect()
    }

    pub fn last_event(&self) -> Event {
        self.events().pop().unwrap()
    }
}

impl Replica {
    pub fn caller(&self, token: &str) -> As {
        As { channel: self.layered.channel("gateway"), token: token.to_owned(), address: HOME.parse().unwrap() }
    }

    pub async fn accepts(&self, token: &str) -> bool {
        self.authenticator.authenticate(token).await.is_ok()
    }

    /// Waits until a token is refused; the stream needs a moment.
    pub async fn refuses_soon(&self, token: &str) {
        eventually(async || !self.accepts(token).await).await;
    }
}

/// Waits for something that needs a poll of the database, up to the second that the rules allow.
pub async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(1), "it did not happen within one second");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn password_of(name: &str) -> String {
    format!("the password of {name}")
}

pub fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).reason()
}

pub fn outcome(event: &Event) -> Outcome {
    event.outcome()
}

/// Somebody who calls.
#[derive(Clone)]
pub struct As {
    pub channel: Channel,
    pub token: String,
    pub address: IpAddr,
}

type Answer<T> = Result<T, Reason>;

impl As {
    pub fn from(&self, address: &str) -> Self {
        Self { address: address.parse().unwrap(), ..self.clone() }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if !self.token.is_empty() {
            metadata.insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        }
        metadata.insert("x-coffre-client-address", self.address.to_string().parse().unwrap());
        metadata.insert("x-coffre-source", "API".parse().unwrap());
        request
    }

    pub fn authentication(&self) -> AuthenticationServiceClient<Channel> {
        AuthenticationServiceClient::new(self.channel.clone())
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub fn roles(&self) -> RoleServiceClient<Channel> {
        RoleServiceClient::new(self.channel.clone())
    }

    pub async fn try_sign_in(&self, username: &str, password: &str) -> Result<SignInResponse, Status> {
        let request = SignInRequest { username: username.into(), password: password.into(), ..Default::default() };
        self.authentication().sign_in(self.request(request)).await.map(Response::into_inner)
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> Answer<SignInResponse> {
        self.try_sign_in(username, password).await.map_err(|status| reason(&status))
    }

    pub async fn validate(&self, token: &str) -> bool {
        let request = ValidateTokenRequest { token: token.into() };
        self.authentication().validate_token(self.request(request)).await.unwrap().into_inner().valid
    }

    pub async fn refresh(&self, token: &str) -> Answer<String> {
        let request = self.request(RefreshTokenRequest { token: token.into() });
        let answer = self.authentication().refresh_token(request).await.map_err(|status| reason(&status))?;
        Ok(answer.into_inner().token)
    }

    pub async fn sign_out(&self, token: &str) -> Answer<()> {
        let request = self.request(SignOutRequest { token: token.into() });
        self.authentication().sign_out(request).await.map(|_| ()).map_err(|status| reason(&status))
    }

    pub async fn change_password(&self, old: &str, new: &str) -> Answer<()> {
        self.change_password_and(old, new, false).await
    }

    /// Changes the own password and, where `revoke`, ends every other way in.
    pub async fn change_password_and(&self, old: &str, new: &str, revoke: bool) -> Answer<()> {
        let request = self.request(ChangePasswordRequest {
            old_password: old.into(),
            new_password: new.into(),
            revoke_other_access: revoke,
        });
        self.authentication().change_password(request).await.map(|_| ()).map_err(|status| reason(&status))
    }

    pub async fn create_user(&self, name: &str, roles: &[i64]) -> Answer<User> {
        let request = CreateUserRequest {
            username: name.into(),
            password: password_of(name),
            roles: Some(RoleIds { ids: roles.to_vec() }),
            ..CreateUserRequest::default()
        };
        self.create_user_of(request).await
    }

    pub async fn create_user_of(&self, request: CreateUserRequest) -> Answer<User> {
        let answer = self.users().create_user(self.request(request)).await.map_err(|status| reason(&status))?;
        Ok(answer.into_inner().user.unwrap())
    }

    pub async fn user(&self, id: i64) -> Answer<User> {
        let answer =
            self.users().get_user(self.request(GetUserRequest { id })).await.map_err(|status| reason(&status))?;
        Ok(answer.into_inner().user.unwrap())
    }

    pub async fn update_user(&self, request: UpdateUserRequest) -> Answer<UpdateUserResponse> {
        let answer = self.users().update_user(self.request(request)).await.map_err(|status| reason(&status))?;
        Ok(answer.into_inner())
    }

    pub async fn delete_user(&self, id: i64) -> Answer<()> {
        self.try_delete_user(id).await.map_err(|status| reason(&status))
    }

    pub async fn try_delete_user(&self, id: i64) -> Result<(), Status> {
        let request = self.request(DeleteUserRequest { id, etag: String::new() });
        self.users().delete_user(request).await.map(|_| ())
    }

    pub async fn holdings(&self, id: i64) -> Answer<ListUserHoldingsResponse> {
        let request = self.request(ListUserHoldingsRequest { id });
        Ok(self.users().list_user_holdings(request).await.map_err(|status| reason(&status))?.into_inner())
    }

    /// Hands over what a user holds; returns how many credentials and lockers were given.
    pub async fn transfer(&self, id: i64, recipient_id: i64) -> Answer<(i64, i64)> {
        let request = self.request(TransferUserHoldingsRequest { id, recipient_id });
        let answer = self.users().transfer_user_holdings(request).await.map_err(|status| reason(&status))?.into_inner();
        Ok((answer.credential_count, answer.locker_count))
    }

    pub async fn list_users(&self, query: coffre_proto::query::v1::Query) -> Answer<ListUsersResponse> {
        let request = self.request(ListUsersRequest { query: Some(query) });
        Ok(self.users().list_users(request).await.map_err(|status| reason(&status))?.into_inner())
    }

    pub async fn create_role(&self, name: &str, permissions: &[i64]) -> Answer<Role> {
        let request = self.request(CreateRoleRequest {
            name: name.into(),
            description: None,
            permissions: Some(permission_ids(permissions)),
        });
        Ok(self.roles().create_role(request).await.map_err(|status| reason(&status))?.into_inner().role.unwrap())
    }

    pub async fn update_role(&self, request: UpdateRoleRequest) -> Answer<UpdateRoleResponse> {
        Ok(self.roles().update_role(self.request(request)).await.map_err(|status| reason(&status))?.into_inner())
    }

    pub async fn delete_role(&self, id: i64) -> Answer<()> {
        let request = self.request(DeleteRoleRequest { id, etag: String::new() });
        self.roles().delete_role(request).await.map(|_| ()).map_err(|status| reason(&status))
    }

    pub async fn list_roles(&self) -> Answer<Vec<Role>> {
        let request = self.request(ListRolesRequest::default());
        Ok(self.roles().list_roles(request).await.map_err(|status| reason(&status))?.into_inner().roles)
    }
}

pub fn permission_ids(ids: &[i64]) -> PermissionReferences {
    PermissionReferences {
        items: ids.iter().map(|id| PermissionReference { id: *id, ..PermissionReference::default() }).collect(),
    }
}

/// Keeps the entries that were committed.
#[derive(Clone, Default)]
pub struct Kept {
    pub entries: Arc<Mutex<Vec<JournalEntry>>>,
    waiting: Vec<JournalEntry>,
}

impl Journal for Kept {
    fn write(&mut self, _: &mut Connection, entries: &[JournalEntry]) -> Result<(), Error> {
        self.waiting = entries.to_vec();
        Ok(())
    }

    fn committed(&mut self) {
        self.entries.lock().unwrap().append(&mut self.waiting);
    }

    fn rolled_back(&mut self) {
        self.waiting.clear();
    }

    fn in_doubt(&mut self) {
        self.waiting.clear();
    }
}
