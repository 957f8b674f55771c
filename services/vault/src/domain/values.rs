//! What the calls on values mean (V1 to V4).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use coffre_audit_client::CallRecord;
use coffre_crypto::keyring::OpenKeyring;
use coffre_crypto::state::StillOpen;
use coffre_crypto::value::Place;
use coffre_db::Error;
use coffre_secret::SecretText;
use coffre_types::{AttributeId, Caller, CredentialId, TENANT, Timestamp, UserId, ValueId, Version};

use super::Asker;
use super::credentials::{check_etag, find, meet};
use super::error::VaultError;
use super::model::{Attribute, Stamp, Value};
use super::policy::{Action, Permit, ReadScope, See, Standing, Users, WriteValue};
use super::ports::{DeletedValue, NewValueRow, Read, WithValues, Write};

type Result<T> = std::result::Result<T, VaultError>;

/// Values to store.
#[derive(Debug)]
pub struct CreateValues {
    /// The credential.
    pub credential: CredentialId,
    /// The values, 1 to 100.
    pub values: Vec<NewValue>,
}

/// A value to store.
#[derive(Debug)]
pub struct NewValue {
    /// The attribute.
    pub attribute: AttributeId,
    /// The user to whom it shall belong; `None`: the caller. Only for user-provided attributes.
    pub user: Option<UserId>,
    /// The secret.
    pub secret: SecretText,
}

/// A value that was written, without its secret.
#[derive(Clone, Debug)]
pub struct Written {
    /// The value; its sealed bytes are not in it.
    pub value: Value,
    /// Echoes leave the secret out.
    pub masked: bool,
}

/// Says whether the caller may write these values, before anything expensive is done with them.
///
/// # Errors
/// As for [`create`].
pub fn may_create<T: Read>(
    tx: &mut T,
    by: Asker<'_>,
    credential: CredentialId,
    targets: &[(AttributeId, Option<UserId>)],
) -> Result<()> {
    let (_, rights) = find(tx, by, credential)?;
    let attributes = tx.attributes(&rights.permit(See)?)?;
    for (index, (attribute, user)) in targets.iter().enumerate() {
        let (_, user) = target(by.caller, &attributes, index, *attribute, *user)?;
        rights.permit_write(user)?;
    }
    Ok(())
}

/// Finds the attribute of a new value and the user to whom the value shall belong.
fn target<'a>(
    caller: &Caller,
    attributes: &'a [Attribute],
    index: usize,
    attribute: AttributeId,
    user: Option<UserId>,
) -> Result<(&'a Attribute, Option<UserId>)> {
    let attribute =
        attributes.iter().find(|known| known.id == attribute).ok_or(VaultError::AttributeNotFound(attribute.get()))?;
    match (attribute.traits.user_provided, user) {
        (true, user) => Ok((attribute, Some(user.unwrap_or(caller.user_id)))),
        (false, None) => Ok((attribute, None)),
        (false, Some(_)) => Err(VaultError::invalid(
            format!("values[{index}].user_id"),
            "belongs to user-provided attributes only; this attribute has one value for everybody, so leave it out",
        )),
    }
}

/// Stores values that are not there yet: all of them or none (V1).
///
/// # Errors
/// See `CreateAttributeValues` in the contract.
pub fn create<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    keyring: &OpenKeyring,
    command: &CreateValues,
    now: Timestamp,
) -> Result<Vec<Written>> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, command.credential)?;
    let attributes = tx.attributes(&rights.permit(See)?)?;
    let mut targets = Vec::with_capacity(command.values.len());
    let mut places = BTreeSet::new();
    let mut checked = BTreeSet::new();
    for (index, value) in command.values.iter().enumerate() {
        let (attribute, user) = target(by.caller, &attributes, index, value.attribute, value.user)?;
        let permit = rights.permit_write(user)?;
        if !places.insert((attribute.id, user)) {
            return Err(VaultError::invalid(
                format!("values[{index}].attribute_id"),
                "names a value that the request names twice; send one item for each value",
            ));
        }
        if let Some(user) = user.filter(|user| checked.insert(*user))
            && tx.has_departed(user)?
        {
            return Err(VaultError::invalid(format!("values[{index}].user_id"), "names a user who is being deleted"));
        }
        if let Some(existing) = tx.find_value_of(attribute.id, user)? {
            return Err(VaultError::ValueExists { attribute: attribute.id, value: Some(existing) });
        }
        targets.push((attribute, user, permit));
    }
    let ids = tx.take_value_ids(targets.len())?;
    let stamp = Stamp::new(by.caller, now);
    let mut written = Vec::with_capacity(targets.len());
    for (((attribute, user, permit), id), new) in targets.into_iter().zip(ids).zip(&command.values) {
        let place = place(credential.id, attribute.id, user, id, Version::FIRST);
        let sealed = keyring.seal(&place, new.secret.expose().as_bytes())?;
        by.record.value_seal(id, Version::FIRST, keyring.value_mac(id.get(), Version::FIRST.get(), sealed.as_bytes()));
        by.record.change("value", None, Some(words(attribute.name.as_str(), id, user, Version::FIRST)));
        let row = NewValueRow { id, attribute: attribute.id, user, stamp, sealed };
        tx.insert_value(&permit, &row).map_err(|error| match error {
            Error::Unique(_) => VaultError::ValueExists { attribute: attribute.id, value: None },
            other => VaultError::Store(other),
        })?;
        written.push(Written {
            value: Value {
                id,
                credential: credential.id,
                attribute: attribute.id,
                user,
                version: Version::FIRST,
                stamp,
                sealed: Vec::new(),
            },
            masked: attribute.traits.masked,
        });
    }
    Ok(written)
}

