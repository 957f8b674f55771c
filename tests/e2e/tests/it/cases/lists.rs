//! Filters, orders and pages (contract, section 1, "lists").

use coffre_e2e::api::{NewAttribute, Session};
use coffre_e2e::case::Case;
use coffre_e2e::model::{Filter, Query};

/// An owner of so many credentials, named `n00`, `n01`, ….
async fn owner_of(case: &Case<'_>, count: usize) -> (Session, Vec<String>) {
    let owner = case.basic("lister").await;
    let mut names = Vec::new();
    for index in 0..count {
        let name = case.unique(&format!("n{index:02}"));
        let description = if index % 2 == 0 { "even" } else { "odd" };
        owner.create_described(&name, Some(description), &[NewAttribute::standard("a")]).await.ok();
        names.push(name);
    }
    (owner, names)
}

async fn names(caller: &Session, query: Query) -> Vec<String> {
    caller.query_credentials(&query).await.ok().items.into_iter().map(|one| one.name).collect()
}

pub(crate) async fn filters_combine(case: &Case<'_>) {
    let (owner, all) = owner_of(case, 4).await;
    let even = || Filter::new("description", "eq", "even");
    let first = || Filter::new("name", "eq", all[0].to_uppercase());
    let sorted = |filter| Query::filter(filter).sort("name", false);
    assert_eq!(names(&owner, sorted(even())).await, [all[0].clone(), all[2].clone()]);
    assert_eq!(names(&owner, sorted(Filter::new("description", "ne", "even"))).await, [all[1].clone(), all[3].clone()]);
    assert_eq!(
        names(&owner, sorted(Filter::And(vec![even(), first()]))).await,
        all[..1],
        "texts compare without regard to case"
    );
    assert_eq!(
        names(&owner, sorted(Filter::Or(vec![first(), Filter::new("name", "eq", &*all[3])]))).await,
        [all[0].clone(), all[3].clone()]
    );
    assert_eq!(names(&owner, sorted(Filter::Not(Box::new(even())))).await, [all[1].clone(), all[3].clone()]);
    assert_eq!(names(&owner, sorted(Filter::new("name", "substring", "N02"))).await, all[2..3]);
    assert_eq!(
        names(&owner, sorted(Filter::new("name", "substring", "%%%"))).await,
        Vec::<String>::new(),
        "no wildcards"
    );
    assert_eq!(names(&owner, sorted(Filter::new("name", "eq", "' OR '1'='1"))).await, Vec::<String>::new());
}

pub(crate) async fn ids_sort_as_numbers(case: &Case<'_>) {
    let (owner, _) = owner_of(case, 12).await;
    let ids = async |query: &Query| -> Vec<i64> {
        owner.query_credentials(query).await.ok().items.iter().map(|one| one.id).collect()
    };
    let up = ids(&Query::default().sort("id", false)).await;
    assert_eq!(up.len(), 12);
    assert!(up.is_sorted(), "{up:?}");
    let down = ids(&Query::default().sort("id", true)).await;
    assert!(down.iter().rev().is_sorted(), "{down:?}");
    let below = ids(&Query::filter(Filter::new("id", "lt", up[5].to_string())).sort("id", false)).await;
    assert_eq!(below, up[..5]);
    let from = ids(&Query::filter(Filter::new("id", "ge", up[5].to_string())).sort("id", false)).await;
    assert_eq!(from, up[5..]);
}

pub(crate) async fn pages_neither_lose_nor_repeat(case: &Case<'_>) {
    let (owner, all) = owner_of(case, 7).await;
    for descending in [false, true] {
        let query = Query::default().sort("description", descending).sort("name", false);
        let whole = names(&owner, query.clone()).await;
        assert_eq!(whole.len(), all.len());
        let mut by_offset = Vec::new();
        for offset in [0, 3, 6] {
            by_offset.extend(names(&owner, query.clone().page(offset, 3)).await);
        }
        assert_eq!(by_offset, whole);
        let (mut by_token, mut token) = (Vec::new(), None);
        loop {
            let page = owner.query_credentials(&query.clone().page(0, 3).token(token)).await.ok();
            assert_eq!((page.total, page.total_filter), (Some(7), Some(7)));
            by_token.extend(page.items.into_iter().map(|one| one.name));
            token = page.next;
            if token.is_none() {
                break;
            }
            assert!(by_token.len() < 20, "pages that do not end: {by_token:?}");
        }
        assert_eq!(by_token, whole);
    }
    let page = owner.query_credentials(&Query::default().sort("name", false).page(0, 2)).await.ok();
    let other_order = Query::default().sort("name", true).page(0, 2).token(page.next);
    owner.query_credentials(&other_order).await.refused(400, "list.token_invalid");
    let forged = Query::default().page(0, 2).token(Some("forged".to_owned()));
    owner.query_credentials(&forged).await.refused(400, "list.token_invalid");
}

pub(crate) async fn an_unknown_field_is_refused(case: &Case<'_>) {
    let owner = case.basic("lister").await;
    for field in ["secret", "value", "tenant_id", "name; --", ""] {
        let answer = owner.query_credentials(&Query::filter(Filter::new(field, "eq", "x"))).await;
        assert!(
            answer.code() == Some("list.field_unknown")
                || (field.is_empty() && answer.code() == Some("request.invalid")),
            "{field}: {answer:?}"
        );
    }
    owner.query_credentials(&Query::default().sort("secret", false)).await.refused(400, "list.field_unknown");
    owner.query_credentials(&Query::filter(Filter::new("id", "eq", "text"))).await.refused(400, "request.invalid");
    case.admin.query_users(&Query::filter(Filter::new("password", "eq", "x"))).await.refused(400, "list.field_unknown");
    case.admin.query_roles(&Query::default().sort("secret", false)).await.refused(400, "list.field_unknown");
}

pub(crate) async fn an_offset_past_the_end_is_an_empty_list(case: &Case<'_>) {
    let (owner, _) = owner_of(case, 2).await;
    let page = owner.query_credentials(&Query::default().page(50, 10)).await.ok();
    assert!(page.items.is_empty());
    assert_eq!((page.total, page.next), (Some(2), None));
    owner.query_credentials(&Query::default().page(100_001, 10)).await.refused(400, "list.too_large");
}

pub(crate) async fn counting_can_be_left_out(case: &Case<'_>) {
    let (owner, _) = owner_of(case, 2).await;
    let page = owner.query_credentials(&Query { without_count: true, ..Query::default() }).await.ok();
    assert_eq!((page.items.len(), page.total, page.total_filter), (2, None, None));
}

pub(crate) async fn a_substring_needs_three_characters(case: &Case<'_>) {
    let owner = case.basic("lister").await;
    owner
        .query_credentials(&Query::filter(Filter::new("name", "substring", "ab")))
        .await
        .refused(400, "request.invalid");
    owner.query_credentials(&Query::filter(Filter::new("name", "substring", "abc"))).await.ok();
}

pub(crate) async fn a_caller_counts_what_it_sees(case: &Case<'_>) {
    let (one, _) = owner_of(case, 3).await;
    let two = case.basic("other").await;
    two.create_credential(&case.unique("the only one"), &[NewAttribute::standard("a")]).await.ok();
    let page = two.query_credentials(&Query::filter(Filter::new("name", "substring", "only"))).await.ok();
    assert_eq!((page.total, page.total_filter, page.items.len()), (Some(1), Some(1), 1));
    let page = one.query_credentials(&Query::filter(Filter::new("description", "eq", "odd")).page(0, 1)).await.ok();
    assert_eq!((page.total, page.total_filter, page.items.len()), (Some(3), Some(1), 1));
}
