//! Values (contract, section 5, V1 to V4).

use coffre_e2e::api::{NewAttribute, NewValue, Session, ValueChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::Credential;

async fn credential(case: &Case<'_>, owner: &Session, attributes: &[NewAttribute]) -> Credential {
    let name = format!("{} {}", case.unique("with values"), uuid::Uuid::new_v4());
    owner.create_credential(&name, attributes).await.ok()
}

fn to(value: impl Into<String>) -> ValueChange {
    ValueChange { value: value.into(), ..ValueChange::default() }
}

pub(crate) async fn a_value_lives_from_creation_to_deletion(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("a")]).await;
    let attribute = credential.attributes[0].id;
    assert!(owner.list_values(credential.id).await.ok().is_empty(), "values that are not set are left out");
    let first = case.secret("first");
    let stored =
        owner.create_values(credential.id, &[NewValue::new(attribute, &*first)]).await.about(&credential.name).ok();
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].attribute_id, stored[0].user_id, stored[0].version), (attribute, None, 0));
    assert_eq!(stored[0].value, first, "not masked: echoed");
    let read = owner.list_values(credential.id).await.about(&credential.name).event("credential.value.read").ok();
    assert_eq!(read, stored);

    let refused = owner
        .create_values(credential.id, &[NewValue::new(attribute, case.secret("again"))])
        .await
        .refused(409, "value.exists");
    assert!(
        refused.message.contains("PUT") || refused.message.to_lowercase().contains("update"),
        "it names V3: {refused:?}"
    );

    let second = case.secret("second");
    let changed = owner.update_value(credential.id, stored[0].id, &to(&*second)).await.about(&credential.name).ok();
    assert_eq!((changed.id, changed.version, changed.value.as_str()), (stored[0].id, 1, second.as_str()));
    assert_eq!(owner.list_values(credential.id).await.ok(), [changed]);

    owner.delete_value(credential.id, stored[0].id).await.about(&credential.name).ok();
    assert!(owner.list_values(credential.id).await.ok().is_empty());
    owner.delete_value(credential.id, stored[0].id).await.refused(404, "value.not_found");
    owner.update_value(credential.id, stored[0].id, &to(case.secret("late"))).await.refused(404, "value.not_found");
    let again = owner.create_values(credential.id, &[NewValue::new(attribute, case.secret("third"))]).await.ok();
    assert!(again[0].id > stored[0].id, "ids are never used again");
}

pub(crate) async fn masked_values_are_not_echoed_but_read(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("a").masked()]).await;
    let secret = case.secret("masked");
    let stored = owner.create_values(credential.id, &[NewValue::new(credential.attributes[0].id, &*secret)]).await.ok();
    assert_eq!(stored[0].value, "");
    assert_eq!(owner.list_values(credential.id).await.ok()[0].value, secret, "that is what a bot asks for");
    let changed = case.secret("masked again");
    assert_eq!(owner.update_value(credential.id, stored[0].id, &to(&*changed)).await.ok().value, "");
    assert_eq!(owner.list_values(credential.id).await.ok()[0].value, changed);
}

pub(crate) async fn user_provided_values_belong_to_their_user(case: &Case<'_>) {
    let (owner, heir) = (case.basic("owner").await, case.basic("heir").await);
    let credential = credential(case, &owner, &[NewAttribute::user_provided("u"), NewAttribute::standard("s")]).await;
    let (user, standard) = (credential.attributes[0].id, credential.attributes[1].id);
    let own = case.secret("own");
    let stored = owner.create_values(credential.id, &[NewValue::new(user, &*own)]).await.ok();
    assert_eq!(stored[0].user_id, Some(owner.id), "absent: the caller");
    // A standard value belongs to nobody, another's to the other alone.
    owner
        .create_values(credential.id, &[NewValue::new(user, case.secret("x")).of(heir.id)])
        .await
        .refused(403, "credential.not_permitted");
    let odd = owner.create_values(credential.id, &[NewValue::new(standard, case.secret("x")).of(heir.id)]).await;
    assert!(matches!(&odd.outcome, Err(refused) if refused.status == 400 || refused.status == 403), "{odd:?}");
    owner.list_values_of(credential.id, None, Some(heir.id)).await.refused(403, "credential.not_permitted");

    // The next owner sees no value of the one before.
    owner.transfer_credential(credential.id, heir.id).await.ok();
    assert!(heir.list_values(credential.id).await.ok().is_empty());
    heir.update_value(credential.id, stored[0].id, &to(case.secret("theirs")))
        .await
        .refused(403, "credential.not_permitted");
    heir.delete_value(credential.id, stored[0].id).await.refused(403, "credential.not_permitted");
    let own = case.secret("the heir's own");
    heir.create_values(credential.id, &[NewValue::new(user, &*own)]).await.ok();
    assert_eq!(heir.list_values(credential.id).await.ok()[0].value, own);
}

