//! Vault in a process.

use std::sync::Arc;

use anyhow::Context as _;
use coffre_channel::{Members, Peer};
use coffre_config::Settings;
use coffre_tls::Service;
use coffre_vault::{App, Deps, KeySettings, NoPeers, Peers, Replica};

use super::{Form, Ways, With, ways};
use crate::keys;

pub(super) async fn build(with: &mut With<'_>, ways: &mut Ways) -> anyhow::Result<App> {
    let store = with.stores.of(Service::Vault)?;
    let folder = with.keys.folder.clone();
    let deps = Deps {
        database: store.database.clone(),
        outbox: store.outbox.clone(),
        clock: with.clock.clone(),
        express_key: with.keys.express.take(),
        key_file: Arc::new(move || keys::express(&folder).map_err(|error| format!("{error:#}"))),
        keys: settings_of_keys(with.settings, with.form),
        auth: ways.to(Service::Auth)?,
        locker: ways.to(Service::Locker)?,
        audit: ways.to(Service::Audit)?,
        peers: peers(with)?,
    };
    let app = coffre_vault::build(deps).await.context("vault cannot start")?;
    ways.is_here(Service::Vault, &app.parts);
    Ok(app)
}

/// The other replicas of the vault, each by itself.
struct OtherReplicas {
    trust_domain: String,
    members: Members,
}

impl Peers for OtherReplicas {
    fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    fn replicas(&self) -> Vec<Replica> {
        let replica = |peer: Peer| Replica { name: peer.address.to_string(), channel: peer.channel };
        self.members.each().into_iter().map(replica).collect()
    }
}

/// Replicas find each other under the name by which others find them. In one process there are none.
fn peers(with: &With<'_>) -> anyhow::Result<Arc<dyn Peers>> {
    let settings = with.settings;
    let Some(tls) = &with.certificates.internal else { return Ok(Arc::new(NoPeers)) };
    if settings.services.vault.is_none() {
        tracing::warn!(
            "services.vault (COFFRE_SERVICES__VAULT) is not set: a replica of vault that starts sealed does not get the root key from another one"
        );
        return Ok(Arc::new(NoPeers));
    }
    let members = ways::follow(settings, Service::Vault, tls, with.stop)?;
    Ok(Arc::new(OtherReplicas { trust_domain: settings.tls.trust_domain.clone(), members }))
}

fn settings_of_keys(settings: &Settings, form: Form) -> KeySettings {
    KeySettings {
        short_master_keys: settings.short_master_keys.unwrap_or(form == Form::Dev),
        given_up_term: settings.given_up_term,
        ..KeySettings::default()
    }
}
