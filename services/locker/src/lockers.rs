//! The use cases as the api calls them: each gathers what it needs (what auth and vault know) and gives the store one closure.

use std::sync::Arc;

use coffre_audit_client::CallRecord;
use coffre_changes::provider::Hub;
use coffre_db::list::PageTokens;
use coffre_proto::query::v1::PageInfo;
use coffre_types::{Caller, Clock, LockerId, RoleId, UserId};

use crate::contents::Contents;
use crate::directory::Directory;
use crate::domain::consumers::{self, AddConsumer, Holding};
use crate::domain::error::LockerError;
use crate::domain::lockers;
use crate::domain::members::{self, SetMember};
use crate::domain::model::{LockerPatch, Member, NewLocker, View, Who};
use crate::domain::ports::Subject;
use crate::store::Store;
use crate::store::list::{self, LockerQuery};

type Result<T> = std::result::Result<T, LockerError>;

/// How often auth is asked anew about a role that is being given to users at the same time.
const ROUNDS: u32 = 5;

/// Who calls, and the record of the call.
#[derive(Clone)]
pub struct Call {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The record.
    pub record: Arc<CallRecord>,
}

impl Call {
    pub(crate) fn who(&self) -> Who {
        Who::from(self.caller.as_ref())
    }
}

/// The lockers.
pub struct Lockers {
    /// Their store.
    pub store: Store,
    /// What auth knows.
    pub directory: Directory,
    /// What vault knows.
    pub contents: Contents,
    /// Tells other services whose shares changed.
    pub hub: Hub<Subject>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What makes page tokens.
    pub tokens: PageTokens,
}

impl Lockers {
    /// L2.
    ///
    /// # Errors
    /// See [`lockers::create`].
    pub async fn create(&self, call: Call, new: NewLocker) -> Result<View> {
        let (who, now, record) = (call.who(), self.clock.now(), call.record);
        let told = record.clone();
        let view = self.store.write(&record, move |tx| lockers::create(tx, &who, &new, now, &told)).await?;
        self.hub.poke();
        Ok(view)
    }

    /// L4.
    ///
    /// # Errors
    /// See [`lockers::get`].
    pub async fn locker(&self, call: Call, id: LockerId) -> Result<View> {
        let (who, record) = (call.who(), call.record);
        self.store.read(move |tx| lockers::get(tx, &who, id, &record)).await
    }

    /// L1, L3. Counts of credentials are vault's: without it a detailed list is refused.
    ///
    /// # Errors
    /// See [`list::lockers`]; `VaultUnavailable`.
    pub async fn list(&self, call: Call, query: LockerQuery) -> Result<(Vec<View>, PageInfo)> {
        let (who, record, detailed) = (call.who(), call.record, query.detailed);
        let (mut views, page) = self.store.read(move |tx| list::lockers(tx, &who, &query)).await?;
        record.detail("lockers", views.len().to_string());
        if detailed {
            let counts = self.contents.count(views.iter().map(|view| view.locker.id).collect()).await?;
            for (view, count) in views.iter_mut().zip(counts) {
                if let Some(details) = &mut view.details {
                    details.credentials = count;
                }
            }
        }
        Ok((views, page))
    }

    /// L5.
    ///
    /// # Errors
    /// See [`lockers::update`].
    pub async fn update(&self, call: Call, patch: LockerPatch) -> Result<(View, bool)> {
        let (who, now, record) = (call.who(), self.clock.now(), call.record);
        let told = record.clone();
        self.store.write(&record, move |tx| lockers::update(tx, &who, &patch, now, &told)).await
    }

    /// L10.
    ///
    /// # Errors
    /// See [`members::list`].
    pub async fn members(&self, call: Call, id: LockerId) -> Result<Vec<Member>> {
        let (who, record) = (call.who(), call.record);
        self.store.read(move |tx| members::list(tx, &who, id, &record)).await
    }

    /// L11. Auth is asked before the transaction, and only for a caller who may do it; the transaction finds a user who left meanwhile.
    ///
    /// # Errors
    /// See [`members::set`].
    pub async fn set_member(&self, call: Call, locker: LockerId, member: Member) -> Result<()> {
        let (who, record) = (call.who(), call.record);
        let (asking, told, user) = (who.clone(), record.clone(), member.user);
        self.store.read(move |tx| members::may_set(tx, &asking, locker, user, &told)).await?;
        let username = self.directory.user(user).await?.ok_or(LockerError::UserNotFound(user))?;
        let command = SetMember { locker, member, username };
        let (now, told) = (self.clock.now(), record.clone());
        self.store.write(&record, move |tx| members::set(tx, &who, &command, now, &told)).await?;
        self.hub.poke();
        Ok(())
    }

    /// L12.
    ///
    /// # Errors
    /// See [`members::remove`].
    pub async fn remove_member(&self, call: Call, locker: LockerId, user: UserId) -> Result<()> {
        let (who, now, record) = (call.who(), self.clock.now(), call.record);
        let told = record.clone();
        self.store.write(&record, move |tx| members::remove(tx, &who, locker, user, now, &told)).await?;
        self.hub.poke();
        Ok(())
    }

    /// L7.
    ///
    /// # Errors
    /// See [`consumers::list`].
    pub async fn consumers(&self, call: Call, id: LockerId) -> Result<Vec<RoleId>> {
        let (who, record) = (call.who(), call.record);
        self.store.read(move |tx| consumers::list(tx, &who, id, &record)).await
    }

    /// L8. Auth is asked before the transaction, and only for a caller who may do it; the transaction finds a role that went meanwhile.
    ///
    /// # Errors
    /// See [`consumers::add`].
    pub async fn add_consumer(&self, call: Call, locker: LockerId, role: RoleId) -> Result<()> {
        for _ in 0..ROUNDS {
            match self.try_add_consumer(call.clone(), locker, role).await {
                Err(LockerError::RoleOvertaken(_)) => {}
                done => return done,
            }
        }
        self.try_add_consumer(call, locker, role).await
    }

    async fn try_add_consumer(&self, call: Call, locker: LockerId, role: RoleId) -> Result<()> {
        let (who, record) = (call.who(), call.record);
        let (asking, told) = (who.clone(), record.clone());
        let inspections = self.store.read(move |tx| consumers::may_add(tx, &asking, locker, role, &told)).await?;
        let holder = inspections.map(|_| who.user);
        let known = self.directory.role(role, holder).await?.ok_or(LockerError::RoleNotFound(role))?;
        if known.system {
            return Err(LockerError::SystemRole { name: known.name });
        }
        let holding = inspections.map(|inspections| Holding { held: known.held, inspections });
        let command = AddConsumer { locker, role, role_name: known.name, holding };
        let (now, told) = (self.clock.now(), record.clone());
        self.store.write(&record, move |tx| consumers::add(tx, &who, &command, now, &told)).await?;
        self.hub.poke();
        Ok(())
    }

    /// L9.
    ///
    /// # Errors
    /// See [`consumers::remove`].
    pub async fn remove_consumer(&self, call: Call, locker: LockerId, role: RoleId) -> Result<()> {
        let (who, now, record) = (call.who(), self.clock.now(), call.record);
        let told = record.clone();
        self.store.write(&record, move |tx| consumers::remove(tx, &who, locker, role, now, &told)).await?;
        self.hub.poke();
        Ok(())
    }
}
