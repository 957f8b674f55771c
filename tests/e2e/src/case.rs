//! One case: its own names, users and calls on a server that it shares with others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::api::{Api, Client, NewApiAccess, NewRole, NewUser, Protocol, Session};
use crate::canary;
use crate::model::{ApiAccess, Credential, Filter, Query, TokenGrant};
use crate::server::{Engine, Server};
use crate::split;

/// Cases that are under way; the search for secrets waits for them.
pub static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// How long cases share a sign-in of the administrator.
const SHARED_FOR: Duration = Duration::from_secs(150);

/// The permissions by their stable numbers.
pub mod permission {
    pub const MANAGE_CREDENTIALS: i64 = 1;
    pub const MANAGE_LOCKERS: i64 = 2;
    pub const ADMINISTER_LOCKERS: i64 = 3;
    pub const MANAGE_ALL_VALUES: i64 = 4;
    pub const MANAGE_SETTINGS: i64 = 5;
    pub const VIEW_ALL_AUDIT: i64 = 6;
    pub const MANAGE_USERS: i64 = 7;
    pub const MANAGE_API_ACCESS: i64 = 8;
    pub const CONNECT_TO_API: i64 = 9;
    pub const GENERATE_API_KEY: i64 = 10;
}

/// One case.
#[derive(Debug)]
pub struct Case<'s> {
    pub server: &'s Server,
    pub engine: Engine,
    pub protocol: Protocol,
    pub api: Api,
    /// The first administrator.
    pub admin: Session,
    tag: String,
}

/// Counts a case while it runs.
struct Running;

impl Running {
    fn start() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a case on the shared server of an engine, then looks every call of it up in the audit.
pub fn run(engine: Engine, protocol: Protocol, case: impl AsyncFn(&Case<'_>)) {
    if !engine.is_wanted() {
        return;
    }
    run_on(|| Server::shared(engine), protocol, case);
}

/// Runs a case on the shared installation whose services are processes of their own.
pub fn run_split(protocol: Protocol, case: impl AsyncFn(&Case<'_>)) {
    if Engine::Postgres.is_wanted() {
        run_on(split::shared, protocol, case);
    }
}

fn run_on(server: impl FnOnce() -> &'static Server, protocol: Protocol, case: impl AsyncFn(&Case<'_>)) {
    let _running = Running::start();
    let server = server();
    block_on(async {
        let context = Case::on(server, protocol).await;
        case(&context).await;
        context.settle().await;
    });
}

/// Runs a case that keeps a server of its own, or none.
pub fn run_apart(engine: Engine, case: impl AsyncFnOnce(Engine)) {
    if engine.is_wanted() {
        let _running = Running::start();
        block_on(case(engine));
    }
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

impl<'s> Case<'s> {
    pub async fn on(server: &'s Server, protocol: Protocol) -> Case<'s> {
        let tag = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        // Each case comes from an address of its own, so that throttling one never touches another.
        let from = cfg!(target_os = "linux").then(|| {
            let bytes = uuid::Uuid::new_v4().into_bytes();
            IpAddr::V4(Ipv4Addr::new(127, bytes[0], bytes[1], bytes[2].clamp(2, 250)))
        });
        let api = Api::from_address(server, protocol, from);
        let (id, token) = Self::admin_token(server, &api).await;
        let admin = Session { api: api.clone(), token: Some(token), id, username: "admin".to_owned() };
        Self { server, engine: server.home.engine, protocol, api, admin, tag }
    }

    /// A token of the first administrator. Cases share it while its sign-in counts as recent for long enough to give what is reserved.
    async fn admin_token(server: &Server, api: &Api) -> (i64, String) {
        let mut shared = server.admin_token.lock().await;
        if let Some((signed_in, id, token)) = &*shared
            && signed_in.elapsed() < SHARED_FOR
        {
            return (*id, token.clone());
        }
        let signed_in = Instant::now();
        let answer = api.anonymous().sign_in("admin", &server.home.admin_password).await.about_user("admin").ok();
        *shared = Some((signed_in, answer.user.id, answer.token.clone()));
        (answer.user.id, answer.token)
    }

    /// A name that no other case uses.
    pub fn unique(&self, what: &str) -> String {
        format!("{what} {}", self.tag)
    }

    /// A value that must be found nowhere but in answers to its readers.
    pub fn secret(&self, what: &str) -> String {
        canary::secret(&format!("{what}-{}", self.tag))
    }

    /// A caller without a token.
    pub fn anonymous(&self) -> Session {
        self.api.anonymous()
    }

    /// The id of a system role.
    pub async fn system_role(&self, name: &str) -> i64 {
        let page = self.admin.query_roles(&Query::filter(Filter::new("name", "eq", name))).await.ok();
        page.items.first().unwrap_or_else(|| panic!("no role {name}")).0
    }

    /// A role that holds permissions.
    pub async fn role(&self, what: &str, permissions: &[i64]) -> i64 {
        let new = NewRole { name: self.unique(what), permissions: permissions.to_vec(), ..NewRole::default() };
        self.admin.create_role(&new).await.ok().id
    }

    /// A new user, signed in.
    pub async fn user(&self, what: &str, roles: &[i64]) -> Session {
        let username = self.unique(what);
        let password = canary::password(&username);
        let new = NewUser {
            username: username.clone(),
            password: password.clone(),
            roles: roles.to_vec(),
            ..NewUser::default()
        };
        self.admin.create_user(&new).await.ok();
        self.anonymous().open(&username, &password).await
    }

    /// The password of a user that [`Self::user`] made.
    pub fn password_of(&self, session: &Session) -> String {
        canary::password(&session.username)
    }

    /// A new user with `AAE_Basic`, signed in.
    pub async fn basic(&self, what: &str) -> Session {
        let role = self.system_role("AAE_Basic").await;
        self.user(what, &[role]).await
    }

    /// A new user whose role holds permissions, signed in.
    pub async fn holder(&self, what: &str, permissions: &[i64]) -> Session {
        let role = self.role(&format!("role of {what}"), permissions).await;
        self.user(what, &[role]).await
    }

    /// Somebody who administers API accesses, signed in just now.
    pub async fn api_administrator(&self) -> Session {
        self.holder("api administrator", &[permission::MANAGE_API_ACCESS]).await
    }

    /// An API access with the password grant, made by somebody who administers them.
    pub async fn access(&self, administrator: &Session, what: &str) -> (ApiAccess, Client) {
        let new = NewApiAccess { client_id: self.unique(what), password_grant: Some(true), ..NewApiAccess::default() };
        administrator.create_api_access(&new).await.ok()
    }

    /// The token that a client gets with the password of an operator whom [`Self::user`] made.
    pub async fn grant(&self, client: &Client, operator: &Session) -> TokenGrant {
        let password = self.password_of(operator);
        self.anonymous()
            .token_for_password(client, &operator.username, &password)
            .await
            .for_operator(&operator.username)
            .ok()
    }

    /// The administrator, signed in just now: the shared session may be too old for what needs a recent one.
    pub async fn recent_admin(&self) -> Session {
        self.anonymous().open("admin", &self.server.home.admin_password).await
    }

    /// Looks every call so far up in the audit.
    pub async fn settle(&self) {
        // The reader's own calls are not looked up: that would never end.
        let api = Api { ledger: Default::default(), ..self.api.clone() };
        let reader = Session { api, ..self.admin.clone() };
        self.api.ledger.settle(&reader).await;
    }
}

/// The entity tag of a version.
pub fn etag(credential: &Credential) -> String {
    format!("\"{}\"", credential.version)
}
