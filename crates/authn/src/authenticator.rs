//! The way from a token to its caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use coffre_changes::consumer::{self, Known, STALE_AFTER, Watching};
use coffre_channel::Channel;
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::{self, ResolveCallerRequest, ResolveCallerResponse};
use coffre_types::{ApiAccessId, Caller, Clock, Permission, RoleId, SessionId, Timestamp, TokenKind, UserId};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::timeout;

use crate::callers::ResolvedCaller;
use crate::state::{Digest, State};
use crate::token::{Identity, MAX_BYTES, TokenFault, VerifiedToken};
use crate::watcher;

/// The limits of an authenticator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `iss` that tokens must carry.
    pub issuer: String,
    /// How old the knowledge of changes may be before every call asks auth.
    pub stale_after: Duration,
    /// How long auth may take to answer.
    pub ask_timeout: Duration,
    /// How many verified tokens are kept.
    pub token_capacity: u64,
    /// How many callers are kept.
    pub caller_capacity: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "coffre".to_owned(),
            stale_after: STALE_AFTER,
            ask_timeout: Duration::from_millis(500),
            token_capacity: 100_000,
            caller_capacity: 50_000,
        }
    }
}

/// Turns tokens into callers. Clones share one state and one background task, which ends with the last of them.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

type Resolution = Result<Arc<ResolvedCaller>, Refusal>;

struct Inner {
    state: Arc<State>,
    ask_timeout: Duration,
    /// Questions on their way to auth: calls of one session that miss at the same time share one.
    asked: Mutex<HashMap<Question, Shared<BoxFuture<'static, Resolution>>>>,
    _watching: Watching,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    session: SessionId,
    user: UserId,
    epoch: i64,
    kid: String,
}

impl Question {
    fn about(verified: &VerifiedToken) -> Self {
        Self {
            session: verified.identity.session_id,
            user: verified.identity.user_id,
            epoch: verified.identity.epoch,
            kid: verified.kid.clone(),
        }
    }
}

impl Authenticator {
    /// Starts to follow auth's changes over its internal service. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(channel: Channel, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let callers = Known::new(settings.caller_capacity, clock.clone(), settings.stale_after);
        let state = Arc::new(State::new(channel, clock, settings.issuer, settings.token_capacity, callers));
        let watching = consumer::start(state.clone());
        Self(Arc::new(Inner { state, ask_timeout: settings.ask_timeout, asked: Mutex::default(), _watching: watching }))
    }

    /// Returns the caller behind a token as auth knows him now, whatever is kept: before somebody is refused for want of a right that he
    /// may have been given a moment ago.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_anew(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        let verified = self.verified(token).await?;
        let state = &self.0.state;
        // Not a question that is on its way already: its answer may be from before.
        let question = Question::about(&verified);
        let resolved = resolve(state, self.0.ask_timeout, &question).await?;
        if !takes(&resolved, &verified.identity, state.clock.now()) {
            return Err(invalid());
        }
        Ok(resolved.caller.clone())
    }

    /// Returns the caller behind a token.
    ///
    /// # Errors
    /// `AUTH_TOKEN_INVALID` for a token that is not ours, has expired, or whose session has ended; `AUTH_UNAVAILABLE` where what is
    /// known is too old and auth does not answer.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        let verified = self.verified(token).await?;
        let now = self.0.state.clock.now();
        if let Some(resolved) = self.0.state.callers.fresh(&verified.identity.session_id)
            && takes(&resolved, &verified.identity, now)
        {
            return Ok(resolved.caller.clone());
        }
        let resolved = self.ask(&verified).await?;
        if !takes(&resolved, &verified.identity, now) {
            return Err(invalid());
        }
        Ok(resolved.caller.clone())
    }

    /// Says whether the first snapshot of auth's state has arrived and is not too old.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.0.state.callers.is_fresh()
    }

    /// Says how old what is known of auth's changes is, for those who watch the process.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.0.state.callers.age()
    }

    /// Returns the number of the last change that was applied.
    #[cfg(test)]
    pub(crate) fn applied(&self) -> i64 {
        self.0.state.callers.last()
    }

    /// Waits until the first snapshot of auth's state has arrived.
    pub async fn ready(&self) {
        self.0.state.callers.ready().await;
    }

    fn known_token(&self, digest: &Digest) -> Option<Arc<VerifiedToken>> {
        let verified = self.0.state.tokens.get(digest)?;
        (verified.generation == self.0.state.keys.load().generation()).then_some(verified)
    }

    /// Returns what a token says, once its signature is checked and while it lasts.
    async fn verified(&self, token: &str) -> Result<Arc<VerifiedToken>, Refusal> {
        if token.len() > MAX_BYTES {
            return Err(invalid());
        }
        let digest = digest_of(token);
        let verified = match self.known_token(&digest) {
            Some(verified) => verified,
            None => self.verify(token, digest).await?,
        };
        if verified.is_expired(self.0.state.clock.now()) {
            return Err(expired());
        }
        Ok(verified)
    }

    async fn verify(&self, token: &str, digest: Digest) -> Result<Arc<VerifiedToken>, Refusal> {
        if !self.0.state.callers.is_ready() {
            timeout(self.0.ask_timeout, self.ready()).await.map_err(|_| unavailable())?;
        }
        let first = self.0.state.keys.load().verify(token);
        let verified = match first {
            Err(TokenFault::UnknownKey) => {
                self.refresh_keys().await?;
                self.0.state.keys.load().verify(token)
            }
            known => known,
        };
        let verified = Arc::new(verified.map_err(|_| invalid())?);
        self.0.state.tokens.insert(digest, verified.clone());
        Ok(verified)
    }

    /// Asks for the keys out of turn, at most once a second: a key that is unknown here may be newer than the last change seen.
    async fn refresh_keys(&self) -> Result<(), Refusal> {
        if !self.0.state.may_refresh_keys() {
            return if self.0.state.callers.is_fresh() { Ok(()) } else { Err(unavailable()) };
        }
        let answer = timeout(self.0.ask_timeout, watcher::snapshot(&self.0.state.channel)).await;
        let Ok(Ok(Some(snapshot))) = answer else { return Err(unavailable()) };
        self.0.state.take_keys(&snapshot);
        Ok(())
    }

    async fn ask(&self, verified: &VerifiedToken) -> Resolution {
        let question = Question::about(verified);
        let shared = {
            let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
            match asked.get(&question) {
                Some(shared) => shared.clone(),
                None => {
                    let (inner, asking) = (Arc::downgrade(&self.0), question.clone());
                    let (state, limit) = (self.0.state.clone(), self.0.ask_timeout);
                    let future = async move {
                        let resolution = resolve(&state, limit, &asking).await;
                        if let Some(inner) = inner.upgrade() {
                            inner.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&asking);
                        }
                        resolution
                    };
                    // Spawned, so that it ends and leaves the map even where every caller that waits for it goes away.
                    let task = tokio::spawn(future);
                    let shared = async move { task.await.unwrap_or_else(|_| Err(unavailable())) }.boxed().shared();
                    asked.insert(question, shared.clone());
                    shared
                }
            }
        };
        shared.await
    }
}

