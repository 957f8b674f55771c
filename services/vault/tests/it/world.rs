//! A vault with a fresh database, a fixed clock, an auth that knows the users it is told, a locker (`fake_locker`), an audit
//! (`fake_audit`) and the other replicas that it is told (`fake_peers`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use coffre_audit_client::{ActivityType, CallRecord, Origin, Outbox, Outcome, Site, Source};
use coffre_channel::Channel;
use coffre_crypto::stretch::Cost;
use coffre_db::{Bind, Connection, Database, DatabaseUrl, Options, Sql};
use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::internal::v1::reading_service_server::ReadingServiceServer;
use coffre_proto::audit::v1::Event;
use coffre_proto::auth::internal::v1::caller_service_server::{CallerService, CallerServiceServer};
use coffre_proto::auth::internal::v1::{
    DescribeUsersRequest, DescribeUsersResponse, DescribedRole, DescribedUser, LookUpRoleRequest, LookUpRoleResponse,
    LookUpUserRequest, LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, WatchChangesRequest,
    WatchChangesResponse,
};
use coffre_proto::locker::internal::v1::sharing_service_server::SharingServiceServer;
use coffre_secret::{SecretBytes, SecretText};
use coffre_test_support::TestDb;
use coffre_types::{
    AttributeId, Caller, Clock as _, CredentialId, FixedClock, LockerId, Name, Permission, RoleId, SessionId,
    Timestamp, TokenKind, UserId, ValueId,
};
use coffre_vault::domain::contents::AssignCommand;
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::model::{NewAttribute, NewCredential, Traits, View};
use coffre_vault::domain::patch::CredentialPatch;
use coffre_vault::domain::values::{CreateValues, ListValues, NewValue, UpdateValue};
use coffre_vault::vault::{Call, Vault};
use coffre_vault::{App, Deps, Error, KeySettings};
use diesel::sql_types::{Binary, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use futures_util::stream::Pending;
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::fake_audit::FakeAudit;
use crate::fake_locker::FakeLocker;
use crate::fake_peers::FakePeers;

/// Says which users exist, and which roles with which permissions they have.
#[derive(Clone, Default)]
pub(crate) struct FakeAuth(Arc<Mutex<BTreeMap<i64, Roles>>>);

/// The roles of a user, each with its permissions.
type Roles = Vec<(i64, Vec<Permission>)>;

impl FakeAuth {
    pub(crate) fn forget(&self, user: i64) {
        self.0.lock().unwrap().remove(&user);
    }

    /// Gives a user its roles.
    pub(crate) fn roles(&self, user: i64, roles: &[(i64, &[Permission])]) {
        let roles = roles.iter().map(|(role, permissions)| (*role, permissions.to_vec())).collect();
        self.0.lock().unwrap().insert(user, roles);
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
        let exists = self.0.lock().unwrap().contains_key(&user);
        Ok(Response::new(LookUpUserResponse { exists, username: format!("user{user}"), disabled: false }))
    }

    async fn look_up_role(&self, _: Request<LookUpRoleRequest>) -> Result<Response<LookUpRoleResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn describe_users(
        &self,
        request: Request<DescribeUsersRequest>,
    ) -> Result<Response<DescribeUsersResponse>, Status> {
        let asked = request.into_inner();
        let known = self.0.lock().unwrap();
        let wanted = known.iter().filter(|(user, roles)| {
            asked.user_ids.contains(user)
                || roles.iter().any(|(role, permissions)| {
                    asked.role_ids.contains(role)
                        || permissions.iter().any(|permission| asked.permission_ids.contains(&permission.id()))
                })
        });
        let users = wanted.map(|(user, roles)| DescribedUser {
            user_id: *user,
            username: format!("user{user}"),
            // An even hundred: somebody who may not sign in.
            disabled: user % 100 == 0,
            roles: roles
                .iter()
                .map(|(role, permissions)| DescribedRole {
                    role_id: *role,
                    name: format!("role{role}"),
                    permission_ids: permissions.iter().map(|permission| permission.id()).collect(),
                })
                .collect(),
        });
        Ok(Response::new(DescribeUsersResponse { users: users.collect() }))
    }
}

/// A key file: its bytes, none where it is away, or what is wrong with it.
pub(crate) type FakeFile = Arc<Mutex<Result<Option<Vec<u8>>, String>>>;

pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) auth: FakeAuth,
    pub(crate) locker: FakeLocker,
    pub(crate) audit: FakeAudit,
    /// What lies in the place of the key file.
    pub(crate) key_file: FakeFile,
    /// The other replicas that it knows: none at first.
    pub(crate) peers: FakePeers,
    pub(crate) app: App,
    pub(crate) vault: Arc<Vault>,
    /// The recovery key, where the vault was initialised here.
    pub(crate) recovery: String,
}

