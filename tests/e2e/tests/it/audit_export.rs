//! `coffre audit export` over a connection that breaks, a server that is killed, and a session that ends: in the end the file holds
//! everything once, and it is proved.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use coffre_e2e::api::{CredentialChange, NewAttribute, Protocol, Session};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::server::{Engine, Home, Server, private_folder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::audit_command::{audit, said};

on_each_engine! {
    an_export_over_connections_that_break_holds_everything_once,
    an_export_goes_on_after_the_server_was_killed,
    an_export_whose_session_ends_says_how_to_go_on,
    picked_entries_are_proved_one_by_one,
}

/// What becomes of a connection after so many bytes of answers.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Breaks(usize),
    Holds(usize),
}

/// A way to a server that breaks, holds, and can lead to another one.
struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: Mutex<SocketAddr>,
    /// Of the connections to come; those after have none.
    limits: Mutex<VecDeque<Limit>>,
    held: Notify,
    open: watch::Sender<bool>,
}

impl Way {
    async fn new(to: SocketAddr, limits: &[Limit]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Mutex::new(limits.iter().copied().collect());
        let shared =
            Arc::new(Shared { to: Mutex::new(to), limits, held: Notify::new(), open: watch::channel(false).0 });
        let all = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let limit = all.limits.lock().unwrap().pop_front();
                tokio::spawn(carry(client, limit, all.clone()));
            }
        });
        Self { address, shared }
    }

    fn left(&self) -> usize {
        self.shared.limits.lock().unwrap().len()
    }
}

async fn carry(client: TcpStream, limit: Option<Limit>, shared: Arc<Shared>) {
    let to = *shared.to.lock().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    // What is held is held by the server, and not by this machine's buffers.
    socket.set_recv_buffer_size(8192).unwrap();
    let Ok(server) = socket.connect(to).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut sent, mut buffer) = (0, vec![0; 8192]);
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        sent += read;
        match limit {
            Some(Limit::Breaks(after)) if sent > after => break,
            Some(Limit::Holds(after)) if sent > after => {
                shared.held.notify_one();
                let _ = shared.open.subscribe().wait_for(|open| *open).await;
            }
            _ => {}
        }
        if to_client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

/// A log of some megabytes, with what proves it.
struct Log {
    home: Home,
    folder: PathBuf,
}

impl Log {
    async fn new(engine: Engine) -> (Self, Server) {
        let folder = private_folder("export");
        let witness = folder.join("audit.witness");
        let log = Self { home: Home::new(engine).with("COFFRE_AUDIT_WITNESS_FILE", witness.to_str().unwrap()), folder };
        let server = log.home.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let key = said(&audit(&server, &log.token("token", &case.admin), &["key"]));
        fs::write(log.folder.join("key"), key).unwrap();
        (log, server)
    }

    /// Adds long entries: each tells an old description and a new one.
    async fn fill(&self, case: &Case<'_>) {
        let change = async |number: usize| {
            let name = case.unique(&format!("long {number}"));
            let created = case.admin.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
            for round in 0..30_u32 {
                let letter = char::from_u32(0x1_f600 + round).unwrap();
                let description = Some(String::from(letter).repeat(1000));
                let change = CredentialChange { description, ..CredentialChange::default() };
                case.admin.update_credential(created.id, &change).await.ok();
            }
        };
        futures_util::future::join_all((0..10).map(change)).await;
        case.settle().await;
    }

    fn token(&self, name: &str, who: &Session) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, who.token.as_deref().unwrap()).unwrap();
        path
    }

    /// Begins an export over a way.
    fn export(&self, way: &Way, token: &Path, options: &[&str]) -> JoinHandle<Output> {
        let file = self.folder.join("log");
        let words = [&["audit", "export", "--out", file.to_str().unwrap()], options].concat();
        let mut command = self.home.command(&words);
        command.env("COFFRE_ADDR", format!("http://{}", way.address)).env("COFFRE_TOKEN_FILE", token);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    }

    /// Verifies the file against key and witness: exit code and report.
    fn verify(&self, server: &Server) -> (i32, Value) {
        let [file, key, witness] = ["log", "key", "audit.witness"].map(|name| self.folder.join(name));
        let [file, key, witness] = [&file, &key, &witness].map(|path| path.to_str().unwrap());
        let words = ["verify", file, "--older", "--key", key, "--witness", witness, "--json"];
        let output = audit(server, &self.folder.join("token"), &words);
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Each entry is proved against a checkpoint that a witness saw; returns how many there are. Whether all are there nobody can tell.
    #[track_caller]
    fn proved(&self, server: &Server) -> i64 {
        let (code, report) = self.verify(server);
        assert!(matches!(code, 0 | 4), "neither damaged nor without a proof or a witness: {report:#}");
        assert_eq!((&report["picked"], &report["unproven"]), (&true.into(), &0.into()), "{report:#}");
        assert_eq!((&report["totalFindings"], &report["anchored"]), (&0.into(), &report["size"]), "{report:#}");
        report["entries"].as_i64().unwrap()
    }

    /// All entries are there, once, in order, up to a checkpoint that a witness saw.
    #[track_caller]
    fn is_whole(&self, server: &Server) {
        let (code, report) = self.verify(server);
        assert_eq!((code, &report["verdict"]), (0, &"whole".into()), "{report:#}");
        assert_eq!(report["entries"].to_string(), report["size"].as_str().unwrap(), "{report:#}");
    }
}

