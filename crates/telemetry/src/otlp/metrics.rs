//! What `/metrics` says, as OTLP writes it: the same names, labels and numbers.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::{nanos, now, text};

/// Writes what a process tells about itself since it began.
pub(super) fn message(
    resource: Resource,
    scope: InstrumentationScope,
    families: &[MetricFamily],
    began: SystemTime,
) -> ResourceMetrics {
    let times = (nanos(began), nanos(now()));
    let metrics = families.iter().filter_map(|family| metric(family, times)).collect();
    let metrics = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    ResourceMetrics { resource: Some(resource), scope_metrics: vec![metrics], ..ResourceMetrics::default() }
}

fn metric(family: &MetricFamily, times: (u64, u64)) -> Option<Metric> {
    let all = family.get_metric().iter();
    let number = |labels: &[LabelPair], value: f64| NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.0,
        time_unix_nano: times.1,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: all.map(|one| number(one.get_label(), one.get_counter().get_value())).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge {
            data_points: all.map(|one| number(one.get_label(), one.get_gauge().get_value())).collect(),
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: all.map(|one| histogram(one.get_label(), one.get_histogram(), times)).collect(),
            aggregation_temporality: cumulative,
        }),
        // We have none.
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// The buckets of Prometheus hold what is below them, too; those of OTLP what is between them alone, with one above the last bound.
fn histogram(labels: &[LabelPair], read: &prometheus::proto::Histogram, times: (u64, u64)) -> HistogramDataPoint {
    let finite = read.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in finite {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(read.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.0,
        time_unix_nano: times.1,
        count: read.get_sample_count(),
        sum: Some(read.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn attributes(labels: &[LabelPair]) -> Vec<KeyValue> {
    labels.iter().map(|label| text(label.name(), label.value().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;

    #[test]
    fn a_collector_gets_what_the_page_says() {
        let registry = Registry::new();
        let calls = IntCounterVec::new(Opts::new("calls_total", "Calls."), &["code"]).unwrap();
        let open = IntGauge::new("open", "Open.").unwrap();
        let seconds =
            HistogramVec::new(HistogramOpts::new("seconds", "Time.").buckets(vec![0.1, 1.0]), &["rpc"]).unwrap();
        registry.register(Box::new(calls.clone())).unwrap();
        registry.register(Box::new(open.clone())).unwrap();
        registry.register(Box::new(seconds.clone())).unwrap();
        calls.with_label_values(&["Ok"]).inc_by(3);
        open.set(2);
        for took in [0.05, 0.06, 0.5, 7.0] {
            seconds.with_label_values(&["a"]).observe(took);
        }
        let told = message(Resource::default(), InstrumentationScope::default(), &registry.gather(), now());
        let metrics = &told.scope_metrics[0].metrics;
        let data = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().data.as_ref().unwrap();
        let Data::Sum(sum) = data("calls_total") else { panic!("a counter grows") };
        assert!(sum.is_monotonic && sum.data_points[0].value == Some(Value::AsDouble(3.0)));
        assert_eq!(sum.data_points[0].attributes, [text("code", "Ok".to_owned())]);
        let Data::Gauge(gauge) = data("open") else { panic!("a gauge goes up and down") };
        assert_eq!(gauge.data_points[0].value, Some(Value::AsDouble(2.0)));
        let Data::Histogram(histogram) = data("seconds") else { panic!("times are spread") };
        let point = &histogram.data_points[0];
        assert_eq!(
            (point.explicit_bounds.as_slice(), point.bucket_counts.as_slice()),
            (&[0.1, 1.0][..], &[2, 1, 1][..])
        );
        assert_eq!((point.count, point.sum), (4, Some(0.05 + 0.06 + 0.5 + 7.0)));
    }
}
