//! The use cases as the api calls them: each gathers what it needs (an open keyring, what auth and locker know) and gives the store one
//! closure.
//!
//! What lockers share with a caller is looked up before the closure, in memory. Where it is not at hand the closure runs without it: owners,
//! and whoever may see all values, are served whatever locker does. Where the answer hangs on it, the closure says so, locker is asked, and
//! the closure runs once more.

mod access;
mod dashboard;
mod holdings;
mod keys;
mod lockers;
mod rotation;
mod seals;

use std::collections::BTreeSet;
use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_changes::consumer::Watching;
use coffre_crypto::slot::SlotKind;
use coffre_db::list::PageTokens;
use coffre_proto::query::v1::PageInfo;
use coffre_secret::SecretText;
use coffre_types::{AttributeId, Caller, Clock, CredentialId, UserId, ValueId};

use crate::audit::Audit;
use crate::domain::Asker;
use crate::domain::credentials::{self, TransferCommand};
use crate::domain::error::VaultError;
use crate::domain::keys::KeySettings;
use crate::domain::model::{NewCredential, View};
use crate::domain::patch::CredentialPatch;
use crate::domain::shares::{Gap, Sharing};
use crate::domain::values::{self, CreateValues, Found, ListValues, Opened, UpdateValue, Written};
use crate::keyring::Keyring;
use crate::lockers::Lockers;
use crate::reencryption::Meter;
use crate::shares::ShareCache;
use crate::store::list::{self, CredentialQuery};
use crate::store::{Store, Tx};
use crate::transport::TransportKeys;
use crate::users::Users;

pub use dashboard::Dashboard;
pub use rotation::Progress;
pub use seals::StoredSeal;

type Result<T> = std::result::Result<T, VaultError>;

/// Who calls, and the record of the call.
#[derive(Clone)]
pub struct Call {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The record.
    pub record: Arc<CallRecord>,
}

impl Call {
    fn asking<'a>(&'a self, sharing: &'a Sharing) -> Asker<'a> {
        Asker { caller: &self.caller, sharing, record: &self.record }
    }
}

/// The vault.
pub struct Vault {
    /// Its store.
    pub store: Store,
    /// Its keys.
    pub keyring: Arc<Keyring>,
    /// Its transport keys.
    pub transport: Arc<TransportKeys>,
    /// What auth knows of users.
    pub users: Users,
    /// What lockers share.
    pub shares: Arc<ShareCache>,
    /// Keeps following what lockers share.
    pub following: Watching,
    /// The way to locker.
    pub lockers: Lockers,
    /// The way to audit.
    pub audit: Audit,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What makes page tokens.
    pub tokens: PageTokens,
    /// What the installation says about keys.
    pub keys: KeySettings,
    /// How fast values are re-encrypted.
    pub meter: Arc<Meter>,
}

const NOT_ASKED: Sharing = Sharing::Unknown(Gap::NotAsked);

