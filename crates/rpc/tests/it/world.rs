//! A service behind its layers, and everything around it that is not under test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::Bytes;
use coffre_audit_client::{ActivityType, Outbox, Site, audited_write};
use coffre_authn::token::{Identity, sign};
use coffre_authn::{Authenticator, Settings};
use coffre_channel::Channel;
use coffre_db::{Connection, Database, DatabaseUrl, Error, Journal, JournalEntry, Options};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::audit_service_server::{AuditService, AuditServiceServer};
use coffre_proto::audit::v1::{
    Event, GetEntryRequest, GetEntryResponse, ListEntriesRequest, ListEntriesResponse, StreamEntriesRequest,
    StreamEntriesResponse,
};
use coffre_proto::auth::internal::v1::caller_service_server::{CallerService, CallerServiceServer};
use coffre_proto::auth::internal::v1::{
    DescribeUsersRequest, DescribeUsersResponse, Heartbeat, LookUpRoleRequest, LookUpRoleResponse, LookUpUserRequest,
    LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, SigningKey, Snapshot, TokenKind as ToldKind,
    WatchChangesRequest, WatchChangesResponse, watch_changes_response,
};
use coffre_proto::auth::v1::api_key_service_server::{ApiKeyService, ApiKeyServiceServer};
use coffre_proto::auth::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, DeleteApiKeyRequest, DeleteApiKeyResponse, ListApiKeysRequest,
    ListApiKeysResponse,
};
use coffre_rpc::{
    Access, Admission, CallContext, Front, FrontOptions, Guard, Internal, InternalOptions, InternalRpc, Layered,
    Limits, Rpc, RpcMetrics, Served, Service, ServiceParts, StreamLimits, Streams, missing,
};
use coffre_secret::SecretBytes;
use coffre_tls::{InternalTls, PublicTls};
use coffre_trace::Tracer;
use coffre_types::{Activity, Clock as _, Permission, SessionId, SystemClock, TokenKind, UserId};
use futures_util::{Stream, StreamExt as _, stream};
use jsonwebtoken::EncodingKey;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

const fn row(path: &'static str, access: Access, event: &'static str) -> Rpc {
    Rpc { path, access, event, activity: ActivityType::CvSetting }
}

const SETTINGS: Access = Access::Permission(Permission::ManageSettings);

static RPCS: [Rpc; 4] = [
    row("/coffre.audit.v1.AuditService/StreamEntries", SETTINGS, "audit.entry.streamed"),
    row("/coffre.auth.v1.ApiKeyService/ListApiKeys", SETTINGS, "api_key.listed"),
    row("/coffre.auth.v1.ApiKeyService/DeleteApiKey", SETTINGS, "api_key.deleted"),
    row("/coffre.auth.v1.ApiKeyService/CreateApiKey", SETTINGS, "api_key.created"),
];

static OF_A_SESSION: [Rpc; 1] = [row("/coffre.auth.v1.ApiKeyService/ListApiKeys", Access::Session, "api_key.listed")];

static RECENT: [Rpc; 1] = [row(
    "/coffre.auth.v1.ApiKeyService/ListApiKeys",
    Access::RecentPermission(Permission::ManageSettings),
    "api_key.listed",
)];

/// How the session behind the token was opened.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) kind: TokenKind,
    /// How long ago the password was given; `None`: no password was.
    pub(crate) password: Option<Duration>,
}

impl Opened {
    pub(crate) const NOW: Self = Self { kind: TokenKind::Session, password: Some(Duration::ZERO) };
}

static INTERNAL_RPCS: [InternalRpc; 2] = [
    InternalRpc {
        path: "/coffre.auth.internal.v1.CallerService/ResolveCaller",
        callers: &[Service::Vault, Service::Locker],
    },
    InternalRpc { path: "/coffre.auth.internal.v1.CallerService/WatchChanges", callers: &[Service::Vault] },
];