fn place(
    credential: CredentialId,
    attribute: AttributeId,
    user: Option<UserId>,
    value: ValueId,
    version: Version,
) -> Place {
    Place {
        tenant: TENANT.get(),
        credential: credential.get(),
        attribute: attribute.get(),
        user: user.map(UserId::get),
        value: value.get(),
        version: version.get(),
    }
}

/// Names a value for the audit, without its secret.
fn words(attribute: &str, id: ValueId, user: Option<UserId>, version: Version) -> String {
    match user {
        None => format!("{attribute}: {id} version {version}"),
        Some(user) => format!("{attribute}: {id} version {version} (user {user})"),
    }
}

/// Tells the audit which values were released: a detail for each attribute, more where there are many values.
fn tell_read(record: &CallRecord, attributes: &[Attribute], values: &[Value]) {
    const MANY: usize = 50;
    for of_attribute in values.chunk_by(|one, other| one.attribute == other.attribute) {
        for some in of_attribute.chunks(MANY) {
            let attribute = some.first().and_then(|value| attributes.iter().find(|known| known.id == value.attribute));
            let mut text = attribute.map_or_else(String::new, |attribute| attribute.name.as_str().to_owned());
            let mut separator = ": ";
            for value in some {
                // Writing to a text does not fail.
                let _ = match value.user {
                    None => write!(text, "{separator}{}", value.id),
                    Some(user) => write!(text, "{separator}{} (user {user})", value.id),
                };
                separator = ", ";
            }
            record.detail("valueRead", text);
        }
    }
}

/// Asks for values.
#[derive(Clone, Copy, Debug)]
pub struct ListValues {
    /// The credential.
    pub credential: CredentialId,
    /// Only those of this attribute.
    pub attribute: Option<AttributeId>,
    /// Only those of this user, and the standard ones.
    pub user: Option<UserId>,
}

/// Values as they are stored, in the order of their attributes, and whether their secrets may leave.
#[derive(Debug)]
pub struct Found {
    values: Vec<Value>,
    released: bool,
}

/// Says whose values a call looks at, beside the standard ones; `None`: everybody's.
#[must_use]
pub fn whose(caller: &Caller, query: &ListValues) -> Option<UserId> {
    match query.user {
        None if caller.has(Standing::ValueAdmin.base()) => None,
        user => Some(user.unwrap_or(caller.user_id)),
    }
}

/// Finds the values that the caller may read (V2). [`Found::open`] turns them into plaintext.
///
/// # Errors
/// See `ListAttributeValues` in the contract.
pub fn list<T: Read>(tx: &mut T, by: Asker<'_>, query: &ListValues) -> Result<Found> {
    let users = whose(by.caller, query).map_or(Users::All, Users::One);
    let found = tx.with_values(query.credential, users)?;
    let scope = decide(found.as_ref(), by, query)?;
    choose(found, &scope, by, query)
}

/// Decides about what was found for [`whose`], with what lockers share at this moment: a right that went while the database was asked
/// counts no more.
///
/// # Errors
/// As for [`list`].
pub fn decide(found: Option<&WithValues>, by: Asker<'_>, query: &ListValues) -> Result<ReadScope> {
    by.record.clear_changes();
    by.record.object("credential", query.credential, "");
    let found = found.ok_or(VaultError::CredentialNotFound)?;
    meet(by, &found.credential).permit_read(query.user)
}

/// Takes what was decided from what was found.
///
/// # Errors
/// `AttributeNotFound`.
pub fn choose(found: Option<WithValues>, scope: &ReadScope, by: Asker<'_>, query: &ListValues) -> Result<Found> {
    let found = found.ok_or(VaultError::CredentialNotFound)?;
    let attributes = found.attributes;
    if let Some(wanted) = query.attribute.filter(|wanted| attributes.iter().all(|known| known.id != *wanted)) {
        return Err(VaultError::AttributeNotFound(wanted.get()));
    }
    let mut values = found.values.release(scope);
    values.retain(|value| query.attribute.is_none_or(|wanted| wanted == value.attribute));
    if scope.released() {
        tell_read(by.record, &attributes, &values);
    }
    Ok(Found { values, released: scope.released() })
}

/// A value with its secret, where it may leave.
#[derive(Debug)]
pub struct Opened {
    /// The value; its sealed bytes are not in it.
    pub value: Value,
    /// The secret.
    pub secret: Option<SecretText>,
}

/// Values that were opened and are held back until it is known that the vault was not sealed meanwhile.
#[derive(Debug)]
pub struct Held(Vec<Opened>);

