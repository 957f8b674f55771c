//! Optimistic versions (contract, section 1, "versions").

use coffre_e2e::api::{AttributeChange, CredentialChange, NewAttribute, NewValue, Session, ValueChange};
use coffre_e2e::case::{Case, etag};
use coffre_e2e::model::Credential;

async fn credential(case: &Case<'_>) -> (Session, Credential) {
    let owner = case.basic("owner").await;
    let created = owner.create_credential(&case.unique("versioned"), &[NewAttribute::standard("a")]).await.ok();
    (owner, created)
}

fn describe(text: &str) -> CredentialChange {
    CredentialChange { description: Some(text.to_owned()), ..CredentialChange::default() }
}

pub(crate) async fn a_stale_version_changes_nothing(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    let at = |version, text: &str| CredentialChange { version: Some(version), ..describe(text) };
    let changed = owner.update_credential(created.id, &at(0, "one")).await.ok();
    assert_eq!(changed.version, 1);
    for stale in [0, 2, 99] {
        owner.update_credential(created.id, &at(stale, "two")).await.refused(409, "credential.version_conflict");
    }
    assert_eq!(owner.get_credential(created.id).await.ok(), changed);
    owner.update_credential(created.id, &describe("no version, no check")).await.ok();
}

pub(crate) async fn an_entity_tag_is_checked(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    let tagged = |tag: &str, text: &str| CredentialChange { etag: Some(tag.to_owned()), ..describe(text) };
    let changed = owner.update_credential(created.id, &tagged(&etag(&created), "one")).await.ok();
    for stale in ["\"0\"", "\"99\"", "W/\"1\"", "\"one\""] {
        owner.update_credential(created.id, &tagged(stale, "two")).await.refused(412, "request.precondition_failed");
    }
    assert_eq!(owner.get_credential(created.id).await.ok(), changed);
    owner.update_credential(created.id, &tagged("not a tag", "two")).await.refused(400, "request.invalid");
    owner.update_credential(created.id, &tagged("\"0\", \"1\"", "a list")).await.ok();
    owner.update_credential(created.id, &tagged("*", "any")).await.ok();
    owner.delete_credential(created.id, Some("\"1\"")).await.refused(412, "request.precondition_failed");
    owner.delete_credential(created.id, Some("\"3\"")).await.ok();
}

pub(crate) async fn a_change_adds_one_and_no_change_adds_none(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    let changed = owner.update_credential(created.id, &describe("new")).await.ok();
    assert_eq!(changed.version, 1);
    assert!(changed.updated_on >= created.updated_on);
    let unchanged = owner.update_credential(created.id, &describe("new")).await.ok();
    assert_eq!(unchanged, changed, "unchanged PUT: 200 with the resource");
    let same_owner = owner.transfer_credential(created.id, owner.id).await.ok();
    assert_eq!(same_owner.version, 1);
}

pub(crate) async fn of_two_writers_one_wins(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    for round in 0..5 {
        let change = |who: &str| CredentialChange { version: Some(round), ..describe(&format!("{who} {round}")) };
        let (one, two) = (change("one"), change("two"));
        let (first, second) =
            tokio::join!(owner.update_credential(created.id, &one), owner.update_credential(created.id, &two));
        let (won, lost) = if first.outcome.is_ok() { (first, second) } else { (second, first) };
        let won = won.ok();
        lost.refused(409, "credential.version_conflict");
        assert_eq!(won.version, round + 1);
        assert_eq!(owner.get_credential(created.id).await.ok(), won);
    }
    let name = case.unique("raced for");
    let attributes = [NewAttribute::standard("a")];
    let (first, second) =
        tokio::join!(owner.create_credential(&name, &attributes), owner.create_credential(&name, &attributes));
    let (won, lost) = if first.outcome.is_ok() { (first, second) } else { (second, first) };
    won.ok();
    lost.refused(409, "credential.name_taken");
}

pub(crate) async fn a_stale_attribute_version_changes_nothing(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    let patch = |version, text: &str| CredentialChange {
        description: Some(text.to_owned()),
        attributes: vec![AttributeChange {
            id: Some(created.attributes[0].id),
            version: Some(version),
            description: Some(text.to_owned()),
            ..AttributeChange::default()
        }],
        ..CredentialChange::default()
    };
    let changed = owner.update_credential(created.id, &patch(0, "one")).await.ok();
    owner.update_credential(created.id, &patch(0, "two")).await.refused(409, "attribute.version_conflict");
    assert_eq!(owner.get_credential(created.id).await.ok(), changed, "all or nothing");
}

pub(crate) async fn a_stale_value_version_changes_nothing(case: &Case<'_>) {
    let (owner, created) = credential(case).await;
    let stored =
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("zero"))]).await.ok();
    let id = stored[0].id;
    let change = |version, what: &str| ValueChange {
        value: case.secret(what),
        version: Some(version),
        ..ValueChange::default()
    };
    owner.update_value(created.id, id, &change(0, "one")).await.ok();
    owner.update_value(created.id, id, &change(0, "two")).await.refused(409, "value.version_conflict");
    let tagged = ValueChange { value: case.secret("three"), etag: Some("\"0\"".to_owned()), ..ValueChange::default() };
    owner.update_value(created.id, id, &tagged).await.refused(412, "request.precondition_failed");
    let value = owner.list_values(created.id).await.ok().remove(0);
    assert_eq!((value.value, value.version), (case.secret("one"), 1));
}
