//! Reads, changes, errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffre_db::dialect::Insert;
use coffre_db::{Error, Sql, Tx, dialect};
use coffre_test_support::on_each_engine;
use diesel::connection::Connection as _;
use diesel::prelude::*;

use crate::support::{add, add_with_entry, entry, journalled, names, open};

diesel::table! {
    things (id) {
        id -> BigInt,
        name -> Text,
        name_key -> Text,
        note -> Nullable<Text>,
        number -> Nullable<BigInt>,
        active -> Bool,
        tag -> Nullable<Binary>,
    }
}

on_each_engine! {
    async fn a_change_is_read_back(db: TestDb) {
        let (database, _) = open(&db);
        let id = database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
        assert!(id > 0);
        assert_eq!(database.read(names).await.unwrap(), ["Ann"]);
    }

    async fn a_database_says_how_large_it_is(db: TestDb) {
        let (database, _) = open(&db);
        let before = database.read(dialect::size_bytes).await.unwrap();
        database
            .write(|tx| (0..4000).try_for_each(|number| add(tx.conn(), &format!("a thing with the number {number}")).map(drop)))
            .await
            .unwrap();
        let after = database.read(dialect::size_bytes).await.unwrap();
        assert!(before > 0 && after >= before + 200_000, "{before} {after}");
    }

    async fn an_error_rolls_back(db: TestDb) {
        let (database, seen) = open(&db);
        let outcome: Result<(), Error> = database.write(|tx| { add_with_entry(tx, "Ann")?; Err(Error::NotFound) }).await;
        assert_eq!(outcome, Err(Error::NotFound));
        assert!(database.read(names).await.unwrap().is_empty());
        assert!(seen.take().is_empty());
    }

    async fn one_that_fails_leaves_the_others_alone(db: TestDb) {
        let (database, seen) = open(&db);
        let calls: Vec<_> = (0..60).map(|number| {
            let database = database.clone();
            tokio::spawn(async move {
                database.write(move |tx| {
                    let id = add_with_entry(tx, &format!("thing-{number:02};"))?;
                    if number % 3 == 0 { Err(Error::NotFound) } else { Ok(id) }
                }).await
            })
        }).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().is_ok(), number % 3 != 0, "{number}");
        }
        let there = database.read(names).await.unwrap();
        assert_eq!(there.len(), 40);
        let mut journal: Vec<String> = database.read(journalled).await.unwrap().iter()
            .flat_map(|commit| commit.split_inclusive(';').map(str::to_owned).collect::<Vec<_>>()).collect();
        if database.engine() == coffre_db::Engine::Sqlite {
            // One writer: the entries stand in the order of the changes.
            assert_eq!(journal, there);
        }
        journal.sort();
        let mut there = there;
        there.sort();
        assert_eq!(journal, there);
        assert!(seen.take().iter().all(|what| what.starts_with("write ") || what == "committed"));
    }

    async fn a_taken_key_is_told_with_its_column(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
        let error = database.write(|tx| add(tx.conn(), "ANN")).await.unwrap_err();
        let Error::Unique(constraint) = error else { panic!("{error:?}") };
        assert!(constraint.covers("name_key"), "{constraint:?}");
    }

    async fn a_reference_to_nothing_is_refused(db: TestDb) {
        let (database, _) = open(&db);
        let error = database.write(|tx| {
            let sql = Sql::new("INSERT INTO things (name, name_key, parent_id) VALUES ('x', 'x', 99)");
            Ok::<_, Error>(sql.execute(tx.conn())?)
        }).await.unwrap_err();
        assert!(matches!(error, Error::ForeignKey(_)), "{error:?}");
    }

    async fn a_taken_key_can_be_survived_in_a_savepoint(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
        database.write(|tx| {
            let taken = tx.conn().transaction(|conn| add(conn, "ann"));
            assert!(matches!(taken, Err(Error::Unique(_))));
            add_with_entry(tx, "Bob")
        }).await.unwrap();
        assert_eq!(database.read(names).await.unwrap(), ["Ann", "Bob"]);
    }

    async fn an_error_that_is_ignored_does_not_pass_for_a_commit(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
        let outcome = database.write(|tx| {
            let id = add(tx.conn(), "Bob")?;
            let _ = add(tx.conn(), "ann");
            Ok::<_, Error>(id)
        }).await;
        // PostgreSQL gives the transaction up; SQLite keeps it. Neither claims what is not there.
        assert_eq!(database.read(names).await.unwrap().len(), if outcome.is_ok() { 2 } else { 1 });
    }

    async fn a_panic_is_an_error_of_its_own_call(db: TestDb) {
        let (database, _) = open(&db);
        let outcome = database.write(|tx| -> Result<(), Error> { add_with_entry(tx, "Ann")?; panic!("planted") }).await;
        assert!(matches!(outcome, Err(Error::Bug(text)) if text.contains("planted")));
        let nested = database.write(|tx| tx.conn().transaction(|conn| -> Result<(), Error> {
            add(conn, "Bob")?;
            panic!("planted")
        })).await;
        assert!(matches!(nested, Err(Error::Bug(_))));
        let outcome = database.read(|_| -> Result<(), Error> { panic!("planted") }).await;
        assert!(matches!(outcome, Err(Error::Bug(_))));
        for number in 0..20 {
            database.write(move |tx| add_with_entry(tx, &format!("later {number}"))).await.unwrap();
            assert_eq!(database.read(names).await.unwrap().len(), number + 1);
        }
        assert_eq!(database.stats().write().panics() + database.stats().read().panics(), 3);
    }

    async fn readers_cannot_write(db: TestDb) {
        let (database, _) = open(&db);
        assert!(database.read(|conn| add(conn, "Ann")).await.is_err());
        assert!(database.read(names).await.unwrap().is_empty());
    }

    async fn a_snapshot_does_not_move(db: TestDb) {
        let (database, _) = open(&db);
        let other = database.clone();
        let runtime = tokio::runtime::Handle::current();
        let (before, after) = database.read(move |conn| dialect::snapshot(conn, |conn| {
            let before = names(conn)?.len();
            runtime.block_on(other.write(|tx| add(tx.conn(), "Ann")))?;
            Ok::<_, Error>((before, names(conn)?.len()))
        })).await.unwrap();
        assert_eq!((before, after), (0, 0));
        assert_eq!(database.read(names).await.unwrap().len(), 1);
    }

    async fn batches_upserts_and_ignored_rows(db: TestDb) {
        let (database, _) = open(&db);
        let ids = database.write(|tx| {
            let rows = (0..50).map(|n| vec![format!("N{n}").into(), format!("n{n}").into(), (n as i64).into()]);
            Insert::into("things", &["name", "name_key", "number"]).rows(rows).returning_ids(tx.conn())
        }).await.unwrap();
        assert_eq!(ids.len(), 50);
        assert!(ids.is_sorted());
        let (ignored, updated) = database.write(|tx| {
            let row = || ["new".into(), "n7".into(), 99_i64.into()];
            let insert = || Insert::into("things", &["name", "name_key", "number"]).row(row());
            let ignored = insert().or_ignore(&["name_key"]).execute(tx.conn())?;
            let updated = insert().or_update(&["name_key"], &["number"]).execute(tx.conn())?;
            Ok::<_, Error>((ignored, updated))
        }).await.unwrap();
        assert_eq!((ignored, updated), (0, 1));
        let number = database.read(|conn| dialect::id(conn, Sql::new("SELECT number AS id FROM things WHERE name_key = 'n7'"))).await;
        assert_eq!(number, Ok(99));
        let many = database.write(|tx| {
            let rows = (0..20_000_i64).map(|n| vec![format!("m{n}").into(), format!("m{n}").into(), Some(n).into()]);
            Insert::into("things", &["name", "name_key", "number"]).rows(rows).execute(tx.conn())
        }).await;
        assert_eq!(many, Ok(20_000));
    }

    async fn values_of_every_type_come_back(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| {
            Insert::into("things", &["name", "name_key", "note", "number", "active", "tag"])
                .row(["é'\"".into(), "a".into(), Some("note").into(), Some(i64::MAX).into(), false.into(), vec![0_u8, 255].into()])
                .row(["b".into(), "b".into(), None::<String>.into(), None::<i64>.into(), true.into(), None::<Vec<u8>>.into()])
                .execute(tx.conn())
        }).await.unwrap();
        type Row = (String, Option<String>, Option<i64>, bool, Option<Vec<u8>>);
        let rows: Vec<Row> = database.read(|conn| {
            let all = things::table.select((things::name, things::note, things::number, things::active, things::tag));
            Ok::<_, Error>(all.filter(things::name_key.eq_any(["a", "b"])).order(things::id).load(conn)?)
        }).await.unwrap();
        assert_eq!(rows[0], ("é'\"".into(), Some("note".into()), Some(i64::MAX), false, Some(vec![0, 255])));
        assert_eq!(rows[1], ("b".into(), None, None, true, None));
    }

    async fn racing_increments_are_all_counted(db: TestDb) {
        let (database, _) = open(&db);
        // A second process, where the engine takes one.
        let other = match database.engine() {
            coffre_db::Engine::Sqlite => database.clone(),
            coffre_db::Engine::Postgres => open(&db).0,
        };
        database.write(|tx| {
            Insert::into("things", &["name", "name_key", "number"]).row(["n".into(), "n".into(), 0_i64.into()]).execute(tx.conn())
        }).await.unwrap();
        let runs = Arc::new(AtomicUsize::new(0));
        let calls: Vec<_> = (0..24).map(|number| {
            let (database, runs) = (if number % 2 == 0 { &database } else { &other }.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                database.write(move |tx: &mut Tx<'_>| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    let old = dialect::id(tx.conn(), Sql::new("SELECT number AS id FROM things"))?;
                    tx.journal(entry("+"));
                    Ok::<_, Error>(Sql::new("UPDATE things SET number = ").bind(old + 1).execute(tx.conn())?)
                }).await
            })
        }).collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), Ok(1));
        }
        let number = database.read(|conn| dialect::id(conn, Sql::new("SELECT number AS id FROM things"))).await;
        assert_eq!(number, Ok(24));
        assert_eq!(database.read(journalled).await.unwrap().concat().len(), 24);
        assert!(runs.load(Ordering::Relaxed) >= 24);
    }

    async fn stopping_finishes_what_is_queued(db: TestDb) {
        let (database, _) = open(&db);
        let calls: Vec<_> = (0..50).map(|number| {
            let database = database.clone();
            tokio::spawn(async move { database.write(move |tx| add(tx.conn(), &format!("{number}"))).await })
        }).collect();
        tokio::task::yield_now().await;
        database.stop();
        let mut added = 0;
        for call in calls {
            match call.await.unwrap() {
                Ok(_) => added += 1,
                Err(error) => assert_eq!(error, Error::Unavailable),
            }
        }
        assert_eq!(database.read(names).await, Err(Error::Unavailable));
        let (again, _) = open(&db);
        assert_eq!(again.read(names).await.unwrap().len(), added);
    }
}
