//! The audit's database full or slow: calls of other services go on, and the log catches up in their order.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Origin, Outcome, Relay, Source};
use coffre_db::{Engine, Error, Sql, dialect};
use coffre_error::Reason;
use coffre_test_support::{TestDb, on_each_engine};
use coffre_types::{SessionId, UserId};
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use tokio_util::sync::CancellationToken;

use crate::house::{self, House};

const LONG: Duration = Duration::from_secs(20);

/// Records a call of a service, and returns the id of its event.
async fn call(service: &House) -> Result<Vec<u8>, coffre_error::Refusal> {
    let origin = Origin {
        site: service.outbox.site(),
        method: "/coffre.vault.v1.AttributeValueService/ListAttributeValues",
        request_id: Arc::from("req-7"),
        trace_id: None,
        client_address: "192.0.2.1".parse::<IpAddr>().ok(),
        source: Source::Grpc,
    };
    let record = CallRecord::new(origin, "credential.value.read", ActivityType::ReadCredential);
    record.actor(UserId::from_trusted(3), "bob", SessionId::from_bytes(&[3; 16]));
    service.outbox.append(&record, Outcome::Successful, None).await?;
    Ok(record.id().uuid().as_bytes().to_vec())
}

/// Carries the events of a service to the audit until it is dropped.
struct Carried(CancellationToken);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn carry(service: &House, audit: &House) -> Carried {
    let stop = CancellationToken::new();
    tokio::spawn(Relay::new(service.outbox.clone(), audit.intake.clone()).run(stop.clone()));
    Carried(stop)
}

/// Lets the database answer as it does where the disk is full, whatever goes into a table.
async fn fill(house: &House, table: &'static str) {
    change(house, move |engine| match engine {
        Engine::Sqlite => format!(
            "CREATE TRIGGER full_disk BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        ),
        Engine::Postgres => format!(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()"
        ),
    })
    .await;
}

/// Makes room again.
async fn free(house: &House, table: &'static str) {
    change(house, move |engine| match engine {
        Engine::Sqlite => "DROP TRIGGER full_disk".to_owned(),
        Engine::Postgres => format!("DROP TRIGGER full_disk ON {table}; DROP FUNCTION full_disk()"),
    })
    .await;
}

async fn change(house: &House, sql: impl Fn(Engine) -> String + Send + 'static) {
    let changed = house.database.write(move |tx| {
        let sql = sql(dialect::engine(tx.conn()));
        Ok::<_, Error>(tx.conn().batch_execute(&sql)?)
    });
    changed.await.unwrap();
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it happens in time");
}

on_each_engine! {
    async fn calls_go_on_while_the_audits_disk_is_full_and_it_catches_up_in_order_once_there_is_room(db: TestDb) {
        let of_vault = TestDb::sqlite();
        let (vault, audit) = (house::open(&of_vault).await, house::open(&db).await);
        let _carried = carry(&vault, &audit);
        let mut expected = vec![call(&vault).await.unwrap()];
        assert!(vault.outbox.settle(LONG).await);
        fill(&audit, "entries").await;
        for _ in 0..400 {
            expected.push(call(&vault).await.expect("the disk of the audit is not that of the vault"));
        }
        until(|| vault.outbox.lag().is_failing()).await;
        assert!(!vault.outbox.settle(Duration::from_millis(100)).await);
        assert_eq!(audit.log().await, expected[..1]);
        free(&audit, "entries").await;
        assert!(vault.outbox.settle(LONG).await, "it goes on by itself");
        assert_eq!(audit.log().await, expected);
        assert!(!vault.outbox.lag().is_failing());
    }

    async fn a_call_that_cannot_be_recorded_names_the_full_disk_and_the_next_goes_on_once_there_is_room(db: TestDb) {
        let house = house::open(&db).await;
        let mut recorded = vec![call(&house).await.unwrap()];
        fill(&house, "outbox_segments").await;
        for _ in 0..3 {
            let refused = call(&house).await.unwrap_err();
            assert_eq!(refused.reason(), Reason::AuditUnavailable);
            assert!(refused.message().contains("disk") && refused.message().contains("full"), "{}", refused.message());
            assert!(refused.delay().is_some(), "it says when to try again");
        }
        free(&house, "outbox_segments").await;
        recorded.push(call(&house).await.unwrap());
        let _carried = carry(&house, &house);
        assert!(house.outbox.settle(LONG).await);
        assert_eq!(house.log().await, recorded, "what was acknowledged is there, and nothing else");
    }

    async fn calls_go_on_while_the_audits_database_is_slow(db: TestDb) {
        let of_vault = TestDb::sqlite();
        let (vault, audit) = (house::open(&of_vault).await, house::open(&db).await);
        // Somebody holds the head of the log, and with it every append.
        let ((release, released), (held, holds)) = (mpsc::channel::<()>(), mpsc::channel::<()>());
        let (released, held) = (Arc::new(Mutex::new(released)), Arc::new(Mutex::new(held)));
        let database = audit.database.clone();
        let slow = tokio::spawn(async move {
            database.write(move |tx| {
                Sql::new("UPDATE log_head SET size = size").execute(tx.conn())?;
                let _ = held.lock().unwrap().send(());
                // Ends when nobody can send any more.
                let _ = released.lock().unwrap().recv();
                Ok::<_, Error>(())
            }).await
        });
        tokio::task::spawn_blocking(move || holds.recv()).await.unwrap().unwrap();
        let _carried = carry(&vault, &audit);
        let mut expected = Vec::new();
        for _ in 0..200 {
            expected.push(call(&vault).await.unwrap());
        }
        assert!(!vault.outbox.settle(Duration::from_millis(100)).await);
        drop(release);
        slow.await.unwrap().unwrap();
        assert!(vault.outbox.settle(LONG).await);
        assert_eq!(audit.log().await, expected);
    }
}
