//! Wiring the services of one process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use coffre_audit_client::Relay;
use coffre_auth::config::SignIns;
use coffre_authn::{Authenticator, Settings as AuthnSettings};
use coffre_channel::Channel;
use coffre_config::{Settings, StatusCodes};
use coffre_db::DatabaseUrl;
use coffre_gateway::{Channels, Clients, Config as GatewayConfig, Gateway, PublicUrl, Readiness, RestMetrics};
use coffre_rpc::{Front, FrontOptions, Guard, Layered, Limits, RpcMetrics, ServiceParts};
use coffre_secret::SecretBytes;
use coffre_types::{Activity, SystemClock};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::keys::{self, Keys};
use crate::metrics;
use crate::stores::Stores;

/// The form in which a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// For trying out: it makes its own set-up.
    Dev,
    /// For use.
    Serve,
}

/// How the audit keeps its log.
pub(crate) struct AuditKeeping {
    config: coffre_audit::Config,
    checkpoint_key: SecretBytes,
}

impl AuditKeeping {
    /// Looks for the key and the witness. Beside a data folder there is a witness unless the settings name another.
    pub(crate) async fn of(
        settings: &Settings,
        url: &DatabaseUrl,
        keys_folder: &Path,
        stores: &Stores,
    ) -> anyhow::Result<Self> {
        let is_signed = coffre_audit::is_signed(&stores.audit.database).await.context("audit's database")?;
        let beside = |folder: &Path| folder.parent().unwrap_or(folder).join("witness").join("audit.witness");
        let config = coffre_audit::Config {
            witness_file: settings.audit_witness_file.clone().or_else(|| url.folder().map(beside)),
            retention: settings.audit_retention,
            ..coffre_audit::Config::default()
        };
        if config.witness_file.is_none() {
            tracing::warn!(
                "the audit's checkpoints go to the log alone, which somebody has to keep: audit_witness_file (COFFRE_AUDIT_WITNESS_FILE) names a file for them"
            );
        }
        Ok(Self { config, checkpoint_key: keys::checkpoint(keys_folder, is_signed)? })
    }
}

/// The services of a process, wired.
pub(crate) struct Process {
    pub(crate) gateway: Gateway,
    pub(crate) front: Front,
    pub(crate) authenticator: Authenticator,
    /// Told by readiness: whether it hears from locker.
    pub(crate) vault: Arc<coffre_vault::App>,
    /// Looks after the audit log, and says how it stands.
    pub(crate) audit: coffre_audit::Keeping,
    pub(crate) registry: Registry,
    /// Ends answers that go on; to be cancelled as soon as the process is to stop.
    pub(crate) streams: CancellationToken,
    /// Auth works in the background as long as it is held.
    _auth: coffre_auth::App,
}

