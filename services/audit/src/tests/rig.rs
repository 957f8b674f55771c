//! A log with everything that keeps it, and a writer that fills it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_audit_client::chain::{GENESIS, Hash as ChainHash, next_hash};
use coffre_audit_client::{ActivityType, CallRecord, Outbox, Site, StreamKey};
use coffre_audit_proof::checkpoint::{Checkpoint as Text, LogId};
use coffre_audit_proof::note::VerifierKey;
use coffre_audit_proof::tree::{Hash, leaf_hash, over};
use coffre_db::list::PageTokens;
use coffre_db::{Database, DatabaseUrl, Error, Options, Sql, dialect, migrate};
use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::v1::{Actor, Event};
use coffre_secret::SecretBytes;
use coffre_test_support::TestDb;
use coffre_types::{Caller, EventId, FixedClock, Permission, PermissionSet, SessionId, Timestamp, TokenKind, UserId};
use diesel::prelude::*;
use diesel::sql_types::Binary;
use futures_util::FutureExt as _;
use prost::Message as _;
use tempfile::TempDir;
use uuid::Uuid;

use crate::domain::checkpoint::{Checkpoint, Signer};
use crate::domain::cut::Cutter;
use crate::domain::incident::{Incident, Kind};
use crate::domain::intake::{Arrival, Disposition};
use crate::domain::keeper::{Fault, Keeper, Looked};
use crate::domain::ports::{KeepCheckpoints as _, KeepIncidents as _, Witness, WriteLog as _};
use crate::domain::proofs::Prover;
use crate::domain::visibility::Visibility;
use crate::store::{POSTGRES, SQLITE, Store};
use crate::witness::WitnessFile;

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(super) const SEED: [u8; 32] = [43; 32];
const KEY: [u8; 32] = [42; 32];
/// The user of every event but the last of a batch.
pub(super) const SOMEBODY: i64 = 3;

/// Everything that keeps a log, on one replica.
pub(super) struct Rig {
    pub(super) database: Database,
    pub(super) store: Arc<Store>,
    pub(super) signer: Arc<Signer>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) prover: Arc<Prover>,
    pub(super) cutter: Cutter,
    pub(super) clock: Arc<FixedClock>,
    pub(super) site: Arc<Site>,
    pub(super) witness: PathBuf,
    folder: Arc<TempDir>,
}

