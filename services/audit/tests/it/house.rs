//! A house with an audit service in it, and streams that tests write by hand.

use std::sync::Arc;

use coffre_audit::{Config, Deps, Error, Keeping, build, migrations};
use coffre_audit_client::chain::{GENESIS, Hash, StreamId, next_hash};
use coffre_audit_client::{ActivityType, Outbox, Outcome, Site, Source, StreamKey};
use coffre_channel::Channel;
use coffre_db::{Database, DatabaseUrl, Options, Sql, dialect, migrate};
use coffre_proto::audit::internal::v1::append_segments_response::Disposition;
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{AppendSegmentsRequest, Segment};
use coffre_proto::audit::v1::{Actor, Event, Object};
use coffre_secret::SecretBytes;
use coffre_test_support::TestDb;
use coffre_types::{EventId, FixedClock, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use prost::Message as _;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const KEY: [u8; 32] = [42; 32];
pub(crate) const CHECKPOINT_KEY: [u8; 32] = [43; 32];

pub(crate) fn key() -> SecretBytes {
    SecretBytes::new(KEY.to_vec())
}

/// One replica of the audit service.
pub(crate) struct House {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) intake: Channel,
    pub(crate) clock: Arc<FixedClock>,
}

/// Brings the schema up to date and starts a replica.
pub(crate) async fn open(db: &TestDb) -> House {
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
    let (sqlite, postgres) = migrations();
    migrate(&options, sqlite, postgres).unwrap();
    replica(db).await
}

/// Starts a replica.
pub(crate) async fn replica(db: &TestDb) -> House {
    begin(db, Config::default(), CHECKPOINT_KEY.to_vec()).await.unwrap().0
}

/// Starts a replica with settings and a key of its own.
pub(crate) async fn begin(db: &TestDb, config: Config, checkpoint_key: Vec<u8>) -> Result<(House, Keeping), Error> {
    let clock = Arc::new(FixedClock::new(NOW));
    let site =
        Site { service: "audit", host_name: "host-a".into(), environment_name: "test".into(), clock: clock.clone() };
    let outbox = Outbox::new(Arc::new(site), &key());
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
    let database = Database::open(options, || outbox.journal()).unwrap();
    outbox.attach(database.clone());
    let deps = Deps {
        config,
        checkpoint_key: SecretBytes::new(checkpoint_key),
        database: database.clone(),
        outbox: outbox.clone(),
        settle: coffre_audit::settle(vec![outbox.clone()]),
    };
    let app = build(deps).await?;
    let intake = Channel::in_process(app.parts.internal.prepare());
    Ok((House { database, outbox, intake, clock }, app.keeping))
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    log_index: i64,
    #[diesel(sql_type = Binary)]
    event_id: Vec<u8>,
}

impl House {
    pub(crate) async fn append(&self, segments: &[Segment]) -> Vec<Disposition> {
        let request = AppendSegmentsRequest { service: "vault".into(), segments: segments.to_vec() };
        let answer = IntakeServiceClient::new(self.intake.clone()).append_segments(request).await.unwrap().into_inner();
        answer.dispositions.into_iter().map(|number| Disposition::try_from(number).unwrap()).collect()
    }

    /// Returns the ids of all events in the order of the log, after a look at the numbers.
    pub(crate) async fn log(&self) -> Vec<Vec<u8>> {
        let rows: Vec<IdRow> = self
            .database
            .read(|conn| {
                Ok::<_, coffre_db::Error>(
                    Sql::new("SELECT log_index, event_id FROM entries ORDER BY log_index").load(conn)?,
                )
            })
            .await
            .unwrap();
        for (expected, row) in (0..).zip(&rows) {
            assert_eq!(row.log_index, expected, "the log has no gap");
        }
        assert_eq!(self.number("SELECT size AS id FROM log_head").await, i64::try_from(rows.len()).unwrap());
        rows.into_iter().map(|row| row.event_id).collect()
    }

    /// Returns the events that wait in the service's own outbox, in their order.
    pub(crate) async fn waiting(&self) -> Vec<Event> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Binary)]
            segment: Vec<u8>,
        }
        let query = "SELECT segment FROM outbox_segments ORDER BY id";
        let rows: Vec<Row> =
            self.database.read(move |conn| Ok::<_, coffre_db::Error>(Sql::new(query).load(conn)?)).await.unwrap();
        let segments = rows.into_iter().map(|row| Segment::decode(row.segment.as_slice()).unwrap());
        segments.flat_map(|segment| segment.events).map(|event| Event::decode(event.as_slice()).unwrap()).collect()
    }

    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        self.database.read(move |conn| dialect::id(conn, Sql::new(query))).await.unwrap()
    }
}

/// A stream written by hand.
pub(crate) struct Stream {
    key: StreamKey,
    id: StreamId,
    next: i64,
    head: Hash,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self { key: StreamKey::new(&key()), id: *EventId::now_v7().uuid().as_bytes(), next: 1, head: GENESIS }
    }

    /// The next segment, with that many new events.
    pub(crate) fn segment(&mut self, events: usize) -> Segment {
        self.segment_of((0..events).map(|_| event().encode_to_vec()).collect())
    }

    /// The next segment, with these events.
    pub(crate) fn segment_of(&mut self, events: Vec<Vec<u8>>) -> Segment {
        let (first_sequence, previous) = (self.next, self.head);
        for event in &events {
            self.head = next_hash(&self.id, self.next, &self.head, event);
            self.next += 1;
        }
        let mac = self.key.segment_mac(&self.id, first_sequence, self.next - first_sequence, &previous, &self.head);
        Segment {
            stream_id: self.id.to_vec(),
            first_sequence,
            events,
            previous_hash: previous.to_vec(),
            head_hash: self.head.to_vec(),
            mac: mac.to_vec(),
        }
    }
}

pub(crate) fn event() -> Event {
    Event {
        id: EventId::now_v7().uuid().as_bytes().to_vec(),
        salt: vec![7; 16],
        time_us: NOW.micros(),
        service: "vault".into(),
        method: "coffre.vault.v1.CredentialService/GetCredential".into(),
        event: "credential.read".into(),
        activity_type: ActivityType::ReadCredential.into(),
        outcome: Outcome::Successful.into(),
        source: Source::Api.into(),
        actor: Some(Actor { user_id: 3, user_name: "bob".into(), ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: "12".into(), name: "SharePoint Login".into() }),
        request_id: "req-1".into(),
        ..Event::default()
    }
}

/// The ids of the events of segments.
pub(crate) fn ids(segments: &[Segment]) -> Vec<Vec<u8>> {
    segments
        .iter()
        .flat_map(|segment| &segment.events)
        .map(|event| Event::decode(event.as_slice()).unwrap().id)
        .collect()
}
