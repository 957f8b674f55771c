//! The databases of the services, each with the outbox of its writers.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffre_audit_client::{Outbox, Site};
use coffre_db::{Database, DatabaseUrl, NoJournal, Options, SchemaState};
use coffre_secret::SecretBytes;
use coffre_types::SystemClock;
use diesel_migrations::EmbeddedMigrations;

/// The services that keep something, with their migrations for SQLite and for PostgreSQL.
fn services() -> [(&'static str, (EmbeddedMigrations, EmbeddedMigrations)); 4] {
    [
        ("auth", (coffre_auth::SQLITE_MIGRATIONS, coffre_auth::POSTGRES_MIGRATIONS)),
        ("vault", coffre_vault::migrations()),
        ("locker", coffre_locker::migrations()),
        ("audit", coffre_audit::migrations()),
    ]
}

/// Brings every schema up to date and returns the versions that ran, each with its service before it.
pub(crate) fn migrate(url: &DatabaseUrl) -> anyhow::Result<Vec<String>> {
    let mut ran = Vec::new();
    for (service, (sqlite, postgres)) in services() {
        let versions = coffre_db::migrate(&Options::new(url.clone(), service), sqlite, postgres)
            .with_context(|| format!("the schema of {service} cannot be brought up to date"))?;
        ran.extend(versions.into_iter().map(|version| format!("{service} {version}")));
    }
    Ok(ran)
}

/// Returns the versions that [`migrate`] would run, each with its service before it.
pub(crate) fn missing(url: &DatabaseUrl) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for (service, (sqlite, postgres)) in services() {
        let state = coffre_db::schema_state(&Options::new(url.clone(), service), sqlite, postgres)
            .with_context(|| format!("the schema of {service} cannot be read"))?;
        if let SchemaState::Behind { missing } = state {
            all.extend(missing.into_iter().map(|version| format!("{service} {version}")));
        }
    }
    Ok(all)
}

/// Says whether somebody initialised the store before: its users are there, and so are its keys.
pub(crate) async fn is_begun(url: &DatabaseUrl) -> anyhow::Result<bool> {
    let database = Database::open(Options::new(url.clone(), "auth"), || Box::new(NoJournal))
        .context("the database of auth cannot be opened")?;
    let begun = coffre_auth::is_initialised(&database).await;
    database.stop();
    Ok(begun?)
}

/// Refuses a schema that lacks migrations. One that is ahead is fine: migrations only expand.
pub(crate) fn check_schema(url: &DatabaseUrl) -> anyhow::Result<()> {
    for (service, (sqlite, postgres)) in services() {
        let state = coffre_db::schema_state(&Options::new(url.clone(), service), sqlite, postgres)
            .with_context(|| format!("the schema of {service} cannot be read"))?;
        match state {
            SchemaState::Current => {}
            SchemaState::Behind { missing } => {
                bail!("the schema of {service} lacks {}: run `coffre migrate` first", missing.join(", "))
            }
            SchemaState::Ahead { unknown } => {
                tracing::warn!(service, unknown = unknown.join(", "), "the schema is newer than this binary");
            }
        }
    }
    Ok(())
}

/// A database and the outbox of its writers.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
}

/// The databases of one process.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) auth: Store,
    pub(crate) vault: Store,
    pub(crate) locker: Store,
    pub(crate) audit: Store,
}

impl Stores {
    /// Opens them.
    pub(crate) fn open(url: &DatabaseUrl, environment: &str, audit_key: &SecretBytes) -> anyhow::Result<Self> {
        let open = |service| open(url, environment, audit_key, service);
        Ok(Self { auth: open("auth")?, vault: open("vault")?, locker: open("locker")?, audit: open("audit")? })
    }

    /// Returns each with its service's name.
    pub(crate) fn all(&self) -> [(&'static str, &Store); 4] {
        [("auth", &self.auth), ("vault", &self.vault), ("locker", &self.locker), ("audit", &self.audit)]
    }

    /// Ends the threads, after what is queued.
    pub(crate) fn stop(&self) {
        for (_, store) in self.all() {
            store.database.stop();
        }
    }
}

/// Opens the database of one service.
pub(crate) fn open(
    url: &DatabaseUrl,
    environment: &str,
    audit_key: &SecretBytes,
    service: &'static str,
) -> anyhow::Result<Store> {
    let site = Arc::new(Site {
        service,
        host_name: host_name(),
        environment_name: environment.to_owned(),
        clock: Arc::new(SystemClock),
    });
    let outbox = Outbox::new(site, audit_key);
    let options = match service {
        "audit" => coffre_audit::options(url.clone()),
        _ => Options::new(url.clone(), service),
    };
    let database = Database::open(options, || outbox.journal())
        .with_context(|| format!("the database of {service} cannot be opened"))?;
    outbox.attach(database.clone());
    Ok(Store { database, outbox })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
