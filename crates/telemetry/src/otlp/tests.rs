//! Collectors that take, hang and are away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use coffre_trace::{Key, TraceContext};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::*;

#[derive(Clone, Default)]
struct Taking(Arc<Mutex<Vec<Sent>>>);

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|one| one.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn collector(address: SocketAddr) -> Collector {
    Collector { endpoint: format!("http://{address}"), authorities: None, resource: Vec::new(), share: 1.0 }
}

fn counted(counts: &ExporterMetrics) -> [u64; 3] {
    [counts.sent.get(), counts.failed.get(), counts.dropped.get()]
}

#[tokio::test]
async fn what_is_left_at_the_stop_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (tracer, exporter) = collector(listener.local_addr().unwrap()).follow().unwrap();
    let taking = Taking::default();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(taking.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let registry = Registry::new();
    let counts = ExporterMetrics::register(&registry).unwrap();
    let outside = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let mut span = tracer.serve(outside, || "GET /a/{id}".into());
    span.note(Key::HttpStatus, 503);
    span.fail();
    drop(span);
    for _ in 0..3000 {
        drop(tracer.serve(None, || "call".into()));
    }
    let stop = CancellationToken::new();
    stop.cancel();
    exporter.run(registry, counts.clone(), stop).await;
    assert_eq!(counted(&counts), [3001, 0, 0]);
    let sent = taking.0.lock().unwrap();
    assert_eq!(sent.len(), 3001);
    let first = &sent[0];
    assert_eq!((first.name.as_str(), &*first.trace_id), ("GET /a/{id}", &outside.unwrap().trace_id()[..]));
    assert_eq!(first.parent_span_id, outside.unwrap().span_id());
    assert_eq!(first.attributes[0].key, "http.response.status_code");
    assert!(first.status.is_some() && first.end_time_unix_nano >= first.start_time_unix_nano);
}

#[tokio::test]
async fn a_collector_that_is_away_costs_what_found_no_room_and_a_moment_at_the_stop() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (tracer, exporter) = collector(gone).follow().unwrap();
    let registry = Registry::new();
    let counts = ExporterMetrics::register(&registry).unwrap();
    for _ in 0..ROOM + 10 {
        drop(tracer.serve(None, || "call".into()));
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn(exporter.run(registry, counts.clone(), stop.clone()));
    while counted(&counts)[1] < MOST as u64 {
        sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    let asked = Instant::now();
    running.await.unwrap();
    assert!(asked.elapsed() <= LAST_WORDS * 2, "{:?}", asked.elapsed());
    let [sent, failed, dropped] = counted(&counts);
    assert_eq!((sent, dropped), (0, 10));
    assert!(failed >= MOST as u64);
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_what_one_looks_like() {
    let refused = |endpoint: &str| {
        let collector = Collector { endpoint: endpoint.to_owned(), ..collector(([127, 0, 0, 1], 1).into()) };
        collector.follow().unwrap_err().to_string()
    };
    for endpoint in ["", "collector:4317", "ftp://collector", "http://", "a b"] {
        assert!(refused(endpoint).contains("such as http://127.0.0.1:4317"), "{endpoint:?}: {}", refused(endpoint));
    }
    assert!(refused("https://collector:4317").contains("authorities"));
}
