//! L7–L12: consumers and members, with the requests as the old document prints them.

use coffre_error::{Reason, Refusal};
use coffre_proto::locker::v1::{
    AddConsumerRequest, ListConsumersRequest, ListConsumersResponse, ListMembersRequest, ListMembersResponse, Member,
    MemberPermission, RemoveConsumerRequest, RemoveMemberRequest, SetMemberRequest,
};
use serde_json::json;

use super::{Upstream, assert_forms_refused, send};

const CONSUMERS: &str = "/v2/credentialvault/lockers/2/consumers";
const MEMBERS: &str = "/v2/credentialvault/lockers/2/members";
const PARTICIPATE: i32 = MemberPermission::Participate as i32;
const OWN: i32 = MemberPermission::Own as i32;
const MANAGE: i32 = MemberPermission::Manage as i32;

#[tokio::test]
async fn consumers_are_listed_with_200_and_a_body() {
    let upstream = Upstream::default();
    upstream.reply("LockerService/ListConsumers", &ListConsumersResponse { role_ids: vec![14, 15] });
    let answer = send(&upstream.gateway(), "GET", CONSUMERS, "").await;
    assert_eq!(answer.outcome(), (200, json!({"list": [{"id": "14"}, {"id": "15"}]})));
    assert_eq!(upstream.asked::<ListConsumersRequest>().locker_id, 2);
}

