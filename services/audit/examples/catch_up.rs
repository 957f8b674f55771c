//! How fast the audit service takes what a relay brings: `cargo run --release -p coffre-audit --example catch_up -- [events]`.
//!
//! SQLite in a temporary folder of the working directory; requests as the relay makes them: 256 segments of 25 events.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::sync::Arc;
use std::time::Instant;

use coffre_audit::{Config, Deps, build, migrations, options};
use coffre_audit_client::chain::{GENESIS, next_hash};
use coffre_audit_client::{ActivityType, CallRecord, Origin, Outbox, Outcome, Site, Source, StreamKey};
use coffre_channel::Channel;
use coffre_db::{Database, DatabaseUrl, migrate};
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{AppendSegmentsRequest, Segment};
use coffre_secret::SecretBytes;
use coffre_types::{Clock as _, SystemClock, UserId};

const SEGMENTS: usize = 256;
const EVENTS: usize = 25;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let wanted: usize = std::env::args().nth(1).map_or(500_000, |text| text.parse().expect("a number of events"));
    let folder = tempfile::tempdir_in(".").unwrap();
    let options = options(DatabaseUrl::sqlite(folder.path()));
    let (sqlite, postgres) = migrations();
    migrate(&options, sqlite, postgres).unwrap();

    let key = SecretBytes::new(vec![42; 32]);
    let site = Arc::new(Site {
        service: "vault",
        host_name: "host-a.example.test".into(),
        environment_name: "benchmark".into(),
        clock: Arc::new(SystemClock),
    });
    let outbox = Outbox::new(site.clone(), &key);
    let database = Database::open(options, || outbox.journal()).unwrap();
    outbox.attach(database.clone());
    let deps = Deps {
        config: Config::default(),
        checkpoint_key: SecretBytes::new(vec![43; 32]),
        database,
        outbox,
        settle: coffre_audit::settle(Vec::new()),
    };
    let app = build(deps).await.unwrap();
    let mut intake = IntakeServiceClient::new(Channel::in_process(app.parts.internal.prepare()));

    let stream_key = StreamKey::new(&key);
    let (stream, mut number, mut head) = ([3; 16], 1_i64, GENESIS);
    let mut done = 0;
    let (mut took, mut cpu) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    while done < wanted {
        let mut segments = Vec::with_capacity(SEGMENTS);
        for _ in 0..SEGMENTS {
            let (first, previous) = (number, head);
            let mut events = Vec::with_capacity(EVENTS);
            for _ in 0..EVENTS {
                let event = event(&site, number);
                head = next_hash(&stream, number, &head, &event);
                number += 1;
                events.push(event);
            }
            let mac = stream_key.segment_mac(&stream, first, number - first, &previous, &head);
            segments.push(Segment {
                stream_id: stream.to_vec(),
                first_sequence: first,
                events,
                previous_hash: previous.to_vec(),
                head_hash: head.to_vec(),
                mac: mac.to_vec(),
            });
        }
        let request = AppendSegmentsRequest { service: "vault".into(), segments };
        let (began, spent) = (Instant::now(), cpu_time());
        intake.append_segments(request).await.unwrap();
        took += began.elapsed();
        cpu += cpu_time() - spent;
        done += SEGMENTS * EVENTS;
        if done % 160_000 == 0 {
            println!("{done} events: {:.0}/s", done as f64 / took.as_secs_f64());
        }
    }
    let size = std::fs::metadata(folder.path().join("audit.db")).unwrap().len();
    println!(
        "{done} events in {:.2} s: {:.0}/s; {:.1} us CPU and {} bytes on disk an event",
        took.as_secs_f64(),
        done as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / done as f64,
        size / done as u64,
    );
}

/// The record of a read of a value, as the vault writes it.
fn event(site: &Arc<Site>, number: i64) -> Vec<u8> {
    let origin = Origin {
        site: site.clone(),
        method: "/coffre.vault.v1.AttributeValueService/ListAttributeValues",
        request_id: Arc::from(format!("{}-{number}", SystemClock.now().micros())),
        trace_id: Some([7; 16]),
        client_address: "192.0.2.7".parse().ok(),
        source: Source::Api,
    };
    let record = CallRecord::new(origin, "credential.value.read", ActivityType::ReadCredential);
    record.actor(UserId::from_trusted(1 + number % 50), format!("user-{}", number % 50), None);
    record.object("credential", 1 + number % 1000, format!("Credential {}", number % 1000));
    record.detail("values", "1");
    record.entry(Outcome::Successful, None, SystemClock.now()).bytes().to_vec()
}

/// User and system time of this process.
fn cpu_time() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.get(11..13).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    std::time::Duration::from_millis(ticks * 10)
}
