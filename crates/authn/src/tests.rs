//! The rules of the authenticator, against an auth service that says what the test wants.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::internal::v1::caller_service_server::{CallerService, CallerServiceServer};
use coffre_proto::auth::internal::v1::change::Subject;
use coffre_proto::auth::internal::v1::watch_changes_response::Message;
use coffre_proto::auth::internal::v1::{
    Change, DescribeUsersRequest, DescribeUsersResponse, Heartbeat, LookUpRoleRequest, LookUpRoleResponse,
    LookUpUserRequest, LookUpUserResponse, ResolveCallerRequest, ResolveCallerResponse, SigningKey, SigningKeys,
    Snapshot, WatchChangesRequest, WatchChangesResponse,
};
use coffre_types::{Clock as _, FixedClock, Permission, SessionId, Timestamp, TokenKind, UserId};
use futures_util::Stream;
use jsonwebtoken::EncodingKey;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::token::{self, Identity};
use crate::{Authenticator, Settings};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: &'static str,
    pub(crate) private: EncodingKey,
    pub(crate) public: Vec<u8>,
}

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self { kid, private: EncodingKey::from_ed_der(document.as_ref()), public: pair.public_key().as_ref().to_vec() }
    }

    fn proto(&self) -> SigningKey {
        SigningKey { kid: self.kid.to_owned(), public_key: self.public.clone() }
    }
}

#[derive(Default)]
struct State {
    keys: Vec<SigningKey>,
    sequence: i64,
    answer: Option<ResolveCallerResponse>,
    streams: Vec<mpsc::UnboundedSender<Result<WatchChangesResponse, Status>>>,
}

#[derive(Clone, Default)]
struct FakeAuth {
    state: Arc<Mutex<State>>,
    asked: Arc<AtomicUsize>,
    watched: Arc<AtomicUsize>,
    silent: Arc<std::sync::atomic::AtomicBool>,
    /// How many of the next questions are answered too late.
    late: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl CallerService for FakeAuth {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn resolve_caller(
        &self,
        _: Request<ResolveCallerRequest>,
    ) -> Result<Response<ResolveCallerResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let late = self.late.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |late| late.checked_sub(1)).is_ok();
        if late || self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        let answer = self.state.lock().unwrap().answer.clone();
        answer.map(Response::new).ok_or_else(|| Refusal::new(Reason::AuthTokenInvalid, "ended").into())
    }

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        self.watched.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.lock().unwrap();
        let (sequence, keys) = (state.sequence, state.keys.clone());
        let say = |message| sender.send(Ok(WatchChangesResponse { message: Some(message) })).unwrap();
        say(Message::Snapshot(Snapshot { sequence, keys }));
        say(Message::Heartbeat(Heartbeat { sequence, age_ms: 0 }));
        state.streams.push(sender);
        Ok(Response::new(Box::pin(tokio_stream::wrappers::UnboundedReceiverStream::new(receiver))))
    }

    async fn look_up_user(&self, _: Request<LookUpUserRequest>) -> Result<Response<LookUpUserResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn look_up_role(&self, _: Request<LookUpRoleRequest>) -> Result<Response<LookUpRoleResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn describe_users(
        &self,
        _: Request<DescribeUsersRequest>,
    ) -> Result<Response<DescribeUsersResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct World {
    auth: FakeAuth,
    clock: Arc<FixedClock>,
    key: Key,
    session: SessionId,
    authenticator: Authenticator,
}

impl World {
    async fn start() -> Self {
        let (auth, clock, key) = (FakeAuth::default(), Arc::new(FixedClock::new(START)), Key::new("one"));
        let session = SessionId::new(Uuid::from_u128(5));
        {
            let mut state = auth.state.lock().unwrap();
            state.keys = vec![key.proto()];
            state.answer = Some(ResolveCallerResponse {
                user_id: 7,
                username: "ada".into(),
                role_ids: vec![70],
                permission_ids: vec![1, 2],
                expire_time_us: START.plus(Duration::from_secs(3600)).micros(),
                ..Default::default()
            });
        }
        let channel = Channel::in_process(CallerServiceServer::new(auth.clone()));
        let settings = Settings { ask_timeout: Duration::from_millis(50), ..Settings::default() };
        let authenticator = Authenticator::start(channel, settings, clock.clone());
        authenticator.ready().await;
        let world = Self { auth, clock, key, session, authenticator };
        world.until(|| world.authenticator.is_fresh()).await;
        world
    }

    fn identity(&self) -> Identity {
        Identity {
            user_id: UserId::from_trusted(7),
            session_id: self.session,
            epoch: 0,
            kind: TokenKind::Session,
            issued: self.clock.now(),
            expires: self.clock.now().plus(Duration::from_secs(1200)),
        }
    }

    fn token(&self) -> String {
        token::sign(&self.identity(), "coffre", self.key.kid, &self.key.private).unwrap()
    }

    fn asked(&self) -> usize {
        self.auth.asked.load(Ordering::SeqCst)
    }

