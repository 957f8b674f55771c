//! The wiring.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{Outbox, Site};
use coffre_changes::provider::{self, Hub, Pace, Stateless};
use coffre_channel::Channel;
use coffre_db::Database;
use coffre_db::list::PageTokens;
use coffre_proto::holdings::internal::v1::holdings_service_server::HoldingsServiceServer;
use coffre_proto::locker::internal::v1::sharing_service_server::SharingServiceServer;
use coffre_proto::locker::v1::locker_service_server::LockerServiceServer;
use coffre_rpc::ServiceParts;
use coffre_types::Clock;
use diesel_migrations::EmbeddedMigrations;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::api::{HoldingsHandler, INTERNAL_RPCS, LockerHandler, RPCS, SharingHandler};
use crate::contents::Contents;
use crate::directory::Directory;
use crate::lockers::Lockers;
use crate::store::pending::{self, Pending};
use crate::store::{POSTGRES, SQLITE, Store};

/// How often the house is kept.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// What the service needs.
pub struct Deps {
    /// Its database, opened with the journals of `outbox` and migrated.
    pub database: Database,
    /// The outbox of its writers.
    pub outbox: Outbox,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The way to auth's internal side; it may be filled later.
    pub auth: Channel,
    /// The way to vault's internal side; it may be filled later.
    pub vault: Channel,
}

/// The service, ready to be served.
pub struct App {
    /// Its routes.
    pub parts: ServiceParts,
    /// What it does besides answering.
    pub background: Background,
    lockers: Arc<Lockers>,
}

impl App {
    /// Returns the use cases, for whoever calls them without a transport.
    #[must_use]
    pub fn lockers(&self) -> &Arc<Lockers> {
        &self.lockers
    }

    /// Sends those away who follow what changes here, for a process that is about to stop: each begins anew, with another replica.
    pub fn send_followers_away(&self) {
        self.lockers.hub.send_away();
    }
}

/// Tells other services what changes, and keeps the house.
#[derive(Clone)]
pub struct Background {
    lockers: Arc<Lockers>,
    site: Arc<Site>,
}

impl Background {
    /// Runs until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let tell = provider::tell(
            self.lockers.hub.clone(),
            self.lockers.store.database().clone(),
            self.lockers.clock.clone(),
            Stateless,
            Pace::default(),
        );
        let work = async { tokio::join!(tell, self.keep_house()) };
        tokio::select! {
            _ = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep_house(&self) {
        let mut tick = interval(HOUSEKEEPING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.lockers.store.database().is_stopped() {
            tick.tick().await;
            if let Err(fault) = self.lockers.keep_house(&self.site).await {
                tracing::warn!(%fault, "housekeeping failed; it is tried again");
            }
        }
    }
}

/// Returns the migrations for SQLite and for PostgreSQL.
#[must_use]
pub fn migrations() -> (EmbeddedMigrations, EmbeddedMigrations) {
    (SQLITE, POSTGRES)
}

/// Counts what waits to be finished.
///
/// # Errors
/// What the database says.
pub async fn pending(database: &Database) -> Result<Pending, coffre_db::Error> {
    database.read(pending::count).await
}

/// Wires the service.
#[must_use]
pub fn build(deps: Deps) -> App {
    let Deps { database, outbox, clock, auth, vault } = deps;
    let site = outbox.site();
    let lockers = Arc::new(Lockers {
        store: Store::new(database),
        directory: Directory::new(auth),
        contents: Contents::new(vault),
        hub: Hub::new(),
        clock,
        tokens: PageTokens::new(&outbox.key().derived("page-tokens")),
    });
    let background = Background { lockers: lockers.clone(), site: site.clone() };
    let public =
        Routes::new(LockerServiceServer::new(LockerHandler(lockers.clone())).max_encoding_message_size(usize::MAX));
    let sharing = SharingServiceServer::new(SharingHandler(lockers.clone())).max_encoding_message_size(usize::MAX);
    let internal = Routes::new(sharing)
        .add_service(HoldingsServiceServer::new(HoldingsHandler { lockers: lockers.clone(), site }));
    let parts = ServiceParts { name: "locker", public, internal, rpcs: RPCS, internal_rpcs: INTERNAL_RPCS, outbox };
    App { parts, background, lockers }
}
