//! L1–L6, with the requests as the old document prints them.

use coffre_error::Reason;
use coffre_proto::locker::v1::{
    CreateLockerRequest, CreateLockerResponse, DeleteLockerRequest, GetLockerRequest, GetLockerResponse,
    ListLockersRequest, ListLockersResponse, Locker, LockerPermission, Member, MemberPermission, UpdateLockerRequest,
    UpdateLockerResponse,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, assert_pages, assert_unchanged, page, send, send_with};
use crate::{Config, StatusCodes};

const LOCKERS: &str = "/v2/credentialvault/lockers";

fn stored() -> Locker {
    let time = |seconds, nanos| Some(Timestamp { seconds, nanos });
    Locker {
        id: 2,
        name: "SharePoint Locker".into(),
        description: None,
        members: Vec::new(),
        credential_count: None,
        version: 3,
        creator_id: 2,
        create_time: time(1_530_697_249, 187_000_000),
        updater_id: 1,
        update_time: time(1_530_697_264, 682_999_999),
        permission: Some(LockerPermission {
            is_owner: false,
            is_manager: true,
            is_participant: true,
            is_consumer: false,
        }),
    }
}

fn expected() -> Value {
    json!({
        "id": "2", "name": "SharePoint Locker", "description": null, "createdBy": "2", "createdOn": "2018-07-04T09:40:49.187Z",
        "updatedBy": "1", "updatedOn": "2018-07-04T09:41:04.682Z", "tenantId": "1", "version": "3",
        "lockerPermission": {"isOwner": false, "isManager": true, "isParticipant": true, "isConsumer": false}
    })
}

fn detailed() -> Locker {
    let member = |user_id, permissions: &[MemberPermission]| Member {
        user_id,
        permissions: permissions.iter().map(|permission| (*permission).into()).collect(),
    };
    let members = vec![
        member(1, &[MemberPermission::Manage, MemberPermission::Participate]),
        member(2, &[MemberPermission::Own, MemberPermission::Manage, MemberPermission::Participate]),
    ];
    Locker { members, credential_count: Some(1), ..stored() }
}

fn expected_detailed() -> Value {
    let mut expected = expected();
    expected["members"] = json!([
        {"id": "1", "permissions": ["participate", "manage"]},
        {"id": "2", "permissions": ["participate", "own", "manage"]}
    ]);
    expected["countOfCredentials"] = json!(1);
    expected
}

#[tokio::test]
async fn the_list_filters_by_consumption() {
    let upstream = Upstream::default();
    upstream.reply("LockerService/ListLockers", &ListLockersResponse { lockers: vec![stored()], page: None });
    let gateway = upstream.gateway();
    for (query, consumed) in [
        ("", None),
        ("?consumed=false", Some(false)),
        ("?consumed=%22true%22", Some(true)),
        ("?consumed=\"TRUE\"&other=1", Some(true)),
        ("?consumed=", None),
    ] {
        let path = format!("{LOCKERS}{}", query.replace('"', "%22"));
        assert_eq!(send(&gateway, "GET", &path, "").await.outcome(), (200, json!({"list": [expected()]})), "{query}");
        let asked: ListLockersRequest = upstream.asked();
        assert_eq!((asked.consumed, asked.detailed), (consumed, false), "{query}");
        assert!(asked.query.unwrap().whole);
    }
    let answer = send(&gateway, "GET", &format!("{LOCKERS}?consumed=perhaps"), "").await;
    answer.assert_refused(400, "request.invalid", "consumed");
}

#[tokio::test]
async fn slashes_and_the_older_prefix_lead_to_lockers_too() {
    let upstream = Upstream::default();
    upstream.reply("LockerService/GetLocker", &GetLockerResponse { locker: Some(stored()) });
    let gateway = upstream.gateway();
    for path in [
        "/v2/credentialvault//lockers/2",
        "/v2/credentialvault/lockers/2/",
        "/v1/credentialvault/lockers/2",
        "/v1/credentialvault//lockers//2/?x=y",
    ] {
        let answer = send(&gateway, "GET", path, "").await;
        assert_eq!((answer.outcome(), answer.header("etag")), ((200, expected()), Some("\"3\"")), "{path}");
        assert_eq!(upstream.asked::<GetLockerRequest>().id, 2, "{path}");
    }
}