pub(crate) const EXPRESS_KEY: [u8; 32] = [7; 32];

pub(crate) fn express_key() -> SecretBytes {
    SecretBytes::new(EXPRESS_KEY.to_vec())
}

pub(crate) fn open(db: &TestDb) -> (Arc<FixedClock>, Database, Outbox) {
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "vault");
    let (sqlite, postgres) = coffre_vault::migrations();
    coffre_db::migrate(&options, sqlite, postgres).unwrap();
    let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
    let site =
        Site { service: "vault", host_name: "test".into(), environment_name: "test".into(), clock: clock.clone() };
    let outbox = Outbox::new(Arc::new(site), &SecretBytes::new(vec![9; 32]));
    let database = Database::open(options, || outbox.journal()).unwrap();
    outbox.attach(database.clone());
    (clock, database, outbox)
}

impl World {
    pub(crate) async fn new(db: &TestDb) -> Self {
        let (clock, database, outbox) = open(db);
        let recovery = coffre_vault::init(database.clone(), &outbox, &express_key(), |_| Ok(())).await.unwrap();
        let recovery = recovery.into_exposed();
        let world = Self::start(clock, database, outbox, express_key()).await.unwrap();
        Self { recovery, ..world }
    }

    /// Starts another process on the same database: a replica, or this one after it ended.
    pub(crate) async fn again(&self) -> Self {
        let (clock, database, outbox) = (self.clock.clone(), self.database.clone(), self.outbox.clone());
        Self::start(clock, database, outbox, express_key()).await.unwrap()
    }

    pub(crate) async fn start(
        clock: Arc<FixedClock>,
        database: Database,
        outbox: Outbox,
        express_key: SecretBytes,
    ) -> Result<Self, Error> {
        let keys =
            KeySettings { cost: Cost::new(8 * 1024, 1).unwrap(), short_master_keys: false, ..KeySettings::default() };
        Self::start_with(clock, database, outbox, Some(express_key), keys).await
    }

    pub(crate) async fn start_with(
        clock: Arc<FixedClock>,
        database: Database,
        outbox: Outbox,
        express_key: Option<SecretBytes>,
        keys: KeySettings,
    ) -> Result<Self, Error> {
        let auth = FakeAuth::default();
        auth.0.lock().unwrap().extend((1..=100).map(|user| (user, Vec::new())));
        let (locker, audit, peers) = (FakeLocker::default(), FakeAudit::default(), FakePeers::default());
        let lies_there = express_key.as_ref().map(|key| key.expose().to_vec());
        let key_file: FakeFile = Arc::new(Mutex::new(Ok(lies_there)));
        let read = key_file.clone();
        let deps = Deps {
            database: database.clone(),
            outbox: outbox.clone(),
            clock: clock.clone(),
            express_key,
            key_file: Arc::new(move || Ok(read.lock().unwrap().clone()?.map(SecretBytes::new))),
            keys,
            auth: Channel::in_process(CallerServiceServer::new(auth.clone())),
            locker: Channel::in_process(SharingServiceServer::new(locker.clone())),
            audit: Channel::in_process(ReadingServiceServer::new(audit.clone())),
            peers: Arc::new(peers.clone()),
        };
        let app = coffre_vault::build(deps).await?;
        let vault = app.vault().clone();
        locker.contents(Channel::in_process(app.parts.internal.clone()));
        let recovery = String::new();
        Ok(Self { clock, database, outbox, auth, locker, audit, key_file, peers, app, vault, recovery })
    }

    /// Begins a call.
    pub(crate) fn call(&self, caller: &Arc<Caller>) -> Call {
        self.call_from(caller, None)
    }

