//! Serving until the stop.
//!
//! ```text
//! first signal ─▶ readiness off ─▶ lame duck: everything goes on, load balancers look elsewhere ─▶ nothing new, open calls end (drain)
//!              ─▶ the outbox is flushed ─▶ background ends ─▶ exit 0          a second signal: exit 130 at once
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use coffre_config::Settings;
use coffre_db::DatabaseUrl;
use coffre_gateway::Readiness;
use coffre_telemetry::Health;
use coffre_types::Activity;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Certificates;
use crate::checked::{self, Checked};
use crate::compose::{self, AuditKeeping, Form, Process, With, compose};
use crate::exposure::{self, Addresses};
use crate::health::Watch;
use crate::keys::Keys;
use crate::set::Set;
use crate::stores::Stores;
use crate::telemetry::Telemetry;
use crate::{banner, disk, init, keys, lock, recorded, stop, stores};

/// How long whoever sends calls gets to see that the process is about to stop, on one machine and in a cluster.
const LAME_DUCK: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// How long the events that are left get to reach the audit.
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);
/// How often those that follow what changes here are sent away while the ports drain.
const SENT_AWAY_EVERY: Duration = Duration::from_millis(250);

/// `coffre dev`.
pub(crate) async fn dev(settings: Settings) -> anyhow::Result<()> {
    let url = checked::for_dev(&settings)?;
    keys::private_folder(&settings.data_dir)?;
    let _lock = lock::take(&settings.data_dir)?;
    let folder = keys::of_dev(&settings);
    let known = keys::load(&folder, Set::ALL).ok();
    let migration = recorded::migrate(&settings, &url, known.as_ref().and_then(|keys| keys.audit.as_ref())).await?;
    keys::make(&folder, stores::is_begun_or_new(&url).await?)?;
    let keys = keys::load(&folder, Set::ALL)?;
    let opened = Stores::open(Some(&url), &settings.environment, keys.audit.as_ref(), Set::ALL)?;
    migration.record(&opened).await?;
    let keeping = AuditKeeping::of(&settings, Set::ALL, Some(&url), &folder, &opened).await?;
    let first = init::if_new(&settings, &opened, &keys, Form::Dev, banner::recovery_key).await?;
    let listeners = Listeners::bind(&settings, Set::ALL).await?;
    let certificates = Certificates::default();
    let url = Some(url);
    let made = Made { set: Set::ALL, form: Form::Dev, url, stores: opened, keys, certificates, keeping, listeners };
    serve(&settings, made, |at| {
        let (Some(http), Some(grpc), management) = (at.http, at.grpc, at.management) else { return };
        if let Err(error) = banner::print(&settings, http, grpc, management, first.as_ref()) {
            tracing::warn!(%error, %http, %grpc, %management, "serving; standard output cannot be written");
        }
    })
    .await
}

/// `coffre serve`.
pub(crate) async fn serve_set(settings: Settings, set: Set) -> anyhow::Result<()> {
    let Checked { url, keys, certificates, is_plain_text } = checked::for_serve(&settings, set)?;
    if is_plain_text {
        tracing::warn!("{}", exposure::PLAIN_TEXT);
    }
    let mut held = None;
    if let Some(folder) = url.as_ref().and_then(DatabaseUrl::folder) {
        keys::private_folder(folder)?;
        held = Some(lock::take(folder)?);
    }
    if let Some(url) = &url {
        if held.is_some() {
            recorded::migrate(&settings, url, keys.audit.as_ref()).await?;
        }
        stores::check_schema(url, set)?;
    }
    let opened = Stores::open(url.as_ref(), &settings.environment, keys.audit.as_ref(), set)?;
    init::require(&opened).await?;
    let keeping = AuditKeeping::of(&settings, set, url.as_ref(), &keys.folder, &opened).await?;
    let listeners = Listeners::bind(&settings, set).await?;
    let made = Made { set, form: Form::Serve, url, stores: opened, keys, certificates, keeping, listeners };
    let served = serve(&settings, made, |at| {
        tracing::info!(
            services = set.names(),
            http = at.http.map(tracing::field::display),
            grpc = at.grpc.map(tracing::field::display),
            internal = at.internal.map(tracing::field::display),
            management = %at.management,
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
    });
    served.await
}

/// What a process listens on: a port for each thing that one of its services serves.
struct Listeners {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
    internal: Option<TcpListener>,
    management: TcpListener,
}

/// Where a process listens.
struct At {
    http: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    internal: Option<SocketAddr>,
    management: SocketAddr,
}

impl Listeners {
    async fn bind(settings: &Settings, set: Set) -> anyhow::Result<Self> {
        let addresses = Addresses::of(settings, set);
        Ok(Self {
            http: bind_some(addresses.http).await?,
            grpc: bind_some(addresses.grpc).await?,
            internal: bind_some(addresses.internal).await?,
            management: bind(addresses.management).await?,
        })
    }

    fn at(&self) -> std::io::Result<At> {
        let of = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(At {
            http: of(&self.http)?,
            grpc: of(&self.grpc)?,
            internal: of(&self.internal)?,
            management: self.management.local_addr()?,
        })
    }
}

async fn bind((address, key): (SocketAddr, &str)) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: {address} cannot be listened on; is another process there?"))
}

