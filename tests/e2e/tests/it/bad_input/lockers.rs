//! Lockers: what the contract takes and what it refuses.

use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Member, Right};
use serde_json::{Value, json};

use super::{CREDENTIALS, refused};
use crate::cases::contents::credential;
use crate::cases::lockers::locker;

const LOCKERS: &str = "/v2/credentialvault/lockers";

rest_cases! {
    odd_ids_of_lockers_are_refused,
    odd_ids_in_bodies_about_lockers_are_refused,
    ids_of_another_kind_are_not_there,
    the_permissions_of_a_member_take_the_documented_spellings,
    odd_permissions_of_a_member_are_refused,
    odd_lockers_are_refused,
    odd_lists_of_lockers_are_refused,
    odd_questions_about_access_are_refused,
    odd_handovers_are_refused,
    methods_that_lockers_do_not_have_are_refused,
}

const ODD: [&str; 10] = ["abc", "-1", "0", "+1", "1.0", "01", "9223372036854775808", "%201", "1,2", "null"];

async fn odd_ids_of_lockers_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (it, inside) = (locker(case, &owner, "untouched").await, credential(case, &owner, "inside").await);
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    for odd in ODD {
        let (path, good) = (format!("{LOCKERS}/{odd}"), format!("{LOCKERS}/{}", it.id));
        let member = json!({"permissions": ["own"]});
        let requests = [
            http.get(&*path),
            http.put(&*path).json(&json!({"description": "x"})),
            http.delete(&*path),
            http.get(format!("{path}/consumers")),
            http.put(format!("{path}/consumers")).json(&json!({"id": 1})),
            http.get(format!("{path}/members")),
            http.get(format!("{path}/credentials")),
            http.put(format!("{path}/credentials/{}", inside.id)),
            http.put(format!("{path}/members/{}", owner.id)).json(&member),
            http.put(format!("{good}/members/{odd}")).json(&member),
            http.delete(format!("{good}/members/{odd}")),
            http.delete(format!("{good}/consumers/{odd}")),
            http.put(format!("{good}/credentials/{odd}")),
            http.delete(format!("{good}/credentials/{odd}")),
            http.get(format!("{CREDENTIALS}/{odd}/access")),
            http.get(format!("{CREDENTIALS}/{odd}/missingvalues")),
            http.get(format!("/v1/usermanagement/users/{odd}/holdings")),
            http.post(format!("/v1/usermanagement/users/{odd}/holdings/transfer")).json(&json!({"userId": 1})),
        ];
        for request in requests {
            let what = format!("{request:?}").chars().take(200).collect::<String>();
            refused(&what, &request.token(token).send().await, 400, "request.invalid");
        }
    }
    assert_eq!(owner.get_locker(it.id).await.ok(), it, "a refusal changes nothing");
    assert_eq!(owner.get_credential(inside.id).await.ok(), inside, "a refusal changes nothing");
}

async fn odd_ids_in_bodies_about_lockers_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "untouched").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let consumers = format!("{LOCKERS}/{}/consumers", it.id);
    for odd in [r#""abc""#, "-1", "0", "1.5", "9223372036854775808", "true", "{}", "[]", r#""""#, r#"" 1""#, "null"] {
        let body = format!("{{\"id\": {odd}}}");
        refused(odd, &http.put(&*consumers).token(token).body(body.clone()).send().await, 400, "request.invalid");
        refused(odd, &http.post(&*consumers).token(token).body(body).send().await, 400, "request.invalid");
        let body = format!("{{\"userId\": {odd}}}");
        let path = format!("/v1/usermanagement/users/{}/holdings/transfer", owner.id);
        refused(odd, &http.post(path).token(token).body(body).send().await, 400, "request.invalid");
    }
    for body in ["{}", "[]", "5", "\"14\"", "[{\"id\": 14}]"] {
        refused(body, &http.put(&*consumers).token(token).body(body).send().await, 400, "request.invalid");
    }
    refused("no body", &http.put(&*consumers).token(token).send().await, 400, "request.invalid");
    // The id in a body is that of the path: a slip of the pen of the document, which prints an L8 at the path of L5.
    let path = format!("{LOCKERS}/{}", it.id);
    let slip = http.put(&*path).token(token).json(&json!({"id": it.id + 1})).send().await;
    refused("the id of another locker", &slip, 400, "request.invalid");
    http.put(&*path).token(token).json(&json!({"id": it.id.to_string(), "version": "0"})).send().await.is(200);
    http.put(&*path).token(token).json(&json!({"id": it.id, "version": 0})).send().await.is(200);
    // Ids come as numbers and as texts, on either path of L8.
    let [one, two] = [case.role("one", &[]).await, case.role("two", &[]).await];
    http.put(&*consumers).token(token).json(&json!({"id": one.to_string()})).send().await.is(204);
    http.post(&*consumers).token(token).json(&json!({"id": two})).send().await.is(204);
    assert_eq!(owner.list_consumers(it.id).await.ok(), [one, two]);
}

