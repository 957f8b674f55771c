//! Wiring the services of one process: all of them, or one. There is one way to do it.
//!
//! ```text
//! Set ──▶ Ways   in process to the services of the set, over the network to the others that they call
//!     ──▶ auth, vault, locker, audit: each that is in the set is built, with its keys, its store and the ways that it needs
//!     ──▶ gateway over the layered services; Front and Internal before them
//! ```
//!
//! What the code of a service gets is the same in each form: a `Channel` does not tell where it leads.

mod audit;
mod auth;
mod gateway;
mod locker;
mod vault;
mod ways;

use std::sync::Arc;

use anyhow::Context as _;
use coffre_audit_client::Relay;
use coffre_authn::{Authenticator, Settings as AuthnSettings};
use coffre_config::Settings;
use coffre_gateway::{Gateway, Readiness};
use coffre_rpc::{Front, FrontOptions, Guard, Internal, InternalOptions, Layered, Limits, RpcMetrics, ServiceParts};
use coffre_tls::Service;
use coffre_trace::Tracer;
use coffre_types::{Activity, Clock, SystemClock};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::audit::{AuditKeeping, witness_file};
pub(crate) use self::auth::config as auth_config;
pub(crate) use self::ways::Remote;
use self::ways::Ways;
use crate::certificates::Certificates;
use crate::keys::Keys;
use crate::metrics;
use crate::set::Set;
use crate::stores::Stores;

/// The form in which a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// For trying out: it makes its own set-up.
    Dev,
    /// For use.
    Serve,
}

/// What a process is made of.
pub(crate) struct With<'p> {
    pub(crate) settings: &'p Settings,
    pub(crate) form: Form,
    pub(crate) set: Set,
    pub(crate) stores: &'p Stores,
    pub(crate) keys: Keys,
    /// Where the audit is one of its services.
    pub(crate) keeping: Option<AuditKeeping>,
    pub(crate) certificates: &'p Certificates,
    pub(crate) clock: Arc<dyn Clock>,
    /// The calls that it answers, for which password hashing makes room.
    pub(crate) activity: Activity,
    pub(crate) readiness: Readiness,
    pub(crate) tracer: Tracer,
    pub(crate) stop: &'p CancellationToken,
    pub(crate) tasks: &'p TaskTracker,
}

/// The services of a process, wired. What is not one of them is not there.
pub(crate) struct Process {
    pub(crate) gateway: Option<Gateway>,
    /// The public gRPC port.
    pub(crate) front: Option<Front>,
    /// The port for other services of ours.
    pub(crate) internal: Option<Internal>,
    pub(crate) authenticator: Option<Authenticator>,
    /// Told by readiness: whether it hears from locker.
    pub(crate) vault: Option<Arc<coffre_vault::App>>,
    /// Looks after the audit log, and says how it stands.
    pub(crate) audit: Option<coffre_audit::Keeping>,
    /// The ways to services elsewhere.
    pub(crate) remote: Vec<Remote>,
    pub(crate) registry: Registry,
    /// Ends answers that go on; to be cancelled before the ports are to stop.
    pub(crate) streams: CancellationToken,
    /// Auth works in the background as long as it is held.
    auth: Option<coffre_auth::App>,
    locker: Option<coffre_locker::App>,
}

impl Process {
    /// Sends those away that follow what changes here: each begins anew, with a replica that goes on.
    pub(crate) fn send_followers_away(&self) {
        if let Some(auth) = &self.auth {
            auth.send_followers_away();
        }
        if let Some(locker) = &self.locker {
            locker.send_followers_away();
        }
    }
}

