//! The wiring.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::Outbox;
use coffre_db::list::PageTokens;
use coffre_db::{Database, DatabaseUrl, Options};
use coffre_proto::audit::internal::v1::intake_service_server::IntakeServiceServer;
use coffre_proto::audit::internal::v1::reading_service_server::ReadingServiceServer;
use coffre_proto::audit::v1::audit_service_server::AuditServiceServer;
use coffre_rpc::ServiceParts;
use diesel_migrations::EmbeddedMigrations;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tonic::service::Routes;

use crate::RPCS;
use crate::api::{Entries, Intake, Reading};
use crate::store::{POSTGRES, SQLITE, Store};

/// The longest message that a relay sends: a request of segments is at most 2 MiB, but for a single larger one.
const MAX_INTAKE_BYTES: usize = 8 * 1024 * 1024;
/// How long a reader waits for what this process committed before.
const SETTLE_AT_MOST: Duration = Duration::from_millis(500);

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

/// What the service needs.
pub struct Deps {
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
}

/// The service, ready to be served.
pub struct App {
    /// Its routes.
    pub parts: ServiceParts,
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
    Options { cache_kib: 32 * 1024, checkpoint_pages: 16_000, ..Options::new(url, "audit") }
}

/// Wires the service.
///
/// # Errors
/// [`Error::WrongKey`] where the key is not that of the log, [`Error::Store`] without its database.
pub async fn build(deps: Deps) -> Result<App, Error> {
    let Deps { database, outbox, settle } = deps;
    let key = outbox.key().clone();
    let store = Arc::new(Store::new(database, PageTokens::new(&key.derived("page-tokens"))));
    if !store.knows_key(key.derived("key-check")).await? {
        return Err(Error::WrongKey);
    }
    let entries = Entries::new(store.clone(), settle.clone());
    let reading = Reading::new(store.clone(), settle);
    let intake = Intake::new(store, outbox.clone());
    let intake = IntakeServiceServer::new(intake).max_decoding_message_size(MAX_INTAKE_BYTES);
    let reading = ReadingServiceServer::new(reading).max_encoding_message_size(usize::MAX);
    let parts = ServiceParts {
        name: "audit",
        public: Routes::new(AuditServiceServer::new(entries)),
        internal: Routes::new(intake).add_service(reading),
        rpcs: RPCS,
        outbox,
    };
    Ok(App { parts })
}