impl Rig {
    /// Brings the schema up to date and starts a replica with a witness of its own.
    pub(super) async fn new(db: &TestDb) -> Self {
        let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
        migrate(&options, SQLITE, POSTGRES).unwrap();
        Self::replica(db, Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// The same log, after a start or on another replica, with the same witness.
    pub(super) async fn again(&self, db: &TestDb) -> Self {
        Self::replica(db, self.folder.clone()).await
    }

    async fn replica(db: &TestDb, folder: Arc<TempDir>) -> Self {
        let witness = folder.path().join("witness").join("audit.witness");
        let file: Arc<dyn Witness> = Arc::new(WitnessFile::new(witness.clone()));
        Self::with_witness(db, folder, witness, Some(file)).await
    }

    /// The same log with another witness.
    pub(super) async fn with(&self, db: &TestDb, witness: Option<Arc<dyn Witness>>) -> Self {
        Self::with_witness(db, self.folder.clone(), self.witness.clone(), witness).await
    }

    async fn with_witness(db: &TestDb, folder: Arc<TempDir>, path: PathBuf, witness: Option<Arc<dyn Witness>>) -> Self {
        let clock = Arc::new(FixedClock::new(NOW));
        let site = Arc::new(Site {
            service: "audit",
            host_name: "host-a".into(),
            environment_name: "test".into(),
            clock: clock.clone(),
        });
        let outbox = Outbox::new(site.clone(), &SecretBytes::new(KEY.to_vec()));
        let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
        let database = Database::open(options, || outbox.journal()).unwrap();
        outbox.attach(database.clone());
        let store = Arc::new(Store::new(database.clone(), PageTokens::new(&[5; 32]), site.clone()));
        let log_id = store.log_id(LogId::new(Uuid::new_v4().into_bytes())).await.unwrap();
        let signer = Arc::new(Signer::new(log_id, SecretBytes::new(SEED.to_vec())).unwrap());
        let keeper = Arc::new(Keeper::new(store.clone(), signer.clone(), witness, clock.clone(), Duration::ZERO));
        let carried = store.clone();
        let settled = Arc::new(move || {
            let store = carried.clone();
            async move { carry(&store).await }.boxed()
        });
        Self {
            prover: Arc::new(Prover::new(store.clone(), keeper.clone())),
            cutter: Cutter::new(store.clone(), keeper.clone(), settled, site.clone()),
            database,
            store,
            signer,
            keeper,
            clock,
            site,
            witness: path,
            folder,
        }
    }

    pub(super) fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    pub(super) async fn checkpoint(&self) -> Checkpoint {
        let checkpoint = self.keeper.checkpoint().await.unwrap();
        let text = Text::open(&checkpoint.note, self.verifier()).unwrap();
        assert_eq!((text.size, text.root), (checkpoint.size.cast_unsigned(), checkpoint.root));
        assert_eq!((text.cut, text.time), (checkpoint.first_kept.cast_unsigned(), checkpoint.created_at));
        checkpoint
    }

    /// The complaint of a round that finds the log damaged.
    pub(super) async fn damage(&self) -> String {
        match self.keeper.checkpoint().await {
            Err(Fault::Damaged(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn incidents(&self) -> Vec<Incident> {
        self.store.incidents(100).await.unwrap().0
    }

    /// What the entries of one event say, each the values of its details.
    pub(super) async fn found(&self, event: &'static str) -> Vec<Vec<String>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Binary)]
            canonical: Vec<u8>,
        }
        let query = Sql::new("SELECT canonical FROM entries WHERE event = ").bind(event).push(" ORDER BY log_index");
        let rows: Vec<Row> = self.database.read(move |conn| Ok::<_, Error>(query.clone().load(conn)?)).await.unwrap();
        let details = |row: &Row| {
            let event = Event::decode(row.canonical.as_slice()).unwrap();
            event.details.into_iter().map(|detail| detail.value).collect()
        };
        rows.iter().map(details).collect()
    }

    /// Looks at the whole log again, and returns what was found, as first and last entry.
    pub(super) async fn check(&self) -> Vec<(i64, i64)> {
        let before = self.incidents().await;
        let mut block = 0;
        while self.keeper.check(block).await.unwrap() {
            block += 1;
        }
        let mut found: Vec<Incident> = self.incidents().await;
        found.retain(|incident| !before.contains(incident));
        let mut places: Vec<(i64, i64)> = found.iter().map(|incident| (incident.first, incident.last)).collect();
        places.sort_unstable();
        places
    }

    /// Looks at all stored checkpoints again, and returns what was found.
    pub(super) async fn check_checkpoints(&self) -> Vec<(Kind, i64, i64)> {
        let before = self.incidents().await;
        self.keeper.check_witnessed().await.unwrap();
        let mut looked = Looked::default();
        while self.keeper.check_checkpoint(&mut looked).await.unwrap() {}
        assert_eq!(looked, Looked::default(), "it begins anew");
        let mut found = self.incidents().await;
        found.retain(|incident| !before.contains(incident));
        found.iter().map(|incident| (incident.kind, incident.first, incident.last)).collect()
    }

    pub(super) async fn number(&self, query: &'static str) -> i64 {
        self.database.read(move |conn| dialect::id(conn, Sql::new(query))).await.unwrap()
    }

    /// Does what somebody with the database's password does.
    pub(super) async fn tamper(&self, statement: Sql) {
        let changed =
            self.database.write(move |tx| Ok::<_, Error>(statement.clone().execute(tx.conn())?)).await.unwrap();
        assert!(changed > 0);
    }

    pub(super) async fn tampers(&self, statements: &[&'static str]) {
        for statement in statements {
            self.tamper(Sql::new(statement)).await;
        }
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        self.site.clock.now()
    }

    pub(super) fn call(&self) -> Arc<CallRecord> {
        Arc::new(CallRecord::system(self.site.clone(), "audit.cut", ActivityType::EditSettings))
    }
}

/// Carries what waits in the service's own outbox into the log, as its relay does.
pub(super) async fn carry(store: &Store) {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        segment: Vec<u8>,
    }
    let rows: Vec<Row> = store
        .database()
        .read(|conn| Ok::<_, Error>(Sql::new("SELECT segment FROM outbox_segments ORDER BY id").load(conn)?))
        .await
        .unwrap();
    let key = StreamKey::new(&SecretBytes::new(KEY.to_vec()));
    let arrivals: Vec<Arrival> =
        rows.iter().map(|row| Arrival::check(&key, Segment::decode(row.segment.as_slice()).unwrap())).collect();
    store.append("audit".into(), arrivals, NOW).await.unwrap();
    store
        .database()
        .write(|tx| Ok::<_, Error>(Sql::new("DELETE FROM outbox_segments").execute(tx.conn())?))
        .await
        .unwrap();
}

/// A stream that fills the log.
pub(super) struct Writer {
    pub(super) id: [u8; 16],
    next: i64,
    head: ChainHash,
    /// What it wrote, in order.
    pub(super) events: Mutex<Vec<Vec<u8>>>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { id: Uuid::new_v4().into_bytes(), next: 1, head: GENESIS, events: Mutex::default() }
    }

    /// Appends so many events.
    pub(super) async fn write(&mut self, rig: &Rig, count: usize) {
        assert_eq!(self.try_write(rig, count).await, Ok(vec![Disposition::Stored]));
    }

    pub(super) async fn try_write(&mut self, rig: &Rig, count: usize) -> Result<Vec<Disposition>, Error> {
        let key = StreamKey::new(&SecretBytes::new(KEY.to_vec()));
        let (first_sequence, previous) = (self.next, self.head);
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            let event = event(SOMEBODY, self.next);
            self.head = next_hash(&self.id, self.next, &self.head, &event);
            self.next += 1;
            events.push(event);
        }
        self.events.lock().unwrap().extend(events.clone());
        let mac = key.segment_mac(&self.id, first_sequence, self.next - first_sequence, &previous, &self.head);
        let segment = Segment {
            stream_id: self.id.to_vec(),
            first_sequence,
            events,
            previous_hash: previous.to_vec(),
            head_hash: self.head.to_vec(),
            mac: mac.to_vec(),
        };
        rig.store.append("vault".into(), vec![Arrival::check(&key, segment)], NOW).await
    }

    /// The id of an event that it wrote.
    pub(super) fn event_id(&self, place: usize) -> EventId {
        let event = Event::decode(self.events.lock().unwrap()[place].as_slice()).unwrap();
        EventId::new(Uuid::from_slice(&event.id).unwrap())
    }

    pub(super) fn leaf(&self, place: usize) -> Hash {
        leaf_hash(&self.events.lock().unwrap()[place])
    }

    /// The root of the log that begins with so many of its events and holds nothing else.
    pub(super) fn root(&self, size: usize) -> Hash {
        over(&self.events.lock().unwrap()[..size].iter().map(|event| leaf_hash(event)).collect::<Vec<Hash>>())
    }
}

/// The canonical form of an event.
pub(super) fn event(user: i64, number: i64) -> Vec<u8> {
    let event = Event {
        id: EventId::now_v7().uuid().as_bytes().to_vec(),
        salt: vec![7; 16],
        time_us: NOW.micros() + number,
        service: "vault".into(),
        event: "credential.read".into(),
        activity_type: ActivityType::ReadCredential.into(),
        actor: Some(Actor { user_id: user, user_name: "bob".into(), ..Actor::default() }),
        ..Event::default()
    };
    event.encode_to_vec()
}

pub(super) fn caller(user: i64, permissions: &[Permission]) -> Visibility {
    Visibility::of(&Caller {
        user_id: UserId::from_trusted(user),
        username: Arc::from("somebody"),
        session_id: SessionId::new(Uuid::nil()),
        roles: Arc::from([]),
        permissions: permissions.iter().copied().collect::<PermissionSet>(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    })
}

pub(super) fn everything() -> Visibility {
    caller(99, &[Permission::ViewAllAudit])
}
