//! Long runs, outside the tests: `cargo xtask soak`. Prints its figures; ends with an error where anything was lost.
//!
//! - kills: the server is killed under load, again and again on the same data (see [`coffre_e2e::kills`]);
//! - front door: the times of refused sign-ins of all kinds are compared by a rank test; very many token requests come from clients that nobody
//!   knows, while memory of the server is watched;
//! - crowds: very many connections that say nothing, at every port of services apart, one port after the other;
//! - versions: services of the version before, and of this one beside it and in its place, under load (see [`coffre_e2e::versions`]);
//! - load: reads and writes with one per cent of bad input, while memory, open files and threads of the server are watched; on
//!   PostgreSQL also with two replicas of each service in processes of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use coffre_e2e::api::{NewAttribute, NewValue, Protocol};
use coffre_e2e::case::{Case, block_on};
use coffre_e2e::front_door;
use coffre_e2e::hostile::{Crowd, Manner};
use coffre_e2e::http::Http;
use coffre_e2e::kills;
use coffre_e2e::process::Process;
use coffre_e2e::raw;
use coffre_e2e::server::{Engine, Home, Server};
use coffre_e2e::settled;
use coffre_e2e::split::{self, Ground};
use coffre_e2e::versions;
use serde_json::json;

/// What the run takes.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often the server is killed, on each engine
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How long the load goes on, on each engine
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How many refused sign-ins of each kind are measured, on each engine; 0: none
    #[arg(long, default_value_t = 600)]
    refusals: usize,
    /// How many token requests come from clients that nobody knows, on each engine
    #[arg(long, default_value_t = 1_000_000)]
    clients: u64,
    /// How long the load goes on with every service in processes of its own
    #[arg(long, default_value_t = 10)]
    apart: u64,
    /// How many connections that say nothing are opened at each port of services apart
    #[arg(long, default_value_t = 10_000)]
    silent: usize,
    /// The program `coffre` of the version before, which is replaced by this one under load
    #[arg(long)]
    before: Option<PathBuf>,
    /// How many connections the load has
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

fn main() {
    let arguments = Arguments::parse();
    for engine in Engine::BOTH.into_iter().filter(|engine| engine.is_wanted()) {
        if arguments.kills > 0 {
            let figures = block_on(kills::run(engine, arguments.kills));
            settled::finish();
            let mut starts = figures.starts.clone();
            starts.sort();
            println!(
                "{engine:?}: {} kills, {} reads, {} writes and {} changes of what is shared acknowledged, none lost; start to first answer: median {:?}, longest {:?}",
                figures.kills,
                figures.reads,
                figures.writes,
                figures.shared,
                starts[starts.len() / 2],
                starts[starts.len() - 1],
            );
        }
        if arguments.refusals > 0 {
            refusals(engine, arguments.refusals);
        }
        if arguments.clients > 0 {
            clients(engine, arguments.clients, arguments.connections);
        }
        if arguments.minutes > 0 {
            let length = Duration::from_secs(arguments.minutes * 60);
            block_on(async {
                let server = home(engine).start();
                let processes = [("all", server.process())];
                load(&format!("{engine:?}"), &server, &processes, length, arguments.connections).await;
                assert!(server.stop().success());
            });
        }
        if engine == Engine::Postgres && arguments.apart > 0 {
            let length = Duration::from_secs(arguments.apart * 60);
            block_on(async {
                let server = Ground::of_two(home(engine)).start();
                let processes: Vec<_> = server.parts.iter().map(|part| (part.service, part.process())).collect();
                load("services apart", &server, &processes, length, arguments.connections).await;
                split::stop(&server);
            });
        }
        if engine == Engine::Postgres && arguments.silent > 0 {
            block_on(silent(arguments.silent));
        }
        if let (Engine::Postgres, Some(before)) = (engine, &arguments.before) {
            let figures = block_on(versions::beside(before));
            println!(
                "versions: {} reads and {} writes acknowledged while every service was replaced, {} refused, none lost",
                figures.reads, figures.writes, figures.refused
            );
        }
    }
}

