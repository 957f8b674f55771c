//! The use cases as the api calls them: each gathers what it needs (an open keyring, what auth knows) and gives the store one closure.

use std::collections::BTreeSet;
use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_crypto::slot::SlotKind;
use coffre_db::list::PageTokens;
use coffre_proto::query::v1::PageInfo;
use coffre_secret::SecretText;
use coffre_types::{AttributeId, Caller, Clock, CredentialId, UserId, ValueId};

use crate::domain::credentials::{self, TransferCommand};
use crate::domain::error::VaultError;
use crate::domain::holdings;
use crate::domain::model::{NewCredential, View};
use crate::domain::patch::CredentialPatch;
use crate::domain::values::{self, CreateValues, ListValues, Opened, UpdateValue, Written};
use crate::keyring::Keyring;
use crate::store::Store;
use crate::store::list::{self, CredentialQuery};
use crate::transport::TransportKeys;
use crate::users::Users;

type Result<T> = std::result::Result<T, VaultError>;

/// Who calls, and the record of the call.
#[derive(Clone)]
pub struct Call {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The record.
    pub record: Arc<CallRecord>,
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
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What makes page tokens.
    pub tokens: PageTokens,
}

impl Vault {
    /// C1.
    ///
    /// # Errors
    /// See [`credentials::create`].
    pub async fn create_credential(&self, call: Call, new: NewCredential) -> Result<View> {
        let now = self.clock.now();
        let Call { caller, record } = call;
        self.store.write(&record.clone(), move |tx| credentials::create(tx, &caller, &new, now, &record)).await
    }

    /// C3.
    ///
    /// # Errors
    /// See [`credentials::get`].
    pub async fn credential(&self, call: Call, id: CredentialId) -> Result<View> {
        let Call { caller, record } = call;
        self.store.read(move |tx| credentials::get(tx, &caller, id, &record)).await
    }

    /// C2.
    ///
    /// # Errors
    /// See [`list::credentials`].
    pub async fn credentials(&self, call: Call, query: CredentialQuery) -> Result<(Vec<View>, PageInfo)> {
        let Call { caller, record } = call;
        let found = self.store.read(move |tx| list::credentials(tx, &caller, &query)).await?;
        record.detail("credentials", found.0.len().to_string());
        Ok(found)
    }

    /// C4.
    ///
    /// # Errors
    /// See [`credentials::update`].
    pub async fn update_credential(&self, call: Call, patch: CredentialPatch) -> Result<(View, bool)> {
        let now = self.clock.now();
        let Call { caller, record } = call;
        self.store.write(&record.clone(), move |tx| credentials::update(tx, &caller, &patch, now, &record)).await
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
        let Call { caller, record } = call;
        let (asking, told) = (caller.clone(), record.clone());
        self.store.read(move |tx| credentials::may_transfer(tx, &asking, id, owner, &told)).await?;
        let owner_name = self.users.look_up(owner).await?.ok_or(VaultError::OwnerUnknown(owner))?;
        let command = TransferCommand { id, owner, owner_name, etag };
        let now = self.clock.now();
        self.store.write(&record.clone(), move |tx| credentials::transfer(tx, &caller, &command, now, &record)).await
    }

    /// C6.
    ///
    /// # Errors
    /// See [`credentials::delete`].
    pub async fn delete_credential(&self, call: Call, id: CredentialId, etag: String) -> Result<()> {
        let now = self.clock.now();
        let Call { caller, record } = call;
        self.store.write(&record.clone(), move |tx| credentials::delete(tx, &caller, id, &etag, now, &record)).await
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
        let Call { caller, record } = call;
        self.store
            .write(&record.clone(), move |tx| {
                credentials::delete_attribute(tx, &caller, id, attribute, &etag, now, &record)
            })
            .await
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
        let Call { caller, record } = call;
        let others: BTreeSet<UserId> =
            command.values.iter().filter_map(|value| value.user).filter(|user| *user != caller.user_id).collect();
        if !encryption_key.is_empty() || !others.is_empty() {
            let targets: Vec<_> = command.values.iter().map(|value| (value.attribute, value.user)).collect();
            let (asking, told, credential) = (caller.clone(), record.clone(), command.credential);
            self.store.read(move |tx| values::may_create(tx, &asking, credential, &targets, &told)).await?;
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
            .store
            .write(&record.clone(), move |tx| {
                let written = values::create(tx, &caller, opened.keyring(), &wanted, now, &record)?;
                keyring.check(&opened)?;
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
        let keys = self.keyring.opened().await?;
        let Call { caller, record } = call;
        let told = record.clone();
        let found = self.store.read(move |tx| values::list(tx, &caller, &query, &told)).await?;
        let values = found.open(keys.keyring(), &record)?;
        self.keyring.check(&keys).inspect_err(|_| record.clear_changes())?;
        Ok(values)
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
        let Call { caller, record } = call;
        let secret = if encryption_key.is_empty() {
            secret
        } else {
            let (asking, told, credential) = (caller.clone(), record.clone(), command.credential);
            self.store.read(move |tx| credentials::get(tx, &asking, credential, &told)).await?;
            let plain = self.transport.decrypt(encryption_key, vec![secret], |_| "value".to_owned()).await?;
            plain.into_iter().next().ok_or_else(|| VaultError::TransportValueUnreadable("value".to_owned()))?
        };
        let now = self.clock.now();
        let secret = Arc::new(secret);
        let (new, keyring) = (secret.clone(), self.keyring.clone());
        let written = self
            .store
            .write(&record.clone(), move |tx| {
                let written = values::update(tx, &caller, opened.keyring(), &command, &new, now, &record)?;
                keyring.check(&opened)?;
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
        let Call { caller, record } = call;
        self.store.write(&record.clone(), move |tx| values::delete(tx, &caller, credential, id, &etag, &record)).await
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

    /// Lets go of a user who is being deleted.
    ///
    /// # Errors
    /// See [`holdings::release`].
    pub async fn release_user(&self, user: UserId, record: Arc<CallRecord>) -> Result<()> {
        let now = self.clock.now();
        self.store.write(&record.clone(), move |tx| holdings::release(tx, user, now, &record)).await
    }
}
