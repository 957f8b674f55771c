//! Gives the root key to other replicas.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffre_audit_client::{ActivityType, CallRecord, Origin, Outbox, Outcome, Source};
use coffre_crypto::peer::Asked;
use coffre_error::Reason;
use coffre_types::Clock;
use tokio::sync::Semaphore;

use super::{PeerCounts, identity};
use crate::domain::error::VaultError;
use crate::keyring::{Keyring, Pair};

/// The service whose replicas get the root key.
const VAULT: &str = "vault";
/// How many are served at once.
const AT_ONCE: usize = 4;
/// How often a refusal of somebody who is no replica is recorded. What comes in between is in the number of the next one.
const RECORDED_EVERY: Duration = Duration::from_secs(60);
/// The longest name of an asker, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// The service that the connection shows; empty where it shows none.
    pub(crate) service: &'static str,
    /// What it calls itself.
    pub(crate) name: String,
    /// Its address, where it is known.
    pub(crate) address: Option<IpAddr>,
}

/// What gives the root key.
pub(crate) struct Giving {
    keyring: Arc<Keyring>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    trust_domain: String,
    counts: Arc<PeerCounts>,
    places: Semaphore,
    refusals: Mutex<Refusals>,
}

/// Refusals that are not recorded yet.
#[derive(Default)]
struct Refusals {
    recorded_at: Option<Instant>,
    waiting: i64,
}

impl Giving {
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        outbox: Outbox,
        clock: Arc<dyn Clock>,
        trust_domain: &str,
        counts: Arc<PeerCounts>,
    ) -> Self {
        let (places, refusals) = (Semaphore::new(AT_ONCE), Mutex::default());
        Self { keyring, outbox, clock, trust_domain: trust_domain.to_owned(), counts, places, refusals }
    }

    /// Returns what this process calls itself.
    pub(crate) fn own_name(&self) -> String {
        self.outbox.site().host_name.clone()
    }

    /// Seals the root key to another replica, in an audited transaction.
    ///
    /// # Errors
    /// `PeerNotVault`, `Invalid`, `PeersBusy`; as for [`Keyring::share`].
    pub(crate) async fn give(
        &self,
        asker: &Asker,
        generation: i64,
        asked: Result<Asked, VaultError>,
    ) -> Result<Vec<u8>, VaultError> {
        if asker.service != VAULT {
            return Err(VaultError::PeerNotVault);
        }
        // Most who are asked are sealed themselves: that costs nothing.
        if !self.keyring.is_open() {
            return Err(VaultError::Sealed);
        }
        let asked = asked?;
        if asker.name.len() > MAX_NAME_BYTES {
            return Err(VaultError::invalid("asker_name", format!("must be at most {MAX_NAME_BYTES} bytes")));
        }
        let _place = self.places.try_acquire().map_err(|_| VaultError::PeersBusy)?;
        let site = self.outbox.site();
        let record = CallRecord::system(site, "vault.root_key.shared", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        let pair = Pair {
            asker: identity(&self.trust_domain, asker.service),
            asker_name: asker.name.clone(),
            giver: identity(&self.trust_domain, VAULT),
        };
        let address = asker.address.map(|address| address.to_string()).unwrap_or_default();
        let details = vec![
            ("to", asker.name.clone()),
            ("address", address.clone()),
            ("generation", generation.to_string()),
            ("share", asked.id()),
        ];
        let sealed = self.keyring.share(&Arc::new(record), &pair, generation, &asked, details).await?;
        PeerCounts::count(&self.counts.given);
        tracing::info!(to = asker.name, address, share = asked.id(), "the root key was given to another replica");
        Ok(sealed)
    }

    /// Counts, logs and records that somebody was refused who is no replica of this vault, or because the stored keys are not those of it.
    pub(crate) async fn refused(&self, asker: &Asker, reason: Reason) {
        PeerCounts::count(&self.counts.refused);
        let Some(occurrences) = self.to_record() else { return };
        let Asker { service, name, address } = asker;
        tracing::error!(
            service,
            name,
            ?address,
            ?reason,
            occurrences,
            "somebody asked for the root key and was refused"
        );
        let origin = Origin {
            site: self.outbox.site(),
            method: "",
            request_id: Arc::from(""),
            trace_id: None,
            client_address: *address,
            source: Source::System,
        };
        let record = CallRecord::new(origin, "vault.root_key.refused", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        record.detail("name", name.as_str());
        record.detail("service", *service);
        if occurrences > 1 {
            record.occurrences(occurrences);
        }
        if let Err(error) = self.outbox.append(&record, Outcome::Unsuccessful, Some(reason)).await {
            tracing::error!(%error, "that cannot be recorded in the audit");
        }
    }

    /// Says for how many refusals an entry is due.
    fn to_record(&self) -> Option<i64> {
        let now = self.clock.monotonic();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.waiting = refusals.waiting.saturating_add(1);
        let lately = refusals.recorded_at.is_some_and(|at| now.saturating_duration_since(at) < RECORDED_EVERY);
        if lately {
            return None;
        }
        refusals.recorded_at = Some(now);
        Some(std::mem::take(&mut refusals.waiting))
    }
}
