//! Initialisation: signing key, system roles and the first administrator, once, in one transaction with the row that says so.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, CallRecord, Outbox, audited_write};
use coffre_crypto::CryptoError;
use coffre_db::Database;
use coffre_secret::{SecretBytes, SecretText};
use coffre_types::{Activity, Clock, Name, RoleId, TextFault, UserId};

use crate::config::Config;
use crate::domain::error::{Fault, WeakPassword};
use crate::domain::password;
use crate::domain::role::{NewRole, SystemRole};
use crate::domain::signing;
use crate::domain::strength::Known;
use crate::domain::user::NewUser;
use crate::hashing::{HashFault, Hasher};
use crate::secrets::Secrets;
use crate::store::{installation, keys, roles, users};

/// The first administrator.
pub struct FirstAdministrator {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretText,
    /// The password was generated and must be changed before anything else.
    pub must_change: bool,
}

/// Why the installation is not initialised.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// It is already.
    #[error("the installation is initialised already")]
    AlreadyInitialised,
    /// The name is no name.
    #[error("the administrator's name {0}")]
    Name(TextFault),
    /// The password breaks the rules.
    #[error("the administrator's password is refused: {0}")]
    Password(String),
    /// The key file is no key.
    #[error("auth's key file: {0}")]
    Key(#[from] CryptoError),
    /// The hashing threads.
    #[error("password hashing: {0}")]
    Hashing(#[from] HashFault),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] coffre_db::Error),
    /// Anything else of ours.
    #[error("{0}")]
    Other(String),
}

impl From<WeakPassword> for InitError {
    fn from(weak: WeakPassword) -> Self {
        Self::Password(weak.to_string())
    }
}

impl From<Fault> for InitError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => Self::Store(error),
            Fault::Hash(fault) => Self::Hashing(fault),
            Fault::Crypto(error) => Self::Key(error),
            Fault::NoSigningKey | Fault::Signing => Self::Other(fault.to_string()),
        }
    }
}

/// Says whether the installation is initialised.
///
/// # Errors
/// What the database says.
pub async fn is_initialised(database: &Database) -> Result<bool, coffre_db::Error> {
    database.read(installation::is_initialised).await
}

/// Initialises the installation and returns the administrator's id.
///
/// The database is migrated, and was opened with the journals of `outbox`.
///
/// # Errors
/// [`InitError::AlreadyInitialised`] the second time, however many try at once; nothing has changed then.
pub async fn init(
    config: &Config,
    database: &Database,
    outbox: &Outbox,
    clock: &Arc<dyn Clock>,
    auth_key: &SecretBytes,
    administrator: FirstAdministrator,
) -> Result<UserId, InitError> {
    if is_initialised(database).await? {
        return Err(InitError::AlreadyInitialised);
    }
    let secrets = Secrets::derive(auth_key)?;
    let now = clock.now();
    let username = Name::parse(administrator.username).map_err(InitError::Name)?;
    password::check(&administrator.password, username.as_str(), config.password_min_length)?;
    let hasher = Hasher::start(config.hashing, Activity::new(clock.clone()))?;
    if config.password_strength_check {
        hasher.judge(&administrator.password, Known::of([username.as_str()])).await??;
    }
    let signing_key = signing::generate(&secrets, now, now)?;
    let id = database.write(|tx| users::reserve_id(tx.conn())).await?;
    let hash = hasher.hash(secrets.keyed_password(id, administrator.password.expose().as_bytes()), None).await?;
    let new = NewUser {
        username,
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        description: None,
        disabled: false,
        password_change_required: administrator.must_change,
        by: 0,
        now,
    };
    let record =
        Arc::new(CallRecord::system(outbox.site(), "installation.initialised", ActivityType::FirstAdminSettings));
    let recorded = record.clone();
    audited_write(database, &record, move |tx| {
        recorded.clear_changes();
        let conn = tx.conn();
        installation::mark_initialised(conn, now).map_err(|error| match error {
            coffre_db::Error::Unique(_) => InitError::AlreadyInitialised,
            other => InitError::Store(other),
        })?;
        keys::insert(conn, &signing_key)?;
        let mut held: Vec<RoleId> = Vec::new();
        for system in SystemRole::ALL {
            let name = Name::parse(system.name()).map_err(InitError::Name)?;
            let role = NewRole {
                name,
                description: None,
                permissions: system.permissions(),
                system: Some(system),
                by: 0,
                now,
            };
            let role = roles::insert(conn, &role)?;
            match system {
                SystemRole::Admin | SystemRole::LockerAdmin => held.push(role),
                SystemRole::Basic => {}
            }
        }
        users::insert(conn, id, &new)?;
        users::set_password(conn, id, &hash, new.password_change_required)?;
        users::replace_roles(conn, id, &held)?;
        recorded.object("user", id, new.username.as_str());
        recorded.change("username", None, Some(new.username.as_str().to_owned()));
        Ok(id)
    })
    .await
}
