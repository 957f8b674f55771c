//! The layers, around a service whose calls answer, panic and hang, with a real outbox and real tokens.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ports;
mod world;

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::audit_service_client::AuditServiceClient;
use coffre_proto::audit::v1::{Outcome, Source, StreamEntriesRequest, StreamEntriesResponse};
use coffre_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use coffre_proto::auth::v1::{CreateApiKeyRequest, DeleteApiKeyRequest, ListApiKeysRequest};
use coffre_types::{Permission, TokenKind};
use tonic::{Code, Request, Status, Streaming};
use world::{Opened, World};

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).reason()
}

#[tokio::test]
async fn an_answer_leaves_after_its_record() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut client = ApiKeyServiceClient::new(world.channel());
    client.list_api_keys(world.request(ListApiKeysRequest {})).await.unwrap();
    let events = world.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].method, "coffre.auth.v1.ApiKeyService/ListApiKeys");
    assert_eq!(events[0].outcome(), Outcome::Successful);
    assert_eq!(events[0].source(), Source::Api);
    assert_eq!(events[0].request_id, "request-1");
    assert_eq!(events[0].client_address, "203.0.113.9");
    let actor = events[0].actor.clone().unwrap();
    assert_eq!((actor.user_id, actor.user_name.as_str()), (7, "ada"));
}

fn receipt(metadata: &tonic::metadata::MetadataMap) -> Option<Vec<u8>> {
    let text = metadata.get("x-audit-id")?.to_str().unwrap();
    Some(uuid::Uuid::parse_str(text).unwrap().as_bytes().to_vec())
}

#[tokio::test]
async fn an_answer_names_its_entry_a_refusal_too() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut client = ApiKeyServiceClient::new(world.channel());
    let answer = client.list_api_keys(world.request(ListApiKeysRequest {})).await.unwrap();
    assert_eq!(receipt(answer.metadata()).as_ref(), Some(&world.events()[0].id));
    let refused = client.delete_api_key(world.request(DeleteApiKeyRequest::default())).await.unwrap_err();
    assert_eq!(receipt(refused.metadata()).as_ref(), Some(&world.events()[1].id));
    world.change_slowly();
    let mut request = world.request(CreateApiKeyRequest::default());
    request.metadata_mut().insert("grpc-timeout", "20m".parse().unwrap());
    let refused = client.create_api_key(request).await.unwrap_err();
    let events = world.events();
    assert_eq!((events.len(), receipt(refused.metadata()).as_ref()), (3, Some(&events[2].id)), "{events:?}");
}

#[tokio::test]
async fn an_answer_without_an_entry_names_none() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut client = ApiKeyServiceClient::new(world.channel());
    world.break_journal();
    let refused = client.list_api_keys(world.request(ListApiKeysRequest {})).await.unwrap_err();
    assert_eq!(receipt(refused.metadata()), None);
    // Beyond the quota of an address, calls without a caller are counted. A minute may turn while they come.
    let world = World::start(&[]).await;
    let mut client = ApiKeyServiceClient::new(world.channel());
    let mut named = 0;
    for _ in 0..130 {
        let mut request = Request::new(ListApiKeysRequest {});
        request.metadata_mut().insert("x-coffre-source", "API".parse().unwrap());
        let refused = client.list_api_keys(request).await.unwrap_err();
        if let Some(id) = receipt(refused.metadata()) {
            named += 1;
            assert_eq!(world.events().last().map(|event| &event.id), Some(&id));
        }
    }
    assert_eq!(named, world.events().len());
    assert!((60..130).contains(&named), "{named}");
}

async fn opened(world: &World, follow: bool) -> Result<Streaming<StreamEntriesResponse>, Status> {
    let request = StreamEntriesRequest { follow, ..StreamEntriesRequest::default() };
    let answer = AuditServiceClient::new(world.channel()).stream_entries(world.request(request)).await?;
    assert_eq!(receipt(answer.metadata()).as_ref(), world.events().last().map(|event| &event.id));
    Ok(answer.into_inner())
}

#[tokio::test]
async fn a_stream_is_recorded_at_its_opening_and_ends_with_the_right_to_it() {
    let world = World::start(&[Permission::ManageSettings]).await;
    // A quiet one ends by itself; one that sends ends before the next message.
    let (mut quiet, mut busy) = (opened(&world, true).await.unwrap(), opened(&world, false).await.unwrap());
    assert_eq!(world.events().len(), 2, "recorded before anything is read");
    for number in 1..10 {
        assert_eq!(busy.message().await.unwrap().unwrap().next_index, number);
    }
    assert_eq!(quiet.message().await.unwrap().unwrap().next_index, 1);
    world.take_away();
    let refused = quiet.message().await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, Reason::AuthzPermissionRequired));
    let refused = busy.message().await.unwrap_err();
    assert_eq!(reason(&refused), Reason::AuthzPermissionRequired, "what was made before it was taken does not leave");
    assert!(busy.message().await.unwrap().is_none(), "and nothing follows");
    assert_eq!(world.events().len(), 2, "a stream is one call");
}