async fn ids_of_another_kind_are_not_there(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "untouched").await;
    // Far above every id of this run, and each of one kind alone.
    let inside = credential(case, &owner, "inside").await;
    let role = case.role("role", &[permission::MANAGE_CREDENTIALS]).await;
    let none = i64::MAX - 1;
    owner.assign(none, inside.id).await.refused(404, "locker.not_found");
    owner.assign(it.id, none).await.refused(404, "credential.not_found");
    owner.withdraw(it.id, none).await.refused(404, "credential.not_found");
    owner.withdraw(none, inside.id).await.refused(404, "credential.not_in_locker");
    owner.add_consumer(it.id, none).await.refused(404, "role.not_found");
    owner.remove_consumer(it.id, role).await.refused(404, "locker.consumer_not_found");
    owner.set_member(it.id, none, &[Right::Own]).await.refused(404, "user.not_found");
    owner.remove_member(it.id, none).await.refused(404, "locker.member_not_found");
    owner.list_contents(none).await.refused(404, "locker.not_found");
    owner.explain(none, None).await.refused(404, "credential.not_found");
    owner.missing_values(none).await.refused(404, "credential.not_found");
    // A user is no role and a role no user: ids of one kind mean nothing as another.
    let attribute = inside.attributes[0].id;
    let stray = owner.list_values_of(inside.id, Some(attribute + 1_000_000), None).await;
    stray.refused(404, "attribute.not_found");
    assert_eq!(owner.get_locker(it.id).await.ok(), it, "a refusal changes nothing");
}

async fn the_permissions_of_a_member_take_the_documented_spellings(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let member = case.basic("member").await;
    let it = locker(case, &owner, "spelled").await;
    let path = format!("{LOCKERS}/{}/members/{}", it.id, member.id);
    use Right::{Manage, Own, Participate};
    for (words, rights) in [
        (json!(["participate"]), vec![Participate]),
        (json!(["PARTICIPATE"]), vec![Participate]),
        (json!(["participe"]), vec![Participate]),
        (json!(["Participant"]), vec![Participate]),
        (json!(["own"]), vec![Participate, Own]),
        (json!(["OWNER"]), vec![Participate, Own]),
        (json!(["Manage"]), vec![Participate, Manage]),
        (json!(["MANAGER", "manager"]), vec![Participate, Manage]),
        (json!(["manage", "own", "participe"]), vec![Participate, Own, Manage]),
    ] {
        let body = json!({"permissions": words});
        let answer = case.api.http.put(&*path).token(owner.token.as_deref().unwrap()).json(&body).send().await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{words}");
        let members = owner.list_members(it.id).await.ok();
        assert!(members.contains(&Member::new(member.id, &rights)), "{words}: {members:?}");
    }
    // In the order in which the document prints them.
    let path = format!("{LOCKERS}/{}/members", it.id);
    let listed = case.api.http.get(path).token(owner.token.as_deref().unwrap()).send().await.is(200);
    let all = json!(["participate", "own", "manage"]);
    assert!(listed["list"].as_array().unwrap().iter().all(|one| one["permissions"] == all), "{listed}");
}

