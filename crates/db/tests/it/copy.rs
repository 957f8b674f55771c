//! Whole databases: those of several services at one moment under writes, and all rows of one into another engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use coffre_db::copy::{Cut, Filling, Row, used};
use coffre_db::{Bind, Database, Error, NoJournal, Options, Sql, migrate, versions_of};
use coffre_test_support::{TestDb, on_each_engine};
use diesel::RunQueryDsl as _;

use crate::migrations::{NEWER_POSTGRES, NEWER_SQLITE};
use crate::support::{POSTGRES, SQLITE, options};

fn opened(options: &Options) -> Database {
    migrate(options, SQLITE, POSTGRES).unwrap();
    Database::open(options.clone(), || Box::new(NoJournal)).unwrap()
}

async fn insert(database: &Database, number: i64) {
    let done = database.write(move |tx| {
        let name = format!("n\u{e9}{number}");
        let insert = Sql::new("INSERT INTO things (name, name_key, number, active, tag) VALUES (")
            .binds([
                Bind::from(name.as_str()),
                name.as_str().into(),
                number.into(),
                (number % 2 == 0).into(),
                [0, 255, 7][..].into(),
            ])
            .push(")");
        Ok::<_, Error>(insert.execute(tx.conn())?)
    });
    done.await.unwrap();
}

/// Reads all rows of the table in a service's part of a cut.
fn things(cut: &mut Cut, service: &str) -> Vec<Row> {
    let snapshot = cut.of(service).unwrap();
    let table = snapshot.table("things").unwrap().clone();
    let mut all = Vec::new();
    let read = snapshot.rows(&table, |rows| {
        all.extend(rows);
        Ok::<_, Error>(())
    });
    read.unwrap();
    all
}

fn highest(cut: &mut Cut, service: &str) -> i64 {
    let place = cut.of(service).unwrap().table("things").unwrap().place("number").unwrap();
    let number = |row: &Row| if let Bind::Integer(Some(number)) = row[place] { number } else { panic!("{row:?}") };
    things(cut, service).iter().map(number).max().unwrap_or(0)
}

