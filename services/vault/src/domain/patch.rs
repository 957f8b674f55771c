//! A change of a credential: what the caller sent, and what it comes to against the present state.

use std::collections::BTreeMap;

use coffre_audit_client::CallRecord;
use coffre_types::{AttributeId, CredentialId, Description, LockerId, Name, NameKey, UserId, Version};

use super::error::VaultError;
use super::model::{Attribute, Credential, MAX_ATTRIBUTES, NewAttribute, Stamp, Traits};

/// The fields that an update carries; what is absent stays.
#[derive(Clone, Debug)]
pub struct CredentialPatch {
    /// The credential.
    pub id: CredentialId,
    /// The version that the caller read.
    pub version: Option<Version>,
    /// `If-Match`.
    pub etag: String,
    /// A new name.
    pub name: Option<Name>,
    /// A new description; `Some(None)` removes it.
    pub description: Option<Option<Description>>,
    /// The owner as the caller knows it.
    pub owner: Option<UserId>,
    /// The locker as the caller knows it.
    pub locker: Option<LockerId>,
    /// Attributes to change or to add.
    pub attributes: Vec<AttributePatch>,
}

/// An attribute to change, or to add where it has no id.
#[derive(Clone, Debug, Default)]
pub struct AttributePatch {
    /// The attribute.
    pub id: Option<AttributeId>,
    /// The version that the caller read.
    pub version: Option<Version>,
    /// A new name.
    pub name: Option<Name>,
    /// A new description; `Some(None)` removes it.
    pub description: Option<Option<Description>>,
    /// One value a user.
    pub user_provided: Option<bool>,
    /// Echoes leave it out.
    pub masked: Option<bool>,
    /// It is a password.
    pub password: Option<bool>,
}

impl AttributePatch {
    fn traits(&self, before: Traits) -> Traits {
        Traits {
            user_provided: self.user_provided.unwrap_or(before.user_provided),
            masked: self.masked.unwrap_or(before.masked),
            password: self.password.unwrap_or(before.password),
        }
    }
}

/// What a patch comes to.
#[derive(Debug)]
pub struct Planned {
    /// The credential after the change.
    pub credential: Credential,
    /// The attributes that change, after the change.
    pub changed: Vec<Attribute>,
    /// The attributes that are added.
    pub added: Vec<NewAttribute>,
    kind_changed: Vec<AttributeId>,
}

impl Planned {
    /// Plans a change; `None` where nothing would change.
    ///
    /// # Errors
    /// `AttributeNotFound`, `AttributeVersionConflict`, `AttributeNameTaken`, `Invalid`.
    pub fn new(
        patch: &CredentialPatch,
        credential: &Credential,
        attributes: &[Attribute],
        stamp: Stamp,
    ) -> Result<Option<Self>, VaultError> {
        let mut next = credential.clone();
        if let Some(name) = &patch.name {
            next.name = name.clone();
        }
        if let Some(description) = &patch.description {
            next.description.clone_from(description);
        }
        let mut plan = Self { credential: next, changed: Vec::new(), added: Vec::new(), kind_changed: Vec::new() };
        let mut seen: Vec<AttributeId> = Vec::new();
        for (index, item) in patch.attributes.iter().enumerate() {
            match item.id {
                None => plan.add(index, item)?,
                Some(id) => {
                    if seen.contains(&id) {
                        return Err(VaultError::invalid(
                            format!("attributes[{index}].id"),
                            "names an attribute that the request names twice; send one item for each attribute",
                        ));
                    }
                    seen.push(id);
                    let before = attributes
                        .iter()
                        .find(|known| known.id == id)
                        .ok_or(VaultError::AttributeNotFound(id.get()))?;
                    plan.change(before, item, stamp)?;
                }
            }
        }
        if attributes.len() + plan.added.len() > MAX_ATTRIBUTES {
            return Err(VaultError::invalid(
                "attributes",
                format!("would be more than {MAX_ATTRIBUTES}; a credential has 1 to {MAX_ATTRIBUTES} attributes"),
            ));
        }
        plan.check_names(attributes)?;
        if plan.credential == *credential && plan.changed.is_empty() && plan.added.is_empty() {
            return Ok(None);
        }
        plan.credential.version = credential.version.next();
        plan.credential.stamp = stamp;
        Ok(Some(plan))
    }

    fn add(&mut self, index: usize, item: &AttributePatch) -> Result<(), VaultError> {
        let name = item.name.clone().ok_or_else(|| {
            VaultError::invalid(
                format!("attributes[{index}].name"),
                "is required for an attribute to add; send `id` to change one",
            )
        })?;
        let description = item.description.clone().flatten();
        self.added.push(NewAttribute { name, description, traits: item.traits(Traits::default()) });
        Ok(())
    }

    fn change(&mut self, before: &Attribute, item: &AttributePatch, stamp: Stamp) -> Result<(), VaultError> {
        if item.version.is_some_and(|version| version != before.version) {
            return Err(VaultError::AttributeVersionConflict(before.id));
        }
        let mut next = before.clone();
        if let Some(name) = &item.name {
            next.name = name.clone();
        }
        if let Some(description) = &item.description {
            next.description.clone_from(description);
        }
        next.traits = item.traits(before.traits);
        if next == *before {
            return Ok(());
        }
        if next.traits.user_provided != before.traits.user_provided {
            self.kind_changed.push(before.id);
        }
        next.version = before.version.next();
        next.stamp = Stamp { updated_by: stamp.updated_by, updated_at: stamp.updated_at, ..before.stamp };
        self.changed.push(next);
        Ok(())
    }

