//! The administration of users.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, CallRecord, audited_write};
use coffre_db::list::{Field, Kind, Listing, Page, Plan};
use coffre_db::{Connection, Sql};
use coffre_types::{NameKey, RoleId, Timestamp, UserId, etag};

use super::api_keys::end_other_ways_in;
use super::consumption::{Idle, Weighed, weigh};
use super::error::{Fault, Invalid, UserError};
use super::policy::{Asking, Giver, Grant, ListUsers, ManageUsers, Shown};
use super::strength::Known;
use super::throttle::address_key;
use super::user::{Described, HeldRole, NewUser, User, UserDraft, UserPatch, Whom, roles_text};
use super::{Auth, ClientAddress, password, turn};
use crate::store::changes::{self, Subject};
use crate::store::{roles, sessions, users};

/// What a list of users is filtered and ordered by.
static USERS: Listing = Listing::new(
    "users",
    "users u",
    "u.id",
    &[
        Field::new("id", "u.id", Kind::Integer),
        Field::new("username", "u.username", Kind::TextWithKey("u.name_key")),
        Field::new("firstName", "u.first_name", Kind::Text),
        Field::new("lastName", "u.last_name", Kind::Text),
        Field::new("email", "u.email", Kind::Text),
        Field::new("description", "u.description", Kind::Text).nullable(),
        Field::new("disabled", "u.disabled", Kind::Bool),
        Field::new("createdOn", "u.created_at", Kind::Time),
        Field::new("updatedOn", "u.updated_at", Kind::Time),
    ],
);

/// The same for those who see names alone: what they do not see they cannot ask about either.
static USER_NAMES: Listing = Listing::new(
    "user-names",
    "users u",
    "u.id",
    &[Field::new("id", "u.id", Kind::Integer), Field::new("username", "u.username", Kind::TextWithKey("u.name_key"))],
);

/// How many users are described at a time.
const MOST_DESCRIBED: usize = 10_000;

/// Returns the list that a permit opens.
pub(crate) fn listing(permit: ListUsers) -> &'static Listing {
    match permit.shown() {
        Shown::Everything => &USERS,
        Shown::Names => &USER_NAMES,
    }
}

