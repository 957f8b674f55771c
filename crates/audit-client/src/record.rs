//! The record of one call, filled while it runs.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use coffre_db::JournalEntry;
use coffre_error::{Reason, reason_name};
use coffre_proto::audit::v1::{ActivityType, Outcome, Source};
use coffre_types::{Caller, Clock, EventId, SessionId, Timestamp, UserId, ValueId, Version};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::canonical::Writer;

/// The longest text that an event keeps of one value, in characters.
const MAX_CHARACTERS: usize = 1000;
/// The most changes and the most details that an event keeps.
const MAX_FACTS: usize = 200;
/// The bytes that changes and details may take together.
const MAX_FACTS_BYTES: usize = 32 * 1024;
/// How many seals of values the event of a change has at most. None is left out: further ones are in further events.
const MAX_SEALS: usize = 1000;
/// The event that holds them.
const SEALS_CONTINUED: &str = "vault.value_seal.continued";

/// Where calls are answered: the same for every call of a service in a process.
pub struct Site {
    /// The service: `auth`, `vault`, `locker`, `audit`, `gateway`.
    pub service: &'static str,
    /// The host's name.
    pub host_name: String,
    /// The installation's name.
    pub environment_name: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Where a call came from.
#[derive(Clone)]
pub struct Origin {
    /// Who answers.
    pub site: Arc<Site>,
    /// The path of the RPC, such as `/coffre.vault.v1.CredentialService/GetCredential`; empty for what is no call.
    pub method: &'static str,
    /// The request id.
    pub request_id: Arc<str>,
    /// The W3C trace id.
    pub trace_id: Option<[u8; 16]>,
    /// The caller's address.
    pub client_address: Option<IpAddr>,
    /// The way by which it came.
    pub source: Source,
}

/// The record of one call. Handlers fill it through a shared reference.
///
/// Values are bounded here: a text keeps its first 1 000 characters, an event 200 changes and 200 details. Control characters are
/// data; to escape them is the reader's affair. Secrets never enter a record.
pub struct CallRecord {
    id: EventId,
    salt: [u8; 16],
    origin: Origin,
    facts: Mutex<Facts>,
    recorded: OnceLock<EventId>,
    writes: Mutex<Writes>,
    write_ended: Notify,
}

/// The changes of a call that the database has in hand. A change commits its event itself; whoever records the call in any other way
/// waits for them and lets no further one begin, so that one call never has two stories.
#[derive(Default)]
struct Writes {
    in_hand: usize,
    attempted: bool,
    closed: bool,
}

/// A change that the database has in hand, until it is dropped.
pub(crate) struct Writing(Arc<CallRecord>);

impl Drop for Writing {
    fn drop(&mut self) {
        let mut writes = self.0.writes();
        writes.in_hand = writes.in_hand.saturating_sub(1);
        drop(writes);
        self.0.write_ended.notify_waiters();
    }
}

struct Facts {
    event: &'static str,
    activity: ActivityType,
    actor: Option<Actor>,
    /// The actor showed a token or a password that was good.
    is_caller: bool,
    client_id: Option<Arc<str>>,
    unknown_name_hash: Option<[u8; 32]>,
    object: Option<Object>,
    changes: Vec<Change>,
    details: Vec<Detail>,
    facts_bytes: usize,
    left_out: u64,
    value_seals: Vec<ValueSeal>,
    occurrences: i64,
    /// What takes the place of the origin's method.
    method: Option<String>,
}

#[derive(Clone)]
struct Actor {
    user_id: UserId,
    user_name: Arc<str>,
    session_id: Option<SessionId>,
}

#[derive(Clone)]
struct Object {
    kind: &'static str,
    id: String,
    name: String,
}

struct Change {
    field: &'static str,
    old: Option<String>,
    new: Option<String>,
}

struct Detail {
    key: &'static str,
    value: String,
}

#[derive(Clone, Copy)]
struct ValueSeal {
    value_id: ValueId,
    version: Version,
    /// `None` where the value was deleted.
    mac: Option<[u8; 32]>,
}

impl CallRecord {
    /// Begins the record of a call. The event's id is known from now on.
    #[must_use]
    pub fn new(origin: Origin, event: &'static str, activity: ActivityType) -> Self {
        let mut random = [0; 26];
        // Without random bytes ids of one millisecond would collide and the audit would keep one of them: a UUID of the library is
        // slower and has its own source.
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            for (to, from) in random.iter_mut().zip(Uuid::new_v4().as_bytes().iter().chain(Uuid::new_v4().as_bytes())) {
                *to = *from;
            }
        }
        let mut salt = [0; 16];
        let mut tail = [0; 10];
        let (for_salt, for_id) = random.split_at(16);
        salt.copy_from_slice(for_salt);
        tail.copy_from_slice(for_id);
        let millis = u64::try_from(origin.site.clock.now().micros() / 1000).unwrap_or(0);
        let id = EventId::new(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid());
        Self::with_identity(id, salt, origin, event, activity)
    }