pub(crate) async fn values_are_stored_all_or_none(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &["a", "b", "c"].map(NewAttribute::standard)).await;
    let [a, b, c] = [0, 1, 2].map(|index| credential.attributes[index].id);
    owner.create_values(credential.id, &[NewValue::new(c, case.secret("c"))]).await.ok();
    let batch = [NewValue::new(a, case.secret("a")), NewValue::new(c, case.secret("c2"))];
    owner.create_values(credential.id, &batch).await.refused(409, "value.exists");
    let batch = [NewValue::new(a, case.secret("a")), NewValue::new(i64::MAX, case.secret("x"))];
    owner.create_values(credential.id, &batch).await.refused(404, "attribute.not_found");
    let batch = [NewValue::new(a, case.secret("a")), NewValue::new(a, case.secret("a2"))];
    let twice = owner.create_values(credential.id, &batch).await;
    assert!(matches!(&twice.outcome, Err(refused) if refused.status == 400 || refused.status == 409), "{twice:?}");
    owner.create_values(credential.id, &[]).await.refused(400, "request.invalid");
    assert_eq!(owner.list_values(credential.id).await.ok().len(), 1, "a refusal stores nothing");
    let stored = owner
        .create_values(credential.id, &[NewValue::new(b, case.secret("b")), NewValue::new(a, case.secret("a"))])
        .await
        .ok();
    assert_eq!([stored[0].attribute_id, stored[1].attribute_id], [b, a], "in the order of the request");
}

pub(crate) async fn completed_tells_whether_every_value_is_there(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("s"), NewAttribute::user_provided("u")]).await;
    let [s, u] = [0, 1].map(|index| credential.attributes[index].id);
    let completed = async || owner.get_credential(credential.id).await.ok().completed;
    assert!(!completed().await);
    owner.create_values(credential.id, &[NewValue::new(s, case.secret("s"))]).await.ok();
    assert!(!completed().await);
    let stored = owner.create_values(credential.id, &[NewValue::new(u, case.secret("u"))]).await.ok();
    assert!(completed().await);
    owner.delete_value(credential.id, stored[0].id).await.ok();
    assert!(!completed().await);
}

pub(crate) async fn lists_of_values_are_narrowed_and_ordered(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("s"), NewAttribute::user_provided("u")]).await;
    let [s, u] = [0, 1].map(|index| credential.attributes[index].id);
    owner
        .create_values(credential.id, &[NewValue::new(u, case.secret("u")), NewValue::new(s, case.secret("s"))])
        .await
        .ok();
    let ids = async |attribute, user| -> Vec<i64> {
        owner
            .list_values_of(credential.id, attribute, user)
            .await
            .ok()
            .into_iter()
            .map(|value| value.attribute_id)
            .collect()
    };
    assert_eq!(ids(None, None).await, [s, u], "in the order of the attributes");
    assert_eq!(ids(Some(u), None).await, [u]);
    assert_eq!(
        ids(Some(s), Some(owner.id)).await,
        [s],
        "a standard value matches any userId that the caller may ask for"
    );
    assert_eq!(ids(None, Some(owner.id)).await, [s, u]);
    owner.list_values_of(credential.id, Some(i64::MAX), None).await.refused(404, "attribute.not_found");
}

pub(crate) async fn a_holder_of_all_values_reads_and_writes_them(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let all = case.holder("all values", &[permission::MANAGE_ALL_VALUES]).await;
    let credential = credential(case, &owner, &[NewAttribute::standard("s"), NewAttribute::user_provided("u")]).await;
    let [s, u] = [0, 1].map(|index| credential.attributes[index].id);
    let own = case.secret("own");
    owner.create_values(credential.id, &[NewValue::new(u, &*own)]).await.ok();
    all.create_values(credential.id, &[NewValue::new(s, case.secret("s"))]).await.ok();
    let seen = all.list_values(credential.id).await.about(&credential.name).ok();
    assert_eq!(seen.len(), 2, "all, of every user: {seen:?}");
    assert!(seen.iter().any(|value| value.value == own && value.user_id == Some(owner.id)));
    let value = seen.iter().find(|value| value.attribute_id == u).unwrap();
    let changed = case.secret("changed for the owner");
    all.update_value(credential.id, value.id, &to(&*changed)).await.ok();
    assert_eq!(owner.list_values_of(credential.id, Some(u), None).await.ok()[0].value, changed);
    all.delete_value(credential.id, value.id).await.ok();
    all.create_values(credential.id, &[NewValue::new(u, case.secret("for the owner")).of(owner.id)]).await.ok();
    assert_eq!(owner.list_values_of(credential.id, Some(u), None).await.ok()[0].user_id, Some(owner.id));
    // Values are all that it gives.
    all.delete_credential(credential.id, None).await.code().expect("it does not delete");
    owner.get_credential(credential.id).await.ok();
}

