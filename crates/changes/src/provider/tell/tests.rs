//! The log and its reader, on both engines.

use coffre_db::{DatabaseUrl, NoJournal, Options, Sql};
use coffre_test_support::{TestDb, on_each_engine};
use coffre_types::{FixedClock, Timestamp};
use diesel::RunQueryDsl as _;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use futures_util::StreamExt as _;

use super::*;
use crate::provider::{Columns, Told};

const SQLITE: EmbeddedMigrations = embed_migrations!("tests/migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("tests/migrations/postgres");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Changed {
    User(i64),
    Session([u8; 16]),
}

impl Subject for Changed {
    fn columns(&self) -> Columns {
        match self {
            Self::User(user) => Columns { kind: 1, subject_id: Some(*user), session_id: None },
            Self::Session(session) => Columns { kind: 2, subject_id: None, session_id: Some(session.to_vec()) },
        }
    }

    fn from_columns(columns: &Columns) -> Option<Self> {
        match (columns.kind, columns.subject_id, columns.session_id.as_deref()) {
            (1, Some(user), _) => Some(Self::User(user)),
            (2, _, Some(session)) => Some(Self::Session(session.try_into().ok()?)),
            _ => None,
        }
    }
}

/// Carries how many changes it was asked about; -1 where it was asked about whatever has happened.
struct Counts;

impl Carries<Changed> for Counts {
    type State = i64;
    type Fault = Error;

    async fn state(&self, changes: Option<&[(i64, Changed)]>) -> Result<i64, Error> {
        Ok(changes.map_or(-1, |changes| i64::try_from(changes.len()).unwrap()))
    }
}

struct World {
    clock: Arc<FixedClock>,
    reader: Reader<Changed, Counts>,
}

impl World {
    fn open(db: &TestDb) -> Self {
        let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "changes");
        coffre_db::migrate(&options, SQLITE, POSTGRES).unwrap();
        let database = Database::open(options, || Box::new(NoJournal)).unwrap();
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_800_000_000)));
        Self { clock: clock.clone(), reader: Reader { hub: Hub::new(), database, clock, carries: Counts } }
    }

    async fn record(&self, subjects: &[Changed]) {
        let (subjects, now) = (subjects.to_vec(), self.clock.now());
        let write = move |tx: &mut coffre_db::Tx<'_>| {
            subjects.iter().try_for_each(|subject| log::record(tx.conn(), *subject, now))
        };
        self.reader.database.write(write).await.unwrap();
    }

    async fn run(&self, sql: &'static str) {
        let write = move |tx: &mut coffre_db::Tx<'_>| Sql::new(sql).execute(tx.conn()).map_err(Error::from);
        self.reader.database.write(write).await.unwrap();
    }
}

type Messages = crate::provider::Messages<Told<Changed, i64>>;

async fn next(messages: &mut Messages) -> Option<Told<Changed, i64>> {
    messages.next().await.map(Result::unwrap)
}

