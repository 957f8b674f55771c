//! Measures durable appends, with callers that each wait for their commit.
//!
//! `cargo run --release -p coffre-db --example append_rate -- sqlite:/path/on/the/disk [callers]`, or a `postgres://…` address.
#![allow(clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use coffre_db::{Connection, Database, DatabaseUrl, Engine, Error, Journal, JournalEntry, Options, Sql};
use diesel::RunQueryDsl as _;

/// One row a commit, as the audit's outbox has.
struct Rows;

impl Journal for Rows {
    fn write(&mut self, conn: &mut Connection, entries: &[JournalEntry]) -> Result<(), Error> {
        let body: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes().iter().copied()).collect();
        Sql::new("INSERT INTO append_rate (body) VALUES (").bind(body).push(")").cached().execute(conn)?;
        Ok(())
    }

    fn committed(&mut self) {}

    fn rolled_back(&mut self) {}

    fn in_doubt(&mut self) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = DatabaseUrl::parse(&arguments.next().ok_or("which database?")?)?;
    let callers: usize = arguments.next().map_or(Ok(64), |number| number.parse())?;
    let body = if url.engine() == Engine::Sqlite { "BLOB" } else { "BYTEA" };
    let database = Database::open(Options::new(url, "bench"), || Box::new(Rows))?;
    let create = match body {
        "BLOB" => "CREATE TABLE IF NOT EXISTS append_rate (body BLOB NOT NULL)",
        _ => "CREATE SCHEMA IF NOT EXISTS coffre_bench; CREATE TABLE IF NOT EXISTS append_rate (body BYTEA NOT NULL)",
    };
    database
        .write(move |tx| Ok::<_, Error>(diesel::connection::SimpleConnection::batch_execute(tx.conn(), create)?))
        .await?;
    let end = Instant::now() + Duration::from_secs(5);
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move {
                let (mut appended, mut slowest) = (0_u64, Duration::ZERO);
                while Instant::now() < end {
                    let before = Instant::now();
                    database.append(vec![JournalEntry::new(vec![7_u8; 332])]).await?;
                    slowest = slowest.max(before.elapsed());
                    appended += 1;
                }
                Ok::<_, Error>((appended, slowest))
            })
        })
        .collect();
    let (mut appended, mut slowest) = (0, Duration::ZERO);
    for task in tasks {
        let (own, longest) = task.await??;
        appended += own;
        slowest = slowest.max(longest);
    }
    let stats = database.stats().append();
    let commits = stats.commits().max(1);
    println!(
        "{} appends/s, {} a commit, {} µs a COMMIT, slowest append {slowest:?}",
        appended / 5,
        appended / commits,
        stats.commit_micros() / commits
    );
    Ok(())
}