impl Vault {
    /// Reads, with what lockers share with the caller.
    async fn read<T, F>(&self, call: Call, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>, Asker<'_>) -> Result<T> + Clone + Send + 'static,
    {
        let mut sharing = self.shares.at_hand(&call.caller);
        if sharing == NOT_ASKED {
            let (first, asking) = (f.clone(), call.clone());
            match self.store.read(move |tx| first(tx, asking.asking(&NOT_ASKED))).await {
                Err(VaultError::SharesNotAsked) => {}
                done => return done,
            }
            sharing = self.shares.ask(&call.caller).await;
        }
        self.store.read(move |tx| f(tx, call.asking(&sharing))).await
    }

    /// Changes, with what lockers share with the caller.
    async fn write<T, F>(&self, call: Call, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>, Asker<'_>) -> Result<T> + Clone + Send + 'static,
    {
        let mut sharing = self.shares.at_hand(&call.caller);
        if sharing == NOT_ASKED {
            let (first, asking) = (f.clone(), call.clone());
            match self.store.write(&call.record, move |tx| first(tx, asking.asking(&NOT_ASKED))).await {
                Err(VaultError::SharesNotAsked) => {}
                done => return done,
            }
            sharing = self.shares.ask(&call.caller).await;
        }
        self.store.write(&call.record.clone(), move |tx| f(tx, call.asking(&sharing))).await
    }

    /// C1.
    ///
    /// # Errors
    /// See [`credentials::create`].
    pub async fn create_credential(&self, call: Call, new: NewCredential) -> Result<View> {
        let (now, new) = (self.clock.now(), Arc::new(new));
        self.write(call, move |tx, by| credentials::create(tx, by, &new, now)).await
    }

    /// C3.
    ///
    /// # Errors
    /// See [`credentials::get`].
    pub async fn credential(&self, call: Call, id: CredentialId) -> Result<View> {
        self.read(call, move |tx, by| credentials::get(tx, by, id)).await
    }

    /// C2.
    ///
    /// # Errors
    /// See [`list::credentials`].
    pub async fn credentials(&self, call: Call, query: CredentialQuery) -> Result<(Vec<View>, PageInfo)> {
        let record = call.record.clone();
        let sharing = self.shares.resolve(&call.caller).await;
        let found = self.store.read(move |tx| list::credentials(tx, call.asking(&sharing), &query)).await?;
        record.detail("credentials", found.0.len().to_string());
        Ok(found)
    }

    /// C4.
    ///
    /// # Errors
    /// See [`credentials::update`].
    pub async fn update_credential(&self, call: Call, patch: CredentialPatch) -> Result<(View, bool)> {
        let (now, patch) = (self.clock.now(), Arc::new(patch));
        self.write(call, move |tx, by| credentials::update(tx, by, &patch, now)).await
    }

    /// C5. Auth is asked before the transaction, and only for a caller who may transfer; the transaction finds a user who left meanwhile.
    ///
    /// # Errors
    /// See [`credentials::transfer`].
    pub async fn transfer_credential(
        &self,
        call: Call,
        id: CredentialId,
        owner: UserId,
        etag: String,
    ) -> Result<(View, bool)> {
        self.read(call.clone(), move |tx, by| credentials::may_transfer(tx, by, id, owner)).await?;
        let owner_name = self.users.look_up(owner).await?.ok_or(VaultError::OwnerUnknown(owner))?;
        let command = TransferCommand { id, owner, owner_name, etag };
        let now = self.clock.now();
        // Asked for in any case: what an owner may after it gave the credential away hangs on the locker.
        let sharing = self.shares.resolve(&call.caller).await;
        self.store
            .write(&call.record.clone(), move |tx| credentials::transfer(tx, call.asking(&sharing), &command, now))
            .await
    }

    /// C6.
    ///
    /// # Errors
    /// See [`credentials::delete`].
    pub async fn delete_credential(&self, call: Call, id: CredentialId, etag: String) -> Result<()> {
        let now = self.clock.now();
        self.write(call, move |tx, by| credentials::delete(tx, by, id, &etag, now)).await
    }

    /// A1.
    ///
    /// # Errors
    /// See [`credentials::delete_attribute`].
    pub async fn delete_attribute(
        &self,
        call: Call,
        id: CredentialId,
        attribute: AttributeId,
        etag: String,
    ) -> Result<()> {
        let now = self.clock.now();
        self.write(call, move |tx, by| credentials::delete_attribute(tx, by, id, attribute, &etag, now)).await
    }

    /// V1. With an encryption key the values are decrypted, after a look at whether the caller may write them at all.
    ///
    /// # Errors
    /// See [`values::create`].
    pub async fn create_values(
        &self,
        call: Call,
        mut command: CreateValues,
        encryption_key: &str,
    ) -> Result<(Vec<Written>, Arc<CreateValues>)> {
        let opened = self.keyring.opened().await?;
        let me = call.caller.user_id;
        let others: BTreeSet<UserId> =
            command.values.iter().filter_map(|value| value.user).filter(|user| *user != me).collect();
        if !encryption_key.is_empty() || !others.is_empty() {
            let targets: Vec<_> = command.values.iter().map(|value| (value.attribute, value.user)).collect();
            let credential = command.credential;
            self.read(call.clone(), move |tx, by| values::may_create(tx, by, credential, &targets)).await?;
        }
        for user in others {
            if self.users.look_up(user).await?.is_none() {
                let index = command.values.iter().position(|value| value.user == Some(user)).unwrap_or(0);
                return Err(VaultError::invalid(format!("values[{index}].user_id"), "names no user"));
            }
        }
        if !encryption_key.is_empty() {
            let empty = || SecretText::new(String::new());
            let texts = command.values.iter_mut().map(|value| std::mem::replace(&mut value.secret, empty())).collect();
            let plain = self.transport.decrypt(encryption_key, texts, |index| format!("values[{index}].value")).await?;
            for (value, secret) in command.values.iter_mut().zip(plain) {
                value.secret = secret;
            }
        }
        let now = self.clock.now();
        let command = Arc::new(command);
        let (wanted, keyring) = (command.clone(), self.keyring.clone());
        let written = self
            .write(call, move |tx, by| {
                let written = values::create(tx, by, opened.keyring(), &wanted, now)?;
                keyring.confirm_in(tx, &opened)?;
                Ok(written)
            })
            .await?;
        Ok((written, command))
    }

    /// V2: one trip to the store, then the values are opened here.
    ///
    /// # Errors
    /// See [`values::list`].
    pub async fn values(&self, call: Call, query: ListValues) -> Result<Vec<Opened>> {
        let mut keys = self.keyring.opened().await?;
        let mut found = self.find_values(&call, query).await?;
        for _ in 0..2 {
            if found.fits(keys.keyring()) {
                break;
            }
            // A term began since the keys were taken, or here nobody has heard of it yet: its key is in the database.
            self.keyring.look().await?;
            keys = self.keyring.opened().await?;
            found = self.find_values(&call, query).await?;
        }
        let held = found.open(keys.keyring(), &call.record)?;
        let still = self.keyring.confirm(&keys).await.inspect_err(|_| call.record.clear_changes())?;
        Ok(held.release(still))
    }

    async fn find_values(&self, call: &Call, query: ListValues) -> Result<Found> {
        let Some(user) = values::whose(&call.caller, &query) else {
            // Everybody's values: many rows, and seldom asked for. They hang on no locker.
            return self.read(call.clone(), move |tx, by| values::list(tx, by, &query)).await;
        };
        let found = self.store.with_values(query.credential, user).await?;
        let mut sharing = self.shares.at_hand(&call.caller);
        let scope = match values::decide(found.as_ref(), call.asking(&sharing), &query) {
            Err(VaultError::SharesNotAsked) => {
                sharing = self.shares.ask(&call.caller).await;
                values::decide(found.as_ref(), call.asking(&sharing), &query)
            }
            decided => decided,
        }?;
        values::choose(found, &scope, call.asking(&sharing), &query)
    }

    /// V3.
    ///
    /// # Errors
    /// See [`values::update`].
    pub async fn update_value(
        &self,
        call: Call,
        command: UpdateValue,
        secret: SecretText,
        encryption_key: &str,
    ) -> Result<(Written, Arc<SecretText>)> {
        let opened = self.keyring.opened().await?;
        let secret = if encryption_key.is_empty() {
            secret
        } else {
            let credential = command.credential;
            self.read(call.clone(), move |tx, by| credentials::get(tx, by, credential)).await?;
            let plain = self.transport.decrypt(encryption_key, vec![secret], |_| "value".to_owned()).await?;
            plain.into_iter().next().ok_or_else(|| VaultError::TransportValueUnreadable("value".to_owned()))?
        };
        let now = self.clock.now();
        let (command, secret) = (Arc::new(command), Arc::new(secret));
        let (new, keyring) = (secret.clone(), self.keyring.clone());
        let written = self
            .write(call, move |tx, by| {
                let written = values::update(tx, by, opened.keyring(), &command, &new, now)?;
                keyring.confirm_in(tx, &opened)?;
                Ok(written)
            })
            .await?;
        Ok((written, secret))
    }

    /// V4.
    ///
    /// # Errors
    /// See [`values::delete`].
    pub async fn delete_value(&self, call: Call, credential: CredentialId, id: ValueId, etag: String) -> Result<()> {
        self.write(call, move |tx, by| values::delete(tx, by, credential, id, &etag)).await
    }

    /// M1: the mode is which slots there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_express_slot(&self) -> Result<bool> {
        self.store.read(|tx| Ok(tx.slot(SlotKind::Express)?.is_some())).await
    }

    /// M3.
    ///
    /// # Errors
    /// The store's, where the state is not fresh.
    pub async fn is_open(&self) -> Result<bool> {
        match self.keyring.opened().await {
            Ok(_) => Ok(true),
            Err(VaultError::Sealed) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