pub(crate) struct World {
    layered: Layered,
    parts: ServiceParts,
    metrics: RpcMetrics,
    token: String,
    kept: Kept,
    registry: prometheus::Registry,
    hangs: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    may_follow: Arc<AtomicBool>,
    stopping: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(permissions: &[Permission]) -> Self {
        Self::build(permissions, &RPCS, Limits::default(), Opened::NOW).await
    }

    pub(crate) async fn without_rows() -> Self {
        Self::build(&[Permission::ManageSettings], &[], Limits::default(), Opened::NOW).await
    }

    pub(crate) async fn with_room_for(in_flight: usize) -> Self {
        let limits = Limits { in_flight, ..Limits::default() };
        Self::build(&[Permission::ManageSettings], &RPCS, limits, Opened::NOW).await
    }

    /// A service whose call takes tokens of sessions alone.
    pub(crate) async fn for_sessions(opened: Opened) -> Self {
        Self::build(&[], &OF_A_SESSION, Limits::default(), opened).await
    }

    /// A service whose call asks for a recent sign-in.
    pub(crate) async fn for_recent_sign_ins(opened: Opened) -> Self {
        let limits = Limits { recent_sign_in: Duration::from_secs(60), ..Limits::default() };
        Self::build(&[Permission::ManageSettings], &RECENT, limits, opened).await
    }

    async fn build(permissions: &[Permission], rpcs: &'static [Rpc], limits: Limits, opened: Opened) -> Self {
        let clock = Arc::new(SystemClock);
        let folder = tempfile::tempdir().unwrap();
        let site = Arc::new(Site {
            service: "auth",
            host_name: "host".into(),
            environment_name: "test".into(),
            clock: clock.clone(),
        });
        let outbox = Outbox::new(site, &SecretBytes::new(vec![7; 32]));
        let kept = Kept::default();
        let options = Options::new(DatabaseUrl::sqlite(folder.path()), "auth");
        let database = Database::open(options, || Box::new(kept.clone())).unwrap();
        outbox.attach(database.clone());

        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let public_key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap().public_key().as_ref().to_vec();
        let hangs = Arc::<AtomicBool>::default();
        let permissions = permissions.iter().map(|permission| permission.id()).collect();
        let asked = Arc::<AtomicUsize>::default();
        let auth = Auth {
            public_key,
            permissions,
            told_kind: match opened.kind {
                TokenKind::Session => ToldKind::Session,
                TokenKind::PublicApi => ToldKind::PublicApi,
            },
            password_time_us: opened.password.map_or(0, |ago| clock.now().minus(ago).micros()),
            hangs: hangs.clone(),
            asked: asked.clone(),
        };
        let authenticator = Authenticator::start(
            Channel::in_process(Routes::new(CallerServiceServer::new(auth.clone())).prepare()),
            Settings::default(),
            clock.clone(),
        );
        authenticator.ready().await;
        let identity = Identity {
            user_id: UserId::from_trusted(7),
            session_id: SessionId::from_bytes(&[1; 16]).unwrap(),
            epoch: 0,
            kind: opened.kind,
            issued: clock.now(),
            expires: clock.now().plus(Duration::from_secs(600)),
        };
        let token = sign(&identity, "coffre", "k1", &EncodingKey::from_ed_der(pkcs8.as_ref())).unwrap();

        let limits_of_streams = StreamLimits {
            in_all: 2,
            look_again: Duration::from_millis(20),
            patience: Duration::from_millis(200),
            ..StreamLimits::default()
        };
        let (streams, stopping) = (Streams::new(limits_of_streams), CancellationToken::new());
        let may_follow = Arc::new(AtomicBool::new(true));
        let parts = ServiceParts {
            name: "auth",
            public: Routes::new(ApiKeyServiceServer::new(Keys { database: database.clone(), slow: kept.slow.clone() }))
                .add_service(AuditServiceServer::new(Numbers { streams, may_follow: may_follow.clone() })),
            internal: Routes::new(CallerServiceServer::new(auth)),
            rpcs,
            internal_rpcs: &INTERNAL_RPCS,
            outbox,
        };
        let registry = prometheus::Registry::new();
        let metrics = RpcMetrics::register(&registry).unwrap();
        let activity = Activity::new(clock.clone());
        let metrics_of = metrics.clone();
        let stops = stopping.clone();
        let guard = Guard {
            authenticator,
            clock,
            metrics: metrics_of,
            limits,
            stopping: stops,
            activity,
            tracer: Tracer::default(),
        };
        let layered = Layered::new(&parts, guard);
        Self { layered, parts, metrics, token, kept, registry, hangs, asked, may_follow, stopping, _folder: folder }
    }