    /// Begins the record of something that is no call: start, stop, an operator's command.
    #[must_use]
    pub fn system(site: Arc<Site>, event: &'static str, activity: ActivityType) -> Self {
        let origin = Origin {
            site,
            method: "",
            request_id: Arc::from(""),
            trace_id: None,
            client_address: None,
            source: Source::System,
        };
        Self::new(origin, event, activity)
    }

    pub(crate) fn with_identity(
        id: EventId,
        salt: [u8; 16],
        origin: Origin,
        event: &'static str,
        activity: ActivityType,
    ) -> Self {
        let facts = Facts {
            event,
            activity,
            actor: None,
            is_caller: false,
            client_id: None,
            unknown_name_hash: None,
            object: None,
            changes: Vec::new(),
            details: Vec::new(),
            facts_bytes: 0,
            left_out: 0,
            value_seals: Vec::new(),
            occurrences: 0,
            method: None,
        };
        Self {
            id,
            salt,
            origin,
            facts: Mutex::new(facts),
            recorded: OnceLock::new(),
            writes: Mutex::default(),
            write_ended: Notify::new(),
        }
    }

    /// Returns the event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Returns where the call came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Says who calls.
    pub fn caller(&self, caller: &Caller) {
        let mut facts = self.facts();
        facts.actor = Some(Actor {
            user_id: caller.user_id,
            user_name: caller.username.clone(),
            session_id: Some(caller.session_id),
        });
        facts.client_id.clone_from(&caller.client_id);
        facts.is_caller = true;
    }

    /// Says which user calls, where there is no [`Caller`]: a sign-in. Without a session it is only the user who was named.
    pub fn actor(&self, user_id: UserId, user_name: impl Into<Arc<str>>, session_id: Option<SessionId>) {
        let mut facts = self.facts();
        facts.actor = Some(Actor { user_id, user_name: user_name.into(), session_id });
        facts.is_caller = session_id.is_some();
    }

    /// Says through which API client the call came, once it has shown that it is that client.
    pub fn client(&self, client_id: impl Into<Arc<str>>) {
        self.facts().client_id = Some(client_id.into());
    }

    /// Says that the name which was given belongs to nobody, by its keyed hash ([`crate::StreamKey::unknown_name_hash`]).
    pub fn actor_unknown_name(&self, hash: [u8; 32]) {
        self.facts().unknown_name_hash = Some(hash);
    }

    /// Says what the call was, where it is not what its row in the access table says.
    pub fn event(&self, event: &'static str, activity: ActivityType) {
        let mut facts = self.facts();
        facts.event = event;
        facts.activity = activity;
    }

    /// Says what the call was about; the name is the one at that time.
    pub fn object(&self, kind: &'static str, id: impl fmt::Display, name: impl Into<String>) {
        let object = Object { kind, id: bounded(id.to_string()), name: bounded(name.into()) };
        self.facts().object = Some(object);
    }

    /// Says what the call would make: refused, it has a name and no id.
    pub fn wanted(&self, kind: &'static str, name: impl Into<String>) {
        self.object(kind, "", name);
    }

    /// Adds a field that changed. Equal values are no change. Never a secret.
    pub fn change(&self, field: &'static str, old: Option<String>, new: Option<String>) {
        if old == new {
            return;
        }
        let (old, new) = (old.map(bounded), new.map(bounded));
        let bytes = field.len() + old.as_ref().map_or(0, String::len) + new.as_ref().map_or(0, String::len);
        let mut facts = self.facts();
        let count = facts.changes.len();
        if facts.takes(count, bytes) {
            facts.changes.push(Change { field, old, new });
        }
    }

    /// Forgets changes, details and value seals: a closure that may run again begins with it.
    pub fn clear_changes(&self) {
        let mut facts = self.facts();
        facts.changes.clear();
        facts.details.clear();
        facts.value_seals.clear();
        facts.facts_bytes = 0;
        facts.left_out = 0;
    }

    /// Adds a further fact. Never a secret.
    pub fn detail(&self, key: &'static str, value: impl Into<String>) {
        let value = bounded(value.into());
        let mut facts = self.facts();
        let count = facts.details.len();
        if facts.takes(count, key.len() + value.len()) {
            facts.details.push(Detail { key, value });
        }
    }

    /// Ties the event to a value that was written.
    pub fn value_seal(&self, value_id: ValueId, version: Version, mac: [u8; 32]) {
        self.facts().value_seals.push(ValueSeal { value_id, version, mac: Some(mac) });
    }

