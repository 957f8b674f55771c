//! The layers, around a service whose calls answer, panic and hang, with a real outbox and real tokens.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{Outcome, Source};
use coffre_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use coffre_proto::auth::v1::{CreateApiKeyRequest, DeleteApiKeyRequest, ListApiKeysRequest};
use coffre_types::{Permission, TokenKind};
use tonic::{Code, Request};
use world::{Opened, World};

fn reason(status: &tonic::Status) -> Reason {
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
