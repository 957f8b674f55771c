//! From a call's record through the outbox and the relay into the log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Outcome, Relay, Source, audited_write};
use coffre_channel::Channel;
use coffre_db::{Error, Sql};
use coffre_error::Reason;
use coffre_test_support::on_each_engine;
use coffre_types::{SessionId, UserId};
use diesel::RunQueryDsl as _;
use tokio_util::sync::CancellationToken;

use crate::house::{self, House, Stream};

const LONG: Duration = Duration::from_secs(20);
const WAITING: &str = "SELECT count(*) AS id FROM outbox_segments";

fn call(house: &House, address: &str) -> CallRecord {
    let origin = Origin {
        site: house.outbox.site(),
        method: "/coffre.audit.v1.AuditService/ListEntries",
        request_id: Arc::from("req-7"),
        trace_id: None,
        client_address: address.parse::<IpAddr>().ok(),
        source: Source::Grpc,
    };
    CallRecord::new(origin, "audit.entry.list", ActivityType::AuditUnsetActivityType)
}

fn known_call(house: &House) -> CallRecord {
    let record = call(house, "192.0.2.1");
    record.actor(UserId::from_trusted(3), "bob", SessionId::from_bytes(&[3; 16]));
    record
}

struct Running(CancellationToken, tokio::task::JoinHandle<()>);

fn relay(house: &House, intake: Channel) -> Running {
    let stop = CancellationToken::new();
    let running = tokio::spawn(Relay::new(house.outbox.clone(), intake).run(stop.clone()));
    Running(stop, running)
}

impl Running {
    async fn stop(self) {
        self.0.cancel();
        self.1.await.unwrap();
    }
}

