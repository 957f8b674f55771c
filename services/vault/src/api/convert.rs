//! Between messages and the domain. Field rules are checked here, and secrets leave their message at once.

use std::collections::HashSet;

use coffre_db::list::PageTokens;
use coffre_proto::query::v1::Query;
use coffre_proto::vault::v1 as proto;
use coffre_secret::SecretText;
use coffre_types::{AttributeId, CredentialId, Description, LockerId, Name, NameKey, UserId, ValueId, Version};

use crate::domain::contents::AssignCommand;
use crate::domain::error::VaultError;
use crate::domain::model::{
    Attribute, MAX_ATTRIBUTES, MAX_VALUE_BYTES, NewAttribute, NewCredential, Stamp, Traits, Value, View,
};
use crate::domain::patch::{AttributePatch, CredentialPatch};
use crate::domain::policy::{Action, Rights};
use crate::domain::values::{CreateValues, ListValues, NewValue, Opened, UpdateValue, Written};
use crate::store::list::CredentialQuery;
use crate::vault::StoredSeal;

type Result<T> = std::result::Result<T, VaultError>;

const MAX_VALUES: usize = 100;
const MAX_NAMES: usize = 1000;
const MAX_ETAG_CHARACTERS: usize = 1000;
const MAX_KEY_BYTES: usize = 4096;
const SEALS: usize = 1000;
const MAX_SEALS: usize = 10_000;

macro_rules! id_readers {
    ($($name:ident => $id:ident;)*) => {$(
        pub(super) fn $name(field: &str, number: i64) -> Result<$id> {
            $id::new(number).ok_or_else(|| not_an_id(field, number))
        }
    )*};
}

id_readers! {
    credential_id => CredentialId;
    attribute_id => AttributeId;
    value_id => ValueId;
    user_id => UserId;
    locker_id => LockerId;
}

fn not_an_id(field: &str, number: i64) -> VaultError {
    VaultError::invalid(field, if number == 0 { "is required" } else { "is no id: ids are positive numbers" })
}

fn version(field: &str, number: Option<i64>) -> Result<Option<Version>> {
    let read = |number| Version::new(number).ok_or_else(|| VaultError::invalid(field, "is not negative"));
    number.map(read).transpose()
}

fn name(field: impl Into<String>, text: String) -> Result<Name> {
    Name::parse(text).map_err(|fault| VaultError::invalid(field, fault.to_string()))
}

/// Reads which seals are asked for: those after a number, and how many.
pub(super) fn value_seals(asked: &proto::ListValueSealsRequest) -> Result<(i64, usize)> {
    if asked.after_value_id < 0 {
        return Err(VaultError::invalid("after_value_id", "is not negative"));
    }
    let limit = match usize::try_from(asked.page_size) {
        Ok(0) => SEALS,
        Ok(limit) if limit <= MAX_SEALS => limit,
        _ => return Err(VaultError::invalid("page_size", format!("is from 0 to {MAX_SEALS}"))),
    };
    Ok((asked.after_value_id, limit))
}

pub(super) fn value_seal(seal: StoredSeal) -> proto::StoredValueSeal {
    let mac = seal.mac.map(Vec::from).unwrap_or_default();
    proto::StoredValueSeal { value_id: seal.value, version: seal.version, mac }
}

/// An empty description is none.
fn description(field: impl Into<String>, text: Option<String>) -> Result<Option<Description>> {
    let text = text.filter(|text| !text.is_empty());
    text.map(Description::parse).transpose().map_err(|fault| VaultError::invalid(field, fault.to_string()))
}

pub(super) fn etag(text: String) -> Result<String> {
    if text.chars().count() > MAX_ETAG_CHARACTERS {
        return Err(VaultError::invalid("etag", format!("must have at most {MAX_ETAG_CHARACTERS} characters")));
    }
    Ok(text)
}

pub(super) fn encryption_key(text: String) -> Result<String> {
    if text.len() > MAX_KEY_BYTES {
        return Err(VaultError::invalid("encryption_key", format!("must have at most {MAX_KEY_BYTES} bytes")));
    }
    Ok(text)
}

fn secret(field: impl Into<String>, secret: SecretText) -> Result<SecretText> {
    if secret.len_bytes() > MAX_VALUE_BYTES {
        return Err(VaultError::invalid(field, format!("must have at most {MAX_VALUE_BYTES} bytes of UTF-8")));
    }
    Ok(secret)
}