    fn say(&self, message: Message) {
        let state = self.auth.state.lock().unwrap();
        state.streams.last().unwrap().send(Ok(WatchChangesResponse { message: Some(message) })).unwrap();
    }

    /// Tells a change and waits until it is applied.
    async fn change(&self, subject: Subject) {
        let sequence = {
            let mut state = self.auth.state.lock().unwrap();
            state.sequence += 1;
            state.sequence
        };
        self.say(Message::Change(Change { sequence, subject: Some(subject) }));
        self.until(|| self.authenticator.applied() == sequence).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if holds() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it never came");
    }

    async fn refused(&self, token: &str) -> Reason {
        self.authenticator.authenticate(token).await.unwrap_err().reason()
    }

    fn end_session(&self) {
        self.auth.state.lock().unwrap().answer = None;
    }
}

#[tokio::test]
async fn a_caller_is_asked_for_once_and_then_known() {
    let world = World::start().await;
    let token = world.token();
    for _ in 0..3 {
        let caller = world.authenticator.authenticate(&token).await.unwrap();
        assert_eq!((caller.user_id.get(), &*caller.username), (7, "ada"));
        assert!(caller.has(Permission::ManageMyLockers) && !caller.has(Permission::ManageUsers));
    }
    assert_eq!(world.asked(), 1);
    // Another token of the same session needs a verification and no question.
    let other = token::sign(&world.identity(), "coffre", "one", &world.key.private).unwrap();
    assert_ne!(other, token);
    world.authenticator.authenticate(&other).await.unwrap();
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn misses_of_one_session_at_the_same_time_share_a_question() {
    let world = World::start().await;
    let token = world.token();
    let calls = (0..20).map(|_| world.authenticator.authenticate(&token));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn what_auth_says_now_is_asked_for_whatever_is_kept() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    world.auth.state.lock().unwrap().answer.as_mut().unwrap().permission_ids = vec![7];
    assert!(!world.authenticator.authenticate(&token).await.unwrap().has(Permission::ManageUsers), "it is kept");
    assert!(world.authenticator.authenticate_anew(&token).await.unwrap().has(Permission::ManageUsers));
    assert_eq!(world.asked(), 2);
    world.end_session();
    assert_eq!(world.authenticator.authenticate_anew(&token).await.unwrap_err().reason(), Reason::AuthTokenInvalid);
    world.auth.silent.store(true, Ordering::SeqCst);
    assert_eq!(world.authenticator.authenticate_anew(&token).await.unwrap_err().reason(), Reason::AuthUnavailable);
}

#[tokio::test]
async fn rule_1_3_expiry_and_session_end_are_checked_on_every_hit() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    world.clock.advance(Duration::from_secs(1199));
    world.say(Message::Heartbeat(Heartbeat { sequence: 0, age_ms: 0 }));
    world.until(|| world.authenticator.is_fresh()).await;
    world.authenticator.authenticate(&token).await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.refused(&token).await, Reason::AuthTokenInvalid);

    // A token that would outlive its session does not.
    let late = Identity { expires: START.plus(Duration::from_secs(100_000)), ..world.identity() };
    let late = token::sign(&late, "coffre", "one", &world.key.private).unwrap();
    world.clock.advance(Duration::from_secs(2400));
    assert_eq!(world.refused(&late).await, Reason::AuthTokenInvalid);
}

#[tokio::test]
async fn rule_1_3_epoch_is_checked_on_every_hit() {
    let world = World::start().await;
    world.auth.state.lock().unwrap().answer.as_mut().unwrap().first_epoch = 1;
    world.auth.state.lock().unwrap().answer.as_mut().unwrap().epoch = 2;
    let of_epoch =
        |epoch| token::sign(&Identity { epoch, ..world.identity() }, "coffre", "one", &world.key.private).unwrap();
    world.authenticator.authenticate(&of_epoch(1)).await.unwrap();
    world.authenticator.authenticate(&of_epoch(2)).await.unwrap();
    assert_eq!(world.refused(&of_epoch(0)).await, Reason::AuthTokenInvalid);
    assert_eq!(world.refused(&of_epoch(3)).await, Reason::AuthTokenInvalid);
}

#[tokio::test]
async fn rule_1_4_an_ended_session_is_refused_once_the_change_arrives() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    world.end_session();
    world.change(Subject::SessionEnded(world.session.uuid().as_bytes().to_vec())).await;
    assert_eq!(world.refused(&token).await, Reason::AuthTokenInvalid);
}

#[tokio::test]
async fn rule_1_4_changes_of_the_user_and_of_its_roles_drop_its_rights() {
    let world = World::start().await;
    let token = world.token();
    for (count, subject) in [(2, Subject::UserChanged(7)), (3, Subject::RoleChanged(70))] {
        world.authenticator.authenticate(&token).await.unwrap();
        world.change(subject).await;
        world.auth.state.lock().unwrap().answer.as_mut().unwrap().sequence = world.authenticator.applied();
        world.authenticator.authenticate(&token).await.unwrap();
        assert_eq!(world.asked(), count);
    }
    world.change(Subject::UserChanged(8)).await;
    world.change(Subject::RoleChanged(71)).await;
    world.authenticator.authenticate(&token).await.unwrap();
    assert_eq!(world.asked(), 3, "changes of others drop nothing");
}

