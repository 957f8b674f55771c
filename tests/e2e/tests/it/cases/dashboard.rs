//! What a caller sees at a glance equals what it sees elsewhere (contract, section 3).

use coffre_e2e::api::{NewAttribute, NewValue, Session};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Dashboard, Query, Right};

/// The dashboard of a caller, compared with C2, L1 and its own audit.
async fn compared(case: &Case<'_>, caller: &Session) -> Dashboard {
    // Every entry so far has arrived.
    case.settle().await;
    let dashboard = caller.dashboard().await.event("dashboard.read").ok();
    assert_eq!((dashboard.user_id, dashboard.username.as_str()), (caller.id, caller.username.as_str()));
    let credentials = caller.list_credentials(&Default::default()).await;
    let credentials = credentials.outcome.map_or(0, |list| list.len());
    let lockers = caller.list_lockers(None).await.outcome.map_or(0, |list| list.len());
    let seen = (i64::try_from(credentials).unwrap(), i64::try_from(lockers).unwrap());
    assert_eq!((dashboard.credentials, dashboard.lockers), seen);
    let applied = case.admin.key_applied().await.ok();
    assert_eq!(dashboard.applied, applied);

    assert!(dashboard.entries.len() <= 10);
    let query = Query::default().sort("createdOn", true).page(0, 40);
    let own = caller.query_entries(&query).await.ok().items;
    let own: Vec<&str> =
        own.iter().filter(|entry| entry.user_name == caller.username).map(|one| one.id.as_str()).collect();
    let shown: Vec<&str> = dashboard.entries.iter().map(|entry| entry.id.as_str()).collect();
    assert!(!shown.is_empty(), "whoever signed in has an entry");
    let begin = own.iter().position(|id| *id == shown[0]).expect("the newest entry is the caller's own");
    assert_eq!(shown, own[begin..(begin + 10).min(own.len())], "the last ten, the newest first");
    dashboard
}

pub(crate) async fn a_dashboard_equals_what_is_seen_elsewhere(case: &Case<'_>) {
    let (owner, consumer) = (case.basic("owner").await, case.basic("other").await);
    let nothing = compared(case, &owner).await;
    assert_eq!((nothing.credentials, nothing.lockers, nothing.missing_values), (0, 0, 0));

    let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b"), NewAttribute::user_provided("own")];
    let one = owner.create_credential(&case.unique("one"), &attributes).await.ok();
    owner.create_credential(&case.unique("two"), &[NewAttribute::standard("a")]).await.ok();
    let locker = owner.create_locker(&case.unique("shared"), None).await.ok();
    owner.assign(locker.id, one.id).await.ok();
    let seen = compared(case, &owner).await;
    // Two and its own of the first, one of the second.
    assert_eq!((seen.credentials, seen.lockers, seen.missing_values), (2, 1, 4));
    owner.create_values(one.id, &[NewValue::new(one.attribute("a").id, case.secret("stored"))]).await.ok();
    assert_eq!(compared(case, &owner).await.missing_values, 3);

    // A consumer lacks its own value alone.
    let none = compared(case, &consumer).await;
    assert_eq!((none.credentials, none.lockers, none.missing_values), (0, 0, 0));
    let role = case.role("consumers", &[permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS]).await;
    let consumer = case.user("consumer", &[role]).await;
    owner.add_consumer(locker.id, role).await.ok();
    let seen = compared(case, &consumer).await;
    assert_eq!((seen.credentials, seen.lockers, seen.missing_values), (1, 1, 1));
    let own = NewValue::new(one.attribute("own").id, case.secret("own")).of(consumer.id);
    consumer.create_values(one.id, &[own]).await.ok();
    assert_eq!(compared(case, &consumer).await.missing_values, 0);

    // A manager sees, and stores nothing of his own.
    let manager = case.basic("manager").await;
    owner.set_member(locker.id, manager.id, &[Right::Manage]).await.ok();
    let seen = compared(case, &manager).await;
    assert_eq!((seen.credentials, seen.lockers, seen.missing_values), (1, 1, 0));
}

pub(crate) async fn a_dashboard_is_for_whoever_is_signed_in(case: &Case<'_>) {
    // Without any right there is nothing to see, and the audit of oneself.
    let plain = case.user("plain", &[]).await;
    let seen = compared(case, &plain).await;
    assert_eq!((seen.credentials, seen.lockers, seen.missing_values), (0, 0, 0));
    // *View everyone's audit log actions* shows no more here: they are one's own.
    let auditor = case.holder("auditor", &[permission::VIEW_ALL_AUDIT]).await;
    let seen = compared(case, &auditor).await;
    assert!(seen.entries.iter().all(|entry| entry.user_name == auditor.username), "{:?}", seen.entries);
    // An administrator of lockers sees all of them.
    let administrator =
        case.holder("administrator", &[permission::ADMINISTER_LOCKERS, permission::MANAGE_CREDENTIALS]).await;
    assert_eq!(administrator.dashboard().await.ok().username, administrator.username);
    case.anonymous().dashboard().await.refused(401, "auth.token_required");
}

pub(crate) async fn a_program_sees_its_operators_dashboard(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "mobile").await;
    let operator = case.basic("operator").await;
    operator.create_credential(&case.unique("one"), &[NewAttribute::standard("a")]).await.ok();
    operator.create_locker(&case.unique("one"), None).await.ok();
    let grant = case.grant(&client, &operator).await;
    let by_program = compared(case, &operator.with_token(&grant.access_token)).await;
    let by_person = compared(case, &operator).await;
    assert_eq!((by_program.credentials, by_program.lockers, by_program.missing_values), (1, 1, 1));
    assert_eq!(
        (by_program.credentials, by_program.lockers, by_program.missing_values, by_program.user_id),
        (by_person.credentials, by_person.lockers, by_person.missing_values, by_person.user_id)
    );
}
