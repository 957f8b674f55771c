//! The database gone and back, full queues, callers that leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coffre_db::dialect::Insert;
use coffre_db::{Database, Error, JournalEntry, Options};
use coffre_test_support::{PostgresServer, TestDb, on_each_engine};
use diesel::connection::SimpleConnection as _;

use crate::support::{add, add_with_entry, entry, names, open, open_with, options};

/// Asks until the database answers again.
async fn until_well(database: &Database) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let well = database.read(names).await.is_ok()
            && database.append(vec![entry("well;")]).await.is_ok()
            && database
                .write(|tx| {
                    tx.journal(entry("well;"));
                    Ok::<_, Error>(())
                })
                .await
                .is_ok();
        if well {
            return;
        }
        assert!(Instant::now() < deadline, "the database did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_gone_is_told_at_once_and_back_is_well() {
    let server = PostgresServer::start();
    let db = TestDb::on(&server.url());
    let (database, _) = open(&db);
    database.write(|tx| add_with_entry(tx, "before")).await.unwrap();

    server.crash();
    let asked = Instant::now();
    for _ in 0..20 {
        assert_eq!(database.read(names).await, Err(Error::Unavailable));
        assert_eq!(database.write(|tx| add(tx.conn(), "lost")).await, Err(Error::Unavailable));
        assert_eq!(database.append(vec![entry("lost")]).await, Err(Error::Unavailable));
    }
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(!database.is_up());

    server.resume();
    until_well(&database).await;
    assert_eq!(database.read(names).await.unwrap(), ["before"]);
    assert!(database.is_up());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_calls_is_not_noticed() {
    let server = PostgresServer::start();
    let db = TestDb::on(&server.url());
    let (database, _) = open_with(Options { readers: 1, writers: 1, ..options(&db) });
    database.write(|tx| add_with_entry(tx, "before")).await.unwrap();
    server.crash();
    server.resume();
    assert_eq!(database.read(names).await.unwrap(), ["before"]);
    database.append(vec![entry("x")]).await.unwrap();
    database.write(|tx| add_with_entry(tx, "after")).await.unwrap();
    assert_eq!(database.read(names).await.unwrap(), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let server = PostgresServer::start();
    let db = TestDb::on(&server.url());
    drop(open(&db));
    server.crash();
    let database = Database::open(options(&db), || Box::new(coffre_db::NoJournal)).unwrap();
    assert_eq!(database.read(names).await, Err(Error::Unavailable));
    server.resume();
    let deadline = Instant::now() + Duration::from_secs(20);
    while database.read(names).await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_in_commit_is_in_doubt() {
    let db = TestDb::postgres();
    let (database, seen) = open(&db);
    // The session ends itself while it commits.
    let trap = "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
                  FOR EACH ROW EXECUTE FUNCTION leave();";
    database.write(|tx| Ok::<_, Error>(tx.conn().batch_execute(trap)?)).await.unwrap();
    assert_eq!(database.write(|tx| add_with_entry(tx, "Ann")).await, Err(Error::Unavailable));
    assert_eq!(seen.take(), ["write Ann", "in doubt"]);
    database.write(|tx| Ok::<_, Error>(tx.conn().batch_execute("DROP TRIGGER leave ON things")?)).await.unwrap();
    database.write(|tx| add_with_entry(tx, "Bob")).await.unwrap();
    assert_eq!(seen.take(), ["write Bob", "committed"]);
    assert_eq!(database.read(names).await.unwrap(), ["Bob"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_recovered_from() {
    let db = TestDb::sqlite();
    let (database, _) = open(&db);
    // SQLite answers this limit as it answers a full disk. It belongs to the connection, which may be a new one afterwards.
    let big = || vec![7_u8; 200_000];
    let grow = |pages: &'static str| {
        database.write(move |tx| {
            tx.conn().batch_execute(pages)?;
            let insert = Insert::into("things", &["name", "name_key", "tag"]);
            insert.row(["big".into(), "big".into(), big().into()]).execute(tx.conn())
        })
    };
    let full = "PRAGMA max_page_count = 20";
    assert!(!database.is_full());
    assert_eq!(grow(full).await, Err(Error::Full));
    assert!(database.is_full() && database.is_up(), "whoever watches can say what is wrong");
    database.write(|tx| Ok::<_, Error>(tx.conn().batch_execute("PRAGMA max_page_count = 20")?)).await.unwrap();
    assert_eq!(database.append(vec![JournalEntry::new(big())]).await, Err(Error::Full));
    assert!(database.is_full());
    database.write(|tx| add(tx.conn(), "small")).await.unwrap();
    assert!(!database.is_full(), "what is committed has found room");
    let (grown, small, appended) =
        tokio::join!(grow(full), database.write(|tx| add(tx.conn(), "other")), database.append(vec![entry("x")]));
    assert_eq!(grown, Err(Error::Full));
    assert!(small.is_ok() && appended.is_ok());
    assert_eq!(grow("PRAGMA max_page_count = 100000").await, Ok(1));
    assert_eq!(database.read(names).await.unwrap(), ["small", "other", "big"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = Options::new(coffre_db::DatabaseUrl::sqlite(&file.join("below")), "test");
    assert!(matches!(Database::open(options, || Box::new(coffre_db::NoJournal)), Err(Error::Unavailable)));
}

#[tokio::test]
async fn sqlite_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let db = TestDb::sqlite();
    let folder = db.folder().unwrap().join("new");
    let (database, _) = open_with(Options::new(coffre_db::DatabaseUrl::sqlite(&folder), "test"));
    database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in ["test.db", "test.db-wal", "test.db-shm"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

/// Says whether this process has a lock on the file that keeps others from taking it for unused.
fn is_held(file: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (process, inode) = (std::process::id().to_string(), format!(":{}", std::fs::metadata(file).unwrap().ino()));
    // `1: POSIX  ADVISORY  READ 22192 fe:00:6146063 1073741826 1073742335` (proc_locks(5)).
    std::fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(4) == Some(&process.as_str()) && words.get(5).is_some_and(|file| file.ends_with(&inode))
    })
}

#[tokio::test]
async fn another_process_never_takes_an_open_sqlite_file_for_unused() {
    let db = TestDb::sqlite();
    let file = db.folder().unwrap().join("test.db");
    let (database, _) = open(&db);
    database.write(|tx| add(tx.conn(), "Ann")).await.unwrap();
    for _ in 0..8 {
        database.read(names).await.unwrap();
    }
    assert!(is_held(&file));
    // Further connections of the same process take nothing from the first ones.
    let (beside, _) = open(&db);
    beside.read(names).await.unwrap();
    assert!(is_held(&file));
    drop(beside);
    assert!(is_held(&file));
}

on_each_engine! {
    async fn a_full_queue_refuses_and_recovers(db: TestDb) {
        let options = Options {
            readers: 1,
            queue: 2,
            admission: Duration::from_millis(20),
            ..options(&db)
        };
        let (database, _) = open_with(options);
        let hold = Arc::new(AtomicBool::new(true));
        let calls: Vec<_> = (0..3).map(|_| {
            let (database, hold) = (database.clone(), Arc::clone(&hold));
            tokio::spawn(async move {
                database.read(move |conn| {
                    while hold.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    names(conn)
                }).await
            })
        }).collect();
        while database.stats().read().taken() < 1 || database.stats().read().queued() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(database.read(names).await, Err(Error::Unavailable));
        assert_eq!(database.stats().read().refused(), 1);
        hold.store(false, Ordering::SeqCst);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        database.read(names).await.unwrap();
    }

    async fn a_caller_that_left_before_its_turn_changes_nothing(db: TestDb) {
        let (database, _) = open_with(Options { writers: 1, ..options(&db) });
        let hold = Arc::new(AtomicBool::new(true));
        let (holder, held) = (database.clone(), Arc::clone(&hold));
        let first = tokio::spawn(async move {
            holder.write(move |tx| {
                while held.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                add(tx.conn(), "first")
            }).await
        });
        while database.stats().write().taken() < 1 {
            tokio::task::yield_now().await;
        }
        let other = database.clone();
        let second = tokio::spawn(async move { other.write(|tx| add(tx.conn(), "second")).await });
        while database.stats().write().queued() < 1 {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        hold.store(false, Ordering::SeqCst);
        first.await.unwrap().unwrap();
        database.write(|tx| add(tx.conn(), "third")).await.unwrap();
        assert_eq!(database.read(names).await.unwrap(), ["first", "third"]);
    }
}
