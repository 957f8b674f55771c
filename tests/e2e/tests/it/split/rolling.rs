//! Two replicas of each service, restarted one after the other under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue, Protocol};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::Ground;
use http::Method;
use serde_json::{Value as Json, json};

/// One kind of call, made on and on.
#[derive(Clone)]
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
    failed: std::sync::Mutex<Vec<String>>,
}

async fn call_on_and_on(http: Http, call: Call, met: Arc<Met>) {
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
            Some(why) => met.failed.lock().unwrap().push(format!("{} {}: {why}", call.method, call.path)),
        }
    }
}

#[test]
fn a_rolling_restart_of_every_service_fails_no_call() {
    run_apart(Engine::Postgres, async |engine| {
        let server = Ground::of_two(Home::new(engine)).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let secret = case.secret("kept");
        let values = owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
        let locker = owner.create_locker(&case.unique("kept"), None).await.ok();
        owner.assign(locker.id, created.id).await.ok();
        case.settle().await;

        let of_credential = format!("/v2/credentialvault/credentials/{}", created.id);
        let of_locker = format!("/v2/credentialvault/lockers/{}", locker.id);
        let token = owner.token.clone().unwrap();
        let call = |method: Method, path: String, body| Call { method, path, body, token: token.clone() };
        let calls = [
            call(Method::GET, format!("{of_credential}/attributevalues"), None),
            call(
                Method::PUT,
                format!("{of_credential}/attributevalues/{}", values[0].id),
                Some(json!({"value": secret})),
            ),
            call(Method::GET, format!("{of_locker}/credentials"), None),
            call(Method::GET, format!("{of_locker}/members"), None),
            call(Method::POST, "/v1/audit/messages/list".to_owned(), Some(json!({"page": {"length": 1}}))),
            call(Method::POST, "/v1/authentication/token".to_owned(), Some(json!({"token": token}))),
        ];
        let met = Arc::new(Met::default());
        let callers: Vec<_> = calls
            .into_iter()
            .map(|call| tokio::spawn(call_on_and_on(Http::new(server.http), call, met.clone())))
            .collect();
        for part in server.parts.iter().filter(|part| part.service != "gateway") {
            let (before, begun) = (met.answered.load(Ordering::SeqCst), Instant::now());
            while met.answered.load(Ordering::SeqCst) < before + 60 {
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "calls are answered: {:?}",
                    met.failed.lock().unwrap()
                );
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let process = part.process();
            let stopped = tokio::task::spawn_blocking({
                let process = process.clone();
                move || process.stop()
            });
            assert!(stopped.await.unwrap().success(), "{} drains and ends with 0: {}", part.service, process.said());
            tokio::task::block_in_place(|| part.start());
            let failed = met.failed.lock().unwrap().clone();
            assert!(failed.is_empty(), "while {} was restarted: {failed:#?}", part.service);
        }
        met.stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await.unwrap();
        }
        let failed = met.failed.lock().unwrap().clone();
        assert!(failed.is_empty(), "{failed:#?}");
        case.settle().await;
    });
}
