//! Reading the audit (contract, section 6; security.md 6).

use std::time::{Duration, Instant};

use coffre_e2e::api::{CredentialChange, NewAttribute, NewValue, Session};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Entry, Filter, Page, Query};

/// Waits until a list holds at least so many entries: they arrive a moment after the answer.
async fn await_entries(reader: &Session, query: &Query, at_least: usize) -> Page<Entry> {
    let begun = Instant::now();
    loop {
        let page = reader.query_entries(query).await.ok();
        if page.items.len() >= at_least {
            return page;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{at_least} entries are expected: {page:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The id of the first entry of a caller.
pub(crate) async fn first_entry_of(caller: &Session) -> String {
    await_entries(caller, &Query::default().sort("createdOn", false).page(0, 1), 1).await.items.remove(0).id
}

pub(crate) async fn a_user_sees_the_own_entries_alone(case: &Case<'_>) {
    let (one, two) = (case.basic("one").await, case.basic("two").await);
    let first = one.create_credential(&case.unique("first"), &[NewAttribute::standard("a")]).await.ok();
    let second = two.create_credential(&case.unique("second"), &[NewAttribute::standard("a")]).await.ok();
    let query = Query::filter(Filter::new("activityType", "eq", "ADD_CREDENTIAL"));
    let page = await_entries(&one, &query, 1).await;
    assert!(page.items.iter().all(|entry| entry.created_by == one.id.to_string()), "{page:#?}");
    assert_eq!(page.items[0].object_name, first.name);
    let theirs = await_entries(&two, &query, 1).await;
    assert_eq!(theirs.items.len(), 1);
    assert_eq!(theirs.items[0].object_name, second.name);
    assert_eq!(theirs.total_filter, Some(1), "what is not visible is not counted");
    one.get_entry(&theirs.items[0].id).await.refused(404, "audit.entry_not_found");
    case.anonymous().query_entries(&Query::default()).await.refused(401, "auth.token_required");
}

pub(crate) async fn a_holder_of_the_whole_audit_sees_all(case: &Case<'_>) {
    let reader = case.holder("auditor", &[permission::VIEW_ALL_AUDIT]).await;
    let owner = case.basic("owner").await;
    let created = owner.create_credential(&case.unique("watched"), &[NewAttribute::standard("a")]).await.ok();
    let page = await_entries(&reader, &Query::filter(Filter::new("objectName", "eq", &*created.name)), 1).await;
    let entry = &page.items[0];
    assert_eq!((entry.activity.as_str(), entry.status.as_str()), ("ADD_CREDENTIAL", "Successful"));
    assert_eq!(
        (entry.user_name.as_str(), entry.created_by.as_str()),
        (owner.username.as_str(), &*owner.id.to_string())
    );
    assert_eq!((entry.source.as_str(), entry.object_type.as_str()), (case.protocol.source(), "credential"));
    assert_eq!(entry.event, "credential.created");
}

pub(crate) async fn an_entry_is_read_by_its_id(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    owner.create_credential(&case.unique("one"), &[NewAttribute::standard("a")]).await.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("activityType", "eq", "ADD_CREDENTIAL")), 1).await;
    assert_eq!(owner.get_entry(&page.items[0].id).await.ok(), page.items[0]);
    owner.get_entry("01890000-0000-7000-8000-000000000000").await.refused(404, "audit.entry_not_found");
    let odd = owner.get_entry("not-an-id").await;
    assert!(matches!(odd.code(), Some("audit.entry_not_found" | "request.invalid")), "{odd:?}");
}

pub(crate) async fn entries_are_filtered_sorted_and_paged(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let mut names = Vec::new();
    for index in 0..5 {
        names.push(case.unique(&format!("c{index}")));
        owner.create_credential(&names[index], &[NewAttribute::standard("a")]).await.ok();
    }
    let of_type = || Filter::new("activityType", "eq", "ADD_CREDENTIAL");
    let page = await_entries(&owner, &Query::filter(of_type()).sort("createdOn", false), 5).await;
    let found: Vec<&str> = page.items.iter().map(|entry| entry.object_name.as_str()).collect();
    assert_eq!(found, names);
    let newest = owner.query_entries(&Query::filter(of_type())).await.ok();
    assert_eq!(newest.items[0].object_name, names[4], "newest first unless asked otherwise");
    let middle = owner.query_entries(&Query::filter(of_type()).sort("createdOn", false).page(1, 2)).await.ok();
    let found: Vec<&str> = middle.items.iter().map(|entry| entry.object_name.as_str()).collect();
    assert_eq!(found, names[1..3]);
    assert_eq!(middle.total_filter, Some(5));
    let none = owner
        .query_entries(&Query::filter(Filter::And(vec![of_type(), Filter::new("status", "eq", "Unsuccessful")])))
        .await
        .ok();
    assert!(none.items.is_empty());
    owner.query_entries(&Query::filter(Filter::new("password", "eq", "x"))).await.refused(400, "list.field_unknown");
}

pub(crate) async fn unknown_user_names_are_not_written_down(case: &Case<'_>) {
    // People type passwords into the wrong field.
    let typed = case.secret("typed into the wrong field");
    let answer = case.anonymous().sign_in(&typed, "whatever it is").await;
    let request = answer.request_id.clone();
    answer.refused(401, "auth.sign_in_failed");
    let page = await_entries(&case.admin, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    let entry = &page.items[0];
    assert_eq!(
        (entry.activity.as_str(), entry.status.as_str(), entry.user_name.as_str()),
        ("LOGIN", "Unsuccessful", "")
    );
    assert!(!format!("{entry:?}").contains(&typed), "{entry:?}");
}

pub(crate) async fn a_change_is_told_without_its_secret(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let created =
        owner.create_described(&case.unique("told"), Some("the old words"), &[NewAttribute::standard("a")]).await.ok();
    let change = CredentialChange { description: Some("the new words".to_owned()), ..CredentialChange::default() };
    let answer = owner.update_credential(created.id, &change).await;
    let request = answer.request_id.clone();
    answer.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    let detail = &page.items[0].detail;
    assert!(detail.contains("the old words") && detail.contains("the new words"), "old and new: {detail}");
    let secret = case.secret("never told");
    let answer = owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await;
    let request = answer.request_id.clone();
    answer.ok();
    let page = await_entries(&owner, &Query::filter(Filter::new("requestId", "eq", &*request)), 1).await;
    assert!(!format!("{:?}", page.items[0]).contains("never told"), "{page:?}");
}
