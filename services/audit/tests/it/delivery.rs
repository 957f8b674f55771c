//! Whatever the order of delivery: every event once, each stream in its order.

use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::internal::v1::append_segments_response::Disposition;
use coffre_test_support::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::house::{self, House, Stream, ids};

/// Delivers segments in the order of a list of numbers, some of them twice, and then again whatever was not taken.
async fn deliver(house: &House, streams: &[Vec<Segment>], picks: &[usize], batch: usize) {
    let all: Vec<Segment> = streams.iter().flatten().cloned().collect();
    let mut waiting: Vec<Segment> =
        picks.iter().map(|pick| all[pick % all.len()].clone()).chain(all.iter().cloned()).collect();
    for round in 0.. {
        assert!(round < 50, "delivery comes to an end");
        let mut again = Vec::new();
        for request in waiting.chunks(batch) {
            let answer = house.append(request).await;
            for (segment, disposition) in request.iter().zip(answer) {
                match disposition {
                    Disposition::Stored => {}
                    Disposition::Gap => again.push(segment.clone()),
                    other => panic!("{other:?}"),
                }
            }
        }
        if again.is_empty() {
            return;
        }
        waiting = again;
    }
}

fn every_order(db: &TestDb, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let house = runtime.block_on(house::open(db));
    let plan = (
        proptest::collection::vec(proptest::collection::vec(1_usize..4, 1..5), 1..4),
        proptest::collection::vec(any::<usize>(), 0..12),
        1_usize..6,
    );
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&plan, |(sizes, picks, batch)| {
            let streams: Vec<Vec<Segment>> = sizes
                .iter()
                .map(|sizes| {
                    let mut stream = Stream::new();
                    sizes.iter().map(|size| stream.segment(*size)).collect()
                })
                .collect();
            let before = runtime.block_on(house.log()).len();
            runtime.block_on(deliver(&house, &streams, &picks, batch));
            let new = runtime.block_on(house.log()).split_off(before);
            for stream in &streams {
                let expected = ids(stream);
                let found: Vec<_> = new.iter().filter(|id| expected.contains(id)).cloned().collect();
                prop_assert_eq!(found, expected, "once each, in the stream's order");
            }
            prop_assert_eq!(new.len(), streams.iter().flatten().map(|segment| segment.events.len()).sum::<usize>());
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_order_of_delivery_gives_every_event_once_sqlite() {
    every_order(&TestDb::sqlite(), 48);
}

#[test]
fn any_order_of_delivery_gives_every_event_once_postgres() {
    every_order(&TestDb::postgres(), 24);
}
