//! What the process does by itself, for the audit: its start and its stop, and migrations.
//!
//! A change of the schema is recorded at its beginning, before anything is changed, and at its end. The schema of a new store comes before its
//! keys: it is recorded as soon as they are there.

use coffre_audit_client::{ActivityType, CallRecord, Outbox, Outcome};
use coffre_config::Settings;
use coffre_db::DatabaseUrl;
use coffre_secret::SecretBytes;
use coffre_tls::Service;

use crate::compose::Form;
use crate::set::Set;
use crate::stores::{self, Stores};

/// What a migration did.
pub(crate) struct Migration {
    /// The versions that ran, each with its service before it.
    pub(crate) ran: Vec<String>,
    recorded: bool,
}

/// Brings every schema up to date. Without the key of the audit nothing is recorded yet.
pub(crate) async fn migrate(
    settings: &Settings,
    url: &DatabaseUrl,
    audit_key: Option<&SecretBytes>,
) -> anyhow::Result<Migration> {
    let missing = stores::missing(url)?;
    if missing.is_empty() {
        return Ok(Migration { ran: Vec::new(), recorded: true });
    }
    let begun = match audit_key {
        Some(key) => append(settings, url, key, &started(&missing)).await.is_ok(),
        None => false,
    };
    let ran = stores::migrate(url);
    let (Some(key), true) = (audit_key, begun) else { return Ok(Migration { ran: ran?, recorded: false }) };
    let told = finished(ran.as_deref().unwrap_or_default(), ran.is_ok());
    if let Err(error) = append(settings, url, key, &told).await {
        tracing::error!(%error, "the end of a migration could not be recorded");
    }
    Ok(Migration { ran: ran?, recorded: true })
}

impl Migration {
    /// Records what could not be recorded before there were keys.
    pub(crate) async fn record(self, stores: &Stores) -> anyhow::Result<()> {
        if !self.recorded {
            let outbox = &stores.of(Service::Audit)?.outbox;
            tell(outbox, &started(&self.ran)).await?;
            tell(outbox, &finished(&self.ran, true)).await?;
        }
        Ok(())
    }
}

/// Records that the process serves from now on. That it cannot be recorded is told in the log, and keeps nobody from serving: calls are
/// recorded or refused one by one.
pub(crate) async fn start(stores: &Stores, form: Form, set: Set) {
    let words = [
        ("form", form_word(form).to_owned()),
        ("services", set.names()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let told = Told {
        event: "process.started",
        activity: ActivityType::AuditUnsetActivityType,
        details: words.to_vec(),
        good: true,
    };
    // The gateway keeps nothing: that it starts and stops stands in its log.
    let Some(own) = stores.own() else { return };
    if let Err(error) = tell(&own.outbox, &told).await {
        tracing::error!(%error, "the start could not be recorded");
    }
}

/// Records that the process stops.
pub(crate) async fn stop(stores: &Stores) {
    let told = Told {
        event: "process.stopped",
        activity: ActivityType::AuditUnsetActivityType,
        details: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
        good: true,
    };
    let Some(own) = stores.own() else { return };
    if let Err(error) = tell(&own.outbox, &told).await {
        tracing::error!(%error, "the stop could not be recorded");
    }
}

const fn form_word(form: Form) -> &'static str {
    match form {
        Form::Dev => "dev",
        Form::Serve => "serve",
    }
}

/// Records that a backup was made, or that one of which this was recorded was not kept.
pub(crate) async fn backup_made(
    settings: &Settings,
    url: &DatabaseUrl,
    key: &SecretBytes,
    id: &str,
    details: Vec<(&'static str, String)>,
    outcome: Outcome,
) -> anyhow::Result<()> {
    of_backup(settings, url, key, ("backup.made", outcome), id, &details).await
}

/// Records that a backup was restored, in the log that came with it.
pub(crate) async fn restored(
    settings: &Settings,
    url: &DatabaseUrl,
    key: &SecretBytes,
    id: &str,
    details: Vec<(&'static str, String)>,
) -> anyhow::Result<()> {
    of_backup(settings, url, key, ("restore.done", Outcome::Successful), id, &details).await
}

async fn of_backup(
    settings: &Settings,
    url: &DatabaseUrl,
    key: &SecretBytes,
    (event, outcome): (&'static str, Outcome),
    id: &str,
    details: &[(&'static str, String)],
) -> anyhow::Result<()> {
    let store = stores::open(url, &settings.environment, key, "audit")?;
    let record = CallRecord::system(store.outbox.site(), event, ActivityType::AuditUnsetActivityType);
    record.object("backup", id, "");
    for (key, value) in details {
        record.detail(key, value.as_str());
    }
    let told = store.outbox.append(&record, outcome, None).await;
    store.database.stop();
    told.map_err(|refusal| anyhow::anyhow!("{}", refusal.message()))
}

/// An event to be recorded.
struct Told {
    event: &'static str,
    activity: ActivityType,
    details: Vec<(&'static str, String)>,
    good: bool,
}

fn started(versions: &[String]) -> Told {
    let details = versions.iter().map(|version| ("migration", version.clone())).collect();
    Told { event: "migration.started", activity: ActivityType::MigrationStart, details, good: true }
}

fn finished(versions: &[String], good: bool) -> Told {
    let details = versions.iter().map(|version| ("migration", version.clone())).collect();
    Told { event: "migration.finished", activity: ActivityType::MigrationFinish, details, good }
}

async fn append(settings: &Settings, url: &DatabaseUrl, key: &SecretBytes, told: &Told) -> anyhow::Result<()> {
    let store = stores::open(url, &settings.environment, key, "audit")?;
    let done = tell(&store.outbox, told).await;
    store.database.stop();
    done
}

async fn tell(outbox: &Outbox, told: &Told) -> anyhow::Result<()> {
    let record = CallRecord::system(outbox.site(), told.event, told.activity);
    record.object("process", std::process::id(), outbox.site().host_name.as_str());
    for (key, value) in &told.details {
        record.detail(key, value.as_str());
    }
    let outcome = if told.good { Outcome::Successful } else { Outcome::Unsuccessful };
    outbox.append(&record, outcome, None).await.map_err(|refusal| anyhow::anyhow!("{}", refusal.message()))
}