async fn an_export_over_connections_that_break_holds_everything_once(engine: Engine) {
    let (log, server) = Log::new(engine).await;
    let case = Case::on(&server, Protocol::Rest).await;
    log.fill(&case).await;
    let limits = [100_000, 1_500_000, 700_000, 2_500_000, 2_000_000].map(Limit::Breaks);
    let way = Way::new(server.grpc, &limits).await;
    let said = said(&log.export(&way, &log.token("token", &case.admin), &[]).await.unwrap());
    assert!(said.contains(" entries are in "), "{said}");
    assert!(way.left() <= 1, "it broke again and again: {} breaks are left", way.left());
    log.is_whole(&server);
}

async fn an_export_goes_on_after_the_server_was_killed(engine: Engine) {
    let (log, server) = Log::new(engine).await;
    let case = Case::on(&server, Protocol::Rest).await;
    log.fill(&case).await;
    let way = Way::new(server.grpc, &[Limit::Holds(1_500_000)]).await;
    let export = log.export(&way, &log.token("token", &case.admin), &[]);
    way.shared.held.notified().await;
    server.kill();
    let server = log.home.start();
    *way.shared.to.lock().unwrap() = server.grpc;
    way.shared.open.send_replace(true);
    said(&export.await.unwrap());
    log.is_whole(&server);
}

async fn an_export_whose_session_ends_says_how_to_go_on(engine: Engine) {
    let (log, server) = Log::new(engine).await;
    let case = Case::on(&server, Protocol::Rest).await;
    log.fill(&case).await;
    let auditor = case.holder("auditor", &[permission::VIEW_ALL_AUDIT]).await;
    let way = Way::new(server.grpc, &[Limit::Holds(3_000_000)]).await;
    let export = log.export(&way, &log.token("ended", &auditor), &[]);
    way.shared.held.notified().await;
    auditor.sign_out().await.ok();
    way.shared.open.send_replace(true);
    let output = export.await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{told}");
    assert!(told.contains("--resume goes on behind it"), "{told}");
    let (code, report) = log.verify(&server);
    assert_eq!((code, &report["findings"][0]["kind"]), (1, &"truncated".into()), "{report:#}");

    let again = case.anonymous().open(&auditor.username, &case.password_of(&auditor)).await;
    said(&log.export(&way, &log.token("again", &again), &["--resume"]).await.unwrap());
    log.is_whole(&server);
}

async fn picked_entries_are_proved_one_by_one(engine: Engine) {
    let (log, server) = Log::new(engine).await;
    let case = Case::on(&server, Protocol::Rest).await;
    let plain = case.basic("plain").await;
    for number in 0..5 {
        let name = case.unique(&format!("picked {number}"));
        plain.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
    }
    case.settle().await;
    let way = Way::new(server.grpc, &[]).await;
    let file = log.folder.join("log");
    let admin = log.token("token", &case.admin);
    let created = ["--event", "credential.created", "--proofs"];

    said(&log.export(&way, &admin, &created).await.unwrap());
    assert_eq!(log.proved(&server), 5);
    // One that was put in from elsewhere does not lead to the root.
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let other = lines[2]["proof"].clone();
    lines[1]["proof"] = other;
    let forged: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, forged).unwrap();
    let (code, report) = log.verify(&server);
    assert_eq!((code, &report["findings"][0]["kind"]), (1, &"notIncluded".into()), "{report:#}");

    // Without proofs nothing is said of them.
    fs::remove_file(&file).unwrap();
    said(&log.export(&way, &admin, &created[..2]).await.unwrap());
    let (code, report) = log.verify(&server);
    assert_eq!((code, &report["unproven"]), (3, &5.into()), "{report:#}");

    // Somebody who sees the own entries alone proves those; a checkpoint of now is for auditors, so the latest one it is.
    case.admin.create_checkpoint().await.ok();
    fs::remove_file(&file).unwrap();
    said(&log.export(&way, &log.token("plain", &plain), &["--proofs"]).await.unwrap());
    assert!(log.proved(&server) >= 5);

    // Everything is proved as a whole.
    fs::remove_file(&file).unwrap();
    said(&log.export(&way, &admin, &["--proofs"]).await.unwrap());
    log.is_whole(&server);
    let table = log.export(&way, &admin, &["--proofs", "--format", "csv"]).await.unwrap();
    assert_eq!(table.status.code(), Some(65), "{}", String::from_utf8_lossy(&table.stderr));
}
