//! Lockers with a fresh database, a fixed clock, an auth that knows whom it is told, and a vault that holds what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use coffre_audit_client::{ActivityType, CallRecord, Origin, Outbox, Outcome, Site, Source};
use coffre_channel::Channel;
use coffre_db::{Connection, Database, DatabaseUrl, Options, Sql};
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::{LockerPatch, Member, Membership, NewLocker, View};
use coffre_locker::lockers::{Call, Lockers};
use coffre_locker::{App, Deps};
use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::v1::Event;
use coffre_proto::auth::internal::v1::caller_service_server::{CallerService, CallerServiceServer};
use coffre_proto::auth::internal::v1::{
    DescribeUsersRequest, DescribeUsersResponse, LookUpRoleRequest, LookUpRoleResponse, LookUpUserRequest,
    LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, WatchChangesRequest, WatchChangesResponse,
};
use coffre_proto::vault::internal::v1::contents_service_server::{ContentsService, ContentsServiceServer};
use coffre_proto::vault::internal::v1::{
    CountCredentialsRequest, CountCredentialsResponse, SettleEntryRequest, SettleEntryResponse,
};
use coffre_secret::SecretBytes;
use coffre_test_support::TestDb;
use coffre_types::{Caller, FixedClock, LockerId, Name, Permission, RoleId, SessionId, Timestamp, TokenKind, UserId};
use diesel::sql_types::{Binary, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use futures_util::stream::Pending;
use prost::Message as _;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// Users 1 to 100 and roles 1 to 100 exist, but for those that were forgotten; roles up to 3 are system roles.
#[derive(Clone, Default)]
pub(crate) struct FakeAuth(Arc<Mutex<Gone>>);

#[derive(Default)]
struct Gone {
    users: BTreeSet<i64>,
    roles: BTreeSet<i64>,
    held: BTreeSet<(i64, i64)>,
    silent: bool,
    slow: Option<Slow>,
}

/// Two ends of a wait: who waits says so, and goes on when it is told.
#[derive(Clone, Default)]
pub(crate) struct Slow {
    pub(crate) asked: Arc<tokio::sync::Notify>,
    pub(crate) go: Arc<tokio::sync::Notify>,
}

impl FakeAuth {
    pub(crate) fn forget_user(&self, user: i64) {
        self.0.lock().unwrap().users.insert(user);
    }

    pub(crate) fn forget_role(&self, role: i64) {
        self.0.lock().unwrap().roles.insert(role);
    }

    pub(crate) fn silence(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }

    /// Has a user hold a role.
    pub(crate) fn give(&self, user: i64, role: i64) {
        self.0.lock().unwrap().held.insert((user, role));
    }

    /// Has the next answer about a role be given late.
    pub(crate) fn slow(&self) -> Slow {
        self.0.lock().unwrap().slow.insert(Slow::default()).clone()
    }
}

#[tonic::async_trait]
impl CallerService for FakeAuth {
    type WatchChangesStream = Pending<Result<WatchChangesResponse, Status>>;

    async fn resolve_caller(
        &self,
        _: Request<ResolveCallerRequest>,
    ) -> Result<Response<ResolveCallerResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn look_up_user(&self, request: Request<LookUpUserRequest>) -> Result<Response<LookUpUserResponse>, Status> {
        let user = request.into_inner().user_id;
        let gone = self.0.lock().unwrap();
        if gone.silent {
            return Err(Status::unavailable("silent"));
        }
        let exists = (1..=100).contains(&user) && !gone.users.contains(&user);
        Ok(Response::new(LookUpUserResponse { exists, username: format!("user{user}"), disabled: user == 99 }))
    }

    async fn look_up_role(&self, request: Request<LookUpRoleRequest>) -> Result<Response<LookUpRoleResponse>, Status> {
        let LookUpRoleRequest { role_id: role, user_id } = request.into_inner();
        let (answer, slow) = {
            let mut gone = self.0.lock().unwrap();
            if gone.silent {
                return Err(Status::unavailable("silent"));
            }
            let exists = (1..=100).contains(&role) && !gone.roles.contains(&role);
            let held = gone.held.contains(&(user_id, role));
            (LookUpRoleResponse { exists, name: format!("role{role}"), system: role <= 3, held }, gone.slow.take())
        };
        if let Some(slow) = slow {
            slow.asked.notify_one();
            slow.go.notified().await;
        }
        Ok(Response::new(answer))
    }

    async fn describe_users(
        &self,
        _: Request<DescribeUsersRequest>,
    ) -> Result<Response<DescribeUsersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// Where the vault stops answering, as if the process that asked had died there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Stall {
    #[default]
    Nowhere,
    /// Before it ends an entry.
    BeforeSettling,
    /// After it ended an entry.
    AfterSettling,
    /// Before it counts.
    BeforeCounting,
}

/// A vault as the rules of entries have it: each credential has an entry epoch, and enters under that one alone.
#[derive(Clone)]
pub(crate) struct FakeVault(Arc<Held>);

struct Held {
    state: Mutex<State>,
    stalled: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    lockers: BTreeMap<i64, i64>,
    epochs: BTreeMap<i64, i64>,
    stall: Stall,
    silent: bool,
}

impl Default for FakeVault {
    fn default() -> Self {
        Self(Arc::new(Held { state: Mutex::default(), stalled: watch::Sender::new(false) }))
    }
}

impl FakeVault {
    pub(crate) fn epoch(&self, credential: i64) -> i64 {
        self.0.state.lock().unwrap().epochs.get(&credential).copied().unwrap_or(0)
    }

    /// The write of an entry: it commits under the epoch that was reserved alone.
    pub(crate) fn enter(&self, credential: i64, locker: i64, epoch: i64) -> bool {
        let mut state = self.0.state.lock().unwrap();
        let now = state.epochs.entry(credential).or_default();
        if *now != epoch {
            return false;
        }
        *now += 1;
        state.lockers.insert(credential, locker);
        true
    }

    pub(crate) fn leave(&self, credential: i64) {
        self.0.state.lock().unwrap().lockers.remove(&credential);
    }

    pub(crate) fn holds(&self, locker: i64) -> usize {
        self.0.state.lock().unwrap().lockers.values().filter(|of| **of == locker).count()
    }

    pub(crate) fn stall(&self, stall: Stall) {
        self.0.state.lock().unwrap().stall = stall;
        self.0.stalled.send_replace(false);
    }

    pub(crate) fn silence(&self, silent: bool) {
        self.0.state.lock().unwrap().silent = silent;
    }

    /// Waits until a call has stalled.
    pub(crate) async fn stalled(&self) {
        self.0.stalled.subscribe().wait_for(|stalled| *stalled).await.unwrap();
    }

    async fn here(&self, here: Stall) {
        let stalls = self.0.state.lock().unwrap().stall == here;
        if stalls {
            self.0.stalled.send_replace(true);
            std::future::pending::<()>().await;
        }
    }

    fn answers(&self) -> Result<(), Status> {
        if self.0.state.lock().unwrap().silent { Err(Status::unavailable("silent")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl ContentsService for FakeVault {
    async fn count_credentials(
        &self,
        request: Request<CountCredentialsRequest>,
    ) -> Result<Response<CountCredentialsResponse>, Status> {
        self.answers()?;
        self.here(Stall::BeforeCounting).await;
        let counts = request.into_inner().locker_ids.into_iter().map(|locker| self.holds(locker) as i64);
        Ok(Response::new(CountCredentialsResponse { counts: counts.collect() }))
    }

    async fn settle_entry(
        &self,
        request: Request<SettleEntryRequest>,
    ) -> Result<Response<SettleEntryResponse>, Status> {
        self.answers()?;
        self.here(Stall::BeforeSettling).await;
        let SettleEntryRequest { credential_id, epoch } = request.into_inner();
        {
            let mut state = self.0.state.lock().unwrap();
            let now = state.epochs.entry(credential_id).or_default();
            if *now == epoch {
                *now += 1;
            }
        }
        self.here(Stall::AfterSettling).await;
        Ok(Response::new(SettleEntryResponse {}))
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) auth: FakeAuth,
    pub(crate) vault: FakeVault,
    pub(crate) app: App,
    pub(crate) lockers: Arc<Lockers>,
}

pub(crate) fn open(db: &TestDb) -> (Arc<FixedClock>, Database, Outbox) {
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "locker");
    let (sqlite, postgres) = coffre_locker::migrations();
    coffre_db::migrate(&options, sqlite, postgres).unwrap();
    let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
    let site =
        Site { service: "locker", host_name: "test".into(), environment_name: "test".into(), clock: clock.clone() };
    let outbox = Outbox::new(Arc::new(site), &SecretBytes::new(vec![9; 32]));
    let database = Database::open(options, || outbox.journal()).unwrap();
    outbox.attach(database.clone());
    (clock, database, outbox)
}

impl World {
    pub(crate) async fn new(db: &TestDb) -> Self {
        let (clock, database, outbox) = open(db);
        Self::start(clock, database, outbox, FakeAuth::default(), FakeVault::default())
    }

    fn start(clock: Arc<FixedClock>, database: Database, outbox: Outbox, auth: FakeAuth, vault: FakeVault) -> Self {
        let app = coffre_locker::build(Deps {
            database: database.clone(),
            outbox: outbox.clone(),
            clock: clock.clone(),
            auth: Channel::in_process(CallerServiceServer::new(auth.clone())),
            vault: Channel::in_process(ContentsServiceServer::new(vault.clone())),
        });
        let lockers = app.lockers().clone();
        Self { clock, database, outbox, auth, vault, app, lockers }
    }

    /// The process that comes after this one died.
    pub(crate) fn again(&self) -> Self {
        let (auth, vault) = (self.auth.clone(), self.vault.clone());
        Self::start(self.clock.clone(), self.database.clone(), self.outbox.clone(), auth, vault)
    }

    /// Begins a call.
    pub(crate) fn call(&self, caller: &Arc<Caller>) -> Call {
        let origin = Origin {
            site: self.outbox.site(),
            method: "/coffre.locker.v1.LockerService/Test",
            request_id: Arc::from("r1"),
            trace_id: None,
            client_address: None,
            source: Source::Api,
        };
        let record = CallRecord::new(origin, "test", ActivityType::ReadLocker);
        record.caller(caller);
        Call { caller: caller.clone(), record: Arc::new(record) }
    }

    pub(crate) async fn create(&self, caller: &Arc<Caller>, name: &str) -> Result<View, LockerError> {
        let new = NewLocker { name: Name::parse(name).unwrap(), description: None };
        self.lockers.create(self.call(caller), new).await
    }

    /// Makes a locker and returns its number.
    pub(crate) async fn made(&self, caller: &Arc<Caller>, name: &str) -> LockerId {
        self.create(caller, name).await.unwrap().locker.id
    }

    pub(crate) async fn set(
        &self,
        caller: &Arc<Caller>,
        locker: LockerId,
        user: i64,
        membership: Membership,
    ) -> Result<(), LockerError> {
        let member = Member { user: UserId::from_trusted(user), membership };
        self.lockers.set_member(self.call(caller), locker, member).await
    }

    pub(crate) async fn remove(&self, caller: &Arc<Caller>, locker: LockerId, user: i64) -> Result<(), LockerError> {
        self.lockers.remove_member(self.call(caller), locker, UserId::from_trusted(user)).await
    }

    pub(crate) async fn add_role(&self, caller: &Arc<Caller>, locker: LockerId, role: i64) -> Result<(), LockerError> {
        self.lockers.add_consumer(self.call(caller), locker, RoleId::from_trusted(role)).await
    }

    pub(crate) async fn remove_role(
        &self,
        caller: &Arc<Caller>,
        locker: LockerId,
        role: i64,
    ) -> Result<(), LockerError> {
        self.lockers.remove_consumer(self.call(caller), locker, RoleId::from_trusted(role)).await
    }

    pub(crate) async fn version(&self, id: LockerId) -> i64 {
        self.number(Sql::new("SELECT version AS id FROM lockers WHERE id = ").bind(id.get())).await
    }

    pub(crate) async fn members(&self, id: LockerId) -> Vec<Member> {
        self.lockers.describe(id).await.unwrap().members
    }

    pub(crate) async fn rename(
        &self,
        caller: &Arc<Caller>,
        id: LockerId,
        name: &str,
    ) -> Result<(View, bool), LockerError> {
        let mut patch = patch_of(id);
        patch.name = Some(Name::parse(name).unwrap());
        self.lockers.update(self.call(caller), patch).await
    }

    pub(crate) async fn delete(&self, caller: &Arc<Caller>, id: LockerId) -> Result<(), LockerError> {
        self.lockers.delete(self.call(caller), id, String::new()).await
    }

    pub(crate) async fn keep_house(&self) -> Result<(), LockerError> {
        self.lockers.keep_house(&self.outbox.site()).await
    }

    /// Runs SQL.
    pub(crate) async fn sql(&self, sql: Sql) -> usize {
        self.database.write(move |tx| sql.clone().execute(tx.conn()).map_err(coffre_db::Error::from)).await.unwrap()
    }

    /// Returns the events that wait in the outbox, in their order.
    pub(crate) async fn waiting(&self) -> Vec<Event> {
        let rows = self.database.read(|conn| {
            let sql = Sql::new("SELECT segment FROM outbox_segments ORDER BY id");
            sql.typed::<Binary>().load::<Vec<u8>>(conn).map_err(coffre_db::Error::from)
        });
        let segments = rows.await.unwrap().into_iter().map(|row| Segment::decode(row.as_slice()).unwrap());
        segments.flat_map(|segment| segment.events).map(|event| Event::decode(event.as_slice()).unwrap()).collect()
    }

    /// Returns one number that SQL names `id`.
    pub(crate) async fn number(&self, sql: Sql) -> i64 {
        self.database.read(move |conn| coffre_db::dialect::id(conn, sql.clone())).await.unwrap()
    }

    /// Says how the database would find the rows of a statement.
    pub(crate) async fn explain(&self, statement: &str) -> String {
        let statement = statement.to_owned();
        let lines: Result<Vec<String>, coffre_db::Error> = self
            .database
            .read(move |conn| match conn {
                Connection::Sqlite(conn) => {
                    let sql = format!("EXPLAIN QUERY PLAN {statement}");
                    Ok(diesel::sql_query(sql).load::<SqlitePlan>(conn)?.into_iter().map(|line| line.detail).collect())
                }
                Connection::Postgres(conn) => {
                    let sql = format!("EXPLAIN {statement}");
                    Ok(diesel::sql_query(sql).load::<PostgresPlan>(conn)?.into_iter().map(|line| line.line).collect())
                }
            })
            .await;
        lines.unwrap().join("\n")
    }
}

#[derive(QueryableByName)]
struct SqlitePlan {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresPlan {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

pub(crate) fn patch_of(id: LockerId) -> LockerPatch {
    LockerPatch { id, version: None, etag: String::new(), name: None, description: None }
}

/// The event that a call leaves.
pub(crate) fn event(call: &Call, outcome: Outcome) -> Event {
    Event::decode(call.record.entry(outcome, None, Timestamp::default()).into_bytes()).unwrap()
}

/// A user with roles and permissions.
pub(crate) fn caller(user: i64, roles: &[i64], permissions: &[Permission]) -> Arc<Caller> {
    Arc::new(Caller {
        user_id: UserId::new(user).unwrap(),
        username: Arc::from(format!("user{user}")),
        session_id: SessionId::from_bytes(&[1; 16]).unwrap(),
        roles: roles.iter().copied().map(RoleId::from_trusted).collect(),
        permissions: permissions.iter().copied().collect(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    })
}

/// A user who acts on the lockers of which it is a member.
pub(crate) fn member(user: i64) -> Arc<Caller> {
    caller(user, &[], &[Permission::ManageMyLockers])
}

/// A user who uses what lockers share with a role of it.
pub(crate) fn consumer(user: i64, role: i64) -> Arc<Caller> {
    caller(user, &[role], &[Permission::ManageMyCredentials])
}

/// An administrator of lockers, with a role.
pub(crate) fn admin(user: i64) -> Arc<Caller> {
    caller(user, &[50], &[Permission::AdministerAllLockers])
}

pub(crate) const PARTICIPATE: Membership = Membership { own: false, manage: false };
pub(crate) const OWN: Membership = Membership { own: true, manage: false };
pub(crate) const MANAGE: Membership = Membership { own: false, manage: true };
pub(crate) const FULL: Membership = Membership::FULL;
