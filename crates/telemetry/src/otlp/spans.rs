//! Spans as OTLP writes them.

use coffre_trace::{Key, Kind, Record, Value};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::nanos;

/// Writes spans of one process.
pub(super) fn message(resource: Resource, scope: InstrumentationScope, records: &[Record]) -> ResourceSpans {
    let spans = ScopeSpans { scope: Some(scope), spans: records.iter().map(span).collect(), ..ScopeSpans::default() };
    ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() }
}

fn span(record: &Record) -> Span {
    let kind = match record.kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Internal => SpanKind::Internal,
    };
    let status = record.failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() });
    Span {
        trace_id: record.context.trace_id().to_vec(),
        span_id: record.context.span_id().to_vec(),
        parent_span_id: record.parent.map(|id| id.to_vec()).unwrap_or_default(),
        name: record.name.as_str().to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(record.start),
        end_time_unix_nano: nanos(record.start + record.took),
        attributes: record.notes.iter().map(note).collect(),
        status,
        ..Span::default()
    }
}

fn note((key, value): &(Key, Value)) -> KeyValue {
    let value = match value {
        Value::Name(name) => Any::StringValue(name.as_str().to_owned()),
        Value::RequestId(id) => Any::StringValue(id.to_string()),
        Value::Number(number) => Any::IntValue(*number),
    };
    KeyValue { key: key.as_str().to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