impl Auth {
    /// Creates a user.
    pub(crate) async fn create_user(
        &self,
        permit: ManageUsers<'_>,
        draft: UserDraft,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<User, UserError> {
        record.wanted("user", draft.username.as_str());
        password::check(&draft.password, draft.username.as_str(), self.config.password_min_length)?;
        let asking = permit.asking(self.config.recent_sign_in, self.now());
        let new = NewUser {
            username: draft.username,
            first_name: draft.first_name,
            last_name: draft.last_name,
            email: draft.email,
            description: draft.description,
            disabled: draft.disabled,
            // Whoever made the user with a password gave it to a script as likely as to a person.
            password_change_required: false,
            by: asking.user.get(),
            now: self.now(),
        };
        let wanted = distinct(draft.roles);
        // Refused before a second of hashing is spent on it; decided in the transaction.
        let early = wanted.clone();
        let idle = self
            .idle(None, move |conn| {
                let (added, giver) = (grants(conn, &early)?, turn::look::<UserError>(conn, asking)?);
                giver.may_assign(None, &added)?;
                let in_question = giver.in_question(None, &added);
                Ok((giver, in_question))
            })
            .await?;
        // The hash is bound to the user's id, so the id is taken first; the row then appears whole.
        let turn = self.gate.turn(address_key(address)).await.map_err(|_| UserError::Overloaded)?;
        let known = Known::of([new.username.as_str(), &new.first_name, &new.last_name, &new.email]);
        self.refuse_guessable::<UserError>(&draft.password, known).await?;
        let id = self.database.write(|tx| users::reserve_id(tx.conn())).await?;
        let hash =
            self.hasher.hash(self.secrets.keyed_password(id, draft.password.expose().as_bytes()), Some(turn)).await?;
        let recorded = record.clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let giver = turn::take::<UserError>(conn, asking)?;
            let added = grants(conn, &wanted)?;
            giver.may_assign(None, &added)?;
            idle.check(conn, &giver, None, &giver.in_question(None, &added))?;
            users::insert(conn, id, &new).map_err(taken)?;
            users::set_password(conn, id, &hash, new.password_change_required)?;
            users::replace_roles(conn, id, &wanted)?;
            let user = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            recorded.object("user", user.id, user.username.clone());
            audit(&recorded, None, &user);
            recorded.change("password", None, Some("set".to_owned()));
            Ok(user)
        })
        .await
    }

    /// Returns a user.
    pub(crate) async fn user(
        &self,
        _permit: ManageUsers<'_>,
        id: UserId,
        record: &CallRecord,
    ) -> Result<User, UserError> {
        let user: Option<User> = self.database.read(move |conn| users::find(conn, id).map_err(UserError::from)).await?;
        let user = user.ok_or(UserError::NotFound)?;
        record.object("user", user.id, user.username.clone());
        Ok(user)
    }

    /// Lists users.
    pub(crate) async fn users(
        &self,
        _permit: ListUsers,
        plan: Plan,
    ) -> Result<(Vec<User>, Page), coffre_db::list::Error> {
        self.database
            .read(move |conn| {
                let page = plan.run(conn, Sql::new("u.tenant_id = 1 AND u.deleted_at IS NULL"))?;
                Ok((users::by_ids(conn, &page.ids)?, page))
            })
            .await
    }

    /// Says whether a user exists and can become the owner of something.
    pub(crate) async fn look_up(&self, id: UserId) -> Result<Option<User>, Fault> {
        let user: Option<User> = self.database.read(move |conn| users::find(conn, id).map_err(Fault::from)).await?;
        Ok(user.filter(|user| !user.deleting))
    }

    /// Describes users: those that are named, and all who hold one of some roles or permissions.
    pub(crate) async fn describe(&self, whom: Whom) -> Result<Vec<Described>, coffre_db::list::Error> {
        self.database
            .read(move |conn| {
                let most = i64::try_from(MOST_DESCRIBED).unwrap_or(i64::MAX);
                let ids = users::matching(conn, &whom.users, &whom.roles, &whom.permissions, most + 1)?;
                if ids.len() > MOST_DESCRIBED {
                    return Err(coffre_db::list::Error::TooLarge);
                }
                let found = users::by_ids(conn, &ids)?;
                let mut held: Vec<i64> =
                    found.iter().flat_map(|user| user.roles.iter().map(|role| role.id.get())).collect();
                held.sort_unstable();
                held.dedup();
                let permissions = roles::permissions(conn, &held)?;
                let of = |role: HeldRole| {
                    let permissions = permissions.get(&role.id.get()).copied().unwrap_or_default();
                    (role, permissions)
                };
                Ok(found
                    .into_iter()
                    .map(|user| Described {
                        id: user.id,
                        username: user.username,
                        disabled: user.disabled,
                        roles: user.roles.into_iter().map(of).collect(),
                    })
                    .collect())
            })
            .await
    }

    /// Changes a user.
    pub(crate) async fn update_user(
        &self,
        permit: ManageUsers<'_>,
        id: UserId,
        patch: UserPatch,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<(User, bool), UserError> {
        let asking = permit.asking(self.config.recent_sign_in, self.now());
        if patch.password.is_some() && !asking.recent {
            return Err(UserError::SignInTooOld);
        }
        let patch = Arc::new(UserPatch { roles: patch.roles.map(distinct), ..patch });
        let (idle, hash) = self.prepared(permit, asking, (id, &patch), address, record).await?;
        let (now, forced, recorded) = (self.now(), self.config.force_password_change, record.clone());
        let outcome = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let giver = turn::take::<UserError>(conn, asking)?;
            let old = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            recorded.object("user", old.id, old.username.clone());
            check_version(&patch, &old)?;
            let Weighed { roles, in_question } = weigh(conn, &giver, &old, &patch)?;
            let (mut new, key) = patched(&old, &patch, roles.as_deref());
            let reset = hash.is_some();
            if new == old && !reset {
                return Ok((old, false));
            }
            idle.check(conn, &giver, Some(id), &in_question)?;
            let stripped = roles.as_ref().is_some_and(|wanted| !wanted.iter().any(|grant| grant.administrator));
            if old.administrator && stripped {
                giver.may_strip()?;
            }
            if old.administrator && (new.disabled || stripped) {
                keep_an_administrator(conn, id)?;
            }
            let disabling = new.disabled && !old.disabled;
            let ended = disabling || reset;
            if ended {
                new.epoch = old.epoch + 1;
            }
            store(conn, &old, &new, &key, roles.as_deref(), asking.user, now)?;
            if let Some(hash) = &hash {
                users::set_password(conn, id, hash, forced)?;
            }
            if ended {
                sessions::end_all(conn, id, None, now)?;
            }
            let told = ended || new.roles != old.roles || new.username != old.username || new.disabled != old.disabled;
            if told {
                changes::record(conn, Subject::User(id), now)?;
            }
            let stored = users::find(conn, id)?.ok_or(UserError::NotFound)?;
            recorded.object("user", stored.id, stored.username.clone());
            if disabling {
                recorded.event("user.disabled", ActivityType::DisableUser);
            } else if old.disabled && !stored.disabled {
                recorded.event("user.enabled", ActivityType::EnableUser);
            }
            audit(&recorded, Some(&old), &stored);
            if reset {
                recorded.change("password", None, Some("reset".to_owned()));
                end_other_ways_in(conn, id, now, &recorded)?;
            }
            Ok::<_, UserError>((stored, true))
        })
        .await?;
        self.hub.poke();
        Ok(outcome)
    }

    /// What needs time before the transaction of a change: locker's answer about roles, the hash of a password, whether a new name is the
    /// password. What would be refused there is refused before.
    async fn prepared(
        &self,
        permit: ManageUsers<'_>,
        asking: Asking,
        (id, patch): (UserId, &Arc<UserPatch>),
        address: ClientAddress,
        record: &CallRecord,
    ) -> Result<(Idle, Option<String>), UserError> {
        if patch.roles.is_none() && patch.password.is_none() && patch.username.is_none() {
            return Ok((Idle::default(), None));
        }
        let before = self.user(permit, id, record).await?;
        check_version(patch, &before)?;
        let (early, target) = (patch.clone(), before.clone());
        let idle = self
            .idle(Some(id), move |conn| {
                let giver = turn::look::<UserError>(conn, asking)?;
                let in_question = weigh(conn, &giver, &target, &early)?.in_question;
                Ok((giver, in_question))
            })
            .await?;
        let (after, _) = patched(&before, patch, None);
        let Some(new) = &patch.password else {
            self.refuse_its_password(&before, &after.username, address).await?;
            return Ok((idle, None));
        };
        password::check(new, &after.username, self.config.password_min_length)?;
        let turn = self.gate.turn(address_key(address)).await.map_err(|_| UserError::Overloaded)?;
        self.refuse_guessable::<UserError>(new, Known::of_user(&after)).await?;
        let hash = self.hasher.hash(self.secrets.keyed_password(id, new.expose().as_bytes()), Some(turn)).await?;
        Ok((idle, Some(hash)))
    }

    /// Refuses to call a user what its password is. The name is tried as it is written: every further spelling would cost a hash. Whoever may
    /// rename a user may as well reset its password, so this tells nobody what he could not choose himself.
    async fn refuse_its_password(&self, user: &User, name: &str, address: ClientAddress) -> Result<(), UserError> {
        let old = NameKey::of(&user.username);
        if NameKey::of(name) == old {
            return Ok(());
        }
        let stored = self.database.read(move |conn| users::for_sign_in(conn, &old).map_err(UserError::from)).await?;
        let turn = self.gate.turn(address_key(address)).await.map_err(|_| UserError::Overloaded)?;
        let keyed = self.secrets.keyed_password(user.id, name.as_bytes());
        let hash = stored.and_then(|user| user.password_hash);
        match self.hasher.verify(keyed, hash.as_deref(), Some(turn)).await?.matches {
            true => Err(UserError::NameIsPassword),
            false => Ok(()),
        }
    }
}

