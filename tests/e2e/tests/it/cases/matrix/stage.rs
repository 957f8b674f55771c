//! The callers of the matrix and what they act on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use coffre_e2e::api::{AttributeChange, CredentialChange, NewAttribute, NewValue, Session, UserChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::Right;

use super::super::within_a_second;
use super::table::Call;

/// A kind of caller, in the order of the columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Owner,
    Own,
    Manage,
    Participate,
    Consumer,
    LockerAdmin,
    ValueAdmin,
    Other,
    BareOwner,
    BareOwn,
    BareManage,
    BareParticipate,
    BareConsumer,
    Nobody,
}

impl Who {
    const ALL: [Self; 14] = [
        Self::Owner,
        Self::Own,
        Self::Manage,
        Self::Participate,
        Self::Consumer,
        Self::LockerAdmin,
        Self::ValueAdmin,
        Self::Other,
        Self::BareOwner,
        Self::BareOwn,
        Self::BareManage,
        Self::BareParticipate,
        Self::BareConsumer,
        Self::Nobody,
    ];

    /// The base permission alone; without it, others that do not help here.
    fn permissions(self) -> &'static [i64] {
        use permission as p;
        match self {
            Self::Owner | Self::Consumer => &[p::MANAGE_CREDENTIALS],
            Self::Own | Self::Manage | Self::Participate => &[p::MANAGE_LOCKERS],
            Self::LockerAdmin => &[p::ADMINISTER_LOCKERS],
            Self::ValueAdmin => &[p::MANAGE_ALL_VALUES],
            Self::Other => &[
                p::MANAGE_CREDENTIALS,
                p::MANAGE_LOCKERS,
                p::MANAGE_SETTINGS,
                p::VIEW_ALL_AUDIT,
                p::MANAGE_USERS,
                p::CONNECT_TO_API,
            ],
            Self::BareOwner | Self::BareConsumer => &[p::MANAGE_LOCKERS, p::VIEW_ALL_AUDIT],
            Self::BareOwn | Self::BareManage | Self::BareParticipate => &[p::MANAGE_CREDENTIALS, p::VIEW_ALL_AUDIT],
            Self::Nobody => &[],
        }
    }

    fn membership(self) -> Option<Right> {
        match self {
            Self::Own | Self::BareOwn => Some(Right::Own),
            Self::Manage | Self::BareManage => Some(Right::Manage),
            Self::Participate | Self::BareParticipate => Some(Right::Participate),
            _ => None,
        }
    }
}

/// A caller.
pub(super) struct Actor {
    pub(super) who: Who,
    pub(super) session: Session,
    /// Its only role, which nobody else holds.
    pub(super) role: i64,
}

/// A locker with a credential in it, and everybody around.
pub(super) struct Stage<'c> {
    pub(super) case: &'c Case<'c>,
    pub(super) actors: Vec<Actor>,
    /// Puts everything in its place again.
    maker: Session,
    /// Somebody else, who may become an owner or a member and has a value.
    pub(super) target: i64,
    /// A member who may be removed.
    pub(super) passing: i64,
    pub(super) locker: i64,
    pub(super) credential: Cell<i64>,
    attributes: BTreeMap<String, i64>,
    /// An attribute that may be deleted.
    pub(super) spare: Cell<i64>,
    pub(super) secret: String,
    /// The standard value under `None`, and everybody's own.
    values: RefCell<BTreeMap<Option<i64>, i64>>,
    /// A role that is no consumer, and one that is.
    pub(super) free_role: i64,
    pub(super) taken_role: i64,
    enabling_role: i64,
}

impl<'c> Stage<'c> {
    pub(super) async fn new(case: &'c Case<'c>) -> Stage<'c> {
        let mut actors = Vec::new();
        for who in Who::ALL {
            let role = case.role(&format!("role of {who:?}"), who.permissions()).await;
            let session = case.user(&format!("{who:?}"), &[role]).await;
            actors.push(Actor { who, session, role });
        }
        let maker = case.basic("maker").await;
        let [target, passing] = [case.user("target", &[]).await.id, case.user("passing", &[]).await.id];
        let [free_role, taken_role] = [case.role("free", &[]).await, case.role("taken", &[]).await];
        let enabling_role = case.role("enabling", &[permission::MANAGE_CREDENTIALS]).await;

        let locker = maker.create_locker(&case.unique("matrix"), None).await.ok().id;
        for actor in &actors {
            if let Some(right) = actor.who.membership() {
                maker.set_member(locker, actor.session.id, &[right]).await.ok();
            }
            if matches!(actor.who, Who::Consumer | Who::BareConsumer) {
                maker.add_consumer(locker, actor.role).await.ok();
            }
        }
        maker.set_member(locker, passing, &[Right::Participate]).await.ok();
        maker.add_consumer(locker, taken_role).await.ok();

