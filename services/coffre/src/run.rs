//! Serving until the stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coffre_config::Settings;
use coffre_gateway::Readiness;
use coffre_telemetry::Health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::compose::{AuditKeeping, Form, compose};
use crate::health::Watch;
use crate::stores::Stores;
use crate::{banner, disk, init, keys, lock, recorded, settings as read, stop, stores};

/// How long a load balancer gets to see that the process is about to stop.
const LAME_DUCK: Duration = Duration::from_millis(250);

/// `coffre dev`.
pub(crate) async fn dev(settings: Settings) -> anyhow::Result<()> {
    for (address, key) in addresses(&settings) {
        if !address.ip().is_loopback() {
            bail!("`dev` listens on this machine only, and {key} is {address}: use 127.0.0.1, or `coffre serve`");
        }
    }
    keys::private_folder(&settings.data_dir)?;
    let _lock = lock::take(&settings.data_dir)?;
    let url = read::database(&settings, false)?;
    let folder = settings.keys_dir.clone().unwrap_or_else(|| settings.data_dir.join("keys"));
    let known = keys::load(&folder).ok();
    let migration = recorded::migrate(&settings, &url, known.as_ref().map(|keys| &keys.audit)).await?;
    keys::make(&folder, stores::is_begun(&url).await?)?;
    let keys = keys::load(&folder)?;
    let opened = Stores::open(&url, &settings.environment, &keys.audit)?;
    migration.record(&opened).await?;
    let keeping = AuditKeeping::of(&settings, &url, &folder, &opened).await?;
    let first = init::if_new(&settings, &opened, &keys, Form::Dev, banner::recovery_key).await?;
    let listeners = Listeners::bind(&settings).await?;
    let (http, grpc, management) = listeners.addresses()?;
    serve(&settings, Form::Dev, opened, keys, keeping, listeners, || {
        if let Err(error) = banner::print(&settings, http, grpc, management, first.as_ref()) {
            tracing::warn!(%error, %http, %grpc, %management, "serving; standard output cannot be written");
        }
    })
    .await
}

/// `coffre serve all`.
pub(crate) async fn serve_all(settings: Settings) -> anyhow::Result<()> {
    for (address, key) in addresses(&settings) {
        if !address.ip().is_loopback() {
            bail!(
                "{key} is {address}, and without TLS a process listens on this machine only: use 127.0.0.1 behind a proxy that ends TLS"
            );
        }
    }
    if settings.admin_password.is_some() {
        bail!(
            "`serve` takes no password from the environment: remove COFFRE_ADMIN_PASSWORD; `coffre init` takes COFFRE_ADMIN_PASSWORD_FILE"
        );
    }
    let url = read::database(&settings, true)?;
    let _lock = match url.folder() {
        Some(folder) => {
            keys::private_folder(folder)?;
            Some(lock::take(folder)?)
        }
        None => None,
    };
    let folder = init::keys_folder(&settings)?;
    let keys = keys::load(&folder)?;
    if url.folder().is_some() {
        recorded::migrate(&settings, &url, Some(&keys.audit)).await?;
    }
    stores::check_schema(&url)?;
    let opened = Stores::open(&url, &settings.environment, &keys.audit)?;
    init::require(&opened).await?;
    let keeping = AuditKeeping::of(&settings, &url, &folder, &opened).await?;
    let listeners = Listeners::bind(&settings).await?;
    let (http, grpc, management) = listeners.addresses()?;
    serve(&settings, Form::Serve, opened, keys, keeping, listeners, || {
        tracing::info!(%http, %grpc, %management, version = env!("CARGO_PKG_VERSION"), "serving");
    })
    .await
}

fn addresses(settings: &Settings) -> [(SocketAddr, &'static str); 3] {
    [
        (settings.http_addr, "http_addr (COFFRE_HTTP_ADDR)"),
        (settings.grpc_addr, "grpc_addr (COFFRE_GRPC_ADDR)"),
        (settings.management_addr, "management_addr (COFFRE_MANAGEMENT_ADDR)"),
    ]
}

struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    management: TcpListener,
}

impl Listeners {
    async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let bind = async |address: SocketAddr, key: &str| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("{key}: {address} cannot be listened on; is another process there?"))
        };
        let [http, grpc, management] = addresses(settings);
        Ok(Self {
            http: bind(http.0, http.1).await?,
            grpc: bind(grpc.0, grpc.1).await?,
            management: bind(management.0, management.1).await?,
        })
    }

    fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr, SocketAddr)> {
        Ok((self.http.local_addr()?, self.grpc.local_addr()?, self.management.local_addr()?))
    }
}

async fn serve(
    settings: &Settings,
    form: Form,
    stores: Stores,
    keys: keys::Keys,
    keeping: AuditKeeping,
    listeners: Listeners,
    announce: impl FnOnce(),
) -> anyhow::Result<()> {
    if cfg!(feature = "null-audit") {
        tracing::error!("this build records no read in the audit: it is for measuring alone, and nobody may use it");
    }
    let stop = stop::on_signal()?;
    let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (health, readiness) = (Health::default(), Readiness::not_yet());
    let process = compose(settings, form, &stores, keys, keeping, readiness.clone(), &background, &tasks).await?;
    process.authenticator.ready().await;

    let serving = CancellationToken::new();
    let watch = Watch {
        health: health.clone(),
        stores: stores.clone(),
        authenticator: process.authenticator.clone(),
        vault: process.vault.clone(),
        audit: process.audit.clone(),
        readiness,
        front: process.front.clone(),
    };
    tasks.spawn(watch.run(stop.clone()));
    let url = read::database(settings, form == Form::Serve)?;
    let room = disk::Watch::new(&stores, url.folder(), settings.database_limit, &health, &process.registry)?;
    tasks.spawn(room.run(background.clone()));
    tasks.spawn({
        let (registry, background) = (process.registry.clone(), background.clone());
        async move {
            if let Err(error) = coffre_telemetry::serve(listeners.management, registry, health, background).await {
                tracing::error!(%error, "the management port ended");
            }
        }
    });
    let rest = coffre_gateway::serve(listeners.http, process.gateway, {
        let serving = serving.clone();
        async move { serving.cancelled().await }
    });
    let grpc = process.front.serve(listeners.grpc, serving.clone());
    recorded::start(&stores, form).await;
    announce();

    let streams = process.streams;
    let draining = async {
        stop.cancelled().await;
        streams.cancel();
        tokio::time::sleep(LAME_DUCK).await;
        serving.cancel();
    };
    let (rest, grpc, ()) = tokio::join!(rest, grpc, draining);
    recorded::stop(&stores).await;
    for (_, store) in stores.all() {
        store.outbox.flush(Duration::from_secs(5)).await;
    }
    background.cancel();
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.is_err() {
        tracing::warn!("background tasks did not end in time");
    }
    stores.stop();
    rest.context("the REST port ended")?;
    grpc.context("the gRPC port ended")?;
    tracing::info!("stopped");
    Ok(())
}
