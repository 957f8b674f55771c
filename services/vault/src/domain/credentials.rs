//! What the calls on credentials mean (C1, C3 to C6, A1).

use coffre_db::Error;
use coffre_types::{AttributeId, CredentialId, Timestamp, UserId, Version, etag};

use super::Asker;
use super::error::VaultError;
use super::model::{Credential, NewCredential, Stamp, View};
use super::patch::{CredentialPatch, Planned};
use super::policy::{Action, Change, Creation, Delete, Rights, See};
use super::ports::{Read, Write};
use super::values;

type Result<T> = std::result::Result<T, VaultError>;

/// Finds a credential and how the caller stands to it, and tells the audit.
pub(super) fn find<T: Read + ?Sized>(tx: &mut T, by: Asker<'_>, id: CredentialId) -> Result<(Credential, Rights)> {
    by.record.object("credential", id, "");
    let credential = tx.credential(id)?.ok_or(VaultError::CredentialNotFound)?;
    let rights = meet(by, &credential);
    Ok((credential, rights))
}

/// Finds out how a caller stands to a credential, and tells the audit what the call is about. Callers read their own entries, so the
/// entry of one who does not see the credential has no name, as if there were none.
pub(super) fn meet(by: Asker<'_>, credential: &Credential) -> Rights {
    let rights = Rights::of(by.caller, credential, by.sharing);
    let name = if rights.may(Action::See) { credential.name.as_str() } else { "" };
    by.record.object("credential", credential.id, name);
    rights
}

/// Checks `If-Match` against a version.
pub(super) fn check_etag(header: &str, version: Version) -> Result<()> {
    match etag::matches(header, version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(VaultError::PreconditionFailed),
        Err(malformed) => Err(VaultError::invalid("etag", malformed.to_string())),
    }
}

/// Returns a credential as the caller sees it.
pub(super) fn view<T: Read + ?Sized>(
    tx: &mut T,
    by: Asker<'_>,
    credential: Credential,
    rights: Rights,
) -> Result<View> {
    let permit = rights.permit(See)?;
    let attributes = tx.attributes(&permit)?;
    let completed = tx.count_filled(&permit, by.caller.user_id)? == attributes.len();
    Ok(View { credential, attributes, completed, rights })
}

/// Makes a credential that the caller owns (C1).
///
/// # Errors
/// `PermissionRequired`, `CredentialNameTaken`, `OwnerUnknown` where the caller is being deleted.
pub fn create<T: Write>(tx: &mut T, by: Asker<'_>, new: &NewCredential, now: Timestamp) -> Result<View> {
    by.record.clear_changes();
    by.record.wanted("credential", new.name.as_str());
    let creation = Creation::permit(by.caller)?;
    if tx.has_departed(by.caller.user_id)? {
        return Err(VaultError::OwnerUnknown(by.caller.user_id));
    }
    let stamp = Stamp::new(by.caller, now);
    let id = tx.insert_credential(&creation, new, stamp).map_err(name_taken)?;
    let (credential, rights) = find(tx, by, id)?;
    by.record.change("name", None, Some(credential.name.as_str().to_owned()));
    by.record.change("description", None, new.description.as_ref().map(|text| text.as_str().to_owned()));
    let made = view(tx, by, credential, rights)?;
    for attribute in &made.attributes {
        by.record.change("attribute", None, Some(attribute.summary()));
    }
    Ok(made)
}

fn name_taken(error: Error) -> VaultError {
    match error {
        Error::Unique(_) => VaultError::CredentialNameTaken,
        other => VaultError::Store(other),
    }
}

/// Returns a credential (C3).
///
/// # Errors
/// `CredentialNotFound`, `PermissionRequired`.
pub fn get<T: Read>(tx: &mut T, by: Asker<'_>, id: CredentialId) -> Result<View> {
    by.record.object("credential", id, "");
    let found = tx.overview(id, by.caller.user_id)?.ok_or(VaultError::CredentialNotFound)?;
    let rights = meet(by, &found.credential);
    rights.check(Action::See)?;
    let completed = found.filled == found.attributes.len();
    Ok(View { credential: found.credential, attributes: found.attributes, completed, rights })
}

/// Changes a credential and says whether anything changed (C4).
///
/// # Errors
/// See `UpdateCredential` in the contract.
pub fn update<T: Write>(tx: &mut T, by: Asker<'_>, patch: &CredentialPatch, now: Timestamp) -> Result<(View, bool)> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, patch.id)?;
    let permit = rights.permit(Change)?;
    check_etag(&patch.etag, credential.version)?;
    if patch.version.is_some_and(|version| version != credential.version) {
        return Err(VaultError::CredentialVersionConflict);
    }
    if let Some(owner) = patch.owner.filter(|owner| *owner != credential.owner) {
        return Err(VaultError::OwnerImmutable(owner));
    }
    if let Some(locker) = patch.locker.filter(|locker| credential.locker != Some(*locker)) {
        return Err(VaultError::LockerImmutable(locker));
    }
    let attributes = tx.attributes(&rights.permit(See)?)?;
    let stamp = credential.stamp.touched(by.caller, now);
    let Some(plan) = Planned::new(patch, &credential, &attributes, stamp)? else {
        return Ok((view(tx, by, credential, rights)?, false));
    };
    for attribute in plan.kind_changed() {
        if tx.has_values(&permit, attribute)? {
            return Err(VaultError::AttributeHasValues(attribute));
        }
    }
    plan.tell(&credential, &attributes, by.record);
    if !tx.update_credential(&permit, &plan.credential).map_err(name_taken)? {
        return Err(VaultError::CredentialVersionConflict);
    }
    tx.update_attributes(&permit, &plan.changed)?;
    if !plan.added.is_empty() {
        tx.insert_attributes(&permit, &plan.added, Stamp::new(by.caller, now))?;
    }
    by.record.object("credential", credential.id, plan.credential.name.as_str());
    Ok((view(tx, by, plan.credential, rights)?, true))
}

