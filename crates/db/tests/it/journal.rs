//! Entries are committed with what they tell of, once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffre_db::{Database, Error, NoJournal};
use coffre_test_support::on_each_engine;

use crate::support::{add, add_with_entry, entry, journalled, names, open, options};

on_each_engine! {
    async fn appends_share_commits(db: TestDb) {
        let (database, _) = open(&db);
        let calls: Vec<_> = (0..2000).map(|number| {
            let database = database.clone();
            tokio::spawn(async move { database.append(vec![entry(&format!("{number};"))]).await })
        }).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let commits = database.read(journalled).await.unwrap();
        let mut all: Vec<usize> = commits.concat().split_terminator(';').map(|number| number.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..2000).collect::<Vec<_>>());
        assert!(commits.len() < 1000, "{} commits", commits.len());
        let stats = database.stats().append();
        assert_eq!(stats.commits(), commits.len() as u64);
        assert_eq!((stats.taken(), stats.queued()), (2000, 0));
    }

    async fn a_journal_that_fails_takes_its_change_with_it(db: TestDb) {
        let (database, seen) = open(&db);
        let outcome = database.write(|tx| { tx.journal(entry("poison")); add(tx.conn(), "Ann") }).await;
        assert!(matches!(outcome, Err(Error::Bug(_))));
        assert!(database.read(names).await.unwrap().is_empty());
        assert_eq!(seen.take(), ["write refused", "rolled back"]);
        database.write(|tx| add_with_entry(tx, "Bob")).await.unwrap();
        assert_eq!(seen.take(), ["write Bob", "committed"]);
    }

    async fn only_the_culprit_of_a_lost_batch_pays(db: TestDb) {
        let (database, _) = open(&db);
        let gate = Arc::new(std::sync::Barrier::new(2));
        // While the writer waits in this one, the others gather behind it.
        let (holder, inside) = (database.clone(), Arc::clone(&gate));
        let first = AtomicUsize::new(0);
        let held = tokio::spawn(async move {
            holder.write(move |tx| {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    inside.wait();
                    inside.wait();
                }
                add_with_entry(tx, "held;")
            }).await
        });
        let between = Arc::clone(&gate);
        tokio::task::spawn_blocking(move || between.wait()).await.unwrap();
        let calls: Vec<_> = ["poison", "a;", "b;"].map(|text| {
            let database = database.clone();
            tokio::spawn(async move { database.append(vec![entry(text)]).await })
        }).into_iter().collect();
        let queued = |database: &Database| database.stats().append().taken() + database.stats().append().queued();
        while queued(&database) < 3 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
        held.await.unwrap().unwrap();
        let outcomes = [calls].into_iter().flatten();
        let mut answers = Vec::new();
        for call in outcomes {
            answers.push(call.await.unwrap().is_ok());
        }
        assert_eq!(answers, [false, true, true]);
        let mut journal = database.read(journalled).await.unwrap().concat();
        let mut parts: Vec<_> = journal.split_terminator(';').collect();
        parts.sort_unstable();
        assert_eq!(parts, ["a", "b", "held"]);
        journal.clear();
    }

    async fn what_follows_a_commit_runs_once(db: TestDb) {
        let (database, _) = open(&db);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        database.write(move |tx| {
            let counted = Arc::clone(&counted);
            tx.after_commit(move || { counted.fetch_add(1, Ordering::SeqCst); });
            add(tx.conn(), "Ann")
        }).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let counted = Arc::clone(&count);
        let failed: Result<(), Error> = database.write(move |tx| {
            let counted = Arc::clone(&counted);
            tx.after_commit(move || { counted.fetch_add(1, Ordering::SeqCst); });
            Err(Error::NotFound)
        }).await;
        assert!(failed.is_err());
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    async fn a_database_without_journal_refuses_entries(db: TestDb) {
        let (database, _) = open(&db);
        database.stop();
        let database = Database::open(options(&db), || Box::new(NoJournal)).unwrap();
        assert!(matches!(database.append(vec![entry("x")]).await, Err(Error::Bug(_))));
        assert!(database.write(|tx| add(tx.conn(), "Ann")).await.is_ok());
        assert!(database.append(Vec::new()).await.is_ok());
    }
}