    /// Begins a call from an address.
    pub(crate) fn call_from(&self, caller: &Arc<Caller>, client_address: Option<IpAddr>) -> Call {
        let origin = Origin {
            site: self.outbox.site(),
            method: "/coffre.vault.v1.CredentialService/Test",
            request_id: Arc::from("r1"),
            trace_id: None,
            client_address,
            source: Source::Api,
        };
        let record = CallRecord::new(origin, "test", ActivityType::ReadCredential);
        record.caller(caller);
        Call { caller: caller.clone(), record: Arc::new(record) }
    }

    pub(crate) async fn create(
        &self,
        caller: &Arc<Caller>,
        name: &str,
        attributes: &[(&str, Traits)],
    ) -> Result<View, VaultError> {
        let new = NewCredential {
            name: Name::parse(name).unwrap(),
            description: None,
            attributes: attributes
                .iter()
                .map(|(name, traits)| NewAttribute {
                    name: Name::parse(*name).unwrap(),
                    description: None,
                    traits: *traits,
                })
                .collect(),
        };
        self.vault.create_credential(self.call(caller), new).await
    }

    /// Stores one value and returns its number.
    pub(crate) async fn store(
        &self,
        caller: &Arc<Caller>,
        credential: CredentialId,
        attribute: AttributeId,
        user: Option<i64>,
        secret: &str,
    ) -> Result<ValueId, VaultError> {
        let command = create(credential, &[(attribute, user, secret)]);
        let (written, _) = self.vault.create_values(self.call(caller), command, "").await?;
        Ok(written[0].value.id)
    }

    /// Reads the values that a caller gets.
    pub(crate) async fn read(
        &self,
        caller: &Arc<Caller>,
        credential: CredentialId,
    ) -> Result<Vec<Option<String>>, VaultError> {
        let query = ListValues { credential, attribute: None, user: None };
        let values = self.vault.values(self.call(caller), query).await?;
        Ok(values.into_iter().map(|opened| opened.secret.map(|secret| secret.expose().to_owned())).collect())
    }

    pub(crate) async fn update(
        &self,
        caller: &Arc<Caller>,
        patch: CredentialPatch,
    ) -> Result<(View, bool), VaultError> {
        self.vault.update_credential(self.call(caller), patch).await
    }

    pub(crate) async fn update_value(
        &self,
        caller: &Arc<Caller>,
        command: UpdateValue,
        secret: &str,
    ) -> Result<i64, VaultError> {
        let secret = SecretText::new(secret.to_owned());
        let (written, _) = self.vault.update_value(self.call(caller), command, secret, "").await?;
        Ok(written.value.version.get())
    }

    /// Puts a credential into a locker and says whether that changed anything.
    pub(crate) async fn assign(
        &self,
        caller: &Arc<Caller>,
        credential: CredentialId,
        locker: i64,
    ) -> Result<(View, bool), VaultError> {
        let command = AssignCommand { credential, locker: LockerId::from_trusted(locker), etag: String::new() };
        self.vault.assign_credential(self.call(caller), command).await
    }

    /// Makes a credential of a user in a locker, of which the user is made a participant.
    pub(crate) async fn create_in(&self, owner: i64, name: &str, attributes: &[(&str, Traits)], locker: i64) -> View {
        let owner = caller(owner, &[Permission::ManageMyCredentials, Permission::ManageMyLockers]);
        let made = self.create(&owner, name, attributes).await.unwrap();
        self.locker.participant(locker, owner.user_id.get());
        self.assign(&owner, made.credential.id, locker).await.unwrap();
        made
    }

    pub(crate) async fn withdraw(
        &self,
        caller: &Arc<Caller>,
        credential: CredentialId,
        locker: i64,
    ) -> Result<(), VaultError> {
        let locker = LockerId::from_trusted(locker);
        self.vault.withdraw_credential(self.call(caller), credential, locker, String::new()).await
    }

    /// Runs SQL as whoever can write the database would.
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