        let attributes = [
            NewAttribute::standard("standard"),
            NewAttribute::standard("empty"),
            NewAttribute::user_provided("own"),
            NewAttribute::user_provided("own too"),
            NewAttribute::standard("spare"),
        ];
        let created = maker.create_credential(&case.unique("matrix"), &attributes).await.ok();
        maker.assign(locker, created.id).await.ok();
        let attributes: BTreeMap<String, i64> =
            created.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.id)).collect();
        let stage = Self {
            case,
            maker,
            target,
            passing,
            locker,
            credential: Cell::new(created.id),
            spare: Cell::new(attributes["spare"]),
            attributes,
            secret: case.secret("of the matrix"),
            values: RefCell::default(),
            free_role,
            taken_role,
            enabling_role,
            actors,
        };
        stage.store(None).await;
        let everybody: Vec<i64> = stage.actors.iter().map(|actor| actor.session.id).chain([target]).collect();
        for user in everybody {
            stage.store(Some(user)).await;
        }
        stage
    }

    fn actor(&self, who: Who) -> &Actor {
        self.actors.iter().find(|actor| actor.who == who).unwrap()
    }

    pub(super) fn attribute(&self, name: &str) -> i64 {
        self.attributes[name]
    }

    /// The standard value, or a user's own.
    pub(super) fn value(&self, of: Option<i64>) -> i64 {
        self.values.borrow()[&of]
    }

    /// Stores the standard value or a user's own, as the one who may write them all.
    async fn store(&self, of: Option<i64>) {
        let value = match of {
            None => NewValue::new(self.attribute("standard"), &*self.secret),
            Some(user) => NewValue::new(self.attribute("own"), self.case.secret("own in the matrix")).of(user),
        };
        let admin = &self.actor(Who::ValueAdmin).session;
        let stored = admin.create_values(self.credential.get(), &[value]).await.ok();
        self.values.borrow_mut().insert(of, stored[0].id);
    }

    /// Gives the credential to an owner.
    pub(super) async fn give(&self, who: Who) {
        self.case.admin.transfer_credential(self.credential.get(), self.actor(who).session.id).await.ok();
    }

    /// The caller with a further role, so that it may own credentials.
    pub(super) async fn as_owner(&self, actor: &Actor) -> Session {
        let roles = UserChange { roles: Some(vec![actor.role, self.enabling_role]), ..UserChange::default() };
        self.case.admin.update_user(actor.session.id, &roles).await.ok();
        within_a_second("it may own credentials", async || {
            let name = format!("{} {}", self.case.unique("probe"), uuid::Uuid::new_v4());
            actor.session.create_credential(&name, &[NewAttribute::standard("a")]).await.outcome.is_ok()
        })
        .await;
        actor.session.clone()
    }

    /// Undoes what a success changed.
    pub(super) async fn restore(&self, actor: &Actor, call: Call) {
        let (id, maker, admin) = (self.credential.get(), &self.maker, &self.case.admin);
        match call {
            Call::DeleteAttribute => {
                let spare = AttributeChange { name: Some("spare".to_owned()), ..AttributeChange::default() };
                let change = CredentialChange { attributes: vec![spare], ..CredentialChange::default() };
                let owner = &self.actor(Who::Owner).session;
                let changed = owner.update_credential(id, &change).await.ok();
                self.spare.set(changed.attribute("spare").id);
            }
            Call::Withdraw => {
                admin.transfer_credential(id, maker.id).await.ok();
                maker.assign(self.locker, id).await.ok();
                self.give(Who::Owner).await;
            }
            Call::Transfer => self.give(Who::Owner).await,
            Call::CreateStandard | Call::CreateOwn | Call::CreateOther => {
                let (attribute, of) = match call {
                    Call::CreateStandard => ("empty", None),
                    Call::CreateOwn => ("own too", Some(actor.session.id)),
                    _ => ("own too", Some(self.target)),
                };
                let writer = &self.actor(Who::ValueAdmin).session;
                for value in writer.list_values_of(id, Some(self.attribute(attribute)), of).await.ok() {
                    writer.delete_value(id, value.id).await.ok();
                }
            }
            Call::DeleteStandard => self.store(None).await,
            Call::UpdateStandard => {
                admin_sets(self, None).await;
            }
            Call::DeleteOwn => self.store(Some(actor.session.id)).await,
            Call::DeleteOther => self.store(Some(self.target)).await,
            Call::AddConsumer => maker.remove_consumer(self.locker, self.free_role).await.ok(),
            Call::AddOwnRole => maker.remove_consumer(self.locker, actor.role).await.ok(),
            Call::RemoveConsumer => maker.add_consumer(self.locker, self.taken_role).await.ok(),
            Call::SetMember => maker.remove_member(self.locker, self.target).await.ok(),
            Call::RemoveMember => maker.set_member(self.locker, self.passing, &[Right::Participate]).await.ok(),
            _ => {}
        }
    }
}

/// Puts the standard value back.
async fn admin_sets(stage: &Stage<'_>, of: Option<i64>) {
    let change = coffre_e2e::api::ValueChange { value: stage.secret.clone(), ..Default::default() };
    let admin = &stage.actor(Who::ValueAdmin).session;
    admin.update_value(stage.credential.get(), stage.value(of), &change).await.ok();
}
