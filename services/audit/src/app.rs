//! The wiring.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::Outbox;
use coffre_audit_proof::checkpoint::LogId;
use coffre_db::list::PageTokens;
use coffre_db::{Database, DatabaseUrl, Options};
use coffre_proto::audit::internal::v1::intake_service_server::IntakeServiceServer;
use coffre_proto::audit::internal::v1::reading_service_server::ReadingServiceServer;
use coffre_proto::audit::v1::audit_service_server::AuditServiceServer;
use coffre_proto::audit::v1::proof_service_server::ProofServiceServer;
use coffre_rpc::{KeptPlaces, ServiceParts, StreamLimits, Streams};
use coffre_secret::SecretBytes;
use coffre_types::Permission;
use diesel_migrations::EmbeddedMigrations;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Notify;
use tonic::service::Routes;

use crate::api::{Entries, Intake, Proofs, Reading};
use crate::domain::checkpoint::Signer;
use crate::domain::cut::Cutter;
use crate::domain::keeper::Keeper;
use crate::domain::ports::{KeepCheckpoints as _, Witness};
use crate::domain::proofs::Prover;
use crate::keeping::Keeping;
use crate::store::{POSTGRES, SQLITE, Store};
use crate::witness::WitnessFile;
use crate::{INTERNAL_RPCS, RPCS};

/// The longest message that a relay sends: a request of segments is at most 2 MiB, but for a single larger one.
const MAX_INTAKE_BYTES: usize = 8 * 1024 * 1024;
/// How long a reader waits for what this process committed before.
const SETTLE_AT_MOST: Duration = Duration::from_millis(500);
/// So many of the places for streams are for those who may see everything: an export and a proof do not wait for users who follow their own
/// entries.
const KEPT_FOR_AUDITORS: usize = 16;

/// Waits, for a bounded time, until what was committed before is in the log: whoever just did something finds it there.
pub type Settle = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Settles the outboxes of this process.
#[must_use]
pub fn settle(outboxes: Vec<Outbox>) -> Settle {
    let outboxes: Arc<[Outbox]> = outboxes.into();
    Arc::new(move || {
        let outboxes = outboxes.clone();
        async move {
            join_all(outboxes.iter().map(|outbox| outbox.settle(SETTLE_AT_MOST))).await;
        }
        .boxed()
    })
}

/// How the service keeps the log.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file to which checkpoints go besides the log lines: outside of the database, best on another disk.
    pub witness_file: Option<PathBuf>,
    /// Entries older than that are cut off once a day; `None`: never.
    pub retention: Option<Duration>,
    /// How often a checkpoint is made where something came.
    pub checkpoint_interval: Duration,
    /// Checkpoints for those who ask for a proof of what came after the latest are at least that far apart.
    pub checkpoint_spacing: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            witness_file: None,
            retention: None,
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_spacing: Duration::from_secs(1),
        }
    }
}

/// What the service needs.
pub struct Deps {
    /// How it keeps the log.
    pub config: Config,
    /// The seed of the key that signs checkpoints: 32 bytes.
    pub checkpoint_key: SecretBytes,
    /// Its database, opened with the journals of `outbox`.
    pub database: Database,
    /// The outbox for the record of its own calls. Its key is the one under which every service's streams are authentic.
    pub outbox: Outbox,
    /// See [`settle`].
    pub settle: Settle,
}

/// Why the service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error("the audit's database: {0}")]
    Store(#[from] coffre_db::Error),
    /// The key is not that of the log.
    #[error(
        "the key file audit.key is not the one with which this audit log was begun: put back the one that was there"
    )]
    WrongKey,
    /// The key is not the one that signed the log.
    #[error(
        "the key file checkpoint.key is not the one with which this audit log was signed: put back the one that was there"
    )]
    WrongCheckpointKey,
    /// The key file holds something else.
    #[error("the key file checkpoint.key holds no key: {0}")]
    NoCheckpointKey(String),
}

/// The service, ready to be served.
pub struct App {
    /// Its routes.
    pub parts: ServiceParts,
    /// What looks after the log in the background.
    pub keeping: Keeping,
}