#[tokio::test]
async fn streams_are_bounded_and_give_their_place_back() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let open = (opened(&world, true).await.unwrap(), opened(&world, true).await.unwrap());
    let refused = opened(&world, true).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, Reason::RequestOverloaded));
    assert_eq!(world.events()[2].reason, "REQUEST_OVERLOADED");
    drop(open);
    // The server learns that nobody reads any more a moment later.
    while opened(&world, true).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut unread = opened(&world, false).await.unwrap();
    let other = opened(&world, true).await.unwrap();
    while opened(&world, true).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = unread.message().await.unwrap_err();
    assert_eq!(reason(&refused), Reason::RequestTimeout, "it says that it is not at its end");
    drop(other);
}

#[tokio::test]
async fn streams_end_before_the_process_stops() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let (mut quiet, mut busy) = (opened(&world, true).await.unwrap(), opened(&world, false).await.unwrap());
    quiet.message().await.unwrap();
    world.stop();
    for refused in [quiet.message().await.unwrap_err(), busy.message().await.unwrap_err()] {
        assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, Reason::ServiceUnavailable));
    }
}

#[tokio::test]
async fn no_record_no_answer() {
    let world = World::start(&[Permission::ManageSettings]).await;
    world.break_journal();
    let refused = ApiKeyServiceClient::new(world.channel())
        .list_api_keys(world.request(ListApiKeysRequest {}))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::AuditUnavailable);
}

#[tokio::test]
async fn without_a_token_the_call_is_refused_and_recorded() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let refused =
        ApiKeyServiceClient::new(world.channel()).list_api_keys(Request::new(ListApiKeysRequest {})).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unauthenticated, Reason::AuthTokenRequired));
    assert_eq!(world.counted_of("coffre_rpc_refusals_total", "reason", "auth.token_required"), 1);
    assert_eq!(world.events()[0].reason, "AUTH_TOKEN_REQUIRED");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_recorded() {
    let world = World::start(&[Permission::ManageMyCredentials]).await;
    let refused = ApiKeyServiceClient::new(world.channel())
        .list_api_keys(world.request(ListApiKeysRequest {}))
        .await
        .unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, Reason::AuthzPermissionRequired));
    assert!(refused.message().contains("View and manage settings"), "{}", refused.message());
    assert_eq!(world.events()[0].outcome(), Outcome::Unsuccessful);
}

/// How a service answers that has one call, with one door.
async fn answered(world: &World) -> (usize, Option<(Code, Reason)>) {
    let answer = ApiKeyServiceClient::new(world.channel()).list_api_keys(world.request(ListApiKeysRequest {})).await;
    (world.asked(), answer.err().map(|status| (status.code(), reason(&status))))
}

#[tokio::test]
async fn rule_1_6_a_token_of_the_oauth_side_is_none_of_a_session() {
    let client = Opened { kind: TokenKind::PublicApi, password: None };
    let world = World::for_sessions(client).await;
    assert_eq!(
        answered(&world).await,
        (1, Some((Code::PermissionDenied, Reason::AuthTokenKind))),
        "nor is auth asked twice"
    );
    assert_eq!(world.events()[0].reason, "AUTH_TOKEN_KIND");
    assert_eq!(world.events()[0].actor.clone().unwrap().user_id, 7, "and the record says whose it is");
    let by_key = Opened { kind: TokenKind::Session, password: None };
    for opened in [Opened::NOW, by_key] {
        assert_eq!(answered(&World::for_sessions(opened).await).await, (1, None));
    }
}

#[tokio::test]
async fn rule_1_7_a_recent_sign_in_is_one_with_a_password_a_moment_ago() {
    let long_ago = Opened { kind: TokenKind::Session, password: Some(Duration::from_secs(61)) };
    let by_key = Opened { kind: TokenKind::Session, password: None };
    let client = Opened { kind: TokenKind::PublicApi, password: None };
    for opened in [long_ago, by_key, client] {
        let world = World::for_recent_sign_ins(opened).await;
        let refused = (Code::PermissionDenied, Reason::AuthRecentSignInRequired);
        assert_eq!(answered(&world).await, (1, Some(refused)));
    }
    let a_moment_ago = Opened { kind: TokenKind::Session, password: Some(Duration::from_secs(30)) };
    assert_eq!(answered(&World::for_recent_sign_ins(a_moment_ago).await).await, (1, None));
}

