//! Credentials (contract, section 5, C1 to C6).

use coffre_e2e::api::{CredentialChange, ListCredentials, NewAttribute};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Filter, Permissions, Query};

fn attributes() -> Vec<NewAttribute> {
    vec![NewAttribute::user_provided("Username"), NewAttribute::standard("Password").masked()]
}

pub(crate) async fn a_credential_lives_from_creation_to_deletion(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let name = case.unique("SharePoint Login");
    let created = owner
        .create_described(&name, Some("Credentials to login to SharePoint"), &attributes())
        .await
        .about(&name)
        .event("credential.created")
        .ok();
    assert_eq!((created.name.as_str(), created.version, created.owner_id), (name.as_str(), 0, owner.id));
    assert_eq!((created.created_by, created.updated_by, created.locker_id), (owner.id, owner.id, None));
    assert_eq!(created.description.as_deref(), Some("Credentials to login to SharePoint"));
    assert_eq!(created.created_on, created.updated_on);
    let [first, second] = &created.attributes[..] else { panic!("two attributes: {created:?}") };
    assert!(first.id < second.id, "in the order of their ids");
    assert_eq!((first.name.as_str(), first.user_provided, first.masked, first.version), ("Username", true, false, 0));
    assert_eq!(
        (second.name.as_str(), second.user_provided, second.masked, second.password),
        ("Password", false, true, false)
    );
    assert_eq!(first.description, None);
    let all = Permissions {
        read_values: true,
        write_values: true,
        update: true,
        delete: true,
        transfer: true,
        assign_locker: true,
    };
    assert_eq!(created.permissions, all);
    assert!(!created.completed);

    assert_eq!(owner.get_credential(created.id).await.about(&name).event("credential.read").ok(), created);
    let listed = owner.list_credentials(&ListCredentials::default()).await.ok();
    assert_eq!(listed, std::slice::from_ref(&created));

    owner.delete_credential(created.id, None).await.about(&name).event("credential.deleted").ok();
    owner.get_credential(created.id).await.refused(404, "credential.not_found");
    owner.delete_credential(created.id, None).await.refused(404, "credential.not_found");
    owner.update_credential(created.id, &CredentialChange::default()).await.refused(404, "credential.not_found");
    assert!(owner.list_credentials(&ListCredentials::default()).await.ok().is_empty());
    // The name is free again; the id is not.
    let again = owner.create_credential(&name, &attributes()).await.ok();
    assert!(again.id > created.id);
    assert!(again.attributes[0].id > second.id);
}

pub(crate) async fn a_credential_name_is_unique_kept_as_typed_and_checked(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let name = format!("Zoé {}", case.unique("Login"));
    assert_eq!(owner.create_credential(&name, &attributes()).await.ok().name, name);
    for twin in [name.to_uppercase(), name.replace('é', "e\u{301}"), name.replace('Z', "\u{ff3a}")] {
        // Also where the other one is not visible: accepted, documented.
        other.create_credential(&twin, &attributes()).await.refused(409, "credential.name_taken");
    }
    for odd in [String::new(), "x".repeat(256), "tab\tinside".to_owned(), "del\u{7f}".to_owned(), "c1\u{85}".to_owned()]
    {
        owner.create_credential(&odd, &attributes()).await.refused(400, "request.invalid");
    }
    // Characters count, not bytes.
    let longest = format!("{}{}", case.unique(""), "é".repeat(255 - case.unique("").chars().count()));
    owner.create_credential(&longest, &attributes()).await.ok();
    owner
        .create_described(&case.unique("d"), Some(&"x".repeat(1001)), &attributes())
        .await
        .refused(400, "request.invalid");
    owner.create_described(&case.unique("d"), Some(&"x".repeat(1000)), &attributes()).await.ok();
}

