//! Audit in a process.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use coffre_audit::{App, Config, Deps};
use coffre_config::Settings;
use coffre_db::DatabaseUrl;
use coffre_secret::SecretBytes;
use coffre_tls::Service;

use super::{Ways, With};
use crate::keys;
use crate::set::Set;
use crate::stores::Stores;

/// How the audit keeps its log.
pub(crate) struct AuditKeeping {
    config: Config,
    checkpoint_key: SecretBytes,
}

impl AuditKeeping {
    /// Looks for the key and the witness, where the audit runs here. Beside a data folder there is a witness unless the settings name another.
    pub(crate) async fn of(
        settings: &Settings,
        set: Set,
        url: Option<&DatabaseUrl>,
        keys_folder: &Path,
        stores: &Stores,
    ) -> anyhow::Result<Option<Self>> {
        if !set.has(Service::Audit) {
            return Ok(None);
        }
        let store = stores.of(Service::Audit)?;
        let is_signed = coffre_audit::is_signed(&store.database).await.context("audit's database")?;
        let config = Config {
            witness_file: witness_file(settings, url),
            retention: settings.audit_retention,
            ..Config::default()
        };
        if config.witness_file.is_none() {
            tracing::warn!(
                "the audit's checkpoints go to the log alone, which somebody has to keep: audit_witness_file (COFFRE_AUDIT_WITNESS_FILE) names a file for them"
            );
        }
        Ok(Some(Self { config, checkpoint_key: keys::checkpoint(keys_folder, is_signed, set)? }))
    }
}

/// Returns the witness of the audit, where it has one: beside a data folder it has.
pub(crate) fn witness_file(settings: &Settings, url: Option<&DatabaseUrl>) -> Option<PathBuf> {
    let beside = |folder: &Path| folder.parent().unwrap_or(folder).join("witness").join("audit.witness");
    settings.audit_witness_file.clone().or_else(|| url?.folder().map(beside))
}

pub(super) async fn build(with: &mut With<'_>, ways: &mut Ways) -> anyhow::Result<App> {
    let store = with.stores.of(Service::Audit)?;
    let keeping = with.keeping.take().context("checkpoint.key was not read")?;
    // Readers wait for what this process committed. What others commit is underway for a few hundredths of a second.
    let outboxes = with.stores.all().map(|(_, store)| store.outbox.clone()).collect();
    let deps = Deps {
        config: keeping.config,
        checkpoint_key: keeping.checkpoint_key,
        database: store.database.clone(),
        outbox: store.outbox.clone(),
        settle: coffre_audit::settle(outboxes),
    };
    let app = coffre_audit::build(deps).await.context("audit cannot start")?;
    ways.is_here(Service::Audit, &app.parts);
    Ok(app)
}