#[tokio::test]
async fn a_consumer_is_added_by_put_and_post_and_again() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for method in ["PUT", "POST", "PUT"] {
        for body in [r#"{ "id": 14 }"#, r#"{ "id": "14" }"#, r#"{"id":14,"name":"Bots"}"#] {
            send(&gateway, method, CONSUMERS, body).await.assert_empty(204, body);
            assert_eq!(upstream.asked::<AddConsumerRequest>(), AddConsumerRequest { locker_id: 2, role_id: 14 });
        }
        let forms = [
            ("{}", "id"),
            (r#"{"id":null}"#, "id"),
            (r#"{"id":"Bots"}"#, "id"),
            (r#"{"id":-14}"#, "id"),
            (r#"{"id":14.5}"#, "id"),
            (r#"[{"id":14}]"#, ""),
            ("14", ""),
            ("", ""),
        ];
        assert_forms_refused(&upstream, method, CONSUMERS, &forms).await;
    }
}

#[tokio::test]
async fn a_refused_role_is_named_as_in_the_body() {
    let upstream = Upstream::default();
    upstream.refuse("LockerService/AddConsumer", Refusal::invalid("role_id", "is a role of the system"));
    let answer = send(&upstream.gateway(), "PUT", CONSUMERS, r#"{"id":2}"#).await;
    answer.assert_refused(400, "request.invalid", "");
    assert_eq!(answer.json()["details"][0]["field"], "id");
    assert_eq!(answer.json()["message"], "id: is a role of the system");
}

#[tokio::test]
async fn a_consumer_is_removed_and_one_that_is_not_there_is_404() {
    let upstream = Upstream::default();
    let (gateway, path) = (upstream.gateway(), format!("{CONSUMERS}/14"));
    send(&gateway, "DELETE", &path, "").await.assert_empty(204, &path);
    assert_eq!(upstream.asked::<RemoveConsumerRequest>(), RemoveConsumerRequest { locker_id: 2, role_id: 14 });
    upstream.refuse_for("LockerService/RemoveConsumer", Reason::LockerConsumerNotFound);
    send(&gateway, "DELETE", &path, "").await.assert_refused(404, "locker.consumer_not_found", &path);
}

#[tokio::test]
async fn members_are_listed_with_their_permissions_in_the_printed_order() {
    let upstream = Upstream::default();
    let members = vec![
        Member { user_id: 1, permissions: vec![MANAGE, PARTICIPATE] },
        Member { user_id: 2, permissions: vec![MANAGE, OWN, PARTICIPATE] },
    ];
    upstream.reply("LockerService/ListMembers", &ListMembersResponse { members });
    let answer = send(&upstream.gateway(), "GET", MEMBERS, "").await;
    let expected = json!({"list": [
        {"id": "1", "permissions": ["participate", "manage"]},
        {"id": "2", "permissions": ["participate", "own", "manage"]}
    ]});
    assert_eq!(answer.outcome(), (200, expected));
    assert_eq!(upstream.asked::<ListMembersRequest>().locker_id, 2);
}

#[tokio::test]
async fn a_member_is_set_with_permissions_in_every_spelling() {
    let upstream = Upstream::default();
    let (gateway, path) = (upstream.gateway(), format!("{MEMBERS}/3"));
    for (permissions, expected) in [
        (r#"["participate", "manage"]"#, vec![PARTICIPATE, MANAGE]),
        (r#"["own"]"#, vec![OWN]),
        (r#"["participe"]"#, vec![PARTICIPATE]),
        (r#"["OWNER", "MANAGER", "PARTICIPANT"]"#, vec![OWN, MANAGE, PARTICIPATE]),
        (r#"["Own", "mAnAgE", "PARTICIPE"]"#, vec![OWN, MANAGE, PARTICIPATE]),
        // How often one may be named is for the service to say.
        (r#"["own", "OWN", "owner", "Owner"]"#, vec![OWN; 4]),
    ] {
        let body = format!("{{\"permissions\":{permissions}}}");
        send(&gateway, "PUT", &path, &body).await.assert_empty(204, &body);
        let asked: SetMemberRequest = upstream.asked();
        assert_eq!((asked.locker_id, asked.member), (2, Some(Member { user_id: 3, permissions: expected })), "{body}");
    }
    let body = r#"{"id":"3","permissions":["own"]}"#;
    send(&gateway, "PUT", &path, body).await.assert_empty(204, body);
}

#[tokio::test]
async fn permissions_that_are_misspelt_or_missing_are_refused_with_those_that_are_known() {
    let upstream = Upstream::default();
    let path = format!("{MEMBERS}/3");
    let forms = [
        ("{}", "permissions"),
        (r#"{"permissions":null}"#, "permissions"),
        (r#"{"permissions":[]}"#, "permissions"),
        (r#"{"permissions":"own"}"#, "permissions"),
        (r#"{"permissions":[""]}"#, "permissions[0]"),
        (r#"{"permissions":["own","planted"]}"#, "permissions[1]"),
        (r#"{"permissions":["own "]}"#, "permissions[0]"),
        (r#"{"permissions":[null]}"#, "permissions[0]"),
        (r#"{"permissions":[1]}"#, "permissions[0]"),
        (r#"{"id":4,"permissions":["own"]}"#, "id"),
        ("", ""),
        (r#"["own"]"#, ""),
    ];
    assert_forms_refused(&upstream, "PUT", &path, &forms).await;
    let gateway = upstream.gateway();
    for body in [r#"{"permissions":[]}"#, r#"{"permissions":["planted"]}"#, "{}"] {
        let answer = send(&gateway, "PUT", &path, body).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(["participate", "own", "manage"].iter().all(|known| message.contains(known)), "{message}");
        assert!(!message.contains("planted"), "{message}");
    }
}

#[tokio::test]
async fn a_member_is_removed_but_never_the_last_owner() {
    let upstream = Upstream::default();
    let (gateway, path) = (upstream.gateway(), format!("{MEMBERS}/3"));
    send(&gateway, "DELETE", &path, "").await.assert_empty(204, &path);
    assert_eq!(upstream.asked::<RemoveMemberRequest>(), RemoveMemberRequest { locker_id: 2, user_id: 3 });
    for (reason, status, code) in [
        (Reason::LockerMemberNotFound, 404, "locker.member_not_found"),
        (Reason::LockerLastOwner, 409, "locker.last_owner"),
    ] {
        upstream.refuse_for("LockerService/RemoveMember", reason);
        send(&gateway, "DELETE", &path, "").await.assert_refused(status, code, &path);
    }
}

#[tokio::test]
async fn a_locker_administrator_who_would_serve_itself_is_403() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    upstream.refuse_for("LockerService/SetMember", Reason::AuthzSelfGrant);
    upstream.refuse_for("LockerService/AddConsumer", Reason::AuthzSelfGrant);
    for (path, body) in [(format!("{MEMBERS}/3"), r#"{"permissions":["own"]}"#), (CONSUMERS.to_owned(), r#"{"id":14}"#)]
    {
        send(&gateway, "PUT", &path, body).await.assert_refused(403, "authz.self_grant", &path);
    }
}
