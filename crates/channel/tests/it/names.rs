//! Names that change, fail, are empty, or lead nowhere.

use std::net::SocketAddr;
use std::sync::Arc;

use super::world::{Manner, Names, World, call, is_out_of_reach, pace};

fn dead() -> SocketAddr {
    // Bound and closed again: nobody listens there.
    std::net::TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_name_that_fails_or_is_empty_changes_nothing() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let names = Arc::new(Names::default());
    names.say("vault", Ok(vec![replica.address]));
    let members = world.follow_names("vault:1", names.clone(), pace());
    let channel = members.channel();
    call(&channel, "x").await.unwrap();
    for said in [Err(()), Ok(Vec::new()), Ok(vec![replica.address])] {
        names.say("vault", said);
        names.heard().await;
        assert_eq!(members.each().len(), 1);
        call(&channel, "x").await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_never_led_anywhere_ends_calls_at_once_until_it_does() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let names = Arc::new(Names::default());
    let members = world.follow_names("vault:1", names.clone(), pace());
    let channel = members.channel();
    for said in [Err(()), Ok(Vec::new())] {
        names.say("vault", said);
        names.heard().await;
        let refusal = call(&channel, "x").await.unwrap_err();
        assert!(is_out_of_reach(&refusal) && refusal.message().contains("vault"), "{refusal:?}");
    }
    names.say("vault", Ok(vec![replica.address]));
    names.heard().await;
    call(&channel, "x").await.unwrap();
}

#[tokio::test]
async fn a_dead_address_beside_a_good_one_costs_nothing() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let names = Arc::new(Names::default());
    names.say("vault", Ok(vec![dead(), replica.address, dead()]));
    let channel = world.follow_names("vault:1", names, pace()).channel();
    for _ in 0..50 {
        call(&channel, "x").await.unwrap();
    }
    assert_eq!(replica.taken(), 50);
}

#[tokio::test]
async fn replicas_come_and_go_with_the_name_and_who_goes_ends_its_calls() {
    let world = World::new();
    let (old, new) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    let names = Arc::new(Names::default());
    names.say("vault", Ok(vec![old.address]));
    let members = world.follow_names("vault:1", names.clone(), pace());
    let channel = members.channel();
    old.behave(Manner::Stall);
    let open = super::world::call_with(&channel, "x", http::HeaderMap::new()).await.unwrap();
    names.say("vault", Ok(vec![new.address]));
    names.heard().await;
    for _ in 0..20 {
        call(&channel, "x").await.unwrap();
    }
    assert_eq!((old.taken(), new.taken()), (1, 20));
    // What was open there goes on: its end is the replica's.
    old.kill();
    let status = http_body_util::BodyExt::collect(open.into_body()).await.err().unwrap();
    assert!(status.message().contains("broke"), "{status:?}");
}

#[tokio::test]
async fn several_names_are_one_service_and_one_that_fails_keeps_its_addresses() {
    let world = World::new();
    let (one, two) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    let names = Arc::new(Names::default());
    names.say("one", Ok(vec![one.address]));
    names.say("two", Ok(vec![two.address]));
    let members = world.follow_names("one:1,two:1", names.clone(), pace());
    names.heard().await;
    assert_eq!(members.each().len(), 2);
    names.say("one", Err(()));
    names.heard().await;
    assert_eq!(members.each().len(), 2);
    names.say("two", Ok(vec![one.address]));
    names.heard().await;
    assert_eq!(members.each().len(), 1, "an address that two names have is one replica");
}