/// How often auth is asked before a call is refused. An answer that took longer than the limit is not waited for: it would say what was so
/// when auth looked, too long ago to act on it. It is asked for anew instead.
const ASKS: u32 = 4;

/// Asks auth about one session and keeps the answer where nothing has changed since.
async fn resolve(state: &State, limit: Duration, question: &Question) -> Resolution {
    for _ in 0..ASKS {
        let asked = state.callers.ask();
        let request = ResolveCallerRequest {
            session_id: question.session.uuid().as_bytes().to_vec(),
            user_id: question.user.get(),
            epoch: question.epoch,
            kid: question.kid.clone(),
        };
        let mut client = CallerServiceClient::new(state.channel.clone());
        match timeout(limit, client.resolve_caller(request)).await {
            Err(_) => {}
            Ok(Err(status)) => {
                let refusal = Refusal::from_status(&status);
                return Err(if refusal.reason() == Reason::AuthTokenInvalid { refusal } else { unavailable() });
            }
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                let sequence = answer.sequence;
                let resolved = Arc::new(from_answer(answer, question.session));
                state.callers.keep(question.session, resolved.clone(), sequence, asked);
                return Ok(resolved);
            }
        }
    }
    Err(unavailable())
}

fn from_answer(answer: ResolveCallerResponse, session_id: SessionId) -> ResolvedCaller {
    let kind = match answer.token_kind() {
        v1::TokenKind::PublicApi => TokenKind::PublicApi,
        v1::TokenKind::Session | v1::TokenKind::Unspecified => TokenKind::Session,
    };
    let caller = Caller {
        user_id: UserId::from_trusted(answer.user_id),
        username: answer.username.into(),
        session_id,
        roles: answer.role_ids.into_iter().map(RoleId::from_trusted).collect(),
        permissions: answer.permission_ids.into_iter().filter_map(Permission::from_id).collect(),
        administrator: answer.administrator,
        password_time: Timestamp::from_micros(answer.password_time_us),
        password_change_required: answer.password_change_required,
        kind,
        client_id: (!answer.client_id.is_empty()).then(|| answer.client_id.into()),
    };
    ResolvedCaller {
        caller: Arc::new(caller),
        session_end: Timestamp::from_micros(answer.expire_time_us),
        first_epoch: answer.first_epoch,
        epoch: answer.epoch,
        api_access: ApiAccessId::new(answer.api_access_id),
    }
}

/// Says whether a session takes a token now.
fn takes(resolved: &ResolvedCaller, identity: &Identity, now: Timestamp) -> bool {
    resolved.caller.user_id == identity.user_id
        && resolved.caller.kind == identity.kind
        && resolved.session_end > now
        && (resolved.first_epoch..=resolved.epoch).contains(&identity.epoch)
}

fn digest_of(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

fn invalid() -> Refusal {
    Refusal::new(Reason::AuthTokenInvalid, "the token is not valid, or its session has ended; sign in again")
}

fn expired() -> Refusal {
    Refusal::new(Reason::AuthTokenInvalid, "the token has expired; sign in again")
}

fn unavailable() -> Refusal {
    Refusal::new(
        Reason::AuthUnavailable,
        "the auth service does not answer, so nobody can be recognised; repeat the call",
    )
    .retry_after(Duration::from_secs(1))
}
