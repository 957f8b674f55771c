//! An event on its way into the log: the bytes that are kept and what lists search by.

use coffre_audit_client::canonical;
use coffre_audit_client::chain::{Hash, leaf_hash};
use coffre_audit_proof::{detail::detail, sentence::sentence};
use coffre_proto::audit::v1::Event;
use coffre_types::NameKey;

/// An event with what lists search by.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) canonical: Vec<u8>,
    pub(crate) leaf_hash: Hash,
    pub(crate) event_id: [u8; 16],
    pub(crate) columns: Columns,
    pub(crate) said: Said,
}

impl NewEntry {
    /// Reads an event that its writer's key vouches for; `None` where the bytes are none.
    pub(crate) fn read(canonical: Vec<u8>) -> Option<Self> {
        let event = canonical::decode(&canonical)?;
        Some(Self {
            event_id: event.id.as_slice().try_into().ok()?,
            leaf_hash: leaf_hash(&canonical),
            said: Said::of(&event),
            columns: Columns::of(event),
            canonical,
        })
    }
}

/// What lists filter and sort by: a function of the event. Names are in the form in which they compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns {
    pub(crate) created_at: i64,
    pub(crate) activity: i64,
    pub(crate) event: String,
    pub(crate) status: i64,
    pub(crate) source: i64,
    pub(crate) user_id: i64,
    pub(crate) user_name_key: String,
    pub(crate) object_type: String,
    pub(crate) object_id: String,
    pub(crate) object_name_key: String,
    pub(crate) request_id: String,
    pub(crate) host_name: String,
    pub(crate) environment_name: String,
    pub(crate) client_address: String,
}

impl Columns {
    /// Makes them of an event.
    pub(crate) fn of(event: Event) -> Self {
        let key = |text: &str| NameKey::of(text).into_string();
        let indexed = |text: &str| shortened(key(text));
        let actor = event.actor.unwrap_or_default();
        let object = event.object.unwrap_or_default();
        Self {
            created_at: event.time_us,
            activity: event.activity_type.into(),
            status: event.outcome.into(),
            source: event.source.into(),
            event: indexed(&event.event),
            user_id: actor.user_id,
            user_name_key: indexed(&actor.user_name),
            object_type: indexed(&object.r#type),
            object_id: indexed(&object.id),
            object_name_key: key(&object.name),
            request_id: indexed(&event.request_id),
            host_name: key(&event.host_name),
            environment_name: key(&event.environment_name),
            client_address: indexed(&event.client_address),
        }
    }
}

/// What is said of an event to people: a function of the event, too, and of [`WORDS`](coffre_audit_proof::words::WORDS). It is stored for
/// those who search in it; what is shown is made anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) description: String,
    pub(crate) detail: String,
}

impl Said {
    /// Makes it of an event.
    pub(crate) fn of(event: &Event) -> Self {
        Self { description: sentence(event), detail: detail(event) }
    }
}

/// The longest text that goes into an index, in bytes: PostgreSQL takes no more than 2 700, and an event that cannot be stored would hold up
/// all that follow. No name is so long; whoever writes a longer one is found by its other fields, and it stays whole in the event.
const LONGEST_INDEXED: usize = 1_200;

fn shortened(mut key: String) -> String {
    key.truncate(key.floor_char_boundary(LONGEST_INDEXED));
    key
}

/// An entry as it is read.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) log_index: i64,
    pub(crate) event: Event,
    pub(crate) canonical: Vec<u8>,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) said: Said,
}
