//! The wiring.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::Outbox;
use coffre_channel::Channel;
use coffre_crypto::Key256;
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_db::Database;
use coffre_db::list::PageTokens;
use coffre_proto::holdings::internal::v1::holdings_service_server::HoldingsServiceServer;
use coffre_proto::vault::internal::v1::contents_service_server::ContentsServiceServer;
use coffre_proto::vault::internal::v1::peer_service_server::PeerServiceServer;
use coffre_proto::vault::v1::attribute_value_service_server::AttributeValueServiceServer;
use coffre_proto::vault::v1::credential_service_server::CredentialServiceServer;
use coffre_proto::vault::v1::dashboard_service_server::DashboardServiceServer;
use coffre_proto::vault::v1::key_service_server::KeyServiceServer;
use coffre_proto::vault::v1::value_seal_service_server::ValueSealServiceServer;
use coffre_rpc::ServiceParts;
use coffre_secret::{SecretBytes, SecretText};
use coffre_types::{Clock, Timestamp};
use diesel_migrations::EmbeddedMigrations;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::api::{
    AttributeValues, Contents, Credentials, Dashboards, Holdings, INTERNAL_RPCS, Keys, RPCS, Replicas, ValueSeals,
};
use crate::audit::Audit;
use crate::domain::keys::{KeySettings, RolledBack};
use crate::keyring::{self, KeyFile, Keyring, OpenError};
use crate::lockers::Lockers;
use crate::peers::{Asking, Giving, Pace, PeerCounts, Peers};
use crate::recipient::{Recipients, vouching_key};
use crate::reencryption::{Meter, Reencryption};
use crate::shares::ShareCache;
use crate::store::{POSTGRES, SQLITE, Store};
use crate::transport::TransportKeys;
use crate::users::Users;
use crate::vault::Vault;

/// The longest message: 100 values of 64 KiB are more than REST lets in; gRPC callers send up to this.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The longest ask for the root key.
const MAX_ASK_BYTES: usize = 4096;

/// What the service needs.
pub struct Deps {
    /// Its database, opened with the journals of `outbox`.
    pub database: Database,
    /// The outbox of its writers.
    pub outbox: Outbox,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The express key: 32 bytes. In the mode Manual there may be none.
    pub express_key: Option<SecretBytes>,
    /// Reads the express key's file again: a slot is only ever made for the key that lies there.
    pub key_file: KeyFile,
    /// What the installation says about keys.
    pub keys: KeySettings,
    /// The way to auth's internal side; it may be filled later.
    pub auth: Channel,
    /// The way to locker's internal side; it may be filled later.
    pub locker: Channel,
    /// The way to audit's internal side; it may be filled later.
    pub audit: Channel,
    /// The other replicas; [`crate::NoPeers`] where there is one process.
    pub peers: Arc<dyn Peers>,
}

/// Why the service cannot be built.
pub type Error = OpenError;

/// The service, ready to be served.
pub struct App {
    /// Its routes.
    pub parts: ServiceParts,
    /// What it does besides answering.
    pub background: Background,
    vault: Arc<Vault>,
    peer_counts: Arc<PeerCounts>,
}

impl App {
    /// Returns the use cases, for whoever calls them without a transport.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Says whether the vault is open, for readiness and metrics. Sealed counts as ready.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.vault.keyring.is_open()
    }

    /// Says since when the vault is sealed in this process, for readiness and metrics; `None` while it is open.
    #[must_use]
    pub fn sealed_since(&self) -> Option<Timestamp> {
        self.vault.keyring.sealed_since()
    }

    /// Returns why the stored keys are refused, for readiness: they are older than those that were seen.
    #[must_use]
    pub fn keys_put_back(&self) -> Option<RolledBack> {
        self.vault.keyring.put_back()
    }

    /// Says whether it is known, from the audit, that the stored keys are not older ones, for readiness.
    #[must_use]
    pub fn keys_compared(&self) -> bool {
        self.vault.keyring.is_compared()
    }

    /// Says whether locker was heard lately, for readiness and metrics: otherwise it is asked at every call that hangs on it.
    #[must_use]
    pub fn hears_locker(&self) -> bool {
        self.vault.shares.is_fresh()
    }

    /// Returns what replicas gave each other, for metrics.
    #[must_use]
    pub fn peer_counts(&self) -> &Arc<PeerCounts> {
        &self.peer_counts
    }

    /// Says how old what is known of locker's changes is, for metrics.
    #[must_use]
    pub fn locker_age(&self) -> Duration {
        self.vault.shares.age()
    }
}

/// Follows the seal state, asks the audit which keys are the newest, asks other replicas for the root key, keeps transport keys and
/// the recipient of backups, and re-encrypts values.
#[derive(Clone)]
pub struct Background {
    keyring: Arc<Keyring>,
    transport: Arc<TransportKeys>,
    reencryption: Reencryption,
    recipients: Arc<Recipients>,
    asking: Asking,
    audit: Audit,
}

impl Background {
    /// Runs until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(
            self.keyring.watch(&stop),
            self.keyring.compare_at_last(&self.audit, &stop),
            self.asking.run(&stop),
            self.transport.keep(&stop),
            self.reencryption.run(&stop),
            self.recipients.keep(&stop)
        );
    }

    /// Compares the stored keys with what the audit tells of them, once and before anybody is answered. Where audit is away, it is asked
    /// again in the background; the log and readiness tell it.
    pub async fn compare_keys(&self) {
        if let Err(error) = self.keyring.compare(&self.audit).await {
            tracing::debug!(%error, "the stored keys are not known to be the newest");
        }
    }

    /// Returns what asks other replicas for the root key, for whoever cannot wait for its next round.
    #[must_use]
    pub fn asking(&self) -> &Asking {
        &self.asking
    }
}