pub(crate) async fn a_credential_of_somebody_else_is_not_there(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let credential = owner.create_credential(&case.unique("private"), &attributes()).await.ok();
    let auditor = case.holder("auditor", &[permission::MANAGE_CREDENTIALS, permission::VIEW_ALL_AUDIT]).await;
    for caller in [&other, &auditor] {
        caller.get_credential(credential.id).await.refused(404, "credential.not_found");
        let change = CredentialChange { name: Some(case.unique("mine")), ..CredentialChange::default() };
        caller.update_credential(credential.id, &change).await.refused(404, "credential.not_found");
        caller.transfer_credential(credential.id, caller.id).await.refused(404, "credential.not_found");
        caller.delete_attribute(credential.id, credential.attributes[0].id).await.refused(404, "credential.not_found");
        caller.delete_credential(credential.id, None).await.refused(404, "credential.not_found");
        let query = Query::filter(Filter::new("name", "eq", &*credential.name));
        assert!(caller.query_credentials(&query).await.ok().items.is_empty());
        // Not there and not visible are one answer.
        let missing = caller.get_credential(i64::MAX).await.refused(404, "credential.not_found");
        let hidden = caller.get_credential(credential.id).await.refused(404, "credential.not_found");
        assert_eq!(missing.code, hidden.code);
    }
    assert_eq!(owner.get_credential(credential.id).await.ok(), credential);
}

pub(crate) async fn without_the_permission_credentials_cannot_be_made(case: &Case<'_>) {
    let plain = case.user("plain", &[]).await;
    let refused =
        plain.create_credential(&case.unique("x"), &attributes()).await.refused(403, "authz.permission_required");
    assert!(
        refused.message.contains("Manage my credentials and lockers"),
        "the message names the permission: {refused:?}"
    );
    // Rights as owner are not effective without it either.
    let owner = case.basic("owner").await;
    let credential = owner.create_credential(&case.unique("given"), &attributes()).await.ok();
    owner.transfer_credential(credential.id, plain.id).await.ok();
    plain.get_credential(credential.id).await.refused(403, "authz.permission_required");
    plain.delete_credential(credential.id, None).await.refused(403, "authz.permission_required");
    plain.list_values(credential.id).await.refused(403, "authz.permission_required");
    let anonymous = case.anonymous();
    anonymous.create_credential(&case.unique("x"), &attributes()).await.refused(401, "auth.token_required");
    anonymous.list_credentials(&ListCredentials::default()).await.refused(401, "auth.token_required");
}

pub(crate) async fn an_update_changes_what_it_carries(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let name = case.unique("before");
    let created = owner.create_described(&name, Some("old"), &attributes()).await.ok();
    let change = CredentialChange { description: Some("new".to_owned()), ..CredentialChange::default() };
    let changed = owner.update_credential(created.id, &change).await.about(&name).event("credential.updated").ok();
    assert_eq!(
        (changed.name.as_str(), changed.description.as_deref(), changed.version),
        (name.as_str(), Some("new"), 1)
    );
    assert_eq!(changed.attributes, created.attributes, "attributes that are not listed stay");
    let renamed = case.unique("after");
    let change = CredentialChange {
        name: Some(renamed.clone()),
        description: Some(String::new()),
        ..CredentialChange::default()
    };
    let changed = owner.update_credential(created.id, &change).await.ok();
    assert_eq!((changed.name.as_str(), changed.description, changed.version), (renamed.as_str(), None, 2));
    assert_eq!(owner.get_credential(created.id).await.ok().version, 2);
    // The old name is free, another's is not.
    let second = owner.create_credential(&name, &attributes()).await.ok();
    let change = CredentialChange { name: Some(renamed.to_uppercase()), ..CredentialChange::default() };
    owner.update_credential(second.id, &change).await.refused(409, "credential.name_taken");
    // Its own name in another case is a change like any other.
    owner.update_credential(created.id, &change).await.ok();
}