    /// The internal port of the service.
    pub(crate) fn internal(&self, tls: InternalTls) -> Internal {
        let options =
            InternalOptions { tls, connections: 64, drain: Duration::from_secs(5), tracer: Tracer::default() };
        Internal::new(Service::Auth, &self.parts, self.layered.clone(), &self.metrics, options)
    }

    /// The public port of the service.
    pub(crate) fn front(&self, tls: Option<PublicTls>, connections: usize) -> Front {
        let options = FrontOptions { reflection: false, drain: Duration::from_secs(5), tls, connections };
        Front::new(vec![self.layered.clone()], options).unwrap()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.layered.channel("gateway")
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        metadata.insert("x-request-id", "request-1".parse().unwrap());
        metadata.insert("x-coffre-client-address", "203.0.113.9".parse().unwrap());
        metadata.insert("x-coffre-source", "API".parse().unwrap());
        request
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.kept.events.lock().unwrap().iter().map(|entry| Event::decode(entry.bytes().as_ref()).unwrap()).collect()
    }

    /// From now on the call that hangs begins a change first, which takes longer than its deadline.
    pub(crate) fn change_slowly(&self) {
        self.kept.slow.store(true, Ordering::SeqCst);
    }

    /// Sends bytes that are no message, and returns why they were refused.
    pub(crate) async fn raw(&self, path: &'static str, metadata: MetadataMap, message: &'static [u8]) -> Reason {
        let body = http_body_util::Full::new(Bytes::from_static(message));
        let mut request = http::Request::post(path).header("content-type", "application/grpc");
        request.headers_mut().unwrap().extend(metadata.into_headers());
        let request = request.body(tonic::body::Body::new(body)).unwrap();
        let response = tower::Service::call(&mut self.channel(), request).await.unwrap();
        Refusal::from_status(&Status::from_header_map(response.headers()).unwrap()).reason()
    }

    /// From now on nobody learns who a caller is.
    pub(crate) fn forget_callers(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    /// How often somebody asked who a caller is.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The calls that were counted, by their gRPC code.
    pub(crate) fn counted(&self, code: &str) -> u64 {
        self.counted_of("coffre_rpc_calls_total", "code", code)
    }

    /// The sum of a counter, by one of its labels.
    pub(crate) fn counted_of(&self, counter: &str, name: &str, value: &str) -> u64 {
        let families = self.registry.gather();
        let calls = families.iter().filter(|family| family.name() == counter);
        calls
            .flat_map(|family| family.get_metric())
            .filter(|metric| metric.get_label().iter().any(|label| label.name() == name && label.value() == value))
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }

    /// The sum of a gauge.
    pub(crate) fn gauge(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        metrics.map(|metric| metric.get_gauge().get_value() as u64).sum()
    }

    /// From now on the caller may follow no stream.
    pub(crate) fn take_away(&self) {
        self.may_follow.store(false, Ordering::SeqCst);
    }

    /// From now on the process is about to stop.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    pub(crate) fn break_journal(&self) {
        self.kept.broken.store(true, Ordering::SeqCst);
    }
}

/// Keeps entries in memory.
#[derive(Clone, Default)]
struct Kept {
    events: Arc<Mutex<Vec<JournalEntry>>>,
    broken: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
}

impl Journal for Kept {
    fn write(&mut self, _: &mut Connection, entries: &[JournalEntry]) -> Result<(), Error> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::Full);
        }
        self.events.lock().unwrap().extend_from_slice(entries);
        Ok(())
    }

    fn committed(&mut self) {}

    fn rolled_back(&mut self) {}

    fn in_doubt(&mut self) {}
}

