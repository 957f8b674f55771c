//! Traces as a collector gets them: one for a call through every service down to the database, without anything that somebody typed; and
//! collectors that do not answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue, Protocol};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::Ground;
use futures_util::stream;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OUTSIDE: &str = "00f067aa0ba902b7";
const SENT_WITHIN: Duration = Duration::from_secs(20);

/// A span, and the service that told of it.
#[derive(Clone, Debug)]
struct Told {
    service: String,
    span: Span,
}

impl Told {
    fn note(&self, key: &str) -> Option<String> {
        value(&self.span.attributes, key)
    }
}

fn value(notes: &[KeyValue], key: &str) -> Option<String> {
    let note = notes.iter().find(|note| note.key == key)?;
    match note.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Told>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let message = request.into_inner();
        self.bytes.lock().unwrap().extend(message.encode_to_vec());
        for of_process in message.resource_spans {
            let service = value(&of_process.resource.unwrap().attributes, "service.name").unwrap();
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| Told { service: service.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let message = request.into_inner();
        self.bytes.lock().unwrap().extend(message.encode_to_vec());
        let scopes = message.resource_metrics.into_iter().flat_map(|of_process| of_process.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()).max_decoding_message_size(usize::MAX))
            .add_service(MetricsServiceServer::new(collector.clone()).max_decoding_message_size(usize::MAX));
        let incoming = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(connection, _)| connection);
            Some((accepted, listener))
        });
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, address)
    }

    /// The spans of a trace, once they say what is asked for.
    async fn trace(&self, complete: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let begun = Instant::now();
        loop {
            let of_trace = |told: &&Told| hex::encode(&told.span.trace_id) == TRACE;
            let all: Vec<Told> = self.spans.lock().unwrap().iter().filter(of_trace).cloned().collect();
            if complete(&all) {
                return all;
            }
            assert!(begun.elapsed() < SENT_WITHIN, "the trace is not whole: {}", tree(&all));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn tree(spans: &[Told]) -> String {
    let line = |told: &Told| {
        let (id, parent) = (hex::encode(&told.span.span_id), hex::encode(&told.span.parent_span_id));
        format!("{id} in {parent}: {} {} {:?}\n", told.service, told.span.name, told.note("db.system.name"))
    };
    spans.iter().map(line).collect()
}

/// Says whether a span leads up to another one.
fn is_under<'s>(spans: &'s BTreeMap<Vec<u8>, Told>, mut id: &'s [u8], above: &[u8]) -> bool {
    while id != above {
        match spans.get(id) {
            Some(told) => id = &told.span.parent_span_id,
            None => return false,
        }
    }
    true
}

#[test]
fn a_trace_leads_from_the_gateway_through_the_services_to_the_statements_and_holds_no_secret() {
    run_apart(Engine::Postgres, async |engine| {
        let (collector, address) = Collector::start().await;
        let home = Home::new(engine).with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"));
        let server = Ground::new(home).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("traced"), &[NewAttribute::standard("a")]).await.ok();
        let locker = owner.create_locker(&case.unique("traced"), None).await.ok();
        owner.assign(locker.id, created.id).await.ok();
        let path =
            format!("/v2/credentialvault/credentials/{}/attributevalues?note={}", created.id, case.secret("query"));
        let secret = case.secret("traced");
        let (http, token) = (Http::new(server.http), owner.token.clone().unwrap());
        let request = http.post(&*path).token(&token).header("x-request-id", "traced-1");
        let request = request.header("traceparent", &format!("00-{TRACE}-{OUTSIDE}-01"));
        let body = json!([{"credentialAttributeId": created.attributes[0].id, "value": secret}]);
        request.header("x-planted", &case.secret("header")).json(&body).send().await.is(201);
        case.api.ledger.forget();

        let of = |all: &[Told], service: &str, part: &str| {
            all.iter()
                .filter(|told| told.service == service && told.span.name.contains(part))
                .cloned()
                .collect::<Vec<_>>()
        };
        let all = collector
            .trace(|all| {
                !of(all, "coffre-gateway", "POST /v2").is_empty()
                    && !of(all, "coffre-vault", "COMMIT").is_empty()
                    && !of(all, "coffre-vault", "AttributeValueService").is_empty()
            })
            .await;
        let by_id: BTreeMap<_, _> = all.iter().map(|told| (told.span.span_id.clone(), told.clone())).collect();
        let roots = of(&all, "coffre-gateway", "POST ");
        let [root] = roots.as_slice() else { panic!("{}", tree(&all)) };
        assert_eq!(root.span.name, "POST /v2/credentialvault/credentials/{id}/attributevalues");
        assert_eq!(hex::encode(&root.span.parent_span_id), OUTSIDE, "the trace goes on from outside");
        assert_eq!(root.note("coffre.request_id").as_deref(), Some("traced-1"));
        assert_eq!(root.note("http.response.status_code").as_deref(), Some("201"));
        for told in &all {
            assert!(is_under(&by_id, &told.span.span_id, &root.span.span_id), "one tree: {}", tree(&all));
        }
        let [asked, answered] = ["coffre-gateway", "coffre-vault"]
            .map(|service| of(&all, service, "coffre.vault.v1.AttributeValueService/"));
        assert_eq!(answered[0].span.parent_span_id, asked[0].span.span_id, "{}", tree(&all));
        for statement in ["SELECT", "INSERT", "COMMIT"] {
            let statements = of(&all, "coffre-vault", statement);
            assert!(!statements.is_empty(), "{statement}: {}", tree(&all));
            for told in statements {
                assert_eq!(told.note("db.system.name").as_deref(), Some("postgresql"));
                assert!(is_under(&by_id, &told.span.span_id, &answered[0].span.span_id), "{}", tree(&all));
            }
        }

        let refused = http.get("/v2/credentialvault/credentials/1?planted=x").header("x-authorization", &secret);
        refused
            .header("traceparent", &format!("00-{TRACE}-{OUTSIDE}-01"))
            .send()
            .await
            .refused(401, "auth.token_invalid");
        collector.trace(|all| all.iter().any(|told| told.note("error.type").is_some())).await;
        let said = server.part("gateway").process().said();
        let line = said.lines().find(|line| line.contains(TRACE) && line.contains("request_id"));
        assert!(line.is_some_and(|line| line.contains("auth.token_invalid")), "a log line names both ids:\n{said}");
        for part in &server.parts {
            assert!(part.process().stop().success(), "{}", part.process().said());
        }
        let names = collector.metrics.lock().unwrap().clone();
        for name in ["coffre_rest_requests_total", "coffre_rpc_duration_seconds", "coffre_outbox_oldest_seconds"] {
            assert!(names.iter().any(|told| told == name), "{name} is sent, too: {names:?}");
        }
        let bytes = collector.bytes.lock().unwrap();
        assert!(!canary::is_in(&bytes), "a planted secret was sent to the collector");
    });
}

