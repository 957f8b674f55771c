//! Administration of API accesses (contract, section 3; security.md 1.7, 2.5).

use coffre_e2e::api::{ApiAccessChange, NewApiAccess, Session};
use coffre_e2e::case::Case;
use coffre_e2e::model::{Filter, Query};

fn new(case: &Case<'_>, what: &str) -> NewApiAccess {
    NewApiAccess { client_id: case.unique(what), ..NewApiAccess::default() }
}

pub(crate) async fn an_api_access_lives_from_creation_to_deletion(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let wanted = NewApiAccess { description: Some("watches the machines".to_owned()), ..new(case, "monitoring") };
    let (created, client) = admin.create_api_access(&wanted).await.event("api_access.created").ok();
    assert!(client.secret.starts_with("coffre_cs_"), "a generated secret is recognised by its beginning");
    assert_eq!((created.client_id.as_str(), created.scope.as_str()), (wanted.client_id.as_str(), "public-api"));
    assert_eq!(created.description.as_deref(), Some("watches the machines"));
    // What nobody said is as the contract has it.
    assert_eq!((created.access_token_minutes, created.refresh_token_minutes), (60, 12 * 60));
    assert_eq!((created.password_grant, created.refresh_grant, created.client_credentials_grant), (false, true, false));
    assert_eq!((created.operator_id, created.confirmed, created.previous_secret), (None, false, false));
    assert_eq!((created.disabled, created.version), (false, 0));
    assert_eq!((created.created_by, created.updated_by), (admin.id, admin.id));
    assert_eq!(admin.get_api_access(created.id).await.event("api_access.read").ok(), created);
    let by_name = Query::filter(Filter::new("clientId", "eq", &*wanted.client_id));
    assert_eq!(
        admin.query_api_accesses(&by_name).await.event("api_access.listed").ok().items,
        std::slice::from_ref(&created)
    );

    let change = ApiAccessChange {
        version: Some(0),
        access_token_minutes: Some(90),
        refresh_token_minutes: Some(60 * 24 * 30),
        password_grant: Some(true),
        ..ApiAccessChange::default()
    };
    let changed = admin.update_api_access(created.id, &change).await.event("api_access.updated").ok();
    assert_eq!((changed.access_token_minutes, changed.refresh_token_minutes), (90, 60 * 24 * 30));
    assert_eq!((changed.password_grant, changed.version), (true, 1));
    assert_eq!(changed.description, created.description, "what the request does not carry stays");
    let unchanged = admin.update_api_access(created.id, &ApiAccessChange { version: None, ..change }).await.ok();
    assert_eq!(unchanged, changed, "no change adds none");

    admin.delete_api_access(created.id).await.event("api_access.deleted").about(&wanted.client_id).ok();
    admin.get_api_access(created.id).await.refused(404, "api_access.not_found");
    admin.delete_api_access(created.id).await.refused(404, "api_access.not_found");
    admin.rotate_secret(created.id, None, None).await.refused(404, "api_access.not_found");
    assert!(admin.query_api_accesses(&by_name).await.ok().items.is_empty());
    // The client id is free again; the number is not.
    let (again, _) = admin.create_api_access(&wanted).await.ok();
    assert!(again.id > created.id);
}

pub(crate) async fn client_ids_are_unique_and_checked(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let first = NewApiAccess { client_id: format!("Moniteur é {}", case.unique("c")), ..NewApiAccess::default() };
    let (first, _) = admin.create_api_access(&first).await.ok();
    for twin in [first.client_id.to_uppercase(), first.client_id.replace('é', "e\u{301}")] {
        let twin = NewApiAccess { client_id: twin, ..NewApiAccess::default() };
        admin.create_api_access(&twin).await.refused(409, "api_access.client_id_taken");
    }
    let (other, _) = admin.create_api_access(&new(case, "other")).await.ok();
    let rename = ApiAccessChange { client_id: Some(first.client_id.to_lowercase()), ..ApiAccessChange::default() };
    admin.update_api_access(other.id, &rename).await.refused(409, "api_access.client_id_taken");
    // A colon ends the client id in HTTP Basic.
    for odd in [String::new(), " ".to_owned(), "x".repeat(256), "bell\u{7}".to_owned(), case.unique("a:b")] {
        let odd = NewApiAccess { client_id: odd, ..NewApiAccess::default() };
        admin.create_api_access(&odd).await.refused(400, "request.invalid");
    }
    assert_eq!(admin.get_api_access(other.id).await.ok(), other, "a refusal changes nothing");
}

