//! Leaf hashes, the chain of a stream and the MAC of a segment, byte for byte as `intake_service.proto` says.

use aws_lc_rs::{digest, hmac};
pub use coffre_audit_proof::tree::{Hash, leaf_hash};
use coffre_proto::audit::internal::v1::Segment;
use coffre_secret::SecretBytes;

/// The name of a stream: 16 random bytes.
pub type StreamId = [u8; 16];

/// The hash before the first event of a stream.
pub const GENESIS: Hash = [0; 32];

const CHAIN_DOMAIN: &[u8] = b"coffre.stream.v1";
const SEGMENT_DOMAIN: &[u8] = b"coffre.segment.v1";
const PURPOSE_DOMAIN: &[u8] = b"coffre.audit-purpose.v1";
const NAME_DOMAIN: &[u8] = b"coffre.unknown-name.v1";

/// Returns the hash of a stream after one more event.
#[must_use]
pub fn next_hash(stream_id: &StreamId, sequence: i64, previous: &Hash, event: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(CHAIN_DOMAIN);
    context.update(stream_id);
    context.update(&sequence.to_be_bytes());
    context.update(previous);
    context.update(event);
    hash(context)
}

fn hash(context: digest::Context) -> Hash {
    let mut out = [0; 32];
    // SHA-256 gives 32 bytes; the copy is without a panic path.
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The key under which streams are authentic. It is in a file of its own (`audit.key`) and never in a database.
#[derive(Clone)]
pub struct StreamKey(hmac::Key);

impl StreamKey {
    /// Takes the bytes of the key file.
    #[must_use]
    pub fn new(key: &SecretBytes) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// Returns the MAC of a segment.
    #[must_use]
    pub fn segment_mac(
        &self,
        stream_id: &StreamId,
        first_sequence: i64,
        count: i64,
        previous: &Hash,
        head: &Hash,
    ) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(SEGMENT_DOMAIN);
        context.update(stream_id);
        context.update(&first_sequence.to_be_bytes());
        context.update(&count.to_be_bytes());
        context.update(previous);
        context.update(head);
        tag(&context.sign())
    }

    /// Returns a keyed hash of a name that no user has: it shows that the same name was tried again, and not which.
    #[must_use]
    pub fn unknown_name_hash(&self, name_key: &str) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(NAME_DOMAIN);
        context.update(name_key.as_bytes());
        tag(&context.sign())
    }

    /// Returns a key of its own for another purpose of the audit service, such as the signing of page tokens.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(PURPOSE_DOMAIN);
        context.update(purpose.as_bytes());
        tag(&context.sign())
    }

    /// Says whether a segment is one that a holder of the key wrote: the MAC, and the chain from its previous to its head hash.
    #[must_use]
    pub fn is_authentic(&self, segment: &Segment) -> bool {
        let (Ok(stream_id), Ok(previous), Ok(head)) = (
            StreamId::try_from(segment.stream_id.as_slice()),
            Hash::try_from(segment.previous_hash.as_slice()),
            Hash::try_from(segment.head_hash.as_slice()),
        ) else {
            return false;
        };
        let Ok(count) = i64::try_from(segment.events.len()) else { return false };
        if count == 0 || segment.first_sequence < 1 || segment.first_sequence.checked_add(count).is_none() {
            return false;
        }
        let mac = self.segment_mac(&stream_id, segment.first_sequence, count, &previous, &head);
        if !coffre_secret::equal(&mac, &segment.mac) {
            return false;
        }
        let chained = (segment.first_sequence..)
            .zip(&segment.events)
            .fold(previous, |previous, (sequence, event)| next_hash(&stream_id, sequence, &previous, event));
        chained == head
    }
}

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey")
    }
}

fn tag(tag: &hmac::Tag) -> Hash {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}
