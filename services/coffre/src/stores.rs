//! The databases of the services, each with the outbox of its writers.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use coffre_audit_client::{Outbox, Site};
use coffre_db::{Database, DatabaseUrl, NoJournal, Options, SchemaState};
use coffre_secret::SecretBytes;
use coffre_tls::Service;
use coffre_types::SystemClock;
use diesel_migrations::EmbeddedMigrations;

use crate::set::Set;

/// The services that keep something, with their migrations for SQLite and for PostgreSQL.
fn services() -> [(&'static str, (EmbeddedMigrations, EmbeddedMigrations)); 4] {
    [
        ("auth", (coffre_auth::SQLITE_MIGRATIONS, coffre_auth::POSTGRES_MIGRATIONS)),
        ("vault", coffre_vault::migrations()),
        ("locker", coffre_locker::migrations()),
        ("audit", coffre_audit::migrations()),
    ]
}

/// Returns the migrations of a service, for SQLite and for PostgreSQL.
pub(crate) fn migrations(service: &str) -> Option<(EmbeddedMigrations, EmbeddedMigrations)> {
    services().into_iter().find(|(known, _)| *known == service).map(|(_, migrations)| migrations)
}

/// Returns how the databases of all services are reached by what works on them as a whole.
pub(crate) fn all_options(url: &DatabaseUrl) -> Vec<Options> {
    services().map(|(service, _)| Options::new(url.clone(), service)).to_vec()
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

/// The tables that are empty, and of which no id was ever given out, until somebody signed in: neither a first try of `init` nor services that run
/// already put anything there. A restoration raises the ids of all of them.
const USED_BY_PEOPLE: [(&str, &[&str]); 2] = [
    ("vault", &["credentials", "attributes", "attribute_values", "departed_users"]),
    ("locker", &["lockers", "members", "departed_users", "departed_roles"]),
];

/// Says the same as [`is_begun`], and refuses what is left of an installation whose users are gone: a new administrator there would have another
/// one's values, and new users the ids of former ones.
pub(crate) async fn is_begun_or_new(url: &DatabaseUrl) -> anyhow::Result<bool> {
    if is_begun(url).await? {
        return Ok(true);
    }
    for (service, tables) in USED_BY_PEOPLE {
        let used = coffre_db::copy::used(&Options::new(url.clone(), service), tables)
            .with_context(|| format!("the database of {service} cannot be read"))?;
        if let Some(table) = used {
            bail!(
                "no users are here, and the database of {service} was used before (table {table}): a restoration stopped halfway, or auth's database was \
                 lost. Nobody is made an administrator over that. Remove what is in the databases and restore a backup (`coffre restore`), or \
                 name an empty folder (COFFRE_DATA_DIR) or a new database (COFFRE_DATABASE_URL_FILE)"
            );
        }
    }
    Ok(false)
}

/// Refuses a schema that lacks migrations. One that is ahead is fine: migrations only expand.
pub(crate) fn check_schema(url: &DatabaseUrl, set: Set) -> anyhow::Result<()> {
    let own = |service: &str| set.keepers().any(|keeper| keeper.as_str() == service);
    for (service, (sqlite, postgres)) in services().into_iter().filter(|(service, _)| own(service)) {
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

/// The databases of one process: one for each of its services that keeps something.
#[derive(Clone)]
pub(crate) struct Stores(Arc<[(Service, Store)]>);

impl Stores {
    /// Opens those of some services.
    pub(crate) fn open(
        url: Option<&DatabaseUrl>,
        environment: &str,
        audit_key: Option<&SecretBytes>,
        set: Set,
    ) -> anyhow::Result<Self> {
        let opened = set.keepers().map(|service| {
            let (Some(url), Some(key)) = (url, audit_key) else {
                bail!("{} needs a database and audit.key", service.as_str())
            };
            Ok((service, open(url, environment, key, service.as_str())?))
        });
        Ok(Self(opened.collect::<anyhow::Result<_>>()?))
    }

    /// Returns the one of a service of this process.
    pub(crate) fn of(&self, service: Service) -> anyhow::Result<&Store> {
        self.find(service).with_context(|| format!("the database of {} is not open in this process", service.as_str()))
    }

    /// Returns the one of a service, if it runs here.
    pub(crate) fn find(&self, service: Service) -> Option<&Store> {
        self.0.iter().find(|(known, _)| *known == service).map(|(_, store)| store)
    }

    /// Returns each with its service's name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Store)> {
        self.0.iter().map(|(service, store)| (service.as_str(), store))
    }

    /// Returns where the process records what it does by itself: with the audit where it runs here, else with the first of its services.
    pub(crate) fn own(&self) -> Option<&Store> {
        self.find(Service::Audit).or_else(|| self.0.first().map(|(_, store)| store))
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
