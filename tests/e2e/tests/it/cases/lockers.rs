//! Lockers, their members and consumers (contract, section 5, L1 to L12).

use coffre_e2e::api::{LockerChange, RoleChange, Session};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Filter, Locker, LockerPermission, Member, Page, Query, Right};

use super::within_a_second;

const CREATOR: [Right; 3] = [Right::Participate, Right::Own, Right::Manage];

/// What a member with some rights is told.
pub(crate) fn standing(owner: bool, manager: bool, participant: bool, consumer: bool) -> LockerPermission {
    LockerPermission { owner, manager, participant, consumer }
}

pub(crate) async fn locker(case: &Case<'_>, owner: &Session, what: &str) -> Locker {
    owner.create_locker(&case.unique(what), None).await.ok()
}

pub(crate) async fn a_locker_lives_from_creation_to_deletion(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let name = case.unique("SalesForce Locker");
    let created = owner.create_locker(&name, Some("for SalesForce")).await.event("locker.created").ok();
    assert_eq!((created.name.as_str(), created.description.as_deref()), (name.as_str(), Some("for SalesForce")));
    assert_eq!((created.version, created.created_by, created.updated_by), (0, owner.id, owner.id));
    assert_eq!(created.created_on, created.updated_on);
    assert_eq!(created.permission, standing(true, true, true, false));
    assert_eq!(owner.get_locker(created.id).await.about(&name).event("locker.read").ok(), created);
    assert_eq!(owner.list_lockers(None).await.event("locker.listed").ok(), std::slice::from_ref(&created));
    let members = owner.list_members(created.id).await.about(&name).event("locker.member.listed").ok();
    assert_eq!(members, [Member::new(owner.id, &CREATOR)], "the creator gets participate, own, manage");
    assert!(owner.list_consumers(created.id).await.about(&name).event("locker.consumer.listed").ok().is_empty());

    let change = LockerChange { description: Some("for all".to_owned()), version: Some(0), ..LockerChange::default() };
    let changed = owner.update_locker(created.id, &change).await.about(&name).event("locker.updated").ok();
    assert_eq!((changed.version, changed.name.as_str()), (1, name.as_str()), "what the request does not carry stays");
    assert_eq!(changed.description.as_deref(), Some("for all"));
    assert_eq!(owner.update_locker(created.id, &change.clone().version(1)).await.ok().version, 1, "nothing changed");
    let gone = LockerChange { description: Some(String::new()), ..LockerChange::default() };
    assert!(owner.update_locker(created.id, &gone).await.ok().description.is_none_or(|text| text.is_empty()));

    owner.delete_locker(created.id, None).await.about(&name).event("locker.deleted").ok();
    owner.get_locker(created.id).await.refused(404, "locker.not_found");
    owner.delete_locker(created.id, None).await.refused(404, "locker.not_found");
    owner.update_locker(created.id, &LockerChange::default()).await.refused(404, "locker.not_found");
    owner.list_members(created.id).await.refused(404, "locker.not_found");
    owner.list_consumers(created.id).await.refused(404, "locker.not_found");
    owner.list_contents(created.id).await.refused(404, "locker.not_found");
    assert!(owner.list_lockers(None).await.ok().is_empty());
    // The name is free again; the id is not.
    assert!(owner.create_locker(&name, None).await.ok().id > created.id);
}

trait Versioned {
    fn version(self, version: i64) -> Self;
}

impl Versioned for LockerChange {
    fn version(self, version: i64) -> Self {
        Self { version: Some(version), ..self }
    }
}

pub(crate) async fn locker_names_are_unique_kept_as_typed_and_checked(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let name = format!("Zoé {}", case.unique("Locker"));
    let created = owner.create_locker(&name, None).await.ok();
    assert_eq!(created.name, name);
    assert_eq!(created.description, None);
    for twin in [name.to_uppercase(), name.replace('é', "e\u{301}"), name.replace('Z', "\u{ff3a}")] {
        other.create_locker(&twin, None).await.refused(409, "locker.name_taken");
    }
    let second = other.create_locker(&case.unique("second"), None).await.ok();
    let rename = |name: &str| LockerChange { name: Some(name.to_owned()), ..LockerChange::default() };
    other.update_locker(second.id, &rename(&name.to_lowercase())).await.refused(409, "locker.name_taken");
    // Another case of its own name is its own name.
    assert_eq!(owner.update_locker(created.id, &rename(&name.to_uppercase())).await.ok().name, name.to_uppercase());
    for odd in [String::new(), "x".repeat(256), "tab\tinside".to_owned(), "del\u{7f}".to_owned()] {
        owner.create_locker(&odd, None).await.refused(400, "request.invalid");
        owner.update_locker(created.id, &rename(&odd)).await.refused(400, "request.invalid");
    }
    owner.create_locker(&case.unique("d"), Some(&"x".repeat(1001))).await.refused(400, "request.invalid");
    owner.create_locker(&case.unique("d"), Some(&"é".repeat(1000))).await.ok();
    assert_eq!(other.get_locker(second.id).await.ok(), second, "a refusal changes nothing");
}