/// Says whether the log was signed before: its key is not made anew then.
///
/// # Errors
/// Without the database.
pub async fn is_signed(database: &Database) -> Result<bool, coffre_db::Error> {
    let signed = "SELECT count(*) AS id FROM log_head WHERE verifier_key IS NOT NULL";
    Ok(database.read(move |conn| coffre_db::dialect::id(conn, coffre_db::Sql::new(signed))).await? > 0)
}

/// Returns the migrations for SQLite and for PostgreSQL.
#[must_use]
pub fn migrations() -> (EmbeddedMigrations, EmbeddedMigrations) {
    (SQLITE, POSTGRES)
}

/// Returns how the database is best used. Events come in large batches that touch many pages of its indexes: with room to gather them,
/// a page is written once where it would be written several times.
#[must_use]
pub fn options(url: DatabaseUrl) -> Options {
    let usual = Options::new(url, "audit");
    // Two searches and the look at the log at once, on the smallest machine.
    Options { cache_kib: 32 * 1024, checkpoint_pages: 16_000, readers: usual.readers.max(3), ..usual }
}

/// Wires the service.
///
/// # Errors
/// Where one of the keys is not that of the log; [`Error::Store`] without its database.
pub async fn build(deps: Deps) -> Result<App, Error> {
    let Deps { config, checkpoint_key, database, outbox, settle } = deps;
    let key = outbox.key().clone();
    let store = Arc::new(Store::new(database, PageTokens::new(&key.derived("page-tokens")), outbox.site()));
    if !store.knows_key(key.derived("key-check")).await? {
        return Err(Error::WrongKey);
    }
    let clock = outbox.site().clock.clone();
    let log_id = store.log_id(LogId::new(uuid::Uuid::new_v4().into_bytes())).await?;
    let signer = Signer::new(log_id, checkpoint_key).map_err(|refused| Error::NoCheckpointKey(refused.to_string()))?;
    if !store.knows_verifier(signer.verifier().to_string()).await? {
        return Err(Error::WrongCheckpointKey);
    }
    let witness = config.witness_file.map(|path| Arc::new(WitnessFile::new(path)) as Arc<dyn Witness>);
    let keeper =
        Arc::new(Keeper::new(store.clone(), Arc::new(signer), witness, clock.clone(), config.checkpoint_spacing));
    let cutter = Arc::new(Cutter::new(store.clone(), keeper.clone(), settle.clone(), outbox.site()));
    let was_cut = Arc::new(Notify::new());
    let prover = Arc::new(Prover::new(store.clone(), keeper.clone()));
    let proofs = Proofs {
        prover: prover.clone(),
        keeper: keeper.clone(),
        cutter: cutter.clone(),
        incidents: store.clone(),
        settle: settle.clone(),
        was_cut: was_cut.clone(),
    };
    let keeping = Keeping {
        keeper,
        cutter,
        was_cut,
        clock,
        checkpoint_interval: config.checkpoint_interval,
        retention: config.retention,
    };
    let appended = Arc::new(Notify::new());
    let kept = Some(KeptPlaces { places: KEPT_FOR_AUDITORS, permission: Permission::ViewAllAudit });
    let streams = Streams::new(StreamLimits { kept, ..StreamLimits::default() });
    let entries = Entries::new(store.clone(), prover, settle.clone(), appended.clone(), streams);
    let reading = Reading::new(store.clone(), settle);
    let intake = Intake::new(store, outbox.clone(), appended);
    let intake = IntakeServiceServer::new(intake).max_decoding_message_size(MAX_INTAKE_BYTES);
    let reading = ReadingServiceServer::new(reading).max_encoding_message_size(usize::MAX);
    let parts = ServiceParts {
        name: "audit",
        public: Routes::new(AuditServiceServer::new(entries)).add_service(ProofServiceServer::new(proofs)),
        internal: Routes::new(intake).add_service(reading),
        rpcs: RPCS,
        internal_rpcs: INTERNAL_RPCS,
        outbox,
    };
    Ok(App { parts, keeping })
}