pub(crate) async fn values_of_another_owner_are_not_there(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let credential = credential(case, &owner, &[NewAttribute::standard("a")]).await;
    let attribute = credential.attributes[0].id;
    let stored = owner.create_values(credential.id, &[NewValue::new(attribute, case.secret("private"))]).await.ok();
    for caller in [
        &other,
        &case
            .user("auditor", &[case.role("audit", &[permission::MANAGE_CREDENTIALS, permission::VIEW_ALL_AUDIT]).await])
            .await,
    ] {
        caller.list_values(credential.id).await.refused(404, "credential.not_found");
        caller
            .create_values(credential.id, &[NewValue::new(attribute, case.secret("x"))])
            .await
            .refused(404, "credential.not_found");
        caller
            .update_value(credential.id, stored[0].id, &to(case.secret("x")))
            .await
            .refused(404, "credential.not_found");
        caller.delete_value(credential.id, stored[0].id).await.refused(404, "credential.not_found");
    }
    // A value is reached through its own credential alone.
    let own = self::credential(case, &other, &[NewAttribute::standard("a")]).await;
    other.update_value(own.id, stored[0].id, &to(case.secret("x"))).await.refused(404, "value.not_found");
    other.delete_value(own.id, stored[0].id).await.refused(404, "value.not_found");
    assert_eq!(owner.list_values(credential.id).await.ok(), stored);
    case.anonymous().list_values(credential.id).await.refused(401, "auth.token_required");
}

pub(crate) async fn sixty_four_kibibytes_and_no_more(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &["a", "b"].map(NewAttribute::standard)).await;
    let [a, b] = [0, 1].map(|index| credential.attributes[index].id);
    // Bytes of UTF-8 count, not characters.
    let fits = "é".repeat(32 * 1024);
    let stored = owner.create_values(credential.id, &[NewValue::new(a, &*fits)]).await.ok();
    assert_eq!(owner.list_values(credential.id).await.ok()[0].value, fits);
    owner.create_values(credential.id, &[NewValue::new(b, format!("{fits}x"))]).await.refused(400, "request.invalid");
    owner.update_value(credential.id, stored[0].id, &to(format!("{fits}x"))).await.refused(400, "request.invalid");
    assert_eq!(owner.list_values(credential.id).await.ok()[0].version, 0, "a refusal changes nothing");
}

pub(crate) async fn a_value_is_text_of_any_script(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("a")]).await;
    let attribute = credential.attributes[0].id;
    let mut value = case.secret("漢字 \u{1f511} e\u{301} \"quoted\" \\ \n\t\u{0}\u{7f}");
    let stored = owner.create_values(credential.id, &[NewValue::new(attribute, &*value)]).await.ok();
    assert_eq!(owner.list_values(credential.id).await.ok()[0].value, value, "as it was written, byte for byte");
    value.push_str("  trailing  ");
    owner.update_value(credential.id, stored[0].id, &to(&*value)).await.ok();
    assert_eq!(owner.list_values(credential.id).await.ok()[0].value, value);
}

pub(crate) async fn an_unchanged_value_is_still_a_change(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let credential = credential(case, &owner, &[NewAttribute::standard("a")]).await;
    let same = case.secret("same");
    let stored = owner.create_values(credential.id, &[NewValue::new(credential.attributes[0].id, &*same)]).await.ok();
    // No guessing whether it is the stored one.
    assert_eq!(owner.update_value(credential.id, stored[0].id, &to(&*same)).await.ok().version, 1);
}

pub(crate) async fn values_go_with_their_user(case: &Case<'_>) {
    let (owner, heir) = (case.basic("owner").await, case.basic("heir").await);
    let all = case.holder("all values", &[permission::MANAGE_ALL_VALUES]).await;
    let credential = credential(case, &owner, &[NewAttribute::user_provided("u")]).await;
    let attribute = credential.attributes[0].id;
    owner.create_values(credential.id, &[NewValue::new(attribute, case.secret("of the leaver"))]).await.ok();
    owner.transfer_credential(credential.id, heir.id).await.ok();
    assert_eq!(all.list_values(credential.id).await.ok().len(), 1);
    case.admin.delete_user(owner.id).await.ok();
    assert!(all.list_values(credential.id).await.ok().is_empty(), "a deleted user's own values go");
}