pub(super) fn new_credential(message: proto::CreateCredentialRequest) -> Result<NewCredential> {
    let count = message.attributes.len();
    if count == 0 || count > MAX_ATTRIBUTES {
        return Err(VaultError::invalid(
            "attributes",
            format!("a credential has 1 to {MAX_ATTRIBUTES}; there are {count}"),
        ));
    }
    let mut names: HashSet<NameKey> = HashSet::with_capacity(count);
    let mut attributes = Vec::with_capacity(count);
    for (index, item) in message.attributes.into_iter().enumerate() {
        let attribute = NewAttribute {
            name: name(format!("attributes[{index}].name"), item.name)?,
            description: description(format!("attributes[{index}].description"), item.description)?,
            traits: Traits { user_provided: item.user_provided, masked: item.masked, password: item.password },
        };
        if !names.insert(attribute.name.key()) {
            return Err(VaultError::AttributeNameTaken(attribute.name.into_string()));
        }
        attributes.push(attribute);
    }
    Ok(NewCredential {
        name: name("name", message.name)?,
        description: description("description", message.description)?,
        attributes,
    })
}

pub(super) fn credential_patch(message: proto::UpdateCredentialRequest) -> Result<CredentialPatch> {
    if message.attributes.len() > MAX_ATTRIBUTES {
        return Err(VaultError::invalid("attributes", format!("must be at most {MAX_ATTRIBUTES}")));
    }
    let attributes = message.attributes.into_iter().enumerate().map(|(index, item)| attribute_patch(index, item));
    Ok(CredentialPatch {
        id: credential_id("id", message.id)?,
        version: version("version", message.version)?,
        etag: etag(message.etag)?,
        name: message.name.map(|text| name("name", text)).transpose()?,
        description: message.description.map(|text| description("description", Some(text))).transpose()?,
        owner: message.owner_id.map(|number| user_id("owner_id", number)).transpose()?,
        locker: message.locker_id.map(|number| locker_id("locker_id", number)).transpose()?,
        attributes: attributes.collect::<Result<_>>()?,
    })
}

fn attribute_patch(index: usize, item: proto::AttributePatch) -> Result<AttributePatch> {
    let field = |name: &str| format!("attributes[{index}].{name}");
    Ok(AttributePatch {
        id: item.id.map(|number| attribute_id(&field("id"), number)).transpose()?,
        version: version(&field("version"), item.version)?,
        name: item.name.map(|text| name(field("name"), text)).transpose()?,
        description: item.description.map(|text| description(field("description"), Some(text))).transpose()?,
        user_provided: item.user_provided,
        masked: item.masked,
        password: item.password,
    })
}

pub(super) fn credential_query(message: proto::ListCredentialsRequest, tokens: &PageTokens) -> Result<CredentialQuery> {
    if message.names.len() > MAX_NAMES {
        return Err(VaultError::invalid("names", format!("must be at most {MAX_NAMES}")));
    }
    if message.names.iter().any(|name| name.chars().count() > Name::MAX_CHARACTERS) {
        return Err(VaultError::invalid("names", format!("a name has at most {} characters", Name::MAX_CHARACTERS)));
    }
    let names = message.names.iter().map(|name| NameKey::of(name)).collect();
    CredentialQuery::new(&message.query.unwrap_or_default(), message.consumed, names, tokens)
}

pub(super) fn locker_query(query: &Query, tokens: &PageTokens) -> Result<CredentialQuery> {
    CredentialQuery::new(query, None, Vec::new(), tokens)
}

pub(super) fn assign_command(message: proto::AssignCredentialRequest) -> Result<AssignCommand> {
    Ok(AssignCommand {
        credential: credential_id("credential_id", message.credential_id)?,
        locker: locker_id("locker_id", message.locker_id)?,
        etag: etag(message.etag)?,
    })
}

pub(super) fn create_values(message: proto::CreateAttributeValuesRequest) -> Result<(CreateValues, String)> {
    // The secrets first, so that none stays behind in a message that is refused.
    let items: Vec<_> =
        message.values.into_iter().map(|item| (item.attribute_id, item.user_id, SecretText::new(item.value))).collect();
    if items.is_empty() || items.len() > MAX_VALUES {
        return Err(VaultError::invalid("values", format!("must be 1 to {MAX_VALUES}; there are {}", items.len())));
    }
    let values = items.into_iter().enumerate().map(|(index, (attribute, user, text))| {
        Ok(NewValue {
            attribute: attribute_id(&format!("values[{index}].attribute_id"), attribute)?,
            user: user.map(|number| user_id(&format!("values[{index}].user_id"), number)).transpose()?,
            secret: secret(format!("values[{index}].value"), text)?,
        })
    });
    let command = CreateValues {
        credential: credential_id("credential_id", message.credential_id)?,
        values: values.collect::<Result<_>>()?,
    };
    Ok((command, encryption_key(message.encryption_key)?))
}

