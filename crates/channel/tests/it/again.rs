//! What is sent again, and what is not.

use std::sync::atomic::Ordering;

use coffre_channel::Channel;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::world::{
    GOAWAY, Manner, RST_STREAM, ReplicaState, World, call, frame, is_broken, is_out_of_reach, serve, until_a_call,
};
use coffre_tls::Service;

/// What becomes of the first call that arrives.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// GOAWAY, with the last stream that was looked at.
    GoAway { last: u32, code: u32 },
    /// The stream is reset.
    Reset { code: u32 },
    /// The connection ends without a word.
    Close,
}

/// One address: its first connection has a fate, later ones answer. Returns the channel and what answers.
async fn fated(world: &World, fate: Fate, times: usize) -> (Channel, std::sync::Arc<ReplicaState>) {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tls, state) = (world.tls(Service::Vault), ReplicaState::new());
    let serving = state.clone();
    tokio::spawn(async move {
        for count in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.acceptor().accept(stream).await.unwrap().stream;
            let state = serving.clone();
            tokio::spawn(async move {
                if count >= times {
                    return serve(stream, state).await;
                }
                until_a_call(&mut stream).await;
                let said = match fate {
                    Fate::GoAway { last, code } => frame(GOAWAY, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()),
                    Fate::Reset { code } => frame(RST_STREAM, 1, &code.to_be_bytes()),
                    Fate::Close => Vec::new(),
                };
                stream.write_all(&said).await.unwrap();
                if matches!(fate, Fate::Reset { .. }) {
                    // The stream is over, the connection is not.
                    std::future::pending::<()>().await;
                }
                stream.shutdown().await.unwrap();
            });
        }
    });
    (world.follow(&[address]).channel(), state)
}

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

#[tokio::test]
async fn a_call_that_was_surely_not_processed_is_sent_again() {
    let world = World::new();
    for fate in [Fate::GoAway { last: 0, code: NO_ERROR }, Fate::GoAway { last: 0, code: INTERNAL_ERROR }] {
        let (channel, state) = fated(&world, fate, 1).await;
        assert_eq!(call(&channel, "again").await.unwrap(), "again", "{fate:?}");
        assert_eq!(state.taken.load(Ordering::SeqCst), 1, "{fate:?}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_processed_is_never_sent_again() {
    let world = World::new();
    for fate in [
        Fate::GoAway { last: 1, code: NO_ERROR },
        Fate::GoAway { last: 1, code: INTERNAL_ERROR },
        Fate::GoAway { last: i32::MAX as u32, code: NO_ERROR },
        Fate::Reset { code: CANCEL },
        Fate::Reset { code: INTERNAL_ERROR },
        Fate::Reset { code: NO_ERROR },
        Fate::Close,
    ] {
        let (channel, state) = fated(&world, fate, 1).await;
        let refusal = call(&channel, "once").await.unwrap_err();
        assert!(is_broken(&refusal), "{fate:?}: {refusal:?}");
        assert!(refusal.message().contains("vault"), "{}", refusal.message());
        assert_eq!(state.taken.load(Ordering::SeqCst), 0, "{fate:?}: it was sent again");
        if !matches!(fate, Fate::Reset { .. }) {
            assert_eq!(call(&channel, "next").await.unwrap(), "next", "{fate:?}: others go on");
        }
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_to_another_replica_and_not_without_end() {
    let world = World::new();
    let fate = Fate::Reset { code: REFUSED_STREAM };
    // It refuses whatever comes, on the one connection that it has.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let refusing = listener.local_addr().unwrap();
    let tls = world.tls(Service::Vault);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = tls.acceptor().accept(stream).await.unwrap().stream;
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let good = world.replica("127.0.0.3").await;
    let channel = world.follow(&[refusing, good.address]).channel();
    for number in 0..20 {
        assert_eq!(call(&channel, "again").await.unwrap(), "again");
        assert_eq!(good.taken(), number + 1, "each once");
    }
    let alone = world.follow(&[refusing]).channel();
    let refusal = call(&alone, "nobody").await.unwrap_err();
    assert!(is_out_of_reach(&refusal), "{fate:?}: {refusal:?}");
}

#[tokio::test]
async fn a_replica_killed_between_calls_costs_none() {
    let world = World::new();
    let (one, two) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    let members = world.follow(&[one.address, two.address]);
    let channel = members.channel();
    for _ in 0..20 {
        call(&channel, "x").await.unwrap();
    }
    one.kill();
    let killed = members.each().into_iter().find(|peer| peer.address == one.address).unwrap();
    while !call(&killed.channel, "x").await.is_err_and(|refusal| is_out_of_reach(&refusal)) {}
    let before = two.taken();
    for _ in 0..50 {
        call(&channel, "x").await.unwrap();
    }
    assert_eq!(two.taken() - before, 50);
}

#[tokio::test]
async fn a_replica_killed_in_the_middle_of_calls_leaves_them_unknown_and_nobody_does_them_again() {
    let world = World::new();
    let (one, two) = (world.replica("127.0.0.2").await, world.replica("127.0.0.3").await);
    one.behave(Manner::Hang);
    two.behave(Manner::Hang);
    let channel = world.follow(&[one.address, two.address]).channel();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let channel = channel.clone();
        calls.spawn(async move { call(&channel, "x").await });
    }
    while one.taken() + two.taken() < 20 {
        tokio::task::yield_now().await;
    }
    let (at_one, at_two) = (one.taken(), two.taken());
    assert!(at_one > 0 && at_two > 0, "{at_one} {at_two}");
    one.kill();
    // Those of the other one go on, so these are the only ones that end.
    for _ in 0..at_one {
        let ended = calls.join_next().await.unwrap().unwrap();
        assert!(is_broken(&ended.unwrap_err()));
    }
    assert_eq!((one.taken(), two.taken()), (at_one, at_two), "nobody did one of them again");
    assert!(calls.try_join_next().is_none());
}
