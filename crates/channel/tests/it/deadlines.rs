//! When calls end.

use std::time::Duration;

use coffre_channel::{Carried, Pace, asked, carry};
use coffre_error::Reason;
use coffre_tls::Service;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::world::{Manner, World, call, call_with, is_broken, pace, until_a_call, written};

fn short() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-timeout", HeaderValue::from_static("50m"));
    headers
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_whatever_the_replica_does() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let channel = world.follow(&[replica.address]).channel();
    replica.behave(Manner::Hang);
    let refusal = call_with(&channel, "x", short()).await.err().unwrap();
    assert_eq!(refusal.reason(), Reason::RequestTimeout);
    assert!(refusal.message().contains("vault"));
    replica.behave(Manner::Stall);
    let answer = call_with(&channel, "x", short()).await.unwrap();
    let status = answer.into_body().collect().await.err().unwrap();
    assert_eq!(coffre_error::Refusal::from_status(&status).reason(), Reason::RequestTimeout);
    replica.behave(Manner::Answer);
    call(&channel, "x").await.unwrap();
}

#[tokio::test]
async fn a_replica_is_told_how_long_it_has_and_for_which_call() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let channel = world.follow(&[replica.address]).channel();
    let told = || {
        let headers = replica.state.headers.lock().unwrap();
        (asked(&headers).unwrap(), headers.get("x-request-id").cloned())
    };
    call(&channel, "x").await.unwrap();
    assert_eq!(told(), (Duration::from_secs(10), None));
    let carried = Carried {
        deadline: Some(Instant::now() + Duration::from_secs(3)),
        request_id: Some(HeaderValue::from_static("request-1")),
        traceparent: None,
    };
    carry(carried, async { call(&channel, "x").await.unwrap() }).await;
    let (left, id) = told();
    assert!(left < Duration::from_secs(3) && left > Duration::from_secs(1), "{left:?}");
    assert_eq!(id.unwrap(), "request-1");
    let over = Carried { deadline: Some(Instant::now()), ..Carried::default() };
    let before = replica.taken();
    let refusal = carry(over, async { call(&channel, "x").await.unwrap_err() }).await;
    assert_eq!((refusal.reason(), replica.taken()), (Reason::RequestTimeout, before), "it was never sent");
}

#[tokio::test]
async fn a_replica_that_is_cut_off_is_given_up_long_before_the_deadline() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let tls = world.tls(Service::Vault);
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tls.acceptor().accept(stream).await.unwrap().stream;
        until_a_call(&mut stream).await;
        // From here on nothing comes back, as when packets are dropped.
        std::future::pending::<()>().await;
    });
    let pace = Pace { silence: Duration::from_millis(50), answer: Duration::from_millis(100), ..pace() };
    let members = world.follow_names(&written(&[address]), std::sync::Arc::new(coffre_channel::Lookup), pace);
    let refusal = call(&members.channel(), "x").await.unwrap_err();
    assert!(is_broken(&refusal), "{refusal:?}");
}