impl Held {
    /// Lets them go.
    #[must_use]
    pub fn release(self, _: StillOpen) -> Vec<Opened> {
        self.0
    }
}

impl Found {
    /// Says whether a keyring has the keys of all of them. It lacks those of a term that began after it was taken.
    #[must_use]
    pub fn fits(&self, keyring: &OpenKeyring) -> bool {
        !self.released || self.values.iter().all(|value| keyring.has_key_of(&value.sealed))
    }

    /// Opens the values.
    ///
    /// # Errors
    /// `ValueCorrupt` where one does not open at its place; the audit names it.
    pub fn open(self, keyring: &OpenKeyring, record: &CallRecord) -> Result<Held> {
        let released = self.released;
        let opened: Result<Vec<Opened>> = self
            .values
            .into_iter()
            .map(|mut value| {
                let sealed = std::mem::take(&mut value.sealed);
                if !released {
                    return Ok(Opened { value, secret: None });
                }
                let place = place(value.credential, value.attribute, value.user, value.id, value.version);
                let secret = keyring.open_value(&place, &sealed).ok().and_then(coffre_secret::SecretBytes::into_text);
                match secret {
                    Some(secret) => Ok(Opened { value, secret: Some(secret) }),
                    None => {
                        record.clear_changes();
                        record.detail("valueCorrupt", value.id.to_string());
                        Err(VaultError::ValueCorrupt(value.id))
                    }
                }
            })
            .collect();
        opened.map(Held)
    }
}

/// A new secret for a value.
#[derive(Debug)]
pub struct UpdateValue {
    /// The credential.
    pub credential: CredentialId,
    /// The value.
    pub id: ValueId,
    /// The version that the caller read.
    pub version: Option<Version>,
    /// `If-Match`.
    pub etag: String,
    /// The attribute as the caller knows it.
    pub attribute: Option<AttributeId>,
}

/// Finds a value and gives the permit to write it.
fn find_value<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    credential: CredentialId,
    id: ValueId,
) -> Result<(Attribute, Value, Permit<WriteValue>)> {
    let Some((credential, attribute, value)) = tx.find_value(credential, id)? else {
        // Whether the credential is there, and visible, decides what the caller learns.
        find(tx, by, credential)?.1.check(Action::See)?;
        return Err(VaultError::ValueNotFound);
    };
    let permit = meet(by, &credential).permit_write(value.user)?;
    Ok((attribute, value, permit))
}

/// Changes a value (V3). The new secret is never compared with the old one.
///
/// # Errors
/// See `UpdateAttributeValue` in the contract.
pub fn update<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    keyring: &OpenKeyring,
    command: &UpdateValue,
    secret: &SecretText,
    now: Timestamp,
) -> Result<Written> {
    by.record.clear_changes();
    let (attribute, value, permit) = find_value(tx, by, command.credential, command.id)?;
    check_update(command, &value)?;
    let version = value.version.next();
    let place = place(value.credential, value.attribute, value.user, value.id, version);
    let sealed = keyring.seal(&place, secret.expose().as_bytes())?;
    by.record.value_seal(value.id, version, keyring.value_mac(value.id.get(), version.get(), sealed.as_bytes()));
    let name = attribute.name.as_str();
    by.record.change(
        "value",
        Some(words(name, value.id, value.user, value.version)),
        Some(words(name, value.id, value.user, version)),
    );
    let stamp = value.stamp.touched(by.caller, now);
    if !tx.update_value(&permit, value.id, version, stamp, &sealed)? {
        return Err(VaultError::ValueVersionConflict);
    }
    Ok(Written { value: Value { version, stamp, ..value }, masked: attribute.traits.masked })
}

fn check_update(command: &UpdateValue, value: &Value) -> Result<()> {
    check_etag(&command.etag, value.version)?;
    if command.version.is_some_and(|version| version != value.version) {
        return Err(VaultError::ValueVersionConflict);
    }
    if command.attribute.is_some_and(|attribute| attribute != value.attribute) {
        return Err(VaultError::invalid(
            "attribute_id",
            format!("is not the attribute of this value, which is {}; leave it out or correct it", value.attribute),
        ));
    }
    Ok(())
}

/// Deletes a value for good (V4). Works while the vault is sealed.
///
/// # Errors
/// See `DeleteAttributeValue` in the contract.
pub fn delete<T: Write>(tx: &mut T, by: Asker<'_>, credential: CredentialId, id: ValueId, etag: &str) -> Result<()> {
    by.record.clear_changes();
    let (attribute, value, permit) = find_value(tx, by, credential, id)?;
    check_etag(etag, value.version)?;
    let name = attribute.name.as_str();
    by.record.change("value", Some(words(name, value.id, value.user, value.version)), None);
    if !tx.delete_value(&permit, id)? {
        return Err(VaultError::ValueNotFound);
    }
    by.record.value_deleted(id, value.version);
    Ok(())
}

/// Says how many values went with something else, and names each, so that a row that comes back is found.
pub(super) fn record_deleted(record: &CallRecord, values: &[DeletedValue]) {
    record.detail("values", values.len().to_string());
    for (id, version) in values {
        record.value_deleted(*id, *version);
    }
}