pub(crate) async fn without_the_permission_no_locker_is_made(case: &Case<'_>) {
    let plain = case.holder("plain", &[permission::MANAGE_CREDENTIALS]).await;
    let refused = plain.create_locker(&case.unique("x"), None).await.refused(403, "authz.permission_required");
    assert!(refused.message.contains("Manage my lockers"), "the message names the permission: {refused:?}");
    case.anonymous().create_locker(&case.unique("x"), None).await.refused(401, "auth.token_required");
    case.anonymous().list_lockers(None).await.refused(401, "auth.token_required");
    // A locker of somebody else is not there.
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let private = locker(case, &owner, "private").await;
    let hidden = other.get_locker(private.id).await.refused(404, "locker.not_found");
    let missing = other.get_locker(i64::MAX).await.refused(404, "locker.not_found");
    assert_eq!(
        hidden.message.replace(&private.id.to_string(), ""),
        missing.message.replace(&i64::MAX.to_string(), ""),
        "not there and not visible are one answer"
    );
    assert!(other.list_lockers(None).await.ok().is_empty());
}

pub(crate) async fn lockers_are_listed_filtered_and_paged(case: &Case<'_>) {
    let (owner, other) = (case.basic("owner").await, case.basic("other").await);
    let mut all = Vec::new();
    for index in 0..5 {
        // Seen in three ways: as owner, as participant, as manager.
        let one = locker(case, if index < 3 { &owner } else { &other }, &format!("l{index}")).await;
        if index >= 3 {
            let right = if index == 3 { Right::Participate } else { Right::Manage };
            other.set_member(one.id, owner.id, &[right]).await.ok();
        }
        all.push(one.id);
    }
    locker(case, &other, "not to be seen").await;
    let ids = |page: &Page<Locker>| page.items.iter().map(|one| one.id).collect::<Vec<_>>();
    let page = owner.query_lockers(&Query::default().sort("id", false)).await.ok();
    assert_eq!((ids(&page), page.total), (all.clone(), Some(5)), "each once, and no other is counted");
    let mut paged = Vec::new();
    let mut token = None;
    loop {
        let query = Query::default().sort("name", true).page(0, 2).token(token);
        let page = owner.query_lockers(&query).await.ok();
        paged.extend(ids(&page));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    paged.reverse();
    assert_eq!(paged, all, "pages neither lose nor repeat");
    let filter = Filter::And(vec![Filter::new("name", "substring", "l3 "), Filter::new("version", "ge", "1")]);
    let found = owner.query_lockers(&Query::filter(filter)).await.ok();
    assert_eq!((ids(&found), found.total, found.total_filter), (vec![all[3]], Some(5), Some(1)));
    let found = owner.query_lockers(&Query::filter(Filter::new("createdBy", "eq", owner.id.to_string()))).await.ok();
    assert_eq!(found.items.len(), 3);
    assert!(owner.query_lockers(&Query::default().page(7, 2)).await.ok().items.is_empty());
    owner.query_lockers(&Query::filter(Filter::new("owner", "eq", "1"))).await.refused(400, "list.field_unknown");
    owner.query_lockers(&Query::filter(Filter::new("name", "substring", "l3"))).await.refused(400, "request.invalid");
}

pub(crate) async fn a_detailed_list_tells_members_and_counts(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let (manager, participant) = (case.basic("manager").await, case.basic("participant").await);
    let (bot, keeper) =
        (case.user("bot", &[role]).await, case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await);
    let (full, empty) = (locker(case, &owner, "full").await, locker(case, &owner, "empty").await);
    owner.set_member(full.id, manager.id, &[Right::Manage]).await.ok();
    owner.set_member(full.id, participant.id, &[Right::Participate]).await.ok();
    owner.add_consumer(full.id, role).await.ok();
    for index in 0..2 {
        let inside = super::contents::credential(case, &owner, &format!("inside {index}")).await;
        owner.assign(full.id, inside.id).await.ok();
    }
    let mut members = vec![
        Member::new(owner.id, &CREATOR),
        Member::new(manager.id, &[Right::Participate, Right::Manage]),
        Member::new(participant.id, &[Right::Participate]),
    ];
    members.sort_by_key(|member| member.user_id);
    let only = |list: Vec<Locker>, id: i64| list.into_iter().find(|one| one.id == id).expect("the locker is listed");
    for (caller, permission) in [
        (&owner, standing(true, true, true, false)),
        (&manager, standing(false, true, true, false)),
        (&participant, standing(false, false, true, false)),
        (&keeper, LockerPermission::default()),
    ] {
        let found = only(caller.list_lockers_advanced().await.ok(), full.id);
        assert_eq!((&found.members, found.credentials), (&members, Some(2)), "{}", caller.username);
        assert_eq!(found.permission, permission, "{}", caller.username);
        assert_eq!(caller.list_members(full.id).await.ok(), members);
    }
    // Consumers learn of no members.
    let found = bot.list_lockers_advanced().await.ok();
    assert_eq!((found.len(), found[0].members.len(), found[0].credentials), (1, 0, Some(2)));
    assert_eq!(found[0].permission, standing(false, false, false, true));
    assert!(bot.list_members(full.id).await.ok().is_empty());
    assert_eq!(bot.list_consumers(full.id).await.ok(), [role]);
    let found = only(
        owner.query_lockers(&Query::filter(Filter::new("id", "eq", empty.id.to_string()))).await.ok().items,
        empty.id,
    );
    assert_eq!((found.members, found.credentials), (vec![Member::new(owner.id, &CREATOR)], Some(0)));
    // What is consumed, and what is not.
    let ids = |list: Vec<Locker>| list.into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(bot.list_lockers(Some(true)).await.ok()), [full.id]);
    assert!(bot.list_lockers(Some(false)).await.ok().is_empty());
    assert!(owner.list_lockers(Some(true)).await.ok().is_empty());
    assert_eq!(ids(owner.list_lockers(Some(false)).await.ok()), [full.id, empty.id]);
}