struct Keys {
    database: Database,
    slow: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl ApiKeyService for Keys {
    async fn list_api_keys(&self, _: Request<ListApiKeysRequest>) -> Result<Response<ListApiKeysResponse>, Status> {
        Ok(Response::new(ListApiKeysResponse::default()))
    }

    async fn delete_api_key(&self, _: Request<DeleteApiKeyRequest>) -> Result<Response<DeleteApiKeyResponse>, Status> {
        panic!("planted");
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        if self.slow.load(Ordering::SeqCst) {
            let call = CallContext::of(&request)?;
            let changed: Result<(), Error> = audited_write(&self.database, call.record(), |_| {
                std::thread::sleep(Duration::from_millis(100));
                Ok(())
            })
            .await;
            drop(changed);
        }
        std::future::pending().await
    }
}

/// Streams that count: without end, or with `follow` one number and then nothing.
struct Numbers {
    streams: Streams,
    may_follow: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl AuditService for Numbers {
    type StreamEntriesStream = Served<StreamEntriesResponse>;

    async fn stream_entries(
        &self,
        request: Request<StreamEntriesRequest>,
    ) -> Result<Response<Self::StreamEntriesStream>, Status> {
        let admission = Admission::of(&request)?;
        let place = self.streams.take(CallContext::of(&request)?.caller()?)?;
        let quiet = request.into_inner().follow;
        let may_follow = self.may_follow.clone();
        let may = move |_: &coffre_types::Caller| {
            may_follow.load(Ordering::SeqCst).then_some(()).ok_or_else(|| missing(Permission::ViewAllAudit))
        };
        let numbers = stream::iter(1..)
            .map(|next_index| Ok(StreamEntriesResponse { next_index, ..StreamEntriesResponse::default() }));
        let numbers = if quiet { numbers.take(1).chain(stream::pending()).boxed() } else { numbers.boxed() };
        Ok(Response::new(place.serve(admission, may, numbers)))
    }

    async fn list_entries(&self, _: Request<ListEntriesRequest>) -> Result<Response<ListEntriesResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get_entry(&self, _: Request<GetEntryRequest>) -> Result<Response<GetEntryResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

#[derive(Clone)]
struct Auth {
    public_key: Vec<u8>,
    permissions: Vec<i64>,
    told_kind: ToldKind,
    password_time_us: i64,
    hangs: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

type Changes = std::pin::Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl CallerService for Auth {
    type WatchChangesStream = Changes;

    async fn resolve_caller(
        &self,
        request: Request<ResolveCallerRequest>,
    ) -> Result<Response<ResolveCallerResponse>, Status> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(ResolveCallerResponse {
            sequence: 1,
            user_id: request.into_inner().user_id,
            username: "ada".into(),
            permission_ids: self.permissions.clone(),
            expire_time_us: i64::MAX,
            password_time_us: self.password_time_us,
            token_kind: self.told_kind.into(),
            ..ResolveCallerResponse::default()
        }))
    }

    async fn watch_changes(&self, _: Request<WatchChangesRequest>) -> Result<Response<Changes>, Status> {
        let keys = vec![SigningKey { kid: "k1".into(), public_key: self.public_key.clone() }];
        let snapshot = watch_changes_response::Message::Snapshot(Snapshot { sequence: 1, keys });
        let first = stream::once(async move { Ok(WatchChangesResponse { message: Some(snapshot) }) });
        let beats = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let beat = watch_changes_response::Message::Heartbeat(Heartbeat { sequence: 1, age_ms: 0 });
            Some((Ok(WatchChangesResponse { message: Some(beat) }), ()))
        });
        Ok(Response::new(Box::pin(first.chain(beats))))
    }

    async fn look_up_user(&self, _: Request<LookUpUserRequest>) -> Result<Response<LookUpUserResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn look_up_role(&self, _: Request<LookUpRoleRequest>) -> Result<Response<LookUpRoleResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn describe_users(
        &self,
        _: Request<DescribeUsersRequest>,
    ) -> Result<Response<DescribeUsersResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}