    /// Adds 50 000 credentials of somebody else, fifty in each of a thousand lockers, in parts: a statement has only so much time.
    pub(crate) async fn bulk(&self) {
        for part in 0..10_i64 {
            let credentials = Sql::new(
                "INSERT INTO credentials (tenant_id, name, name_key, owner_id, locker_id, version, created_by, created_at, updated_by, \
                 updated_at) WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000) \
                 SELECT 1, 'bulk ' || (10 * n + ",
            );
            let credentials = credentials.bind(part).push("), 'bulk ' || (10 * n + ").bind(part);
            self.sql(credentials.push("), 99, 1001 + n % 1000, 0, 99, 0, 99, 0 FROM numbers")).await;
            let attributes = Sql::new(
                "INSERT INTO attributes (credential_id, name, name_key, user_provided, masked, password, version, \
                 created_by, created_at, updated_by, updated_at) \
                 SELECT c.id, 'a', 'a', FALSE, FALSE, FALSE, 0, 99, 0, 99, 0 FROM credentials c \
                 WHERE c.owner_id = 99 AND c.id > (SELECT COALESCE(MAX(a.credential_id), 0) FROM attributes a WHERE a.created_by = 99)",
            );
            self.sql(attributes).await;
            let values = Sql::new(
                "INSERT INTO attribute_values (credential_id, attribute_id, user_id, term, sealed, version, \
                 created_by, created_at, updated_by, updated_at) SELECT a.credential_id, a.id, 0, 1, ",
            );
            let values = values.bind(vec![0_u8; 80]).push(
                ", 0, 99, 0, 99, 0 FROM attributes a WHERE a.created_by = 99 \
                 AND a.id > (SELECT COALESCE(MAX(v.attribute_id), 0) FROM attribute_values v WHERE v.created_by = 99)",
            );
            self.sql(values).await;
        }
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
                    diesel::sql_query("ANALYZE credentials, attributes, attribute_values").execute(conn)?;
                    let sql = format!("EXPLAIN {statement}");
                    Ok(diesel::sql_query(sql).load::<PostgresPlan>(conn)?.into_iter().map(|line| line.line).collect())
                }
            })
            .await;
        lines.unwrap().join("\n")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
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

pub(crate) fn create(credential: CredentialId, values: &[(AttributeId, Option<i64>, &str)]) -> CreateValues {
    let values = values.iter().map(|(attribute, user, secret)| NewValue {
        attribute: *attribute,
        user: user.map(UserId::from_trusted),
        secret: SecretText::new((*secret).to_owned()),
    });
    CreateValues { credential, values: values.collect() }
}

pub(crate) fn update_of(credential: CredentialId, id: ValueId) -> UpdateValue {
    UpdateValue { credential, id, version: None, etag: String::new(), attribute: None }
}

pub(crate) fn patch_of(id: CredentialId) -> CredentialPatch {
    CredentialPatch {
        id,
        version: None,
        etag: String::new(),
        name: None,
        description: None,
        owner: None,
        locker: None,
        attributes: Vec::new(),
    }
}

/// The event that a call leaves.
pub(crate) fn event(call: &Call, outcome: Outcome) -> Event {
    Event::decode(call.record.entry(outcome, None, Timestamp::default()).into_bytes()).unwrap()
}

pub(crate) fn caller(user: i64, permissions: &[Permission]) -> Arc<Caller> {
    Arc::new(Caller {
        user_id: UserId::new(user).unwrap(),
        username: Arc::from(format!("user{user}")),
        session_id: SessionId::from_bytes(&[1; 16]).unwrap(),
        roles: Arc::from([]),
        permissions: permissions.iter().copied().collect(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    })
}

/// A user with permissions and roles.
pub(crate) fn with_roles(user: i64, permissions: &[Permission], roles: &[i64]) -> Arc<Caller> {
    let caller = Caller::clone(&caller(user, permissions));
    Arc::new(Caller { roles: roles.iter().copied().map(RoleId::from_trusted).collect(), ..caller })
}

/// A user who keeps credentials of its own.
pub(crate) fn member(user: i64) -> Arc<Caller> {
    caller(user, &[Permission::ManageMyCredentials])
}

pub(crate) const STANDARD: Traits = Traits { user_provided: false, masked: false, password: false };
pub(crate) const OWN: Traits = Traits { user_provided: true, masked: false, password: false };
pub(crate) const MASKED: Traits = Traits { user_provided: false, masked: true, password: true };

pub(crate) fn bytes(value: &[u8]) -> Bind {
    value.into()
}