#[test]
fn in_one_process_a_trace_tells_of_the_same_calls() {
    run_apart(Engine::Sqlite, async |engine| {
        let (collector, address) = Collector::start().await;
        let server = Home::new(engine).with("COFFRE_TELEMETRY__OTLP_ENDPOINT", &format!("http://{address}")).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("traced"), &[NewAttribute::standard("a")]).await.ok();
        let locker = owner.create_locker(&case.unique("traced"), None).await.ok();
        let (http, token) = (Http::new(server.http), owner.token.clone().unwrap());
        let path = format!("/v2/credentialvault/lockers/{}/credentials/{}", locker.id, created.id);
        let request = http.put(path).token(&token).header("traceparent", &format!("00-{TRACE}-{OUTSIDE}-01"));
        let answer = request.send().await;
        assert!(answer.status < 300, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        case.api.ledger.forget();
        // Vault asks locker for a place, and locker keeps it.
        let calls = |all: &[Told], name: &str| all.iter().filter(|told| told.span.name.contains(name)).count();
        let all = collector.trace(|all| calls(all, "PUT /v2") == 1 && calls(all, "ReserveEntry") == 2).await;
        assert!(calls(&all, "COMMIT") >= 2, "{}", tree(&all));
        let by_id: BTreeMap<_, _> = all.iter().map(|told| (told.span.span_id.clone(), told.clone())).collect();
        let root = all.iter().find(|told| told.span.name.starts_with("PUT ")).unwrap();
        for told in &all {
            assert_eq!(told.service, "coffre");
            assert!(is_under(&by_id, &told.span.span_id, &root.span.span_id), "one tree: {}", tree(&all));
        }
    });
}

#[test]
fn a_collector_that_never_answers_holds_up_no_call_and_no_stop() {
    run_apart(Engine::Sqlite, async |engine| {
        // Takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let server = Home::new(engine).with("COFFRE_TELEMETRY__OTLP_ENDPOINT", &endpoint).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("traced"), &[NewAttribute::standard("a")]).await.ok();
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("traced"))]).await.ok();
        let begun = Instant::now();
        for _ in 0..200 {
            owner.list_values(created.id).await.ok();
        }
        assert!(begun.elapsed() < SENT_WITHIN, "200 reads took {:?}", begun.elapsed());
        case.settle().await;
        let begun = Instant::now();
        assert!(server.stop().success(), "{}", server.said());
        assert!(begun.elapsed() < Duration::from_secs(8), "the stop took {:?}", begun.elapsed());
    });
}

#[test]
fn what_is_logged_changes_at_a_signal_and_what_is_no_filter_changes_nothing() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine).without("COFFRE_LOG");
        let settings = home.folder.join("coffre.toml");
        let server = home.start();
        let says = async |log: &str, expected: &str| {
            std::fs::write(&settings, format!("log = {log:?}")).unwrap();
            server.signal(Signal::HUP);
            let begun = Instant::now();
            while !server.said().contains(expected) {
                assert!(begun.elapsed() < SENT_WITHIN, "{log}: {}", server.said());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let refused = async || Http::new(server.http).get("/v1/usermanagement/users/1").send().await.is(401);
        refused().await;
        says("info,coffre=loud", "are wrong: what is logged stays as it was").await;
        refused().await;
        assert!(!server.said().contains("a request was refused"), "{}", server.said());
        says("info,coffre_gateway=debug", "this is what is logged from now on").await;
        refused().await;
        assert!(server.said().contains("a request was refused"), "{}", server.said());
    });
}