/// Returns the migrations for SQLite and for PostgreSQL.
#[must_use]
pub fn migrations() -> (EmbeddedMigrations, EmbeddedMigrations) {
    (SQLITE, POSTGRES)
}

/// Makes the vault's keys, once: root key, express slot, recovery slot, first term, in one audited transaction. `show` gets the recovery key
/// before the commit that makes it good: where it fails, nothing is made.
///
/// # Errors
/// [`OpenError::Initialised`] the second time, [`OpenError::NotShown`]; nothing changes then.
pub async fn init(
    database: Database,
    outbox: &Outbox,
    express_key: &SecretBytes,
    show: impl FnOnce(&SecretText) -> std::io::Result<()>,
) -> Result<SecretText, Error> {
    let key = Key256::from_secret(express_key)?;
    keyring::initialise(&Store::new(database), &outbox.site(), &key, show).await
}

/// Wires the service and opens the vault with the express key. A database that does not answer yet, a vault that was sealed on purpose, and
/// one whose key only people have, are no errors: it stays sealed and follows. So too where the key file is lost or the express slot is
/// damaged, and there is a recovery slot: the recovery key opens the vault then; and where data keys are damaged.
///
/// # Errors
/// [`OpenError::Uninitialised`], [`OpenError::KeyLength`]; without a recovery slot [`OpenError::WrongKey`], [`OpenError::NoKeyFile`],
/// [`OpenError::Damaged`].
pub async fn build(deps: Deps) -> Result<App, Error> {
    let Deps { database, outbox, clock, express_key, key_file, keys, auth, locker, audit, peers } = deps;
    let store = Store::new(database);
    let site = outbox.site();
    let key = express_key.as_ref().map(|key| Key256::from_secret(key)?.on_locked_page()).transpose()?;
    let keyring = Arc::new(Keyring::new(store.clone(), site.clone(), clock.clone(), key, key_file, keys.given_up_term));
    match keyring.refresh().await {
        Err(OpenError::Store(error)) if error.is_transient() => {
            tracing::warn!(%error, "the vault stays sealed until its database answers");
        }
        Err(error @ (OpenError::WrongKey | OpenError::NoKeyFile | OpenError::Damaged)) => {
            let slot = store.read(|tx| Ok(tx.slot(SlotKind::Recovery)?)).await;
            if slot.ok().flatten().is_none_or(|slot| Slot::from_bytes(slot).is_err()) {
                return Err(error);
            }
            tracing::error!(%error, "the vault stays sealed until somebody applies the recovery key");
        }
        // Another key would not help, and users, roles and the audit go on.
        Err(error @ OpenError::TermsDamaged(_)) => tracing::error!(%error, "the vault stays sealed"),
        opened => opened?,
    }
    let transport = Arc::new(TransportKeys::new(store.clone(), keyring.clone(), clock.clone()));
    let vouching = vouching_key(outbox.key())?;
    let recipients = Arc::new(Recipients::new(store.clone(), keyring.clone(), clock.clone(), vouching));
    let meter = Arc::new(Meter::default());
    let reencryption = Reencryption::new(store.clone(), keyring.clone(), site.clone(), clock.clone(), meter.clone());
    let peer_counts = Arc::new(PeerCounts::default());
    let giving = Giving::new(keyring.clone(), outbox.clone(), clock.clone(), peers.trust_domain(), peer_counts.clone());
    let asking = Asking::new(keyring.clone(), site.clone(), peers, peer_counts.clone(), Pace::default());
    let audit = Audit::new(audit, clock.clone());
    let background = Background {
        keyring: keyring.clone(),
        transport: transport.clone(),
        reencryption,
        recipients,
        asking,
        audit: audit.clone(),
    };
    let tokens = PageTokens::new(&outbox.key().derived("page-tokens"));
    let shares = Arc::new(ShareCache::new(locker.clone(), clock.clone()));
    let following = coffre_changes::consumer::start(shares.clone());
    let (users, lockers) = (Users::new(auth), Lockers::new(locker));
    let vault = Arc::new(Vault {
        store,
        keyring,
        transport,
        users,
        shares,
        following,
        lockers,
        audit,
        clock,
        tokens,
        keys,
        meter,
    });

    let values = AttributeValueServiceServer::new(AttributeValues(vault.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    let credentials = CredentialServiceServer::new(Credentials(vault.clone())).max_encoding_message_size(usize::MAX);
    let dashboards = DashboardServiceServer::new(Dashboards(vault.clone())).max_encoding_message_size(usize::MAX);
    let public = Routes::new(credentials)
        .add_service(values)
        .add_service(KeyServiceServer::new(Keys(vault.clone())))
        .add_service(ValueSealServiceServer::new(ValueSeals(vault.clone())))
        .add_service(dashboards);
    let internal = Routes::new(HoldingsServiceServer::new(Holdings { vault: vault.clone(), site }))
        .add_service(ContentsServiceServer::new(Contents(vault.clone())))
        .add_service(PeerServiceServer::new(Replicas(Arc::new(giving))).max_decoding_message_size(MAX_ASK_BYTES));
    let parts = ServiceParts { name: "vault", public, internal, rpcs: RPCS, internal_rpcs: INTERNAL_RPCS, outbox };
    Ok(App { parts, background, vault, peer_counts })
}