pub(crate) async fn members_are_added_changed_and_removed(case: &Case<'_>) {
    let (owner, member) = (case.basic("owner").await, case.basic("member").await);
    let it = locker(case, &owner, "team").await;
    let version = async || owner.get_locker(it.id).await.ok().version;
    owner.set_member(it.id, member.id, &[Right::Participate]).await.about(&it.name).event("locker.member.set").ok();
    assert_eq!(version().await, 1, "a member raises the version");
    assert_eq!(member.get_locker(it.id).await.ok().permission, standing(false, false, true, false));
    owner.set_member(it.id, member.id, &[Right::Participate]).await.ok();
    assert_eq!(version().await, 1, "the same again changes nothing");
    // Own or manage implies participate; repeated words count once.
    owner.set_member(it.id, member.id, &[Right::Manage, Right::Manage]).await.ok();
    let rights = async || {
        let members = owner.list_members(it.id).await.ok();
        members.into_iter().find(|one| one.user_id == member.id).map(|one| one.rights)
    };
    assert_eq!(rights().await, Some(vec![Right::Participate, Right::Manage]));
    owner.set_member(it.id, member.id, &[Right::Own]).await.ok();
    assert_eq!(rights().await, Some(vec![Right::Participate, Right::Own]));
    assert_eq!(version().await, 3);
    // An owner adds members and removes them, himself too while another stays.
    member.set_member(it.id, owner.id, &[Right::Participate]).await.ok();
    assert_eq!(owner.get_locker(it.id).await.ok().permission, standing(false, false, true, false));
    owner.set_member(it.id, owner.id, &[Right::Own]).await.refused(403, "locker.not_permitted");
    member.remove_member(it.id, owner.id).await.about(&it.name).event("locker.member.removed").ok();
    member.remove_member(it.id, owner.id).await.refused(404, "locker.member_not_found");
    owner.get_locker(it.id).await.refused(404, "locker.not_found");
    assert_eq!(member.get_locker(it.id).await.ok().version, 5);
    // Nobody who is not there becomes a member; somebody who is disabled may.
    let missing = member.set_member(it.id, i64::MAX, &[Right::Own]).await.refused(404, "user.not_found");
    assert!(missing.message.contains(&i64::MAX.to_string()), "the message names the user: {missing:?}");
    let gone = case.user("gone", &[]).await;
    case.admin.delete_user(gone.id).await.ok();
    member.set_member(it.id, gone.id, &[Right::Own]).await.refused(404, "user.not_found");
    let disabled = coffre_e2e::api::UserChange { disabled: Some(true), ..Default::default() };
    case.admin.update_user(owner.id, &disabled).await.activity("DISABLE_USER").ok();
    member.set_member(it.id, owner.id, &[Right::Own]).await.ok();
    assert_eq!(member.get_locker(it.id).await.ok().version, 6, "a refusal changes nothing");
}