    /// Ties the event to a value that was deleted: its number never comes again.
    pub fn value_deleted(&self, value_id: ValueId, version: Version) {
        self.facts().value_seals.push(ValueSeal { value_id, version, mac: None });
    }

    /// Says how many alike calls the record stands for.
    pub fn occurrences(&self, occurrences: i64) {
        self.facts().occurrences = occurrences;
    }

    pub(crate) fn is_count(&self) -> bool {
        self.facts().occurrences > 1
    }

    /// Says which method was called, where it is not the origin's: a route of the REST API.
    pub fn method(&self, method: impl Into<String>) {
        self.facts().method = Some(bounded(method.into()));
    }

    /// Says whether the user or the client behind the call is known for certain; a name that was merely typed does not count.
    #[must_use]
    pub fn has_caller(&self) -> bool {
        let facts = self.facts();
        facts.is_caller || facts.client_id.is_some()
    }

    /// Says whether the event is committed.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.get().is_some()
    }

    /// Returns the id under which the event is committed; `None` where it is not, or was only counted.
    #[must_use]
    pub fn recorded_as(&self) -> Option<EventId> {
        self.recorded.get().copied()
    }

    /// Hands a change to the database; `None` where the call was given up already, and must change nothing more.
    pub(crate) fn begin_write(self: &Arc<Self>) -> Option<Writing> {
        let mut writes = self.writes();
        if writes.closed {
            return None;
        }
        writes.in_hand += 1;
        writes.attempted = true;
        Some(Writing(self.clone()))
    }

    /// Waits until the database has finished with every change of the call, and lets no further one begin. Says whether one of them
    /// committed the event. A deadline that passed, or a client that hung up, leaves a change in the database's hands; this is where its
    /// end is learnt.
    pub async fn close(&self) -> bool {
        loop {
            let ended = self.write_ended.notified();
            {
                let mut writes = self.writes();
                writes.closed = true;
                if writes.in_hand == 0 {
                    return self.is_recorded();
                }
            }
            ended.await;
        }
    }

    /// Says whether a change was handed to the database, however it ended.
    pub(crate) fn attempted_a_write(&self) -> bool {
        self.writes().attempted
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the event is committed.
    pub(crate) fn mark_recorded(&self) {
        self.mark_recorded_as(self.id);
    }

    /// Says that the event is committed under an id of its own. The first word counts.
    pub(crate) fn mark_recorded_as(&self, id: EventId) {
        let _ = self.recorded.set(id);
    }

    /// Hands the event over to whoever commits it later: that of a call which takes effect even where it cannot be recorded now. The call is
    /// answered without it.
    #[must_use]
    pub fn hand_over(&self) -> JournalEntry {
        self.mark_recorded();
        self.entry(Outcome::Successful, None, self.now())
    }

    /// Returns the time by the clock of the site.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.origin.site.clock.now()
    }

    /// Returns the event as it is hashed, chained and kept. What was refused changed nothing: it keeps no changes and no seals.
    #[must_use]
    pub fn entry(&self, outcome: Outcome, reason: Option<Reason>, now: Timestamp) -> JournalEntry {
        self.entry_as(self.id, outcome, reason, now)
    }

    /// Returns the events of a change that is made: that of the call, and further ones where it has more seals than one event holds.
    pub(crate) fn entries(&self, now: Timestamp) -> Vec<JournalEntry> {
        let further = {
            let mut facts = self.facts();
            let kept = facts.value_seals.len().min(MAX_SEALS);
            facts.value_seals.split_off(kept)
        };
        let mut entries = vec![self.entry(Outcome::Successful, None, now)];
        for seals in further.chunks(MAX_SEALS) {
            let part = Self::new(self.origin.clone(), SEALS_CONTINUED, ActivityType::AuditUnsetActivityType);
            part.detail("continues", self.id.to_string());
            {
                let (facts, mut parts) = (self.facts(), part.facts());
                parts.actor.clone_from(&facts.actor);
                parts.client_id.clone_from(&facts.client_id);
                parts.object.clone_from(&facts.object);
                parts.value_seals = seals.to_vec();
            }
            entries.push(part.entry(Outcome::Successful, None, now));
        }
        entries
    }

    /// Returns the event of a call whose change did not commit, as far as is known. It has an id of its own: if the connection broke
    /// during the COMMIT, the change may stand after all, with its event, and both must be found.
    pub(crate) fn entry_beside_a_write(&self, reason: Option<Reason>, now: Timestamp) -> (EventId, JournalEntry) {
        let in_doubt = reason == Some(Reason::StoreUnavailable);
        let outcome = if in_doubt { Outcome::Unknown } else { Outcome::Unsuccessful };
        let id = EventId::now_v7();
        (id, self.entry_as(id, outcome, reason, now))
    }

    fn entry_as(&self, id: EventId, outcome: Outcome, reason: Option<Reason>, now: Timestamp) -> JournalEntry {
        let facts = self.facts();
        let mut out = Writer::with_capacity(384 + facts.facts_bytes + 64 * facts.value_seals.len());
        out.text(1, id.uuid().as_bytes());
        out.text(2, &self.salt);
        out.integer(3, now.micros());
        out.text(4, self.origin.site.service.as_bytes());
        let method = facts.method.as_deref().unwrap_or(self.origin.method);
        out.text(5, method.trim_start_matches('/').as_bytes());
        out.text(6, facts.event.as_bytes());
        out.integer(7, i64::from(i32::from(facts.activity)));
        out.integer(8, i64::from(i32::from(outcome)));
        out.text(9, reason.map_or("", reason_name).as_bytes());
        out.integer(10, i64::from(i32::from(self.origin.source)));
        facts.write_actor(&mut out);
        facts.write_object(&mut out);
        if outcome != Outcome::Unsuccessful {
            facts.write_changes(&mut out);
        }
        facts.write_details(&mut out);
        if outcome != Outcome::Unsuccessful {
            facts.write_value_seals(&mut out);
        }
        out.text(16, cut(&self.origin.request_id).as_bytes());
        out.text(17, self.origin.trace_id.as_ref().map_or(&[], |id| id.as_slice()));
        let address = self.origin.client_address.map(|address| address.to_canonical().to_string());
        out.text(18, address.as_deref().unwrap_or_default().as_bytes());
        out.text(19, self.origin.site.host_name.as_bytes());
        out.text(20, self.origin.site.environment_name.as_bytes());
        out.integer(21, facts.occurrences);
        JournalEntry::new(out.into_bytes())
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    /// Says whether one more fact has room beside `count` others of its kind; what has none is counted.
    fn takes(&mut self, count: usize, bytes: usize) -> bool {
        let room = count < MAX_FACTS && self.facts_bytes + bytes <= MAX_FACTS_BYTES;
        if room {
            self.facts_bytes += bytes;
        } else {
            self.left_out += 1;
        }
        room
    }

    fn write_actor(&self, out: &mut Writer) {
        if self.actor.is_none() && self.client_id.is_none() && self.unknown_name_hash.is_none() {
            return;
        }
        out.message(11, |out| {
            if let Some(actor) = &self.actor {
                out.integer(1, actor.user_id.get());
                out.text(2, cut(&actor.user_name).as_bytes());
            }
            if let Some(client_id) = &self.client_id {
                out.text(3, cut(client_id).as_bytes());
            }
            if let Some(session_id) = self.actor.as_ref().and_then(|actor| actor.session_id) {
                out.text(4, session_id.uuid().as_bytes());
            }
            if let Some(hash) = &self.unknown_name_hash {
                out.text(5, hash);
            }
        });
    }

    fn write_object(&self, out: &mut Writer) {
        if let Some(object) = &self.object {
            out.message(12, |out| {
                out.text(1, object.kind.as_bytes());
                out.text(2, object.id.as_bytes());
                out.text(3, object.name.as_bytes());
            });
        }
    }

    fn write_changes(&self, out: &mut Writer) {
        for change in &self.changes {
            out.message(13, |out| {
                out.text(1, change.field.as_bytes());
                if let Some(old) = &change.old {
                    out.element(2, old.as_bytes());
                }
                if let Some(new) = &change.new {
                    out.element(3, new.as_bytes());
                }
            });
        }
    }

    fn write_details(&self, out: &mut Writer) {
        for detail in &self.details {
            out.message(14, |out| {
                out.text(1, detail.key.as_bytes());
                out.text(2, detail.value.as_bytes());
            });
        }
        if self.left_out > 0 {
            out.message(14, |out| {
                out.text(1, b"leftOut");
                out.text(2, self.left_out.to_string().as_bytes());
            });
        }
    }

    fn write_value_seals(&self, out: &mut Writer) {
        for seal in &self.value_seals {
            out.message(15, |out| {
                out.integer(1, seal.value_id.get());
                out.integer(2, seal.version.get());
                out.text(3, seal.mac.as_ref().map_or(&[], |mac| mac.as_slice()));
            });
        }
    }
}

impl fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRecord")
            .field("id", &self.id)
            .field("recorded", &self.is_recorded())
            .finish_non_exhaustive()
    }
}

/// Keeps the first characters of a text.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_CHARACTERS {
        return text;
    }
    text.char_indices().nth(MAX_CHARACTERS).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// Keeps the first characters of a text and shows by an ellipsis that there were more.
fn bounded(mut text: String) -> String {
    let kept = cut(&text).len();
    if kept < text.len() {
        let end = cut(&text).char_indices().next_back().map_or(0, |(start, _)| start);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