/// Builds every service, leads them to each other, and starts what runs in the background until `stop`.
pub(crate) async fn compose(
    settings: &Settings,
    form: Form,
    stores: &Stores,
    keys: Keys,
    keeping: AuditKeeping,
    readiness: Readiness,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<Process> {
    let clock = Arc::new(SystemClock);
    let activity = Activity::new(clock.clone());
    let key_folder = keys.folder.clone();

    // Services call each other: the channels of those that are built later are filled once they are there.
    let (to_vault, vault_is) = Channel::deferred();
    let (to_locker, locker_is) = Channel::deferred();
    let (to_audit, audit_is) = Channel::deferred();
    let auth = coffre_auth::build(
        auth_config(settings, form),
        coffre_auth::Deps {
            database: stores.auth.database.clone(),
            outbox: stores.auth.outbox.clone(),
            clock: clock.clone(),
            auth_key: keys.auth,
            vault: to_vault,
            locker: to_locker.clone(),
            activity: activity.clone(),
        },
    )
    .await
    .context("auth cannot start")?;
    let to_auth = internal(&auth.parts);
    let vault = coffre_vault::build(coffre_vault::Deps {
        database: stores.vault.database.clone(),
        outbox: stores.vault.outbox.clone(),
        clock: clock.clone(),
        express_key: keys.express,
        key_file: Arc::new(move || keys::express(&key_folder).map_err(|error| format!("{error:#}"))),
        keys: key_settings(settings, form),
        auth: to_auth.clone(),
        locker: to_locker,
        audit: to_audit.clone(),
    })
    .await
    .context("vault cannot start")?;
    vault_is.set(internal(&vault.parts));
    let locker = coffre_locker::build(coffre_locker::Deps {
        database: stores.locker.database.clone(),
        outbox: stores.locker.outbox.clone(),
        clock: clock.clone(),
        auth: to_auth.clone(),
        vault: internal(&vault.parts),
    });
    locker_is.set(internal(&locker.parts));
    let outboxes = stores.all().map(|(_, store)| store.outbox.clone());
    let audit = coffre_audit::build(coffre_audit::Deps {
        config: keeping.config,
        checkpoint_key: keeping.checkpoint_key,
        database: stores.audit.database.clone(),
        outbox: stores.audit.outbox.clone(),
        settle: coffre_audit::settle(outboxes.to_vec()),
    })
    .await
    .context("audit cannot start")?;

    tasks.spawn(vault.background.clone().run(stop.clone()));
    tasks.spawn(locker.background.run(stop.clone()));
    audit_is.set(internal(&audit.parts));
    tasks.spawn(audit.keeping.clone().run(stop.clone()));
    for outbox in outboxes {
        tasks.spawn(Relay::new(outbox, to_audit.clone()).run(stop.clone()));
    }

    let registry = Registry::new();
    metrics::register(&registry, stores)?;
    tasks.spawn(metrics::Pending::register(&registry)?.count(stores.clone(), stop.clone()));
    let intake = to_audit.clone();
    let authenticator = Authenticator::start(
        to_auth,
        AuthnSettings { issuer: issuer(settings), ..AuthnSettings::default() },
        clock.clone(),
    );
    let vault = Arc::new(vault);
    metrics::register_streams(&registry, &authenticator, &vault)?;
    metrics::register_vault(&registry, &vault)?;
    metrics::register_audit(&registry, &audit.keeping)?;
    let streams = CancellationToken::new();
    let guard = Guard {
        authenticator: authenticator.clone(),
        clock,
        metrics: RpcMetrics::register(&registry)?,
        limits: Limits::default(),
        stopping: streams.clone(),
        activity,
    };
    let [to_auth, to_vault, to_locker, to_audit] =
        [&auth.parts, &vault.parts, &locker.parts, &audit.parts].map(|parts| Layered::new(parts, guard.clone()));
    let clients = Clients::new(Channels {
        auth: to_auth.channel("gateway"),
        vault: to_vault.channel("gateway"),
        locker: to_locker.channel("gateway"),
        audit: to_audit.channel("gateway"),
        intake,
    });
    let metrics = RestMetrics::register(&registry)?;
    let gateway = coffre_gateway::router(clients, gateway_config(settings, form, readiness, metrics));
    let options = FrontOptions { reflection: settings.reflection.unwrap_or(form == Form::Dev), drain: settings.drain };
    let front =
        Front::new(vec![to_auth, to_vault, to_locker, to_audit], options).context("reflection cannot be offered")?;
    Ok(Process { gateway, front, authenticator, vault, audit: audit.keeping, registry, streams, _auth: auth })
}

fn internal(parts: &ServiceParts) -> Channel {
    Channel::in_process(parts.internal.clone().prepare())
}

/// Returns the `iss` of tokens: the public URL where one is set, which is what the metadata of the OAuth side call us (RFC 8414).
fn issuer(settings: &Settings) -> String {
    let public = settings.public_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    public.unwrap_or_else(|| coffre_auth::Config::default().issuer)
}

pub(crate) fn auth_config(settings: &Settings, form: Form) -> coffre_auth::Config {
    coffre_auth::Config {
        issuer: issuer(settings),
        token_life: settings.token_life,
        session_life: settings.session_life,
        password_min_length: settings.password_min_length,
        password_strength_check: settings.password_strength_check,
        force_password_change: form == Form::Serve,
        // The bounds of REST come first; these hold for both ports together.
        sign_ins: SignIns { at_once: settings.sign_ins * 2, per_address: settings.calls_per_address.div_ceil(2) },
        ..coffre_auth::Config::default()
    }
}

fn key_settings(settings: &Settings, form: Form) -> coffre_vault::KeySettings {
    coffre_vault::KeySettings {
        short_master_keys: settings.short_master_keys.unwrap_or(form == Form::Dev),
        ..coffre_vault::KeySettings::default()
    }
}

fn gateway_config(settings: &Settings, form: Form, readiness: Readiness, metrics: RestMetrics) -> GatewayConfig {
    let mut config = GatewayConfig {
        status_codes: match settings.status_codes {
            StatusCodes::Standard => coffre_gateway::StatusCodes::Modern,
            StatusCodes::Documented => coffre_gateway::StatusCodes::Documented,
        },
        trusted_proxies: settings.trusted_proxies.clone(),
        allowed_hosts: (form == Form::Dev).then(GatewayConfig::loopback_hosts),
        public_url: settings.public_url.as_deref().map(PublicUrl::of).unwrap_or_default(),
        readiness,
        metrics: Some(metrics),
        ..GatewayConfig::default()
    };
    config.limits.requests_per_address = settings.calls_per_address;
    config.limits.sign_ins = settings.sign_ins;
    config.limits.drain_time = settings.drain;
    config
}

#[cfg(test)]
mod tests {
    use coffre_config::Sources;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> (coffre_auth::Config, GatewayConfig) {
        let mut sources = Sources::default();
        sources.environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
        let settings = Settings::check(&sources).unwrap();
        let metrics = RestMetrics::register(&Registry::new()).unwrap();
        (auth_config(&settings, Form::Serve), gateway_config(&settings, Form::Serve, Readiness::ready(), metrics))
    }

    #[test]
    fn bounds_of_calls_are_what_the_settings_say_and_the_defaults_are_one_truth() {
        let (auth, gateway) = of(&[("COFFRE_LIMITS__CALLS_PER_ADDRESS", "40"), ("COFFRE_LIMITS__SIGN_INS", "100")]);
        assert_eq!((gateway.limits.requests_per_address, gateway.limits.sign_ins), (40, 100));
        assert_eq!((auth.sign_ins.per_address, auth.sign_ins.at_once), (20, 200));
        let (auth, gateway) = of(&[]);
        let (own_auth, own_gateway) = (coffre_auth::Config::default(), GatewayConfig::default());
        assert_eq!(gateway.limits.requests_per_address, own_gateway.limits.requests_per_address);
        assert_eq!(gateway.limits.sign_ins, own_gateway.limits.sign_ins);
        assert_eq!(auth.sign_ins.per_address, own_auth.sign_ins.per_address);
        assert_eq!(auth.sign_ins.at_once, own_auth.sign_ins.at_once);
    }
}
