//! The wiring: settings, database, keys and the other services become this one.

use std::sync::Arc;

use coffre_audit_client::Outbox;
use coffre_changes::provider::Hub;
use coffre_channel::Channel;
use coffre_crypto::CryptoError;
use coffre_db::Database;
use coffre_db::list::PageTokens;
use coffre_proto::auth::internal::v1::caller_service_server::CallerServiceServer;
use coffre_proto::auth::v1::api_access_service_server::ApiAccessServiceServer;
use coffre_proto::auth::v1::api_key_service_server::ApiKeyServiceServer;
use coffre_proto::auth::v1::authentication_service_server::AuthenticationServiceServer;
use coffre_proto::auth::v1::o_auth_service_server::OAuthServiceServer;
use coffre_proto::auth::v1::role_service_server::RoleServiceServer;
use coffre_proto::auth::v1::user_service_server::UserServiceServer;
use coffre_rpc::ServiceParts;
use coffre_secret::SecretBytes;
use coffre_types::{Activity, Clock};
use tokio::task::AbortHandle;
use tonic::service::Routes;

use crate::api::{self, ApiAccesses, ApiKeys, Authentication, Callers, OAuth, Roles, Users};
use crate::background;
use crate::config::Config;
use crate::crowd::Crowd;
use crate::domain::Auth;
use crate::domain::error::Fault;
use crate::domain::ports::{Keeper, Keepers};
use crate::domain::signing::Signer;
use crate::gate::Gate;
use crate::hashing::{HashFault, Hasher};
use crate::keepers::{Consumers, Holdings};
use crate::secrets::Secrets;
use crate::store::{installation, keys};

/// What auth stands on.
pub struct Deps {
    /// Its database, opened with the journals of `outbox` and migrated.
    pub database: Database,
    /// Where the records of its calls go.
    pub outbox: Outbox,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The 32 bytes of `auth.key`.
    pub auth_key: SecretBytes,
    /// The way to the vault's internal services; it may be deferred.
    pub vault: Channel,
    /// The way to locker's internal services; it may be deferred.
    pub locker: Channel,
    /// Tells of the calls for which password hashing makes room.
    pub activity: Activity,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store was never initialised.
    #[error("the installation is not initialised; run `coffre init` first")]
    NotInitialised,
    /// The key file does not open what is in the database.
    #[error("auth's key file is not the one with which the installation was initialised, or it is damaged")]
    WrongKey(#[source] CryptoError),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] coffre_db::Error),
    /// The hashing threads.
    #[error("password hashing: {0}")]
    Hashing(#[from] HashFault),
    /// Anything else of ours.
    #[error("{0}")]
    Other(String),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => Self::Store(error),
            Fault::Hash(fault) => Self::Hashing(fault),
            Fault::Crypto(error) => Self::WrongKey(error),
            Fault::NoSigningKey | Fault::Signing => Self::Other(fault.to_string()),
        }
    }
}

/// The service. Its background tasks end when it is dropped.
pub struct App {
    /// What is served.
    pub parts: ServiceParts,
    auth: Arc<Auth>,
    tasks: Vec<AbortHandle>,
}

impl App {
    /// Withdraws a suspect signing key by its id: its tokens are refused everywhere within a second. Says whether there was such a key.
    ///
    /// # Errors
    /// [`Error::Store`] and whatever keeps a new key from being made.
    pub async fn withdraw_signing_key(&self, kid: &str) -> Result<bool, Error> {
        Ok(self.auth.withdraw_key(kid).await?)
    }

    /// Makes a new signing key where the newest has signed for [`Config::key_rotation`]. It is also done in the background.
    ///
    /// # Errors
    /// [`Error::Store`] and whatever keeps a new key from being made.
    pub async fn rotate_signing_keys(&self) -> Result<bool, Error> {
        Ok(self.auth.rotate_keys_if_due().await?)
    }

    /// Sends those away who follow what changes here, for a process that is about to stop: each begins anew, with another replica.
    pub fn send_followers_away(&self) {
        self.auth.hub.send_away();
    }

    /// Returns how many passwords were hashed since the start, for metrics.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.auth.hasher.done()
    }

    /// Finishes or undoes deletions that a crash, a deadline or a silent service left behind. It is also done in the background.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn settle_deletions(&self) -> Result<(), Error> {
        Ok(self.auth.settle_deletions().await?)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Builds the service and starts its background tasks. Must be called within a Tokio runtime.
///
/// # Errors
/// [`Error`]: an uninitialised store and a wrong key file are refused here.
pub async fn build(config: Config, deps: Deps) -> Result<App, Error> {
    let secrets = Secrets::derive(&deps.auth_key).map_err(Error::WrongKey)?;
    let now = deps.clock.now();
    let (initialised, rows) = deps
        .database
        .read(move |conn| Ok::<_, coffre_db::Error>((installation::is_initialised(conn)?, keys::accepted(conn, now)?)))
        .await?;
    if !initialised {
        return Err(Error::NotInitialised);
    }
    if !config.password_strength_check {
        tracing::warn!(
            "passwords that are easy to guess are accepted, as the settings say (auth.password_strength_check)"
        );
    }
    let signer = Signer::new(&config.issuer, &secrets, rows)?;
    let hasher = Hasher::start(config.hashing, deps.activity)?;
    let keepers = Keepers {
        vault: Arc::new(Holdings { keeper: Keeper::Vault, channel: deps.vault }),
        locker: Arc::new(Holdings { keeper: Keeper::Locker, channel: deps.locker.clone() }),
        consumers: Arc::new(Consumers(deps.locker)),
    };
    let auth = Arc::new(Auth {
        // One more turn than threads and as many again: counted and ready when a thread is free, so that none waits for a commit.
        gate: Gate::new(hasher.threads() * 2, config.hashing.waiting),
        crowd: Crowd::new(config.sign_ins),
        page_tokens: PageTokens::new(secrets.list_token_key()),
        hub: Hub::new(),
        keepers,
        database: deps.database,
        outbox: deps.outbox.clone(),
        clock: deps.clock,
        config,
        secrets,
        hasher,
        signer,
    });
    auth.rotate_keys_if_due().await?;
    let tasks = vec![
        tokio::spawn(background::tell_changes(auth.clone())).abort_handle(),
        tokio::spawn(background::keep_house(auth.clone())).abort_handle(),
        tokio::spawn(background::settle(auth.clone())).abort_handle(),
    ];
    let mut public = Routes::builder();
    public
        .add_service(AuthenticationServiceServer::new(Authentication(auth.clone())))
        .add_service(OAuthServiceServer::new(OAuth(auth.clone())))
        .add_service(ApiAccessServiceServer::new(ApiAccesses(auth.clone())))
        .add_service(ApiKeyServiceServer::new(ApiKeys(auth.clone())))
        .add_service(UserServiceServer::new(Users(auth.clone())))
        .add_service(RoleServiceServer::new(Roles(auth.clone())));
    let mut internal = Routes::builder();
    internal.add_service(CallerServiceServer::new(Callers(auth.clone())));
    let parts = ServiceParts {
        name: "auth",
        public: public.routes(),
        internal: internal.routes(),
        rpcs: api::RPCS,
        internal_rpcs: api::INTERNAL_RPCS,
        outbox: deps.outbox,
    };
    Ok(App { parts, auth, tasks })
}
