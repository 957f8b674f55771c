//! Whether a service is within reach, and why not.

use coffre_channel::{Members, Reach};
use coffre_test_support::certificates::Authority;
use coffre_tls::Service;

use super::world::{Replica, World, call, is_out_of_reach};

async fn outcome(members: &Members) -> Reach {
    loop {
        match members.reach() {
            Reach::Trying => tokio::task::yield_now().await,
            known => return known,
        }
    }
}

#[tokio::test]
async fn who_is_not_the_service_is_not_called_and_it_says_why() {
    let world = World::new();
    let stranger = Authority::new("theirs");
    for (tls, said) in [
        (world.tls(Service::Audit), "it is audit's, and vault's is asked for"),
        (world.tls_of(&stranger, Service::Vault), "UnknownIssuer"),
    ] {
        let replica = Replica::start("127.0.0.2:0", tls).await;
        let members = world.follow(&[replica.address]);
        let Reach::OutOfReach(why) = outcome(&members).await else { panic!("it was reached") };
        assert!(why.contains(said) && why.contains("vault (127.0.0.2:"), "{why}");
        let refusal = call(&members.channel(), "x").await.unwrap_err();
        assert!(is_out_of_reach(&refusal), "{refusal:?}");
        assert!(!refusal.message().contains("127.0.0.2"), "clients learn no addresses: {}", refusal.message());
        assert_eq!(replica.taken(), 0);
    }
}

#[tokio::test]
async fn a_service_that_comes_back_is_within_reach_again() {
    let world = World::new();
    let first = world.replica("127.0.0.2").await;
    let address = first.address;
    let members = world.follow(&[address]);
    assert_eq!(outcome(&members).await, Reach::Reached);
    call(&members.channel(), "x").await.unwrap();
    first.kill();
    let refused = loop {
        if let Reach::OutOfReach(why) = members.reach() {
            break why;
        }
        tokio::task::yield_now().await;
    };
    assert!(refused.contains("refused"), "{refused}");
    let second = Replica::start(&address.to_string(), world.tls(Service::Vault)).await;
    while members.reach() != Reach::Reached {
        tokio::task::yield_now().await;
    }
    call(&members.channel(), "x").await.unwrap();
    assert_eq!(second.taken(), 1);
}

#[tokio::test]
async fn calls_made_before_the_first_connection_stands_wait_for_it() {
    let world = World::new();
    let replica = world.replica("127.0.0.2").await;
    let channel = world.follow(&[replica.address]).channel();
    assert_eq!(call(&channel, "first").await.unwrap(), "first");
}
