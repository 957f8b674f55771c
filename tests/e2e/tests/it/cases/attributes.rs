//! Attributes of credentials (contract, section 5, C4 and A1).

use coffre_e2e::api::{AttributeChange, CredentialChange, NewAttribute, NewValue, Session};
use coffre_e2e::case::Case;
use coffre_e2e::model::Credential;

fn change(attributes: Vec<AttributeChange>) -> CredentialChange {
    CredentialChange { attributes, ..CredentialChange::default() }
}

fn of(id: i64) -> AttributeChange {
    AttributeChange { id: Some(id), ..AttributeChange::default() }
}

fn added(name: &str) -> AttributeChange {
    AttributeChange { name: Some(name.to_owned()), ..AttributeChange::default() }
}

async fn credential(case: &Case<'_>, owner: &Session, names: &[&str]) -> Credential {
    let attributes: Vec<NewAttribute> = names.iter().map(|name| NewAttribute::standard(name)).collect();
    let name = format!("{} {}", case.unique("of"), uuid::Uuid::new_v4());
    owner.create_credential(&name, &attributes).await.ok()
}

pub(crate) async fn attributes_are_changed_added_and_removed(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let created = credential(case, &owner, &["a", "b"]).await;
    let (a, b) = (&created.attributes[0], &created.attributes[1]);
    let patch = AttributeChange { description: Some("the first".to_owned()), masked: Some(true), ..of(a.id) };
    let changed = owner.update_credential(created.id, &change(vec![patch, added("c")])).await.about(&created.name).ok();
    assert_eq!(changed.version, 1);
    let names: Vec<&str> = changed.attributes.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let first = changed.attribute("a");
    assert_eq!(
        (first.id, first.version, first.masked, first.description.as_deref()),
        (a.id, 1, true, Some("the first"))
    );
    assert_eq!(changed.attribute("b"), b, "attributes that are not listed stay");
    assert_eq!(changed.attribute("c").version, 0);

    owner.create_values(created.id, &[NewValue::new(b.id, case.secret("gone"))]).await.ok();
    owner.delete_attribute(created.id, b.id).await.about(&created.name).ok();
    let left = owner.get_credential(created.id).await.ok();
    assert_eq!(left.attributes.len(), 2);
    assert_eq!(left.version, 2);
    assert!(owner.list_values(created.id).await.ok().is_empty(), "its values go");
    owner.delete_attribute(created.id, b.id).await.refused(404, "attribute.not_found");
    owner.update_credential(created.id, &change(vec![of(b.id)])).await.refused(404, "attribute.not_found");
    // The name is free again.
    owner.update_credential(created.id, &change(vec![added("b")])).await.ok();
}

pub(crate) async fn attribute_names_are_unique_in_their_credential(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    for twins in [["same", "same"], ["same", "SAME"], ["é", "e\u{301}"]] {
        let attributes = twins.map(NewAttribute::standard);
        owner.create_credential(&case.unique("twins"), &attributes).await.refused(409, "attribute.name_taken");
    }
    let created = credential(case, &owner, &["a", "b"]).await;
    let (a, b) = (created.attributes[0].id, created.attributes[1].id);
    owner.update_credential(created.id, &change(vec![added("A")])).await.refused(409, "attribute.name_taken");
    let rename = AttributeChange { name: Some("A".to_owned()), ..of(b) };
    owner.update_credential(created.id, &change(vec![rename.clone()])).await.refused(409, "attribute.name_taken");
    assert_eq!(owner.get_credential(created.id).await.ok(), created, "a refusal changes nothing");
    // In one request the names may change hands.
    let swap = vec![rename, AttributeChange { name: Some("b2".to_owned()), ..of(a) }];
    let swapped = owner.update_credential(created.id, &change(swap)).await.ok();
    assert_eq!((swapped.attributes[0].name.as_str(), swapped.attributes[1].name.as_str()), ("b2", "A"));
    for odd in [String::new(), "x".repeat(256), "new\nline".to_owned()] {
        let attributes = [NewAttribute::standard(&odd)];
        owner.create_credential(&case.unique("odd"), &attributes).await.refused(400, "request.invalid");
    }
}

pub(crate) async fn fifty_attributes_and_no_more(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let attributes: Vec<NewAttribute> = (0..51).map(|index| NewAttribute::standard(&format!("a{index}"))).collect();
    owner.create_credential(&case.unique("51"), &attributes).await.refused(400, "request.invalid");
    owner.create_credential(&case.unique("0"), &[]).await.refused(400, "request.invalid");
    let created = owner.create_credential(&case.unique("50"), &attributes[..50]).await.ok();
    assert_eq!(created.attributes.len(), 50);
    owner.update_credential(created.id, &change(vec![added("one more")])).await.refused(400, "request.invalid");
    assert_eq!(owner.get_credential(created.id).await.ok().attributes.len(), 50);
}

pub(crate) async fn an_attribute_of_another_credential_is_not_there(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (one, two) = (credential(case, &owner, &["a"]).await, credential(case, &owner, &["a", "b"]).await);
    let foreign = two.attributes[0].id;
    let patch = AttributeChange { name: Some("mine".to_owned()), ..of(foreign) };
    owner.update_credential(one.id, &change(vec![patch])).await.refused(404, "attribute.not_found");
    owner.delete_attribute(one.id, foreign).await.refused(404, "attribute.not_found");
    owner.create_values(one.id, &[NewValue::new(foreign, case.secret("x"))]).await.refused(404, "attribute.not_found");
    owner.list_values_of(one.id, Some(foreign), None).await.refused(404, "attribute.not_found");
    assert_eq!(owner.get_credential(two.id).await.ok(), two);
}

pub(crate) async fn user_provided_stays_while_a_value_exists(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let created = credential(case, &owner, &["a"]).await;
    let id = created.attributes[0].id;
    let patch = AttributeChange { user_provided: Some(true), ..of(id) };
    let value = owner.create_values(created.id, &[NewValue::new(id, case.secret("there"))]).await.ok();
    owner.update_credential(created.id, &change(vec![patch.clone()])).await.refused(409, "attribute.has_values");
    owner.delete_value(created.id, value[0].id).await.ok();
    assert!(owner.update_credential(created.id, &change(vec![patch])).await.ok().attributes[0].user_provided);
}

pub(crate) async fn a_credential_keeps_one_attribute(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let created = credential(case, &owner, &["only"]).await;
    let refused = owner.delete_attribute(created.id, created.attributes[0].id).await;
    assert!(matches!(&refused.outcome, Err(refused) if refused.status == 400 || refused.status == 409), "{refused:?}");
    assert_eq!(owner.get_credential(created.id).await.ok(), created);
}