    /// Names are unique in the state after the change, so two attributes may exchange theirs.
    fn check_names(&self, attributes: &[Attribute]) -> Result<(), VaultError> {
        let mut names: BTreeMap<NameKey, ()> = BTreeMap::new();
        let kept = attributes.iter().filter(|known| self.changed.iter().all(|changed| changed.id != known.id));
        let after = kept.chain(&self.changed).map(|attribute| &attribute.name);
        for name in after.chain(self.added.iter().map(|attribute| &attribute.name)) {
            if names.insert(name.key(), ()).is_some() {
                return Err(VaultError::AttributeNameTaken(name.as_str().to_owned()));
            }
        }
        Ok(())
    }

    /// Returns the attributes that become user-provided or standard.
    pub fn kind_changed(&self) -> impl Iterator<Item = AttributeId> {
        self.kind_changed.iter().copied()
    }

    /// Tells the audit what changes.
    pub fn tell(&self, credential: &Credential, attributes: &[Attribute], record: &CallRecord) {
        let text = |description: &Option<Description>| description.as_ref().map(|text| text.as_str().to_owned());
        let name = |credential: &Credential| Some(credential.name.as_str().to_owned());
        record.change("name", name(credential), name(&self.credential));
        record.change("description", text(&credential.description), text(&self.credential.description));
        for next in &self.changed {
            if let Some(before) = attributes.iter().find(|known| known.id == next.id) {
                record.change("attribute", Some(before.summary()), Some(next.summary()));
                record.change("attributeDescription", text(&before.description), text(&next.description));
            }
        }
        for added in &self.added {
            record.change("attribute", None, Some(format!("{} ({})", added.name, added.traits.words())));
        }
    }
}

#[cfg(test)]
mod tests {
    use coffre_types::Timestamp;

    use super::*;

    fn stamp(at: i64) -> Stamp {
        let (user, at) = (UserId::from_trusted(1), Timestamp::from_micros(at));
        Stamp { created_by: user, created_at: Timestamp::from_micros(0), updated_by: user, updated_at: at }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn credential() -> Credential {
        Credential {
            id: CredentialId::from_trusted(1),
            name: name("c"),
            description: None,
            owner: UserId::from_trusted(1),
            locker: None,
            version: Version::from_trusted(4),
            stamp: stamp(0),
        }
    }

    fn attributes() -> Vec<Attribute> {
        [(10, "a"), (11, "b")]
            .into_iter()
            .map(|(id, text)| Attribute {
                id: AttributeId::from_trusted(id),
                credential: CredentialId::from_trusted(1),
                name: name(text),
                description: None,
                traits: Traits::default(),
                version: Version::FIRST,
                stamp: stamp(0),
            })
            .collect()
    }

    fn plan(attributes_patch: Vec<AttributePatch>) -> Result<Option<Planned>, VaultError> {
        let patch = CredentialPatch {
            id: CredentialId::from_trusted(1),
            version: None,
            etag: String::new(),
            name: Some(name("c")),
            description: None,
            owner: None,
            locker: None,
            attributes: attributes_patch,
        };
        Planned::new(&patch, &credential(), &attributes(), stamp(9))
    }

    fn rename(id: i64, to: &str) -> AttributePatch {
        AttributePatch { id: AttributeId::new(id), name: Some(name(to)), ..AttributePatch::default() }
    }

    #[test]
    fn the_same_state_is_no_change() {
        assert!(plan(vec![rename(10, "a")]).unwrap().is_none());
    }

    #[test]
    fn a_change_raises_the_versions_of_what_changed_alone() {
        let planned = plan(vec![rename(10, "z"), rename(11, "b")]).unwrap().unwrap();
        assert_eq!(planned.credential.version.get(), 5);
        assert_eq!(planned.changed.len(), 1);
        assert_eq!(planned.changed[0].version.get(), 1);
        assert_eq!(planned.changed[0].stamp.updated_at.micros(), 9);
        assert_eq!(planned.changed[0].stamp.created_at.micros(), 0);
    }

    #[test]
    fn names_stay_unique_and_may_be_exchanged() {
        assert!(matches!(plan(vec![rename(10, "B")]), Err(VaultError::AttributeNameTaken(taken)) if taken == "B"));
        assert!(plan(vec![rename(10, "b"), rename(11, "a")]).unwrap().is_some());
        let add = AttributePatch { name: Some(name("A")), ..AttributePatch::default() };
        assert!(matches!(plan(vec![add]), Err(VaultError::AttributeNameTaken(_))));
    }

    #[test]
    fn an_added_attribute_needs_a_name() {
        assert!(
            matches!(plan(vec![AttributePatch::default()]), Err(VaultError::Invalid { field, .. }) if field == "attributes[0].name")
        );
    }

    #[test]
    fn one_attribute_twice_is_refused() {
        assert!(matches!(plan(vec![rename(10, "x"), rename(10, "y")]), Err(VaultError::Invalid { .. })));
    }

    #[test]
    fn a_stale_attribute_version_is_refused() {
        let stale = AttributePatch { version: Version::new(3), ..rename(10, "x") };
        assert!(matches!(plan(vec![stale]), Err(VaultError::AttributeVersionConflict(id)) if id.get() == 10));
    }

    #[test]
    fn the_fifty_first_attribute_is_refused() {
        let add = |index: usize| AttributePatch { name: Some(name(&format!("n{index}"))), ..AttributePatch::default() };
        assert!(plan((0..48).map(add).collect()).unwrap().is_some());
        assert!(
            matches!(plan((0..49).map(add).collect()), Err(VaultError::Invalid { field, .. }) if field == "attributes")
        );
    }
}