async fn until_no_row_waits(house: &House) {
    let wait = async {
        while house.number(WAITING).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("the outbox becomes empty");
}

on_each_engine! {
    async fn a_relay_that_is_stopped_closes_its_streams(db: TestDb) {
        let house = house::open(&db).await;
        let running = relay(&house, house.intake.clone());
        house.outbox.append(&known_call(&house), Outcome::Successful, None).await.unwrap();
        assert!(house.outbox.flush(LONG).await);
        running.stop().await;
        assert_eq!(house.number("SELECT count(*) AS id FROM streams").await, 1);
        assert_eq!(house.number("SELECT count(*) AS id FROM streams WHERE closed = TRUE").await, 1);
    }

    async fn what_is_recorded_is_in_the_log_once_it_is_settled(db: TestDb) {
        let house = house::open(&db).await;
        let running = relay(&house, house.intake.clone());
        let mut expected = Vec::new();
        for _ in 0..30 {
            let record = known_call(&house);
            expected.push(record.id().uuid().as_bytes().to_vec());
            house.outbox.append(&record, Outcome::Successful, None).await.unwrap();
            assert!(record.is_recorded());
        }
        assert!(house.outbox.settle(LONG).await);
        assert_eq!(house.log().await, expected);
        until_no_row_waits(&house).await;
        assert_eq!(house.outbox.lag().events(), 30);
        running.stop().await;
    }

    async fn a_change_and_its_event_are_committed_together_or_not_at_all(db: TestDb) {
        let house = house::open(&db).await;
        let record = Arc::new(known_call(&house));
        let refused = audited_write(&house.database, &record, |tx| {
            Sql::new("UPDATE log_head SET size = size").execute(tx.conn())?;
            Err::<(), _>(Error::NotFound)
        });
        assert_eq!(refused.await, Err(Error::NotFound));
        assert!(!record.is_recorded());
        assert_eq!(house.number(WAITING).await, 0);
        let done = audited_write(&house.database, &record, |tx| {
            Sql::new("UPDATE log_head SET size = size").execute(tx.conn())?;
            Ok::<_, Error>(7)
        });
        assert_eq!(done.await, Ok(7));
        assert!(record.is_recorded());
        house.outbox.append(&record, Outcome::Successful, None).await.unwrap();
        assert_eq!(house.number(WAITING).await, 1, "what is recorded is not recorded again");
    }

    async fn an_audit_that_is_away_loses_nothing(db: TestDb) {
        let house = house::open(&db).await;
        let (intake, fill) = Channel::deferred();
        let running = relay(&house, intake);
        for _ in 0..200 {
            house.outbox.append(&known_call(&house), Outcome::Successful, None).await.unwrap();
        }
        assert!(!house.outbox.settle(Duration::from_millis(50)).await);
        assert!(house.outbox.lag().is_failing());
        assert_eq!(house.log().await.len(), 0);
        fill.set(house.intake.clone());
        assert!(house.outbox.settle(LONG).await);
        assert_eq!(house.log().await.len(), 200);
        assert!(!house.outbox.lag().is_failing());
        running.stop().await;
    }

    async fn rows_of_a_process_that_died_are_carried_by_the_next(db: TestDb) {
        let dead = house::open(&db).await;
        for _ in 0..10 {
            dead.outbox.append(&known_call(&dead), Outcome::Successful, None).await.unwrap();
        }
        drop(dead);
        let house = house::replica(&db).await;
        house.clock.advance(Duration::from_secs(4));
        let running = relay(&house, house.intake.clone());
        until_no_row_waits(&house).await;
        assert_eq!(house.log().await.len(), 10);
        running.stop().await;
    }

    async fn forged_and_unreadable_rows_are_set_aside(db: TestDb) {
        let house = house::open(&db).await;
        let mut forged = Stream::new().segment(1);
        forged.mac[0] ^= 1;
        for (number, segment) in [prost::Message::encode_to_vec(&forged), b"\xffjunk".to_vec()].into_iter().enumerate() {
            let stream = vec![u8::try_from(number).unwrap(); 16];
            house
                .database
                .write(move |tx| {
                    Sql::new("INSERT INTO outbox_segments (stream_id, first_sequence, event_count, segment, created_at) VALUES (")
                        .bind(stream.clone())
                        .push(", 1, 1, ")
                        .bind(segment.clone())
                        .push(", 0)")
                        .execute(tx.conn())?;
                    Ok::<_, Error>(())
                })
                .await
                .unwrap();
        }
        let running = relay(&house, house.intake.clone());
        until_no_row_waits(&house).await;
        assert_eq!(house.number("SELECT count(*) AS id FROM outbox_quarantine").await, 2);
        assert_eq!(house.outbox.lag().quarantined(), 2);
        assert_eq!(house.number("SELECT count(*) AS id FROM incidents WHERE kind = 'forged'").await, 2, "no segment is one, too");
        let last = "SELECT last_sequence AS id FROM incidents ORDER BY id DESC LIMIT 1";
        assert_eq!(house.number(last).await, 1, "it is named by the place that its row claims");
        assert!(house.outbox.settle(LONG).await);
        let others = "SELECT count(*) AS id FROM entries WHERE event <> 'audit.incident.found'";
        assert_eq!(house.number(others).await, 0);
        running.stop().await;
    }

    async fn calls_of_nobody_are_recorded_to_a_quota_and_then_counted(db: TestDb) {
        let house = house::open(&db).await;
        for _ in 0..100 {
            let record = call(&house, "198.51.100.9");
            house.outbox.append(&record, Outcome::Unsuccessful, Some(Reason::AuthTokenInvalid)).await.unwrap();
        }
        assert_eq!(house.outbox.lag().counted(), 40);
        let running = relay(&house, house.intake.clone());
        assert!(house.outbox.flush(LONG).await);
        assert_eq!(house.log().await.len(), 61);
        let detail = "SELECT count(*) AS id FROM entries WHERE event = 'call.unknown_caller.counted' AND detail LIKE '%\"occurrences\":40%'";
        assert_eq!(house.number(detail).await, 1);
        running.stop().await;
    }
}

#[tokio::test]
async fn without_a_database_the_answer_is_withheld() {
    let db = coffre_test_support::TestDb::sqlite();
    let house = house::open(&db).await;
    house.database.stop();
    let refusal = house.outbox.append(&known_call(&house), Outcome::Successful, None).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::AuditUnavailable);
}
