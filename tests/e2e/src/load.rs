//! Callers that write and read as fast as they can and remember what was acknowledged, for servers that are killed under them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::canary;
use crate::http::{Http, HttpAnswer};
use crate::server::Server;

/// What the server acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Credential, value, content of the last acknowledged write; one writer each, so the last is the newest.
    pub values: Vec<Written>,
    /// Names of credentials that were created.
    pub credentials: Vec<(String, String)>,
    /// Request ids of reads whose answer held a value.
    pub reads: Vec<String>,
    /// Request ids of acknowledged writes.
    pub writes: Vec<String>,
    /// The entry of the audit that each of these answers named, by request id.
    pub receipts: BTreeMap<String, String>,
    /// Calls that were refused for a while.
    pub refused: Vec<Refused>,
}

/// A call that was not answered with what it asked for.
#[derive(Clone, Debug)]
pub struct Refused {
    pub begun: Instant,
    pub took: Duration,
    pub status: u16,
    pub code: String,
    pub is_write: bool,
}

impl Acknowledged {
    fn receipt(&mut self, request: &str, answer: &HttpAnswer) {
        let id = answer.header("x-audit-id").unwrap_or_else(|| panic!("an answer without its receipt: {answer:?}"));
        self.receipts.insert(request.to_owned(), id.to_owned());
    }

    fn refusal(&mut self, begun: Instant, answer: &HttpAnswer, is_write: bool) {
        let (took, code) = (begun.elapsed(), answer.code());
        self.refused.push(Refused { begun, took, status: answer.status, code, is_write });
    }
}

/// The state of one value as its only writer knows it.
#[derive(Clone, Debug)]
pub struct Written {
    pub credential: String,
    pub value: String,
    /// The last content that was acknowledged.
    pub acknowledged: String,
    /// Contents that were sent and not answered, or refused for a while: each may be there or not. A later one that was acknowledged does not
    /// end that: what is under way at a replica that was cut off may be done when that is over.
    pub open: Vec<String>,
}

/// Work that goes on until it is stopped or the server is gone.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<Option<Written>>>,
    shared: Arc<Mutex<Acknowledged>>,
}

fn id() -> String {
    format!("load-{}", uuid::Uuid::new_v4())
}

impl Load {
    /// Starts writers and readers, each writer with a credential and a value of its own.
    pub async fn start(server: &Server, token: &str, writers: usize, readers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shared: Arc<Mutex<Acknowledged>> = Arc::default();
        let mut workers = Vec::new();
        for _ in 0..writers {
            let http = Http::new(server.http);
            let Some(written) = prepare(&http, token, &shared).await else { continue };
            let (stop, shared, token) = (stop.clone(), shared.clone(), token.to_owned());
            workers.push(tokio::spawn(async move { Some(write(&http, &token, written, &stop, &shared).await) }));
        }
        let http = Http::new(server.http);
        let Some(target) = prepare(&http, token, &shared).await else {
            return Self { stop, workers, shared };
        };
        for _ in 0..readers {
            let http = Http::new(server.http);
            let (stop, shared, token, target) = (stop.clone(), shared.clone(), token.to_owned(), target.clone());
            workers.push(tokio::spawn(async move {
                read(&http, &token, &target, &stop, &shared).await;
                None
            }));
        }
        Self { stop, workers, shared }
    }

    /// How many calls were acknowledged so far.
    pub fn count(&self) -> usize {
        let (reads, writes, _) = self.counts();
        reads + writes
    }

    /// How many reads and how many writes were acknowledged so far, and how many calls refused.
    pub fn counts(&self) -> (usize, usize, usize) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (shared.reads.len(), shared.writes.len(), shared.refused.len())
    }

    /// The calls that were refused so far.
    pub fn refused(&self) -> Vec<Refused> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// Waits until so many more reads, and so many more writes, are acknowledged.
    ///
    /// # Panics
    /// Where that takes longer than half a minute.
    pub async fn goes_on(&self, more: usize) {
        let (begun, (reads, writes, _)) = (Instant::now(), self.counts());
        loop {
            let now = self.counts();
            if now.0 >= reads + more && now.1 >= writes + more {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the load does not get on: from {reads} reads and {writes} writes to {now:?}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for the callers, who end with the server, and returns what was acknowledged.
    pub async fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::SeqCst);
        let mut values = Vec::new();
        for worker in self.workers {
            values.extend(worker.await.expect("a caller does not panic"));
        }
        let mut all = std::mem::take(&mut *self.shared.lock().unwrap_or_else(PoisonError::into_inner));
        all.values = values;
        all
    }
}

async fn prepare(http: &Http, token: &str, shared: &Mutex<Acknowledged>) -> Option<Written> {
    let name = format!("load {}", uuid::Uuid::new_v4());
    let request = id();
    let body = json!({"name": name, "attributes": [{"name": "secret"}]});
    let created =
        http.post("/v2/credentialvault/credentials").token(token).header("x-request-id", &request).json(&body);
    let answer = created.try_send().await.ok()?;
    let created = answer.is(201);
    let (credential, attribute) =
        (created["id"].as_str()?.to_owned(), created["attributes"][0]["id"].as_str()?.to_owned());
    {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.credentials.push((credential.clone(), name));
        shared.receipt(&request, &answer);
        shared.writes.push(request);
    }
    let content = canary::secret(&id());
    let body = json!([{"credentialAttributeId": attribute, "value": content}]);
    let path = format!("/v2/credentialvault/credentials/{credential}/attributevalues");
    let stored = http.post(path).token(token).json(&body).try_send().await.ok()?.is(201);
    Some(Written { credential, value: stored[0]["id"].as_str()?.to_owned(), acknowledged: content, open: Vec::new() })
}

async fn write(
    http: &Http,
    token: &str,
    mut written: Written,
    stop: &AtomicBool,
    shared: &Mutex<Acknowledged>,
) -> Written {
    while !stop.load(Ordering::SeqCst) {
        let (request, content) = (id(), canary::secret(&id()));
        let path = format!("/v2/credentialvault/credentials/{}/attributevalues/{}", written.credential, written.value);
        let body = json!({"value": content});
        let begun = Instant::now();
        let answer = http.put(path).token(token).header("x-request-id", &request).json(&body).try_send().await;
        match answer {
            Ok(answer) if answer.status == 200 => {
                written.acknowledged = content;
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.receipt(&request, &answer);
                shared.writes.push(request);
            }
            // An answer that says no, for a while: the server is stopping or its database is.
            Ok(answer) if matches!(answer.status, 503 | 504) => {
                written.open.push(content);
                shared.lock().unwrap_or_else(PoisonError::into_inner).refusal(begun, &answer, true);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(answer) => panic!("a write is answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(_) => {
                written.open.push(content);
                break;
            }
        }
    }
    written
}

async fn read(http: &Http, token: &str, target: &Written, stop: &AtomicBool, shared: &Mutex<Acknowledged>) {
    let path = format!("/v2/credentialvault/credentials/{}/attributevalues", target.credential);
    while !stop.load(Ordering::SeqCst) {
        let (request, begun) = (id(), Instant::now());
        let answer = http.get(&*path).token(token).header("x-request-id", &request).try_send().await;
        match answer {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.json()["list"][0]["value"], json!(target.acknowledged));
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.receipt(&request, &answer);
                shared.reads.push(request);
            }
            Ok(answer) if matches!(answer.status, 503 | 504) => {
                shared.lock().unwrap_or_else(PoisonError::into_inner).refusal(begun, &answer, false);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(answer) => panic!("a read is answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(_) => break,
        }
    }
}