/// Builds the services of the set, leads them to each other and to those elsewhere, and starts what runs in the background until `stop`.
pub(crate) async fn compose(mut with: With<'_>) -> anyhow::Result<Process> {
    let (settings, set, stores, stop, tasks) = (with.settings, with.set, with.stores, with.stop, with.tasks);
    let mut ways = Ways::lay(settings, set, with.certificates.internal.as_ref(), &with.tracer, stop)?;
    let auth = if set.has(Service::Auth) { Some(auth::build(&mut with, &mut ways).await?) } else { None };
    let vault = match set.has(Service::Vault) {
        true => Some(Arc::new(vault::build(&mut with, &mut ways).await?)),
        false => None,
    };
    let locker = if set.has(Service::Locker) { Some(locker::build(&with, &mut ways)?) } else { None };
    let audit = if set.has(Service::Audit) { Some(audit::build(&mut with, &mut ways).await?) } else { None };

    if let Some(vault) = &vault {
        tasks.spawn(vault.background.clone().run(stop.clone()));
    }
    if let Some(locker) = &locker {
        tasks.spawn(locker.background.clone().run(stop.clone()));
    }
    if let Some(audit) = &audit {
        tasks.spawn(audit.keeping.clone().run(stop.clone()));
    }
    for (_, store) in stores.all() {
        tasks.spawn(Relay::new(store.outbox.clone(), ways.to(Service::Audit)?).run(stop.clone()));
    }
    if let Some(vault) = &vault {
        // Before anybody is answered, where audit is there.
        vault.background.compare_keys().await;
    }

    let registry = Registry::new();
    with.certificates.register(&registry)?;
    metrics::register(&registry, stores)?;
    tasks.spawn(metrics::Pending::register(&registry, stores)?.count(stop.clone()));
    if let Some(vault) = &vault {
        metrics::register_vault(&registry, vault)?;
    }
    if let Some(audit) = &audit {
        metrics::register_audit(&registry, &audit.keeping)?;
    }

    let parts: Vec<(Service, &ServiceParts)> = [
        auth.as_ref().map(|app| (Service::Auth, &app.parts)),
        vault.as_ref().map(|app| (Service::Vault, &app.parts)),
        locker.as_ref().map(|app| (Service::Locker, &app.parts)),
        audit.as_ref().map(|app| (Service::Audit, &app.parts)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let streams = CancellationToken::new();
    let doors = Doors::open(&with, &ways, &parts, &registry, &streams)?;
    if let Some(authenticator) = &doors.authenticator {
        metrics::register_streams(&registry, set, authenticator, vault.as_ref())?;
    }
    let gateway = match set.has(Service::Gateway) {
        true => Some(gateway::build(&with, &ways, &doors.layered, &registry)?),
        false => None,
    };
    Ok(Process {
        gateway,
        front: doors.front,
        internal: doors.internal,
        authenticator: doors.authenticator,
        audit: audit.map(|app| app.keeping),
        remote: ways.remote(),
        registry,
        streams,
        auth,
        vault,
        locker,
    })
}

/// What calls come through.
#[derive(Default)]
struct Doors {
    authenticator: Option<Authenticator>,
    layered: Vec<(Service, Layered)>,
    front: Option<Front>,
    internal: Option<Internal>,
}

impl Doors {
    fn open(
        with: &With<'_>,
        ways: &Ways,
        parts: &[(Service, &ServiceParts)],
        registry: &Registry,
        streams: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let settings = with.settings;
        if parts.is_empty() {
            return Ok(Self::default());
        }
        let authenticator = Authenticator::start(
            ways.to(Service::Auth)?,
            AuthnSettings { issuer: auth::issuer(settings), ..AuthnSettings::default() },
            with.clock.clone(),
        );
        let metrics = RpcMetrics::register(registry)?;
        let guard = Guard {
            authenticator: authenticator.clone(),
            clock: with.clock.clone(),
            metrics: metrics.clone(),
            limits: Limits::default(),
            stopping: streams.clone(),
            activity: with.activity.clone(),
            tracer: with.tracer.clone(),
        };
        let layered: Vec<(Service, Layered)> =
            parts.iter().map(|(service, parts)| (*service, Layered::new(parts, guard.clone()))).collect();
        let options = FrontOptions {
            reflection: settings.reflection.unwrap_or(with.form == Form::Dev),
            drain: settings.drain,
            tls: with.certificates.public.clone(),
            connections: settings.connections,
        };
        let served = layered.iter().map(|(_, layered)| layered.clone()).collect();
        let front = Front::new(served, options).context("reflection cannot be offered")?;
        // Where all services are in one process, nobody calls them from elsewhere.
        let alone = with.set.is_split().then(|| parts.iter().zip(&layered).next()).flatten();
        let internal = alone.map(|((service, parts), (_, layered))| {
            let tls =
                with.certificates.internal.clone().context("the certificate for calls between services is missing")?;
            let options = InternalOptions {
                tls,
                connections: settings.connections,
                drain: settings.drain,
                tracer: with.tracer.clone(),
            };
            anyhow::Ok(Internal::new(*service, parts, layered.clone(), &metrics, options))
        });
        Ok(Self { authenticator: Some(authenticator), layered, front: Some(front), internal: internal.transpose()? })
    }
}

/// The clock of the machine.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