async fn odd_permissions_of_a_member_are_refused(case: &Case<'_>) {
    let (owner, member) = (case.basic("owner").await, case.basic("member").await);
    let it = locker(case, &owner, "untouched").await;
    let path = format!("{LOCKERS}/{}/members/{}", it.id, member.id);
    for body in [
        json!({"permissions": []}),
        json!({"permissions": ["owns"]}),
        json!({"permissions": [""]}),
        json!({"permissions": ["own", "admin"]}),
        json!({"permissions": ["particpate"]}),
        json!({"permissions": [null]}),
        json!({"permissions": [1]}),
        json!({"permissions": "own"}),
        json!({"permissions": null}),
        json!({"permissions": {"own": true}}),
        json!({"permissions": [["own"]]}),
        json!({"permissions": ["own,manage"]}),
        json!({}),
        json!([]),
        json!("own"),
    ] {
        let answer = case.api.http.put(&*path).token(owner.token.as_deref().unwrap()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    assert_eq!(owner.get_locker(it.id).await.ok(), it, "a refusal changes nothing");
    assert_eq!(owner.list_members(it.id).await.ok().len(), 1);
}

async fn odd_lockers_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "untouched").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let path = format!("{LOCKERS}/{}", it.id);
    for body in [
        json!({"name": 5}),
        json!({"name": ["x"]}),
        json!({"name": {}}),
        json!({"name": true}),
        json!({"name": case.unique("x"), "description": 5}),
        json!({"name": case.unique("x"), "description": []}),
        json!([]),
        json!("x"),
        json!({"name": ""}),
        json!({"name": "  "}),
        json!({"name": "x\u{0}"}),
    ] {
        refused(&body.to_string(), &http.post(LOCKERS).token(token).json(&body).send().await, 400, "request.invalid");
        refused(&body.to_string(), &http.put(&*path).token(token).json(&body).send().await, 400, "request.invalid");
    }
    for body in [json!({}), json!({"description": "nameless"}), json!({"name": null})] {
        refused(&body.to_string(), &http.post(LOCKERS).token(token).json(&body).send().await, 400, "request.invalid");
    }
    for body in [json!({"version": "x"}), json!({"version": -1}), json!({"version": 1.5}), json!({"version": {}})] {
        refused(&body.to_string(), &http.put(&*path).token(token).json(&body).send().await, 400, "request.invalid");
    }
    for body in ["{", "", "{\"name\": \"a\", \"name\": \"b\"}", "nul", "{\"name\": \"x\"} {}"] {
        let answer = http.post(LOCKERS).token(token).body(body).send().await;
        assert_eq!(answer.status, 400, "{body}: {}", String::from_utf8_lossy(&answer.body));
        answer.code();
    }
    assert_eq!(owner.list_lockers(None).await.ok(), [it], "a refusal changes nothing");
    // Unknown keys are ignored, the members of a new locker among them.
    let body = json!({"name": case.unique("made"), "members": [{"id": 1, "permissions": ["own"]}], "colour": "red"});
    let made = http.post(LOCKERS).token(token).json(&body).send().await.is(201);
    let made = made["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(owner.list_members(made).await.ok().iter().map(|one| one.user_id).collect::<Vec<_>>(), [owner.id]);
}

async fn odd_lists_of_lockers_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "listed").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    for odd in ["consumed=maybe", "consumed=1", "consumed=true&consumed=false"] {
        refused(odd, &http.get(format!("{LOCKERS}?{odd}")).token(token).send().await, 400, "request.invalid");
    }
    for good in ["", "?consumed=false", "?consumed=\"false\"", "?consumed=%22FALSE%22", "?colour=red"] {
        let path = format!("{LOCKERS}{}", good.replace('"', "%22"));
        let listed = http.get(path).token(token).send().await.is(200);
        assert_eq!(listed["list"].as_array().map(Vec::len), Some(1), "{good}: {listed}");
    }
    let list = format!("{LOCKERS}/list");
    for (body, code) in [
        (json!({"filter": {"operator": "eq", "field": "secret", "value": "x"}}), "list.field_unknown"),
        (json!({"sort": [{"field": "members", "direction": "asc"}]}), "list.field_unknown"),
        (json!({"filter": {"operator": "like", "field": "name", "value": "x"}}), "request.invalid"),
        (json!({"filter": 5}), "request.invalid"),
        (json!({"sort": "name"}), "request.invalid"),
        (json!({"page": {"offset": -1}}), "request.invalid"),
        (json!({"page": {"token": "forged", "length": 2}}), "list.token_invalid"),
    ] {
        refused(&body.to_string(), &http.post(&*list).token(token).json(&body).send().await, 400, code);
    }
    for body in [json!({}), json!({"filter": {}}), json!({"filter": "NONE"}), json!({"page": {"length": "0"}})] {
        let answer = http.post(&*list).token(token).json(&body).send().await;
        let listed = if answer.status == 400 && body["filter"].is_string() { continue } else { answer.is(200) };
        let one = &listed["list"][0];
        assert_eq!((&one["id"], &one["countOfCredentials"]), (&json!(it.id.to_string()), &json!(0)), "{body}");
    }
    http.post(&*list).token(token).send().await.is(200);
}

