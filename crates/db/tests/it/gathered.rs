//! Reads that are answered together.

use std::sync::atomic::{AtomicUsize, Ordering};

use coffre_db::{Connection, Error, Gather, Result, Sql, dialect};
use coffre_test_support::on_each_engine;

use crate::support::{add, open};

/// The lengths of the runs, one for each test and engine: a loader is a plain function.
static RUNS: AtomicUsize = AtomicUsize::new(0);

fn lengths(conn: &mut Connection, names: &[String]) -> Result<Vec<i64>> {
    let length = |name: &String| match name.as_str() {
        "panic" => panic!("planted"),
        "fail" => Err(Error::NotFound),
        name => dialect::id(conn, Sql::new("SELECT CAST(length(").bind(name).push(") AS BIGINT) AS id")),
    };
    names.iter().map(length).collect()
}

fn counted(conn: &mut Connection, names: &[String]) -> Result<Vec<i64>> {
    RUNS.fetch_add(1, Ordering::SeqCst);
    lengths(conn, names)
}

on_each_engine! {
    async fn everybody_gets_the_answer_to_their_own_key(db: TestDb) {
        let gather = Gather::new(open(&db).0, lengths);
        let calls: Vec<_> = (0..200).map(|number| {
            let gather = gather.clone();
            tokio::spawn(async move { gather.get("x".repeat(number)).await })
        }).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap(), Ok(number as i64));
        }
    }

    async fn a_failure_and_a_panic_are_told_and_the_next_is_well(db: TestDb) {
        let gather = Gather::new(open(&db).0, lengths);
        assert_eq!(gather.get("fail".into()).await, Err(Error::NotFound));
        assert!(matches!(gather.get("panic".into()).await, Err(Error::Bug(text)) if text.contains("planted")));
        assert_eq!(gather.get("well".into()).await, Ok(4));
    }

    async fn a_caller_that_leaves_keeps_nobody_waiting(db: TestDb) {
        let gather = Gather::new(open(&db).0, lengths);
        for _ in 0..20 {
            let leaving = gather.clone();
            let gone = tokio::spawn(async move { leaving.get("gone".into()).await });
            gone.abort();
            assert_eq!(gather.get("there".into()).await, Ok(5));
        }
    }

    async fn nobody_waits_for_a_database_that_was_stopped(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
        let gather = Gather::new(database.clone(), lengths);
        database.stop();
        for _ in 0..3 {
            assert_eq!(gather.get("late".into()).await, Err(Error::Unavailable));
        }
    }
}

#[tokio::test]
async fn keys_gather_while_the_readers_are_busy() {
    let db = coffre_test_support::TestDb::sqlite();
    let (database, _) = crate::support::open_with(coffre_db::Options { readers: 1, ..crate::support::options(&db) });
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let (held, inside) = (database.clone(), gate.clone());
    let busy = tokio::spawn(async move {
        held.read(move |_| {
            inside.wait();
            Ok::<_, Error>(())
        })
        .await
    });
    while database.stats().read().taken() < 1 {
        tokio::task::yield_now().await;
    }
    let gather = Gather::new(database, counted);
    let mut calls: Vec<_> = (0..100).map(|_| Box::pin(gather.get("key".into()))).collect();
    for call in &mut calls {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    busy.await.unwrap().unwrap();
    for call in calls {
        assert_eq!(call.await, Ok(3));
    }
    assert_eq!(RUNS.load(Ordering::SeqCst), 2, "at most 64 at a time");
}
