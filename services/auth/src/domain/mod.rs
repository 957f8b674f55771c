//! What auth does, and by which rules. It knows neither gRPC nor SQL; what it changes, it changes through [`crate::store`] in one
//! transaction together with the record of the call.

pub(crate) mod api_access;
pub(crate) mod api_accesses;
pub(crate) mod api_key;
pub(crate) mod api_keys;
pub(crate) mod api_policy;
pub(crate) mod client;
pub(crate) mod confirmations;
mod consumption;
pub(crate) mod deletion;
pub(crate) mod error;
pub(crate) mod grants;
pub(crate) mod holdings;
pub(crate) mod introspection;
pub(crate) mod oauth_error;
pub(crate) mod password;
pub(crate) mod policy;
pub(crate) mod ports;
pub(crate) mod refresh;
pub(crate) mod role;
pub(crate) mod roles;
pub(crate) mod secret_text;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod signing;
pub(crate) mod strength;
pub(crate) mod throttle;
mod turn;
pub(crate) mod user;
pub(crate) mod users;

use std::net::IpAddr;
use std::sync::Arc;

use coffre_audit_client::Outbox;
use coffre_changes::provider::Hub;
use coffre_db::Database;
use coffre_db::list::PageTokens;
use coffre_types::{Clock, Timestamp};

use crate::config::Config;
use crate::crowd::Crowd;
use crate::gate::Gate;
use crate::hashing::Hasher;
use crate::secrets::Secrets;
use crate::store::changes::Subject;
use ports::Keepers;
use signing::{PublicKey, Signer};
use throttle::AddressKey;

/// Everything a use case needs.
pub(crate) struct Auth {
    pub(crate) config: Config,
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Secrets,
    pub(crate) hasher: Hasher,
    /// Those who try to sign in just now.
    pub(crate) crowd: Crowd<AddressKey>,
    /// Turns at counting and hashing.
    pub(crate) gate: Gate<AddressKey>,
    pub(crate) signer: Signer,
    pub(crate) hub: Hub<Subject, Arc<[PublicKey]>>,
    pub(crate) keepers: Keepers,
    pub(crate) page_tokens: PageTokens,
}

impl Auth {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// From where a call came, for counting attempts.
pub(crate) type ClientAddress = Option<IpAddr>;