pub(crate) async fn a_locker_keeps_an_owner(case: &Case<'_>) {
    let (owner, second) = (case.basic("owner").await, case.basic("second").await);
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await;
    let it = locker(case, &owner, "kept").await;
    owner.set_member(it.id, second.id, &[Right::Manage]).await.ok();
    for caller in [&owner, &keeper] {
        caller.remove_member(it.id, owner.id).await.refused(409, "locker.last_owner");
        caller.set_member(it.id, owner.id, &[Right::Manage]).await.refused(409, "locker.last_owner");
    }
    assert_eq!(owner.get_locker(it.id).await.ok().version, 1, "a refusal changes nothing");
    owner.set_member(it.id, owner.id, &[Right::Own]).await.ok();
    // Two owners remove each other at once: one stays.
    for round in 0..5 {
        owner.set_member(it.id, second.id, &[Right::Own]).await.ok();
        let (first, other) = tokio::join!(owner.remove_member(it.id, second.id), second.remove_member(it.id, owner.id));
        let outcomes = (first.outcome, other.outcome);
        let members = keeper.list_members(it.id).await.ok();
        let owners = members.iter().filter(|member| member.rights.contains(&Right::Own)).count();
        assert_eq!(owners, 1, "round {round}: {outcomes:?} {members:?}");
        for refused in [outcomes.0, outcomes.1].into_iter().filter_map(Result::err) {
            assert!(
                matches!(refused.code.as_str(), "locker.last_owner" | "locker.not_found" | "locker.member_not_found"),
                "{refused:?}"
            );
        }
        if members[0].user_id == second.id {
            second.set_member(it.id, owner.id, &[Right::Own]).await.ok();
        }
    }
}

pub(crate) async fn consumers_are_added_and_removed(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "consumed").await;
    let [one, two] = [case.role("one", &[]).await, case.role("two", &[]).await];
    let version = async || owner.get_locker(it.id).await.ok().version;
    owner.add_consumer(it.id, two).await.about(&it.name).event("locker.consumer.added").ok();
    owner.add_consumer(it.id, one).await.ok();
    assert_eq!((owner.list_consumers(it.id).await.ok(), version().await), (vec![one, two], 2));
    owner.add_consumer(it.id, one).await.ok();
    assert_eq!((owner.list_consumers(it.id).await.ok(), version().await), (vec![one, two], 2), "again: no change");
    owner.remove_consumer(it.id, two).await.about(&it.name).event("locker.consumer.removed").ok();
    owner.remove_consumer(it.id, two).await.refused(404, "locker.consumer_not_found");
    assert_eq!((owner.list_consumers(it.id).await.ok(), version().await), (vec![one], 3));
    let missing = owner.add_consumer(it.id, i64::MAX).await.refused(404, "role.not_found");
    assert!(missing.message.contains(&i64::MAX.to_string()), "the message names the role: {missing:?}");
    // Consumers are user-defined roles.
    for system in ["AAE_Admin", "AAE_Basic", "AAE_Locker Admin"] {
        owner.add_consumer(it.id, case.system_role(system).await).await.refused(400, "request.invalid");
    }
    case.admin.delete_role(two).await.ok();
    owner.add_consumer(it.id, two).await.refused(404, "role.not_found");
    assert_eq!((owner.list_consumers(it.id).await.ok(), version().await), (vec![one], 3), "a refusal changes nothing");
}