#[tokio::test]
async fn a_panic_becomes_an_error_id_and_a_record() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let refused = ApiKeyServiceClient::new(world.channel())
        .delete_api_key(world.request(DeleteApiKeyRequest::default()))
        .await
        .unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Internal, Reason::Internal));
    assert!(!refused.message().contains("planted"), "{}", refused.message());
    assert_eq!(world.events()[0].reason, "INTERNAL");
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut request = world.request(CreateApiKeyRequest::default());
    request.metadata_mut().insert("grpc-timeout", "20m".parse().unwrap());
    let refused = ApiKeyServiceClient::new(world.channel()).create_api_key(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::DeadlineExceeded, Reason::RequestTimeout));
    assert_eq!(world.events()[0].reason, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn an_rpc_without_a_row_is_denied() {
    let world = World::without_rows().await;
    let refused = ApiKeyServiceClient::new(world.channel())
        .list_api_keys(world.request(ListApiKeysRequest {}))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn load_beyond_the_limit_is_shed() {
    let world = World::with_room_for(0).await;
    let refused = ApiKeyServiceClient::new(world.channel())
        .list_api_keys(world.request(ListApiKeysRequest {}))
        .await
        .unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, Reason::RequestOverloaded));
    assert!(world.events().is_empty(), "shedding costs no record");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_recorded_all_the_same() {
    let world = World::start(&[Permission::ManageSettings]).await;
    let mut client = ApiKeyServiceClient::new(world.channel());
    let mut request = world.request(CreateApiKeyRequest::default());
    request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let hung_up = tokio::time::timeout(Duration::from_millis(5), client.create_api_key(request)).await;
    assert!(hung_up.is_err(), "the client hung up before the answer");
    while world.events().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events()[0].reason, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn a_change_that_outlives_its_deadline_has_one_story() {
    let world = World::start(&[Permission::ManageSettings]).await;
    world.change_slowly();
    let mut request = world.request(CreateApiKeyRequest::default());
    request.metadata_mut().insert("grpc-timeout", "20m".parse().unwrap());
    let refused = ApiKeyServiceClient::new(world.channel()).create_api_key(request).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::RequestTimeout);
    let events = world.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].outcome(), Outcome::Successful, "the change committed, and that is what the record says");
}

// The order of the steps: each test fails where the two that it names are exchanged.

#[tokio::test]
async fn metrics_come_before_the_limit_and_the_limit_before_the_caller() {
    let world = World::with_room_for(0).await;
    let refused =
        ApiKeyServiceClient::new(world.channel()).list_api_keys(Request::new(ListApiKeysRequest {})).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::RequestOverloaded, "nobody looked for a token");
    assert_eq!(world.counted("Unavailable"), 1, "what is shed is counted");
}

#[tokio::test]
async fn the_audit_comes_before_the_deadline_and_the_deadline_before_the_caller() {
    let world = World::start(&[Permission::ManageSettings]).await;
    world.forget_callers();
    let mut request = world.request(ListApiKeysRequest {});
    request.metadata_mut().insert("grpc-timeout", "30m".parse().unwrap());
    let refused = ApiKeyServiceClient::new(world.channel()).list_api_keys(request).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::RequestTimeout, "whoever looks for the caller is bounded, too");
    assert_eq!(world.events()[0].reason, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn the_caller_comes_before_access_and_access_before_the_message() {
    let allowed = World::start(&[Permission::ManageSettings]).await;
    let forbidden = World::start(&[Permission::ManageMyCredentials]).await;
    let mut reasons = Vec::new();
    for (world, token) in [(&forbidden, false), (&forbidden, true), (&allowed, true)] {
        let (metadata, ..) = if token { world.request(()) } else { Request::new(()) }.into_parts();
        let unreadable = b"\0\0\0\0\x02\xff\xff";
        reasons.push(world.raw("/coffre.auth.v1.ApiKeyService/ListApiKeys", metadata, unreadable).await);
    }
    assert_eq!(reasons[..2], [Reason::AuthTokenRequired, Reason::AuthzPermissionRequired]);
    assert!(
        !reasons[..2].contains(&reasons[2]),
        "only a caller with access learns that the message is none: {reasons:?}"
    );
}