#[tokio::test]
async fn the_printed_creation_works_and_answers_every_key() {
    let upstream = Upstream::default();
    upstream.reply("LockerService/CreateLocker", &CreateLockerResponse { locker: Some(stored()) });
    let gateway = upstream.gateway();
    let body = r#"{ "name": "SalesForce Locker", "description": "Use this to store all credentials for the SalesForce application" }"#;
    let answer = send(&gateway, "POST", LOCKERS, body).await;
    assert_eq!(answer.outcome(), (201, expected()));
    assert_eq!(answer.header("etag"), Some("\"3\""));
    assert_eq!(answer.header("location"), Some("/v2/credentialvault/lockers/2"));
    let asked: CreateLockerRequest = upstream.asked();
    assert_eq!(asked.name, "SalesForce Locker");
    assert_eq!(asked.description.as_deref(), Some("Use this to store all credentials for the SalesForce application"));
    for body in [r#"{"name":"n"}"#, r#"{"name":"n","description":null,"id":5,"members":[{"id":1}]}"#] {
        assert_eq!(send(&gateway, "POST", LOCKERS, body).await.status, 201, "{body}");
        assert_eq!(upstream.asked::<CreateLockerRequest>().description, None, "{body}");
    }
    send(&gateway, "POST", LOCKERS, "{}").await;
    assert_eq!(upstream.asked::<CreateLockerRequest>().name, "", "that a name is needed is the locker's to say");
    let forms = [(r#"{"name":7}"#, "name"), (r#"{"name":"n","description":[]}"#, "description"), ("[]", ""), ("", "")];
    assert_forms_refused(&upstream, "POST", LOCKERS, &forms).await;
}

#[tokio::test]
async fn the_detailed_list_has_members_and_counts() {
    let upstream = Upstream::default();
    let consumed = Locker { id: 3, credential_count: Some(0), ..stored() };
    let lockers = vec![detailed(), consumed];
    upstream.reply("LockerService/ListLockers", &ListLockersResponse { lockers, page: None });
    let answer = send(&upstream.gateway(), "GET", &format!("{LOCKERS}/advanced"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["list"][0]), (200, &expected_detailed()));
    let consumed = &answer.json()["list"][1];
    assert_eq!((&consumed["members"], &consumed["countOfCredentials"]), (&json!([]), &json!(0)));
    let asked: ListLockersRequest = upstream.asked();
    assert_eq!((asked.consumed, asked.detailed, asked.query.unwrap().whole), (None, true, true));
}

#[tokio::test]
async fn the_list_by_query_is_detailed_and_answers_a_page() {
    let upstream = Upstream::default();
    let reply = ListLockersResponse { lockers: vec![detailed()], page: page() };
    upstream.reply("LockerService/ListLockers", &reply);
    let query = |upstream: &Upstream| {
        let asked = upstream.asked::<ListLockersRequest>();
        assert!(asked.detailed);
        asked.query.unwrap()
    };
    assert_pages(&upstream, &format!("{LOCKERS}/list"), &expected_detailed(), query).await;
}

#[tokio::test]
async fn a_detail_that_is_missing_or_unknown_is_a_fault_and_no_wrong_answer() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let uncounted = Locker { credential_count: None, ..detailed() };
    let member = |permissions| Member { user_id: 1, permissions };
    let strange = [vec![0], vec![1, 9]].map(|permissions| Locker { members: vec![member(permissions)], ..detailed() });
    for locker in strange.into_iter().chain([uncounted]) {
        upstream.reply("LockerService/ListLockers", &ListLockersResponse { lockers: vec![locker], page: None });
        let answer = send(&gateway, "GET", &format!("{LOCKERS}/advanced"), "").await;
        answer.assert_refused(500, "internal", "");
    }
}

#[tokio::test]
async fn the_printed_update_works_with_numbers_and_strings() {
    let upstream = Upstream::default();
    let reply = UpdateLockerResponse { locker: Some(stored()), changed: true };
    upstream.reply("LockerService/UpdateLocker", &reply);
    let gateway = upstream.gateway();
    let headers = [("x-authorization", "the.token.x"), ("if-match", "\"0\"")];
    for body in [
        r#"{ "id": "2", "name": "SharePoint-Locker", "description": "Locker to manage SharePoint credentials", "version": 0 }"#,
        r#"{ "id": 2, "name": "SharePoint-Locker", "description": "Locker to manage SharePoint credentials", "version": "0" }"#,
    ] {
        let answer = send_with(&gateway, "PUT", "/v2/credentialvault//lockers/2", &headers, body).await;
        assert_eq!((answer.outcome(), answer.header("etag")), ((200, expected()), Some("\"3\"")));
        let expected = UpdateLockerRequest {
            id: 2,
            version: Some(0),
            etag: "\"0\"".into(),
            name: Some("SharePoint-Locker".into()),
            description: Some("Locker to manage SharePoint credentials".into()),
        };
        assert_eq!(upstream.asked::<UpdateLockerRequest>(), expected);
    }
}

#[tokio::test]
async fn an_update_carries_only_what_the_body_does() {
    let upstream = Upstream::default();
    let reply = UpdateLockerResponse { locker: Some(stored()), changed: true };
    upstream.reply("LockerService/UpdateLocker", &reply);
    let (gateway, path) = (upstream.gateway(), format!("{LOCKERS}/2"));
    assert_eq!(send(&gateway, "PUT", &path, "{}").await.status, 200);
    let nothing = UpdateLockerRequest { id: 2, ..UpdateLockerRequest::default() };
    assert_eq!(upstream.asked::<UpdateLockerRequest>(), nothing);
    assert_eq!(send(&gateway, "PUT", &path, r#"{"description":null}"#).await.status, 200);
    assert_eq!(upstream.asked::<UpdateLockerRequest>().description.as_deref(), Some(""));
    let forms = [
        // The document prints this path for the addition of a consumer.
        (r#"{"id":14}"#, "id"),
        (r#"{"id":"14"}"#, "id"),
        (r#"{"id":"two"}"#, "id"),
        (r#"{"version":-1}"#, "version"),
        (r#"{"name":["n"]}"#, "name"),
        ("[]", ""),
        ("", ""),
    ];
    assert_forms_refused(&upstream, "PUT", &path, &forms).await;
}

#[tokio::test]
async fn an_unchanged_put_is_304_only_with_the_documented_codes() {
    let upstream = Upstream::default();
    let reply = UpdateLockerResponse { locker: Some(stored()), changed: false };
    upstream.reply("LockerService/UpdateLocker", &reply);
    assert_unchanged(&upstream, &format!("{LOCKERS}/2"), &expected()).await;
}

#[tokio::test]
async fn a_locker_is_deleted_without_a_body() {
    let upstream = Upstream::default();
    let headers = [("x-authorization", "the.token.x"), ("if-match", "\"3\"")];
    let answer = send_with(&upstream.gateway(), "DELETE", &format!("{LOCKERS}/4"), &headers, "").await;
    answer.assert_empty(204, "");
    let asked: DeleteLockerRequest = upstream.asked();
    assert_eq!((asked.id, asked.etag.as_str()), (4, "\"3\""));
}

#[tokio::test]
async fn refusals_of_the_locker_have_the_documented_statuses() {
    let upstream = Upstream::default();
    let documented = Config { status_codes: StatusCodes::Documented, ..Config::default() };
    let (modern, documented) = (upstream.gateway(), upstream.gateway_with(documented));
    let path = format!("{LOCKERS}/4");
    for (reason, status, code) in [
        (Reason::LockerNotFound, 404, "locker.not_found"),
        (Reason::LockerNotPermitted, 403, "locker.not_permitted"),
        (Reason::LockerNotEmpty, 409, "locker.not_empty"),
        (Reason::LockerBeingDeleted, 409, "locker.being_deleted"),
        (Reason::RequestPreconditionFailed, 412, "request.precondition_failed"),
        (Reason::ServiceUnavailable, 503, "service.unavailable"),
    ] {
        upstream.refuse_for("LockerService/DeleteLocker", reason);
        for gateway in [&modern, &documented] {
            let answer = send(gateway, "DELETE", &path, "").await;
            answer.assert_refused(status, code, &path);
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
        }
    }
    upstream.refuse_for("LockerService/DeleteLocker", Reason::AuthzPermissionRequired);
    send(&modern, "DELETE", &path, "").await.assert_refused(403, "authz.permission_required", &path);
    send(&documented, "DELETE", &path, "").await.assert_refused(501, "authz.permission_required", &path);
}
