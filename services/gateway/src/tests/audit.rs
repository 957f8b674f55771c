//! Section 6 of the contract.

use coffre_proto::audit::v1::{
    ActivityType, Actor, Entry, Event, GetEntryRequest, GetEntryResponse, ListEntriesRequest, ListEntriesResponse,
    Object, Outcome, Source,
};
use coffre_proto::query::v1::PageInfo;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, send};

fn entry() -> Entry {
    let event = Event {
        event: "credential.value.read".into(),
        activity_type: ActivityType::ReadCredential.into(),
        outcome: Outcome::Successful.into(),
        source: Source::Api.into(),
        actor: Some(Actor { user_id: 2, user_name: "ellie".into(), ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: "12".into(), name: "SharePoint Login".into() }),
        request_id: "r1".into(),
        client_address: "192.0.2.7".into(),
        host_name: "h".into(),
        environment_name: "dev".into(),
        ..Event::default()
    };
    Entry {
        id: "0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c".into(),
        log_index: 41,
        event: Some(event),
        description: "ellie read values of SharePoint Login".into(),
        detail: "attributes: Username".into(),
        create_time: Some(Timestamp { seconds: 1_530_697_249, nanos: 187_000_000 }),
        ..Entry::default()
    }
}

fn expected() -> Value {
    json!({
        "id": "0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c", "activityType": "READ_CREDENTIAL",
        "eventDescription": "ellie read values of SharePoint Login", "environmentName": "dev", "hostName": "h", "userName": "ellie",
        "status": "Successful", "source": "API", "objectName": "SharePoint Login", "objectType": "credential",
        "detail": "attributes: Username",
        "createdOn": "2018-07-04T09:40:49.187Z", "clientAddress": "192.0.2.7", "clientAddress": "192.0.2.7", "requestId": "r1", "createdBy": "2",
        "event": "credential.value.read", "logIndex": "41"
    })
}

#[tokio::test]
async fn entries_are_listed_and_read_with_every_key_a_string() {
    let upstream = Upstream::default();
    let page = PageInfo { next_page_token: "n".into(), total_size: Some(9), filtered_size: Some(9) };
    upstream.reply("AuditService/ListEntries", &ListEntriesResponse { entries: vec![entry()], page: Some(page) });
    upstream.reply("AuditService/GetEntry", &GetEntryResponse { entry: Some(entry()) });
    let gateway = upstream.gateway();
    let body = send(&gateway, "POST", "/v1/audit/messages/list", r#"{"page":{"length":1}}"#).await.json();
    assert_eq!(body, json!({"page": {"offset": 0, "total": 9, "totalFilter": 9, "next": "n"}, "list": [expected()]}));
    assert_eq!(upstream.asked::<ListEntriesRequest>().query.unwrap().page_size, 1);
    let answer = send(&gateway, "GET", "/v1/audit/messages/0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c", "").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected()));
    assert!(answer.json().as_object().unwrap().values().all(Value::is_string));
    assert_eq!(upstream.asked::<GetEntryRequest>().id, "0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c");
}

#[tokio::test]
async fn an_entry_of_nobody_about_nothing_is_complete_too() {
    let upstream = Upstream::default();
    upstream.reply("AuditService/GetEntry", &GetEntryResponse { entry: Some(Entry::default()) });
    let body = send(&upstream.gateway(), "GET", "/v1/audit/messages/x", "").await.json();
    assert!(body.as_object().unwrap().values().all(Value::is_string), "{body}");
    assert_eq!(
        (&body["userName"], &body["createdBy"], &body["activityType"]),
        (&json!(""), &json!("0"), &json!("AUDIT_UNSET_ACTIVITY_TYPE"))
    );
}

#[tokio::test]
async fn the_documented_words_are_used() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let documented = "LOGIN CLIENT_LOGIN LOGOUT ADD_CREDENTIAL READ_CREDENTIAL UPDATE_CREDENTIAL DELETE_CREDENTIAL \
        UPDATE_CREDENTIAL_OWNERSHIP ADD_LOCKER READ_LOCKER UPDATE_LOCKER DELETE_LOCKER CONFIGURE_CREDENTIAL_VAULT CONNECT_CREDENTIAL_VAULT \
        UNLOCK_CREDENTIAL_VAULT CV_SETTING CREATE_USER UPDATE_USER DELETE_USER ENABLE_USER DISABLE_USER ADD_ROLE UPDATE_ROLE DELETE_ROLE \
        FIRST_ADMIN_SETTINGS CR_CONFIGURATIONS EDIT_SETTINGS MIGRATION_START MIGRATION_FINISH AUDIT_ERROR AUDIT_UNSET_ACTIVITY_TYPE";
    for (word, kind) in documented.split_whitespace().zip(1..) {
        let event = Event { activity_type: kind, ..Event::default() };
        upstream.reply(
            "AuditService/GetEntry",
            &GetEntryResponse { entry: Some(Entry { event: Some(event), ..Entry::default() }) },
        );
        assert_eq!(send(&gateway, "GET", "/v1/audit/messages/x", "").await.json()["activityType"], word);
    }
    for (outcome, status) in
        [(Outcome::Successful, "Successful"), (Outcome::Unsuccessful, "Unsuccessful"), (Outcome::Unknown, "Unknown")]
    {
        let event = Event { outcome: outcome.into(), ..Event::default() };
        upstream.reply(
            "AuditService/GetEntry",
            &GetEntryResponse { entry: Some(Entry { event: Some(event), ..Entry::default() }) },
        );
        assert_eq!(send(&gateway, "GET", "/v1/audit/messages/x", "").await.json()["status"], status);
    }
    for (source, word) in
        [(Source::Api, "API"), (Source::Console, "Console"), (Source::Grpc, "gRPC"), (Source::System, "System")]
    {
        let event = Event { source: source.into(), ..Event::default() };
        upstream.reply(
            "AuditService/GetEntry",
            &GetEntryResponse { entry: Some(Entry { event: Some(event), ..Entry::default() }) },
        );
        assert_eq!(send(&gateway, "GET", "/v1/audit/messages/x", "").await.json()["source"], word);
    }
}