pub(crate) async fn a_role_that_consumes_lives_on(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "shared").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let bot = case.user("bot", &[role]).await;
    owner.add_consumer(it.id, role).await.ok();
    bot.get_locker(it.id).await.ok();
    // Renamed: still the same role.
    let rename = RoleChange { name: Some(case.unique("robots")), ..RoleChange::default() };
    case.admin.update_role(role, &rename).await.ok();
    bot.get_locker(it.id).await.ok();
    // Emptied: its users see that something is missing.
    let empty = RoleChange { permissions: Some(Vec::new()), ..RoleChange::default() };
    case.admin.update_role(role, &empty).await.ok();
    within_a_second("an emptied role is of no use", async || {
        bot.get_locker(it.id).await.code() == Some("authz.permission_required")
    })
    .await;
    // Deleted: not while it consumes, even without users.
    let none = coffre_e2e::api::UserChange { roles: Some(Vec::new()), ..Default::default() };
    case.admin.update_user(bot.id, &none).await.ok();
    let refused = case.admin.delete_role(role).await.refused(409, "role.in_use");
    assert!(refused.message.contains(&it.name), "the message names the locker: {refused:?}");
    assert_eq!(owner.list_consumers(it.id).await.ok(), [role]);
    owner.add_consumer(it.id, role).await.ok();
    owner.remove_consumer(it.id, role).await.ok();
    case.admin.delete_role(role).await.ok();
}

pub(crate) async fn a_stale_locker_version_changes_nothing(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "versioned").await;
    let change = |text: &str| LockerChange { description: Some(text.to_owned()), ..LockerChange::default() };
    let tagged = |tag: &str, text: &str| LockerChange { etag: Some(tag.to_owned()), ..change(text) };
    owner.update_locker(it.id, &change("one").version(0)).await.ok();
    owner.update_locker(it.id, &change("two").version(0)).await.refused(409, "locker.version_conflict");
    owner.update_locker(it.id, &tagged("\"0\"", "two")).await.refused(412, "request.precondition_failed");
    owner.delete_locker(it.id, Some("\"0\"")).await.refused(412, "request.precondition_failed");
    owner.update_locker(it.id, &tagged("\"1\"", "three")).await.ok();
    let now = owner.get_locker(it.id).await;
    if let Some(etag) = now.etag.clone() {
        assert_eq!(etag, "\"2\"");
    }
    assert_eq!(now.ok().description.as_deref(), Some("three"));
    // Of two writers one wins.
    let (first, second) = (change("here").version(2), change("there").version(2));
    let (first, second) = tokio::join!(owner.update_locker(it.id, &first), owner.update_locker(it.id, &second));
    assert_ne!(first.outcome.is_ok(), second.outcome.is_ok(), "{first:?} {second:?}");
    assert_eq!(owner.get_locker(it.id).await.ok().version, 3);
    owner.delete_locker(it.id, Some("\"3\"")).await.ok();
}

pub(crate) async fn an_administrator_of_lockers_gives_nothing_to_himself(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let other = case.basic("other").await;
    let it = locker(case, &owner, "administered").await;
    let role = case
        .role("keepers", &[permission::ADMINISTER_LOCKERS, permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS])
        .await;
    let keeper = case.user("keeper", &[role]).await;
    for right in Right::ALL {
        keeper.set_member(it.id, keeper.id, &[right]).await.refused(403, "authz.self_grant");
    }
    keeper.add_consumer(it.id, role).await.refused(403, "authz.self_grant");
    assert_eq!(owner.get_locker(it.id).await.ok().version, 0, "a refusal changes nothing");
    // Everything else of the matrix, for others.
    let rename = LockerChange { name: Some(case.unique("renamed")), ..LockerChange::default() };
    keeper.update_locker(it.id, &rename).await.ok();
    keeper.set_member(it.id, other.id, &[Right::Own]).await.ok();
    keeper.remove_member(it.id, owner.id).await.ok();
    // His own membership allows what it allows.
    other.set_member(it.id, keeper.id, &[Right::Manage]).await.ok();
    keeper.set_member(it.id, keeper.id, &[Right::Own]).await.refused(403, "authz.self_grant");
    keeper.add_consumer(it.id, role).await.ok();
    other.set_member(it.id, keeper.id, &[Right::Own]).await.ok();
    keeper.set_member(it.id, keeper.id, &[Right::Own, Right::Manage]).await.ok();
    keeper.delete_locker(it.id, None).await.ok();
}