/// Returns a user as a patch makes it, and its name key.
fn patched(old: &User, patch: &UserPatch, roles: Option<&[Grant]>) -> (User, String) {
    let mut new = old.clone();
    let mut key = NameKey::of(&old.username).into_string();
    if let Some(name) = &patch.username {
        new.username = name.as_str().to_owned();
        key = name.key().into_string();
    }
    if let Some(text) = &patch.first_name {
        new.first_name.clone_from(text);
    }
    if let Some(text) = &patch.last_name {
        new.last_name.clone_from(text);
    }
    if let Some(text) = &patch.email {
        new.email.clone_from(text);
    }
    if let Some(text) = &patch.description {
        new.description.clone_from(text);
    }
    if let Some(disabled) = patch.disabled {
        new.disabled = disabled;
    }
    if let Some(grants) = roles {
        let mut held: Vec<HeldRole> =
            grants.iter().map(|grant| HeldRole { id: grant.role, name: grant.name.clone() }).collect();
        held.sort_by_key(|role| role.id);
        new.roles = held;
    }
    (new, key)
}

fn store(
    conn: &mut Connection,
    old: &User,
    new: &User,
    key: &str,
    roles: Option<&[Grant]>,
    by: UserId,
    now: Timestamp,
) -> Result<(), UserError> {
    if !users::update(conn, new, key, by.get(), now).map_err(taken)? {
        return Err(coffre_db::Error::Retryable.into());
    }
    if let Some(grants) = roles.filter(|_| new.roles != old.roles) {
        let ids: Vec<RoleId> = grants.iter().map(|grant| grant.role).collect();
        users::replace_roles(conn, old.id, &ids)?;
    }
    Ok(())
}