pub(crate) async fn lives_are_bounded(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let access = |minutes| NewApiAccess { access_token_minutes: Some(minutes), ..new(case, "life") };
    let refresh = |minutes| NewApiAccess { refresh_token_minutes: Some(minutes), ..new(case, "life") };
    for odd in [access(0), access(24 * 60 + 1), refresh(0), refresh(90 * 24 * 60 + 1)] {
        admin.create_api_access(&odd).await.refused(400, "request.invalid");
    }
    let widest = NewApiAccess { refresh_token_minutes: Some(90 * 24 * 60), ..access(24 * 60) };
    let (widest, _) = admin.create_api_access(&widest).await.ok();
    assert_eq!((widest.access_token_minutes, widest.refresh_token_minutes), (24 * 60, 90 * 24 * 60));
    let shortest =
        ApiAccessChange { access_token_minutes: Some(1), refresh_token_minutes: Some(1), ..ApiAccessChange::default() };
    let shortest = admin.update_api_access(widest.id, &shortest).await.ok();
    assert_eq!((shortest.access_token_minutes, shortest.refresh_token_minutes), (1, 1));
    let odd = ApiAccessChange { access_token_minutes: Some(0), ..ApiAccessChange::default() };
    admin.update_api_access(widest.id, &odd).await.refused(400, "request.invalid");
}

pub(crate) async fn a_chosen_secret_is_printable_ascii(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let with = |index: usize, secret: &str| NewApiAccess {
        client_secret: Some(secret.to_owned()),
        password_grant: Some(true),
        ..new(case, &format!("chosen {index}"))
    };
    let long = case.secret(&"l".repeat(300));
    let refused = [
        "fifteen signs..".to_owned(),
        long[..257].to_owned(),
        case.secret("\u{e9}"),
        case.secret("\n"),
        case.secret("\u{0}"),
        format!("coffre_cs_{}", case.secret("looks generated")),
    ];
    for (index, odd) in refused.iter().enumerate() {
        admin.create_api_access(&with(index, odd)).await.refused(400, "request.invalid");
    }
    // Everything that HTTP Basic and forms could trip over.
    let accepted = [case.secret("a:b%20c+d e&f=g\"\\")[..].to_owned(), long[..256].to_owned(), case.secret("%41%zz%")];
    for (index, secret) in accepted.iter().enumerate() {
        let (_, client) = admin.create_api_access(&with(index, secret)).await.ok();
        assert_eq!(&client.secret, secret, "a chosen secret is repeated once, too");
        case.grant(&client, &operator).await;
        case.grant(&client.in_body(), &operator).await;
    }
}

pub(crate) async fn api_accesses_are_administered_only_with_the_permission(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (access, _) = case.access(&admin, "administered").await;
    let (plain, basic) = (case.user("plain", &[]).await, case.basic("basic").await);
    for caller in [&plain, &basic] {
        let refused = caller.create_api_access(&new(case, "x")).await.refused(403, "authz.permission_required");
        assert!(refused.message.contains("Manage API access"), "the message names the permission: {refused:?}");
        assert!(caller.query_api_accesses(&Query::default()).await.ok().items.is_empty(), "nothing is bound to them");
        let read = caller.get_api_access(access.id).await;
        assert!(matches!(read.code(), Some("authz.permission_required" | "api_access.not_found")), "{read:?}");
        let change = ApiAccessChange { disabled: Some(true), ..ApiAccessChange::default() };
        caller.update_api_access(access.id, &change).await.refused(403, "authz.permission_required");
        caller.delete_api_access(access.id).await.refused(403, "authz.permission_required");
        caller.rotate_secret(access.id, None, None).await.refused(403, "authz.permission_required");
    }
    let nobody: Session = case.anonymous();
    nobody.create_api_access(&new(case, "x")).await.refused(401, "auth.token_required");
    assert_eq!(admin.get_api_access(access.id).await.ok(), access, "a refusal changes nothing");
}

pub(crate) async fn a_stale_access_version_changes_nothing(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (access, _) = case.access(&admin, "versioned").await;
    let change = |text: &str| ApiAccessChange { description: Some(text.to_owned()), ..ApiAccessChange::default() };
    admin.update_api_access(access.id, &ApiAccessChange { version: Some(0), ..change("one") }).await.ok();
    admin
        .update_api_access(access.id, &ApiAccessChange { version: Some(0), ..change("two") })
        .await
        .refused(409, "api_access.version_conflict");
    admin
        .update_api_access(access.id, &ApiAccessChange { etag: Some("\"0\"".to_owned()), ..change("two") })
        .await
        .refused(412, "request.precondition_failed");
    let tagged = ApiAccessChange { etag: Some("\"1\"".to_owned()), ..change("three") };
    let last = admin.update_api_access(access.id, &tagged).await.ok();
    assert_eq!((last.description.as_deref(), last.version), (Some("three"), 2));
}

pub(crate) async fn api_accesses_are_filtered_sorted_and_paged(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let mut made = Vec::new();
    for index in 0..5 {
        made.push(case.access(&admin, &format!("page {index}")).await.0.client_id);
    }
    let tag = case.unique("");
    let query = || Query::filter(Filter::new("clientId", "substring", tag.trim())).sort("clientId", true);
    let page = admin.query_api_accesses(&query().page(0, 2)).await.ok();
    assert_eq!(page.total_filter, Some(5));
    let rest = admin.query_api_accesses(&query().page(2, 10)).await.ok();
    let listed: Vec<String> = page.items.into_iter().chain(rest.items).map(|one| one.client_id).collect();
    made.reverse();
    assert_eq!(listed, made);
    let unknown = Query::filter(Filter::new("clientSecret", "eq", "x"));
    admin.query_api_accesses(&unknown).await.refused(400, "list.field_unknown");
}