/// Compares refusals by their time, and ends where somebody could tell them apart.
fn refusals(engine: Engine, samples: usize) {
    let times = block_on(front_door::times(engine, samples));
    let mut differ = Vec::new();
    for kind in &times {
        let beside = times.iter().find(|other| other.refusal == kind.refusal.beside()).unwrap();
        let ranks = kind.compared(beside);
        let found = match (kind.refusal == beside.refusal, ranks.differ()) {
            (true, _) => "what the others are compared with".to_owned(),
            (false, differ) => format!(
                "longer than {:?} in {:.1} % of pairs, p = {:.4}{}",
                beside.refusal,
                ranks.longer * 100.0,
                ranks.p,
                if differ { ": THEY DIFFER" } else { "" }
            ),
        };
        println!(
            "{engine:?}: {samples} × {:<14} quartiles {:>7} {:>7} {:>7} µs, p95 {:>7} µs; {found}",
            format!("{:?}", kind.refusal),
            kind.quantile(0.25),
            kind.quantile(0.5),
            kind.quantile(0.75),
            kind.quantile(0.95),
        );
        if ranks.differ() {
            differ.push(kind.refusal);
        }
    }
    assert!(differ.is_empty(), "refusals that their time tells apart: {differ:?}");
}

/// Watches the memory of a server that many unknown clients ask for tokens.
fn clients(engine: Engine, requests: u64, connections: usize) {
    let seen = std::sync::Mutex::new(Vec::new());
    block_on(front_door::unknown_clients(engine, requests, connections, |sent, pid, elapsed| {
        let now = usage(pid);
        println!("{engine:?}: {sent:>8} unknown clients in {:>4} s: {now:?}", elapsed.as_secs());
        seen.lock().unwrap().push(now);
    }));
    let seen = seen.into_inner().unwrap();
    let (first, last) = (seen[seen.len() / 4], seen[seen.len() - 1]);
    println!(
        "{engine:?}: resident {} MiB after a quarter of the unknown clients, {} MiB after all",
        first.resident_mib, last.resident_mib
    );
    assert!(last.resident_mib < first.resident_mib + first.resident_mib / 4 + 32, "memory grows with unknown clients");
}

/// Opens very many connections that say nothing, and looks at who is served meanwhile.
async fn silent(count: usize) {
    let ground = Ground::new(home(Engine::Postgres));
    let server = ground.start();
    let case = Case::on(&server, Protocol::Rest).await;
    let owner = case.basic("soak").await;
    let (gateway, vault) = (server.part("gateway"), server.part("vault"));
    let ports = [
        ("REST", gateway, gateway.http.unwrap()),
        ("gRPC", vault, vault.grpc.unwrap()),
        ("internal", vault, ground.inside("vault")),
        ("management", vault, vault.management),
    ];
    for (name, part, port) in ports {
        let before = usage(part.process().pid);
        let crowd = Crowd::at(port, Manner::Silent, count);
        crowd.tried(count / 2).await;
        let (open, during) = (crowd.open(), usage(part.process().pid));
        // On a connection of before, and by a new one to the port of probes.
        let begun = Instant::now();
        owner.list_credentials(&Default::default()).await.ok();
        let answered = begun.elapsed();
        let begun = Instant::now();
        assert_eq!(raw::status_of(part.management, "/readyz"), Some(200), "{name}: a probe is answered");
        println!(
            "{count} silent connections at {name}: half tried, {open} stand; a call took {answered:?}, a probe {:?}; before {before:?}, now {during:?}",
            begun.elapsed()
        );
        crowd.opened().await;
        drop(crowd);
        let begun = Instant::now();
        while usage(part.process().pid).files > before.files + 32 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {:?}", usage(part.process().pid));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(
            usage(part.process().pid).resident_mib < before.resident_mib + 128,
            "memory grows with silent connections"
        );
    }
    owner.list_credentials(&Default::default()).await.ok();
    split::stop(&server);
}