/// A transfer to a new owner.
#[derive(Clone, Debug)]
pub struct TransferCommand {
    /// The credential.
    pub id: CredentialId,
    /// The new owner. Auth said that it exists.
    pub owner: UserId,
    /// The new owner's name, for the audit.
    pub owner_name: String,
    /// `If-Match`.
    pub etag: String,
}

/// Says whether the caller may make this transfer, before auth is asked about the new owner.
///
/// # Errors
/// `CredentialNotFound`, `PermissionRequired`, `NotPermitted`, `SelfGrant`.
pub fn may_transfer<T: Read>(tx: &mut T, by: Asker<'_>, id: CredentialId, owner: UserId) -> Result<()> {
    let (_, rights) = find(tx, by, id)?;
    rights.permit_transfer(owner).map(|_| ())
}

/// Gives a credential to another owner and says whether that changed anything (C5).
///
/// # Errors
/// See `TransferCredential` in the contract.
pub fn transfer<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    command: &TransferCommand,
    now: Timestamp,
) -> Result<(View, bool)> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, command.id)?;
    let permit = rights.permit_transfer(command.owner)?;
    check_etag(&command.etag, credential.version)?;
    let seen = rights.permit(See)?;
    if credential.owner == command.owner {
        return Ok((view(tx, by, credential, rights)?, false));
    }
    if tx.has_departed(command.owner)? {
        return Err(VaultError::OwnerUnknown(command.owner));
    }
    by.record.change("ownerId", Some(credential.owner.to_string()), Some(command.owner.to_string()));
    by.record.detail("newOwner", command.owner_name.as_str());
    let next = Credential {
        owner: command.owner,
        version: credential.version.next(),
        stamp: credential.stamp.touched(by.caller, now),
        ..credential
    };
    if !tx.transfer_credential(&permit, &next)? {
        return Err(VaultError::CredentialVersionConflict);
    }
    // Whoever gives it away sees the new state once more, with what is left of the rights: what a locker shares counts among them.
    let attributes = tx.attributes(&seen)?;
    let completed = tx.count_filled(&seen, by.caller.user_id)? == attributes.len();
    let rights = Rights::of(by.caller, &next, by.sharing);
    Ok((View { credential: next, attributes, completed, rights }, true))
}

/// Deletes a credential with its attributes and values for good (C6).
///
/// # Errors
/// See `DeleteCredential` in the contract.
pub fn delete<T: Write>(tx: &mut T, by: Asker<'_>, id: CredentialId, etag: &str, now: Timestamp) -> Result<()> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, id)?;
    let permit = rights.permit(Delete)?;
    check_etag(etag, credential.version)?;
    if let Some(locker) = credential.locker {
        return Err(VaultError::CredentialInLocker(locker));
    }
    let values = tx.delete_credential(&permit, credential.stamp.touched(by.caller, now))?;
    by.record.change("name", Some(credential.name.into_string()), None);
    values::record_deleted(by.record, &values);
    Ok(())
}

/// Deletes an attribute and its values for good (A1).
///
/// # Errors
/// See `DeleteAttribute` in the contract.
pub fn delete_attribute<T: Write>(
    tx: &mut T,
    by: Asker<'_>,
    id: CredentialId,
    attribute: AttributeId,
    etag: &str,
    now: Timestamp,
) -> Result<()> {
    by.record.clear_changes();
    let (credential, rights) = find(tx, by, id)?;
    let permit = rights.permit(Change)?;
    check_etag(etag, credential.version)?;
    let attributes = tx.attributes(&rights.permit(See)?)?;
    let gone =
        attributes.iter().find(|known| known.id == attribute).ok_or(VaultError::AttributeNotFound(attribute.get()))?;
    if attributes.len() == 1 {
        return Err(VaultError::invalid(
            "attribute_id",
            "is the credential's only attribute, and a credential keeps at least one; add another first, or delete the credential",
        ));
    }
    let next = Credential {
        version: credential.version.next(),
        stamp: credential.stamp.touched(by.caller, now),
        ..credential
    };
    if !tx.update_credential(&permit, &next)? {
        return Err(VaultError::CredentialVersionConflict);
    }
    let values = tx.delete_attribute(&permit, attribute)?;
    by.record.change("attribute", Some(gone.summary()), None);
    values::record_deleted(by.record, &values);
    Ok(())
}