pub(super) fn list_values(message: &proto::ListAttributeValuesRequest) -> Result<ListValues> {
    Ok(ListValues {
        credential: credential_id("credential_id", message.credential_id)?,
        attribute: message.attribute_id.map(|number| attribute_id("attribute_id", number)).transpose()?,
        user: message.user_id.map(|number| user_id("user_id", number)).transpose()?,
    })
}

pub(super) fn update_value(message: proto::UpdateAttributeValueRequest) -> Result<(UpdateValue, SecretText, String)> {
    let text = SecretText::new(message.value);
    let command = UpdateValue {
        credential: credential_id("credential_id", message.credential_id)?,
        id: value_id("id", message.id)?,
        version: version("version", message.version)?,
        etag: etag(message.etag)?,
        attribute: message.attribute_id.map(|number| attribute_id("attribute_id", number)).transpose()?,
    };
    Ok((command, secret("value", text)?, encryption_key(message.encryption_key)?))
}

/// Says what the caller may do here: it reads or writes values where there is an attribute whose value it may.
fn permissions(rights: Rights, attributes: &[Attribute]) -> proto::Permissions {
    let some = |standard: Action, own: Action| {
        attributes.iter().any(|attribute| rights.may(if attribute.traits.user_provided { own } else { standard }))
    };
    proto::Permissions {
        can_read_values: some(Action::ReadStandard, Action::ReadOwn),
        can_write_values: some(Action::WriteStandard, Action::WriteOwn),
        can_update: rights.may(Action::Change),
        can_delete: rights.may(Action::Delete),
        can_transfer_ownership: rights.may(Action::Transfer),
        can_assign_locker: rights.may(Action::Assign),
    }
}

struct Stamped {
    creator_id: i64,
    create_time: Option<prost_types::Timestamp>,
    updater_id: i64,
    update_time: Option<prost_types::Timestamp>,
}

fn stamped(stamp: Stamp) -> Stamped {
    Stamped {
        creator_id: stamp.created_by.get(),
        create_time: Some(stamp.created_at.to_proto()),
        updater_id: stamp.updated_by.get(),
        update_time: Some(stamp.updated_at.to_proto()),
    }
}

pub(super) fn credential(view: View) -> proto::Credential {
    let Stamped { creator_id, create_time, updater_id, update_time } = stamped(view.credential.stamp);
    let permissions = permissions(view.rights, &view.attributes);
    proto::Credential {
        id: view.credential.id.get(),
        name: view.credential.name.into_string(),
        description: view.credential.description.map(Description::into_string),
        owner_id: view.credential.owner.get(),
        locker_id: view.credential.locker.map(LockerId::get),
        attributes: view.attributes.into_iter().map(attribute).collect(),
        completed: view.completed,
        permissions: Some(permissions),
        version: view.credential.version.get(),
        creator_id,
        create_time,
        updater_id,
        update_time,
    }
}

fn attribute(attribute: Attribute) -> proto::Attribute {
    let Stamped { creator_id, create_time, updater_id, update_time } = stamped(attribute.stamp);
    proto::Attribute {
        id: attribute.id.get(),
        name: attribute.name.into_string(),
        description: attribute.description.map(Description::into_string),
        user_provided: attribute.traits.user_provided,
        masked: attribute.traits.masked,
        password: attribute.traits.password,
        version: attribute.version.get(),
        creator_id,
        create_time,
        updater_id,
        update_time,
    }
}

fn value(value: &Value, secret: Option<String>) -> proto::AttributeValue {
    let Stamped { creator_id, create_time, updater_id, update_time } = stamped(value.stamp);
    proto::AttributeValue {
        id: value.id.get(),
        attribute_id: value.attribute.get(),
        user_id: value.user.map(UserId::get),
        value_set: secret.is_some(),
        value: secret.unwrap_or_default(),
        version: value.version.get(),
        creator_id,
        create_time,
        updater_id,
        update_time,
    }
}

/// Returns a value that was read.
pub(super) fn opened(opened: Opened) -> proto::AttributeValue {
    value(&opened.value, opened.secret.map(SecretText::into_exposed))
}

/// Returns a value that was written: the secret is left out where the attribute is masked.
pub(super) fn written(written: &Written, secret: &SecretText) -> proto::AttributeValue {
    value(&written.value, (!written.masked).then(|| secret.expose().to_owned()))
}

#[cfg(test)]
mod tests;