/// Refuses to take the last enabled administrator away. The transaction has taken its turn.
pub(crate) fn keep_an_administrator(conn: &mut Connection, leaving: UserId) -> Result<(), UserError> {
    if users::administrators_besides(conn, leaving)? == 0 { Err(UserError::LastAdministrator) } else { Ok(()) }
}

fn distinct(mut roles: Vec<RoleId>) -> Vec<RoleId> {
    roles.sort_unstable();
    roles.dedup();
    roles
}

pub(super) fn grants(conn: &mut Connection, wanted: &[RoleId]) -> Result<Vec<Grant>, UserError> {
    let found = roles::grants(conn, wanted)?;
    match wanted.iter().find(|id| !found.iter().any(|grant| grant.role == **id)) {
        Some(missing) => Err(UserError::RoleNotFound(missing.get())),
        None => Ok(found),
    }
}

pub(super) fn check_reset(giver: &Giver, target: &User) -> Result<(), UserError> {
    if giver.is(Some(target.id)) {
        return Err(UserError::OwnPassword);
    }
    Ok(giver.may_reset_password(target)?)
}

fn check_version(patch: &UserPatch, user: &User) -> Result<(), UserError> {
    if patch.version.is_some_and(|version| version != user.version.get()) {
        return Err(UserError::VersionConflict { current: user.version.get() });
    }
    check_etag(&patch.etag, user)
}

pub(crate) fn check_etag(header: &str, user: &User) -> Result<(), UserError> {
    match etag::matches(header, user.version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(UserError::PreconditionFailed),
        Err(malformed) => Err(Invalid::new("etag", malformed.to_string()).into()),
    }
}

fn taken(error: coffre_db::Error) -> UserError {
    match error {
        coffre_db::Error::Unique(_) => UserError::NameTaken,
        other => other.into(),
    }
}

fn audit(record: &CallRecord, old: Option<&User>, new: &User) {
    let text = |field: &'static str, of: fn(&User) -> &str| {
        let (old, new) = (old.map(of).filter(|text| !text.is_empty()), Some(of(new)).filter(|text| !text.is_empty()));
        record.change(field, old.map(str::to_owned), new.map(str::to_owned));
    };
    text("username", |user| &user.username);
    text("firstName", |user| &user.first_name);
    text("lastName", |user| &user.last_name);
    text("email", |user| &user.email);
    text("description", |user| user.description.as_deref().unwrap_or_default());
    record.change("disabled", old.map(|user| user.disabled.to_string()), Some(new.disabled.to_string()));
    record.change("roles", old.map(|user| roles_text(&user.roles)), Some(roles_text(&new.roles)));
}