on_each_engine! {
    async fn changes_are_told_in_order_and_read_back_as_they_were(db: TestDb) {
        let world = World::open(&db);
        world.record(&[Changed::User(1)]).await;
        world.reader.read(false).await.unwrap();
        let mut messages = world.reader.hub.stream(world.clock.clone(), |told| told).await;
        world.record(&[Changed::User(7), Changed::Session([9; 16])]).await;
        world.reader.read(true).await.unwrap();
        let expected = [
            Told::Snapshot { sequence: 1, state: -1 },
            Told::Heartbeat { sequence: 1, age_ms: 0 },
            Told::Change { sequence: 2, subject: Changed::User(7), state: 2 },
            Told::Change { sequence: 3, subject: Changed::Session([9; 16]), state: 2 },
            Told::Heartbeat { sequence: 3, age_ms: 0 },
        ];
        for told in expected {
            assert_eq!(next(&mut messages).await, Some(told));
        }
    }

    async fn rule_1_4_numbers_of_writers_at_once_have_no_gaps(db: TestDb) {
        let world = World::open(&db);
        world.reader.read(false).await.unwrap();
        let mut messages = world.reader.hub.stream(world.clock.clone(), |told| told).await;
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        let writers = (1..=8).map(|user| {
            let world = &world;
            async move { world.record(&[Changed::User(user)]).await }
        });
        let reads = async {
            for _ in 0..8 {
                world.reader.read(false).await.unwrap();
            }
        };
        tokio::join!(futures_util::future::join_all(writers), reads);
        world.reader.read(true).await.unwrap();
        for expected in 1..=8 {
            let Some(Told::Change { sequence, .. }) = next(&mut messages).await else { panic!("a change") };
            assert_eq!(sequence, expected);
        }
        assert!(matches!(next(&mut messages).await, Some(Told::Heartbeat { sequence: 8, .. })));
    }

    async fn changes_that_were_removed_before_they_were_read_begin_the_stream_anew(db: TestDb) {
        let world = World::open(&db);
        world.reader.read(false).await.unwrap();
        let mut messages = world.reader.hub.stream(world.clock.clone(), |told| told).await;
        world.record(&[Changed::User(1)]).await;
        world.clock.advance(log::KEPT + Duration::from_secs(1));
        let before = world.clock.now().minus(log::KEPT);
        let removed = world.reader.database.write(move |tx| log::prune(tx.conn(), before)).await.unwrap();
        assert_eq!(removed, 1);
        world.record(&[Changed::User(2)]).await;
        world.reader.read(true).await.unwrap();
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        assert_eq!(next(&mut messages).await, None, "change 1 is missing");
        let mut anew = world.reader.hub.stream(world.clock.clone(), |told| told).await;
        assert_eq!(next(&mut anew).await, Some(Told::Snapshot { sequence: 2, state: -1 }));
    }

    async fn a_restored_backup_begins_the_stream_anew(db: TestDb) {
        let world = World::open(&db);
        world.record(&[Changed::User(1), Changed::User(2)]).await;
        world.reader.read(false).await.unwrap();
        let mut messages = world.reader.hub.stream(world.clock.clone(), |told| told).await;
        world.run("UPDATE change_counter SET sequence = 1").await;
        world.run("DELETE FROM changes WHERE sequence > 1").await;
        world.reader.read(true).await.unwrap();
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        assert_eq!(next(&mut messages).await, None);
    }

    async fn a_subject_that_nobody_knows_is_a_fault_and_no_heartbeat_hides_it(db: TestDb) {
        let world = World::open(&db);
        world.reader.read(false).await.unwrap();
        let mut beginning = world.reader.hub.watch().await;
        world.run("UPDATE change_counter SET sequence = 1").await;
        world.run("INSERT INTO changes (sequence, kind, created_at) VALUES (1, 99, 0)").await;
        assert!(matches!(world.reader.read(true).await, Err(Error::Bug(_))));
        assert!(beginning.notes.try_recv().is_err(), "nothing is told");
    }

    async fn a_poke_has_the_changes_told_at_once(db: TestDb) {
        let world = World::open(&db);
        let (hub, clock) = (world.reader.hub.clone(), world.clock.clone());
        let slow = Pace { poll: Duration::from_secs(3600), heartbeat: Duration::from_secs(3600) };
        let telling = tokio::spawn(tell(hub.clone(), world.reader.database.clone(), clock.clone(), Counts, slow));
        let mut messages = hub.stream(clock, |told| told).await;
        next(&mut messages).await.unwrap();
        next(&mut messages).await.unwrap();
        world.record(&[Changed::User(5)]).await;
        hub.poke();
        assert!(matches!(next(&mut messages).await, Some(Told::Change { subject: Changed::User(5), .. })));
        world.reader.database.stop();
        hub.poke();
        telling.await.unwrap();
    }
}
