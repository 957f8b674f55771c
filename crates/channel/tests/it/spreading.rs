//! Whom calls go to.

use super::world::{Manner, World, call};

#[tokio::test]
async fn calls_are_spread_over_all_replicas_and_come_back() {
    let world = World::new();
    let replicas =
        [world.replica("127.0.0.2").await, world.replica("127.0.0.3").await, world.replica("127.0.0.4").await];
    let members = world.follow(&[replicas[0].address, replicas[1].address, replicas[2].address]);
    let channel = members.channel();
    // Each of them is there before it is counted.
    for peer in loop_until_there(&members, 3).await {
        assert_eq!(call(&peer.channel, "one").await.unwrap(), "one");
    }
    for number in 0..297 {
        assert_eq!(call(&channel, &number.to_string()).await.unwrap(), number.to_string());
    }
    let taken = replicas.each_ref().map(|replica| replica.taken());
    assert_eq!(taken.iter().sum::<usize>(), 300);
    assert!(taken.iter().all(|count| *count > 60), "{taken:?}");
}

async fn loop_until_there(members: &coffre_channel::Members, count: usize) -> Vec<coffre_channel::Peer> {
    while members.each().len() < count {
        tokio::task::yield_now().await;
    }
    members.each()
}

#[tokio::test]
async fn who_is_busy_gets_no_more() {
    let world = World::new();
    let (slow, quick) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    slow.behave(Manner::Hang);
    let members = world.follow(&[slow.address, quick.address]);
    let held = loop_until_there(&members, 2).await.into_iter().find(|peer| peer.address == slow.address).unwrap();
    let holding = tokio::spawn(async move { call(&held.channel, "held").await });
    slow.has_taken(1).await;
    let channel = members.channel();
    for _ in 0..50 {
        call(&channel, "quick").await.unwrap();
    }
    assert_eq!((slow.taken(), quick.taken()), (1, 50));
    holding.abort();
}

#[tokio::test]
async fn one_by_one_each_replica_can_be_asked() {
    let world = World::new();
    let (one, two) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    let members = world.follow(&[one.address, two.address]);
    for peer in loop_until_there(&members, 2).await {
        for _ in 0..5 {
            call(&peer.channel, "x").await.unwrap();
        }
    }
    assert_eq!((one.taken(), two.taken()), (5, 5));
}