#[tokio::test]
async fn rule_1_4_an_answer_from_before_a_change_is_not_kept() {
    let world = World::start().await;
    let token = world.token();
    world.change(Subject::UserChanged(7)).await;
    // Auth answered as of change 0, which the change of this user has overtaken.
    world.authenticator.authenticate(&token).await.unwrap();
    world.authenticator.authenticate(&token).await.unwrap();
    assert_eq!(world.asked(), 2);
    world.auth.state.lock().unwrap().answer.as_mut().unwrap().sequence = 1;
    world.authenticator.authenticate(&token).await.unwrap();
    world.authenticator.authenticate(&token).await.unwrap();
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn rule_1_4_stale_knowledge_is_not_used() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    world.clock.advance(Duration::from_millis(801));
    for count in 2..4 {
        world.authenticator.authenticate(&token).await.unwrap();
        assert_eq!(world.asked(), count, "every call asks");
    }
    world.auth.silent.store(true, Ordering::SeqCst);
    let refusal = world.authenticator.authenticate(&token).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::AuthUnavailable);
    assert_eq!(refusal.delay(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn rule_1_4_what_auth_says_too_late_is_asked_for_anew() {
    let world = World::start().await;
    let token = world.token();
    world.auth.late.store(3, Ordering::SeqCst);
    world.authenticator.authenticate(&token).await.unwrap();
    assert_eq!(world.asked(), 4);
    world.clock.advance(Duration::from_millis(801));
    world.auth.late.store(4, Ordering::SeqCst);
    assert_eq!(world.refused(&token).await, Reason::AuthUnavailable);
}

#[tokio::test]
async fn rule_1_4_a_heartbeat_counts_from_what_it_says_not_from_its_arrival() {
    let world = World::start().await;
    let token = world.token();
    world.clock.advance(Duration::from_secs(10));
    world.say(Message::Heartbeat(Heartbeat { sequence: 0, age_ms: 900 }));
    world.authenticator.authenticate(&token).await.unwrap();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!world.authenticator.is_fresh());
    world.say(Message::Heartbeat(Heartbeat { sequence: 0, age_ms: 100 }));
    world.until(|| world.authenticator.is_fresh()).await;
}

#[tokio::test]
async fn rule_1_4_a_new_stream_voids_what_was_known() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    world.end_session();
    world.auth.state.lock().unwrap().streams.clear();
    let reconnected = || world.auth.watched.load(Ordering::SeqCst) == 2 && world.authenticator.is_fresh();
    while !reconnected() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.refused(&token).await, Reason::AuthTokenInvalid);
}

#[tokio::test]
async fn a_gap_in_the_numbers_breaks_the_stream() {
    let world = World::start().await;
    world.say(Message::Change(Change { sequence: 2, subject: Some(Subject::UserChanged(9)) }));
    while world.auth.watched.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn rule_1_5_a_withdrawn_key_refuses_tokens_that_were_known() {
    let world = World::start().await;
    let token = world.token();
    world.authenticator.authenticate(&token).await.unwrap();
    let next = Key::new("two");
    world.auth.state.lock().unwrap().keys = vec![next.proto()];
    world.change(Subject::KeysChanged(SigningKeys { keys: vec![next.proto()] })).await;
    assert_eq!(world.refused(&token).await, Reason::AuthTokenInvalid);
    let fresh = token::sign(&world.identity(), "coffre", "two", &next.private).unwrap();
    world.authenticator.authenticate(&fresh).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_one_refresh_a_second_at_most() {
    let world = World::start().await;
    let stranger = Key::new("stranger");
    let forged = token::sign(&world.identity(), "coffre", "stranger", &stranger.private).unwrap();
    for _ in 0..10 {
        assert_eq!(world.refused(&forged).await, Reason::AuthTokenInvalid);
    }
    assert_eq!(world.auth.watched.load(Ordering::SeqCst), 2, "the stream, and one refresh");
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn a_key_that_is_newer_than_the_last_change_is_found() {
    let world = World::start().await;
    let next = Key::new("two");
    world.auth.state.lock().unwrap().keys.push(next.proto());
    let token = token::sign(&world.identity(), "coffre", "two", &next.private).unwrap();
    world.authenticator.authenticate(&token).await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_user_never_meets_this_session() {
    let world = World::start().await;
    world.authenticator.authenticate(&world.token()).await.unwrap();
    let other = Identity { user_id: UserId::from_trusted(8), ..world.identity() };
    let other = token::sign(&other, "coffre", "one", &world.key.private).unwrap();
    assert_eq!(world.refused(&other).await, Reason::AuthTokenInvalid);
}