/// What the kernel says about a process.
#[derive(Clone, Copy, Debug)]
struct Usage {
    resident_mib: u64,
    files: usize,
    threads: u64,
}

fn usage(pid: u32) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the soak runs where /proc is");
    let number = |key: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}"));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Usage { resident_mib: number("VmRSS:") / 1024, files, threads: number("Threads:") }
}

/// Counts of answers.
#[derive(Debug, Default)]
struct Answers {
    good: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
}

fn home(engine: Engine) -> Home {
    Home::new(engine)
        .with("COFFRE_AUTH__TOKEN_LIFE_SECONDS", "86400")
        .with("COFFRE_AUTH__SESSION_LIFE_SECONDS", "86400")
        .with("COFFRE_LOG", "warn")
}

async fn load(form: &str, server: &Server, processes: &[(&str, Arc<Process>)], length: Duration, connections: usize) {
    let case = Case::on(server, Protocol::Rest).await;
    let owner = case.basic("soak").await;
    let answers: Arc<Answers> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for index in 0..connections {
        let name = case.unique(&format!("soak {index}"));
        let created = owner.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
        let value =
            owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("soak"))]).await.ok()
                [0]
            .id;
        let path = format!("/v2/credentialvault/credentials/{}/attributevalues", created.id);
        let (answers, stop, token) = (answers.clone(), stop.clone(), owner.token.clone().unwrap());
        let (http, secret) = (Http::new(server.http), case.secret("soaked"));
        workers.push(tokio::spawn(async move {
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                let (request, expected) = match round % 100 {
                    // Bad input, of another kind each time.
                    0 => match round / 100 % 5 {
                        0 => (http.post(&*path).token(&token).body("{"), 400),
                        1 => (http.get("/nowhere").token(&token), 404),
                        2 => (http.get(&*path).token("forged"), 401),
                        3 => (http.post(&*path).token(&token).body(vec![b'['; 100_000]), 400),
                        _ => (
                            http.put(format!("{path}/{value}"))
                                .token(&token)
                                .json(&json!({"value": "x", "version": 0})),
                            409,
                        ),
                    },
                    n if n % 10 == 1 => {
                        (http.put(format!("{path}/{value}")).token(&token).json(&json!({"value": secret})), 200)
                    }
                    _ => (http.get(&*path).token(&token), 200),
                };
                let count = match request.try_send().await {
                    Ok(answer) if answer.status == expected && expected == 200 => &answers.good,
                    Ok(answer) if answer.status == expected => &answers.refused,
                    _ => &answers.wrong,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let begun = Instant::now();
    let mut seen: Vec<Vec<Usage>> = Vec::new();
    while begun.elapsed() < length {
        tokio::time::sleep(Duration::from_secs(5).min(length)).await;
        let now: Vec<Usage> = processes.iter().map(|(_, process)| usage(process.pid)).collect();
        println!("{form}: {:>4} s: {answers:?}", begun.elapsed().as_secs());
        for ((name, _), now) in processes.iter().zip(&now) {
            println!("    {name:<8} {now:?}");
        }
        seen.push(now);
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let total = answers.good.load(Ordering::Relaxed) + answers.refused.load(Ordering::Relaxed);
    let wrong = answers.wrong.load(Ordering::Relaxed);
    println!(
        "{form}: {total} answers in {:?} ({:.0}/s), {wrong} wrong",
        begun.elapsed(),
        total as f64 / begun.elapsed().as_secs_f64()
    );
    for (index, (name, _)) in processes.iter().enumerate() {
        let (first, last) = (seen[seen.len() / 4][index], seen[seen.len() - 1][index]);
        println!(
            "{form}: {name}: resident {} MiB after a quarter, {} MiB at the end; files {} and {}; threads {} and {}",
            first.resident_mib, last.resident_mib, first.files, last.files, first.threads, last.threads,
        );
        assert!(last.resident_mib < first.resident_mib + first.resident_mib / 2 + 64, "memory of {name} grows");
        assert!(last.files < first.files + 32, "open files of {name} grow");
    }
    assert_eq!(wrong, 0, "answers that nobody expects");
}