async fn bind_some(address: Option<(SocketAddr, &str)>) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(bind(address).await?)),
        None => Ok(None),
    }
}

/// What a process has when it begins to serve.
struct Made {
    set: Set,
    form: Form,
    url: Option<DatabaseUrl>,
    stores: Stores,
    keys: Keys,
    certificates: Certificates,
    keeping: Option<AuditKeeping>,
    listeners: Listeners,
}

async fn serve(settings: &Settings, made: Made, announce: impl FnOnce(&At)) -> anyhow::Result<()> {
    if cfg!(feature = "null-audit") {
        tracing::error!("this build records no read in the audit: it is for measuring alone, and nobody may use it");
    }
    let Made { set, form, url, stores, keys, certificates, keeping, listeners } = made;
    let at = listeners.at()?;
    let stop = stop::on_signal()?;
    let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (health, readiness) = (Health::default(), Readiness::not_yet());
    certificates.watch(&background, &tasks);
    let clock = compose::clock();
    let telemetry = Telemetry::begin(settings, set)?;
    let mut process = compose(With {
        settings,
        form,
        set,
        stores: &stores,
        keys,
        keeping,
        certificates: &certificates,
        activity: Activity::new(clock.clone()),
        clock,
        readiness: readiness.clone(),
        tracer: telemetry.tracer.clone(),
        stop: &background,
        tasks: &tasks,
    })
    .await?;
    if let (Some(authenticator), false) = (&process.authenticator, set.is_split()) {
        // Auth is here. Where it is elsewhere, readiness waits for it, and the stop is heard meanwhile.
        authenticator.ready().await;
    }
    let watch = Watch {
        health: health.clone(),
        stores: stores.clone(),
        authenticator: process.authenticator.clone(),
        vault: process.vault.clone(),
        audit: process.audit.clone(),
        remote: process.remote.clone(),
        readiness,
        front: process.front.clone(),
    };
    tasks.spawn(watch.run(stop.clone()));
    if let Some(url) = &url {
        let room = disk::Watch::new(&stores, url.folder(), settings.database_limit, &health, &process.registry)?;
        tasks.spawn(room.run(background.clone()));
    }
    telemetry.run(&process.registry, &background, &tasks)?;
    tasks.spawn({
        let (registry, background) = (process.registry.clone(), background.clone());
        async move {
            if let Err(error) = coffre_telemetry::serve(listeners.management, registry, health, background).await {
                tracing::error!(%error, "the management port ended");
            }
        }
    });
    recorded::start(&stores, form, set).await;
    announce(&at);

    let ports = (listeners.http, listeners.grpc, listeners.internal);
    let lame_duck = settings.lame_duck.unwrap_or(if set.is_split() { LAME_DUCK[1] } else { LAME_DUCK[0] });
    let ended = until_stopped(&mut process, ports, &stop, lame_duck, set).await;
    recorded::stop(&stores).await;
    for (_, store) in stores.all() {
        store.outbox.flush(FLUSHED_WITHIN).await;
    }
    background.cancel();
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.is_err() {
        tracing::warn!("background tasks did not end in time");
    }
    stores.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves the ports until the stop, and until open calls have ended.
async fn until_stopped(
    process: &mut Process,
    (http, grpc, internal): (Option<TcpListener>, Option<TcpListener>, Option<TcpListener>),
    stop: &CancellationToken,
    lame_duck: Duration,
    set: Set,
) -> anyhow::Result<()> {
    let serving = CancellationToken::new();
    let (gateway, front, inside) = (process.gateway.take(), process.front.take(), process.internal.take());
    let process = &*process;
    let rest = async {
        let (Some(listener), Some(gateway)) = (http, gateway) else { return Ok(()) };
        let stopped = serving.clone();
        coffre_gateway::serve(listener, gateway, async move { stopped.cancelled().await })
            .await
            .context("the REST port ended")
    };
    let grpc = async {
        let (Some(listener), Some(front)) = (grpc, front) else { return Ok(()) };
        front.serve(listener, serving.clone()).await.context("the gRPC port ended")
    };
    let internal = async {
        let (Some(listener), Some(inside)) = (internal, inside) else { return Ok(()) };
        inside.serve(listener, serving.clone()).await.context("the internal port ended")
    };
    let draining = async {
        stop.cancelled().await;
        tokio::time::sleep(lame_duck).await;
        process.streams.cancel();
        serving.cancel();
    };
    // Those that follow changes over the network would keep their connections open to the end of the drain.
    let sending_away = async {
        serving.cancelled().await;
        while set.is_split() {
            process.send_followers_away();
            tokio::time::sleep(SENT_AWAY_EVERY).await;
        }
        std::future::pending::<()>().await;
    };
    let (rest, grpc, internal) = tokio::select! {
        ((rest, grpc, internal), ()) = async { tokio::join!(async { tokio::join!(rest, grpc, internal) }, draining) } => (rest, grpc, internal),
        () = sending_away => return Ok(()),
    };
    rest.and(grpc).and(internal)
}
