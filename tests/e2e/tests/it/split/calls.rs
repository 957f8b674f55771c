//! Calls of several kinds, made on and on while something is done to the processes; none may fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue};
use coffre_e2e::case::Case;
use coffre_e2e::http::Http;
use http::Method;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

/// One kind of call.
struct Call {
    method: Method,
    path: String,
    body: Option<Json>,
    token: String,
}

/// What the callers met.
#[derive(Default)]
struct Met {
    stop: AtomicBool,
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

/// Callers who are at it.
pub(crate) struct Calls {
    met: Arc<Met>,
    callers: Vec<JoinHandle<()>>,
}

async fn on_and_on(http: Http, call: Call, met: Arc<Met>) {
    while !met.stop.load(Ordering::SeqCst) {
        let mut request = http.request(call.method.clone(), &*call.path).token(&call.token);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let failed = match request.try_send().await {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => Some(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))),
            Err(error) => Some(format!("no answer: {error:#}")),
        };
        match failed {
            None => {
                met.answered.fetch_add(1, Ordering::SeqCst);
            }
            Some(why) => {
                let mut all = met.failed.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(format!("{} {}: {why}", call.method, call.path));
            }
        }
    }
}

impl Calls {
    /// Starts reads and writes of a value in a locker, and calls to every other service.
    pub(crate) async fn start(case: &Case<'_>) -> Self {
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let secret = case.secret("kept");
        let values = owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
        let locker = owner.create_locker(&case.unique("kept"), None).await.ok();
        owner.assign(locker.id, created.id).await.ok();
        let of_credential = format!("/v2/credentialvault/credentials/{}", created.id);
        let of_locker = format!("/v2/credentialvault/lockers/{}", locker.id);
        let token = owner.token.clone().unwrap();
        let value = format!("{of_credential}/attributevalues/{}", values[0].id);
        let met = Arc::new(Met::default());
        let callers = [
            (Method::GET, format!("{of_credential}/attributevalues"), None),
            (Method::PUT, value, Some(json!({"value": secret}))),
            (Method::GET, format!("{of_locker}/credentials"), None),
            (Method::GET, format!("{of_locker}/members"), None),
            (Method::POST, "/v1/audit/messages/list".to_owned(), Some(json!({"page": {"length": 1}}))),
            (Method::POST, "/v1/authentication/token".to_owned(), Some(json!({"token": token}))),
        ]
        .map(|(method, path, body)| {
            let call = Call { method, path, body, token: token.clone() };
            tokio::spawn(on_and_on(Http::new(case.server.http), call, met.clone()))
        });
        Self { met, callers: callers.into() }
    }

    /// Waits for some more answers.
    pub(crate) async fn go_on(&self) {
        const SOME: usize = 60;
        let (before, begun) = (self.met.answered.load(Ordering::SeqCst), Instant::now());
        while self.met.answered.load(Ordering::SeqCst) < before + SOME {
            assert!(begun.elapsed() < Duration::from_secs(30), "calls are answered");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Looks whether one failed so far.
    pub(crate) fn none_failed(&self, when: &str) {
        let failed = self.met.failed.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failed.is_empty(), "{when}: {failed:#?}");
    }

    /// Ends them.
    pub(crate) async fn end(self) {
        self.met.stop.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.unwrap();
        }
        let failed = self.met.failed.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failed.is_empty(), "{failed:#?}");
    }
}