pub(crate) async fn owner_and_locker_do_not_change_by_update(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let created = owner.create_credential(&case.unique("kept"), &attributes()).await.ok();
    let change =
        CredentialChange { owner_id: Some(other.id), description: Some("x".to_owned()), ..CredentialChange::default() };
    owner.update_credential(created.id, &change).await.refused(400, "request.invalid");
    let change =
        CredentialChange { locker_id: Some(7), description: Some("x".to_owned()), ..CredentialChange::default() };
    owner.update_credential(created.id, &change).await.refused(400, "request.invalid");
    assert_eq!(owner.get_credential(created.id).await.ok(), created, "a refusal changes nothing");
    let change =
        CredentialChange { owner_id: Some(owner.id), description: Some("x".to_owned()), ..CredentialChange::default() };
    assert_eq!(owner.update_credential(created.id, &change).await.ok().version, 1);
}

pub(crate) async fn a_transfer_gives_the_credential_away(case: &Case<'_>) {
    let (owner, heir) = (case.basic("owner").await, case.basic("heir").await);
    let created = owner.create_credential(&case.unique("given"), &attributes()).await.ok();
    let given = owner.transfer_credential(created.id, heir.id).await.about(&created.name).ok();
    assert_eq!((given.owner_id, given.version), (heir.id, 1));
    owner.get_credential(created.id).await.refused(404, "credential.not_found");
    let own = heir.get_credential(created.id).await.ok();
    assert!(own.permissions.delete && own.permissions.read_values);
    heir.transfer_credential(created.id, i64::MAX).await.refused(404, "credential.owner_unknown");
    assert_eq!(heir.get_credential(created.id).await.ok().version, 1);
}

pub(crate) async fn a_locker_administrator_sees_but_does_not_read(case: &Case<'_>) {
    let (owner, heir) = (case.basic("owner").await, case.basic("heir").await);
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS, permission::MANAGE_CREDENTIALS]).await;
    let created = owner.create_credential(&case.unique("seen"), &attributes()).await.ok();
    let seen = keeper.get_credential(created.id).await.ok();
    assert_eq!(seen.attributes, created.attributes);
    let expected = Permissions { transfer: true, ..Permissions::default() };
    assert_eq!(seen.permissions, expected);
    keeper.list_values(created.id).await.refused(403, "credential.not_permitted");
    keeper.delete_credential(created.id, None).await.refused(403, "credential.not_permitted");
    let change = CredentialChange { description: Some("x".to_owned()), ..CredentialChange::default() };
    keeper.update_credential(created.id, &change).await.refused(403, "credential.not_permitted");
    keeper.transfer_credential(created.id, keeper.id).await.refused(403, "authz.self_grant");
    keeper.transfer_credential(created.id, heir.id).await.ok();
    heir.get_credential(created.id).await.ok();
    // Without "Manage my credentials and lockers" as well.
    let bare = case.holder("bare keeper", &[permission::ADMINISTER_LOCKERS]).await;
    bare.get_credential(created.id).await.ok();
}

pub(crate) async fn the_documented_filters_narrow_the_list(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let names = ["alpha", "beta", "gamma"].map(|what| case.unique(what));
    for name in &names {
        owner.create_credential(name, &attributes()).await.ok();
    }
    let found = async |list: ListCredentials| -> Vec<String> {
        let mut names: Vec<String> = owner.list_credentials(&list).await.ok().into_iter().map(|one| one.name).collect();
        names.sort();
        names
    };
    assert_eq!(found(ListCredentials::default()).await, names);
    let by_name = ListCredentials { name: Some(names[0].to_uppercase()), ..ListCredentials::default() };
    assert_eq!(found(by_name.clone()).await, names[..1], "exact, without regard to case");
    let union = ListCredentials { names: vec![names[1].clone(), case.unique("nothing")], ..by_name };
    assert_eq!(found(union).await, names[..2]);
    let part = ListCredentials { name: Some("alpha".to_owned()), ..ListCredentials::default() };
    assert!(found(part).await.is_empty(), "a part of a name is not the name");
    let consumed = |flag| ListCredentials { consumed: Some(flag), ..ListCredentials::default() };
    assert_eq!(found(consumed(false)).await, names, "what the caller sees and does not consume");
    assert!(found(consumed(true)).await.is_empty(), "own ones are not consumed");
}