async fn odd_questions_about_access_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = credential(case, &owner, "asked about").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    for odd in ["abc", "0", "-1", "1.0", "9223372036854775808", "01"] {
        let path = format!("{CREDENTIALS}/{}/access?userId={odd}", it.id);
        refused(odd, &http.get(path).token(token).send().await, 400, "request.invalid");
    }
    let path = format!("{CREDENTIALS}/{}/access?userId={}&userId={}", it.id, owner.id, case.admin.id);
    refused("two users", &http.get(path).token(token).send().await, 400, "request.invalid");
}

async fn odd_handovers_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = credential(case, &owner, "kept").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let path = format!("/v1/usermanagement/users/{}/holdings/transfer", owner.id);
    for body in [json!({}), json!([]), json!({"userId": owner.id}), json!({"user": 1}), json!("1")] {
        refused(&body.to_string(), &http.post(&*path).token(token).json(&body).send().await, 400, "request.invalid");
    }
    assert_eq!(owner.get_credential(it.id).await.ok(), it, "a refusal gives nothing");
    // With string ids on the other path.
    let heir = case.basic("heir").await;
    let path = format!("/v2/usermanagement/users/{}/holdings", owner.id);
    let held = http.get(&*path).token(token).send().await.is(200);
    assert_eq!(held["credentials"][0]["id"], json!(it.id.to_string()), "{held}");
    assert_eq!((&held["credentialCount"], &held["lockers"], &held["lockerCount"]), (&json!(1), &json!([]), &json!(0)));
    let body = json!({"userId": heir.id.to_string()});
    let given = http.post(format!("{path}/transfer")).token(token).json(&body).send().await.is(200);
    assert_eq!(given, json!({"credentialCount": 1, "lockerCount": 0}));
}

async fn methods_that_lockers_do_not_have_are_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "untouched").await;
    let (http, token) = (&case.api.http, owner.token.as_deref().unwrap());
    let path = format!("{LOCKERS}/{}", it.id);
    let body: &Value = &json!({});
    for request in [
        http.delete(LOCKERS),
        http.put(LOCKERS).json(body),
        http.post(&*path).json(body),
        http.delete(format!("{path}/consumers")),
        http.post(format!("{path}/members")).json(body),
        http.delete(format!("{path}/members")),
        http.post(format!("{LOCKERS}/advanced")).json(body),
        http.delete(format!("{path}/credentials")),
    ] {
        let what = format!("{request:?}").chars().take(120).collect::<String>();
        refused(&what, &request.token(token).send().await, 405, "route.method_not_allowed");
    }
    // `advanced` and `list` are words, never ids; the aliases of before.
    http.get(format!("{LOCKERS}/advanced")).token(token).send().await.is(200);
    http.get(format!("/v1/credentialvault/lockers/{}", it.id)).token(token).send().await.is(200);
    http.get(format!("/v2/credentialvault//lockers/{}/", it.id)).token(token).send().await.is(200);
    assert_eq!(owner.get_locker(it.id).await.ok(), it, "a refusal changes nothing");
}