on_each_engine! {
    async fn a_cut_through_two_services_is_one_moment(db: TestDb) {
        let both = [options(&db), Options { service: "other", ..options(&db) }];
        let [one, other] = [opened(&both[0]), opened(&both[1])];
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let writer = tokio::spawn({
            let (stop, acknowledged, one, other) = (stop.clone(), acknowledged.clone(), one.clone(), other.clone());
            async move {
                for number in 1.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // What the second one holds refers to what the first one held before.
                    insert(&one, number).await;
                    insert(&other, number).await;
                    acknowledged.store(number, Ordering::SeqCst);
                }
            }
        });
        for _ in 0..20 {
            let before = acknowledged.load(Ordering::SeqCst);
            let mut cut = tokio::task::block_in_place(|| Cut::take(&both)).unwrap();
            let later = acknowledged.load(Ordering::SeqCst);
            let (first, second) = (highest(&mut cut, "test"), highest(&mut cut, "other"));
            assert!(before <= second, "what was acknowledged before is there: {before} {second}");
            assert!(second <= first && first <= second + 1, "one moment: {first} {second}");
            assert!(second <= later + 1);
            while acknowledged.load(Ordering::SeqCst) < later + 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(highest(&mut cut, "other"), second, "what is read does not change");
        }
        stop.store(true, Ordering::SeqCst);
        writer.await.unwrap();
    }

    async fn every_row_goes_into_either_engine_and_no_id_comes_again(db: TestDb) {
        let from = options(&db);
        let database = opened(&from);
        for number in 0..200 {
            insert(&database, number).await;
        }
        let mut cut = Cut::take(std::slice::from_ref(&from)).unwrap();
        let rows = things(&mut cut, "test");
        assert_eq!(rows.len(), 200);
        let snapshot = cut.of("test").unwrap();
        assert_eq!(snapshot.counters().unwrap().iter().find(|(table, _)| table == "things").unwrap().1, 200);
        let (table, versions) = (snapshot.table("things").unwrap().clone(), snapshot.versions().to_vec());
        let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        for target in [TestDb::sqlite(), TestDb::postgres()] {
            let to = options(&target);
            assert_eq!(Filling::occupied(&to, &[]).unwrap(), None);
            let begin = || Filling::begin(&to, (SQLITE, POSTGRES), &versions, &[]).unwrap();
            let mut dropped = begin().unwrap();
            dropped.insert("things", &columns, rows.clone()).unwrap();
            drop(dropped);
            let mut filling = begin().unwrap();
            let unknown = filling.insert("things", &["elsewhere".to_owned()], vec![vec![1_i64.into()]]);
            assert!(matches!(unknown, Err(Error::Bug(_))));
            filling.insert("things", &columns, rows.clone()).unwrap();
            filling.give_ids_above(5_000).unwrap();
            filling.commit().unwrap();
            assert_eq!(begin().err().as_deref(), Some("things"));
            assert_eq!(Filling::occupied(&to, &[]).unwrap().as_deref(), Some("things"));
            assert_eq!(Filling::occupied(&to, &["things"]).unwrap(), None);
            insert(&opened(&to), 1_000).await;
            let mut copied = things(&mut Cut::take(&[to]).unwrap(), "test");
            let new = copied.pop().unwrap();
            assert_eq!(new[table.place("id").unwrap()], 5_001_i64.into());
            assert_eq!(copied, rows);
        }
    }

    async fn rows_of_an_older_schema_are_in_before_newer_migrations_run(db: TestDb) {
        let known = [(SQLITE, POSTGRES), (NEWER_SQLITE, NEWER_POSTGRES)].map(|(sqlite, _)| versions_of(&sqlite).unwrap());
        assert!(known[0].is_subset(&known[1]) && known[0] != known[1]);
        let versions: Vec<String> = known[0].iter().cloned().collect();
        let filling = Filling::begin(&options(&db), (NEWER_SQLITE, NEWER_POSTGRES), &versions, &[]).unwrap();
        filling.unwrap().commit().unwrap();
        assert_eq!(Cut::take(&[options(&db)]).unwrap().of("test").unwrap().versions(), versions);
        assert_eq!(migrate(&options(&db), NEWER_SQLITE, NEWER_POSTGRES).unwrap().len(), 1);
    }

    async fn a_table_of_which_ids_were_given_out_was_used_though_it_is_empty(db: TestDb) {
        let options = options(&db);
        let database = opened(&options);
        let things = || used(&options, &["things"]).unwrap();
        assert_eq!(things(), None);
        insert(&database, 1).await;
        assert_eq!(things().as_deref(), Some("things"));
        assert_eq!(used(&options, &["others"]).unwrap(), None);
        database.write(|tx| Ok::<_, Error>(Sql::new("DELETE FROM things").execute(tx.conn())?)).await.unwrap();
        assert_eq!(things().as_deref(), Some("things"));
    }

    async fn what_is_not_there_is_not_made(db: TestDb) {
        assert!(matches!(Cut::take(&[options(&db)]), Err(Error::NotFound)));
        assert_eq!(used(&options(&db), &["things"]).unwrap(), None);
        assert_eq!(Filling::occupied(&options(&db), &[]).unwrap(), None);
        if let Some(folder) = db.folder() {
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
        }
    }

    async fn a_schema_that_is_ahead_of_what_is_filled_in_is_refused(db: TestDb) {
        migrate(&options(&db), SQLITE, POSTGRES).unwrap();
        let refused = Filling::begin(&options(&db), (SQLITE, POSTGRES), &[], &[]).err().unwrap();
        assert!(matches!(refused, Error::Bug(text) if text.contains("not that of")));
    }
}
