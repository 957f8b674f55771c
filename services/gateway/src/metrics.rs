//! REST requests by route, method and status, and what is in flight. A series is looked up when it is first needed, and then kept.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Methods that are told apart; every other is `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"];
/// Statuses whose series are kept.
const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 429, 431, 500, 501, 503];
/// The route of what is no path of ours.
const NO_ROUTE: &str = "none";

/// The vectors of the REST API.
#[derive(Clone, Debug)]
pub struct RestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    unreported: IntCounter,
}

impl RestMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Where the registry already has series of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("coffre_rest_requests_total", "REST requests answered, by route, method and status."),
            &["route", "method", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "coffre_rest_duration_seconds",
                "Time from the arrival of a REST request to its answer.",
            )
            .buckets(vec![
                0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
            ]),
            &["route", "method"],
        )?;
        let in_flight = IntGauge::new("coffre_rest_in_flight", "REST requests that are being answered.")?;
        let unreported = IntCounter::new(
            "coffre_rest_refusals_unreported_total",
            "Refusals of the gateway that reached the audit as a number only.",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(unreported.clone()))?;
        Ok(Self { requests, seconds, in_flight, unreported })
    }

    /// Counts a request as in flight until the returned guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn unreported(&self, count: u64) {
        self.unreported.inc_by(count);
    }
}

/// A request that is being answered.
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Every route by its template, with its series.
pub(crate) struct Templates {
    paths: matchit::Router<usize>,
    routes: Vec<[Route; METHODS.len()]>,
    metrics: Option<RestMetrics>,
}

/// One method of a route.
pub(crate) struct Route {
    /// `GET /v2/credentialvault/credentials/{id}`; empty where the path is none of ours.
    name: Arc<str>,
    template: Arc<str>,
    method: &'static str,
    series: OnceLock<Series>,
}

struct Series {
    seconds: Histogram,
    statuses: [OnceLock<IntCounter>; STATUSES.len()],
}

impl Templates {
    /// Takes the templates of all routes.
    pub(crate) fn new<'a>(templates: impl Iterator<Item = &'a str>, metrics: Option<RestMetrics>) -> Self {
        let mut paths = matchit::Router::new();
        let mut routes = vec![methods("")];
        for template in templates {
            match paths.insert(template, routes.len()) {
                Ok(()) => routes.push(methods(template)),
                Err(fault) => tracing::error!(%fault, template, "a route has no metrics of its own"),
            }
        }
        Self { paths, routes, metrics }
    }

    /// Finds the route of a path as the routes spell it; `None` only where there is no template at all.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<&Route> {
        let at = self.paths.at(path).map_or(0, |found| *found.value);
        let known = METHODS.iter().position(|known| *known == method.as_str());
        self.routes.get(at)?.get(known.unwrap_or(METHODS.len() - 1))
    }

    pub(crate) fn metrics(&self) -> Option<&RestMetrics> {
        self.metrics.as_ref()
    }

    /// Counts an answered request.
    pub(crate) fn observe(&self, route: &Route, status: StatusCode, took: Duration) {
        let Some(metrics) = &self.metrics else { return };
        let labels = [if route.template.is_empty() { NO_ROUTE } else { &route.template }, route.method];
        let series = route.series.get_or_init(|| Series {
            seconds: metrics.seconds.with_label_values(&labels),
            statuses: Default::default(),
        });
        series.seconds.observe(took.as_secs_f64());
        let counter = || metrics.requests.with_label_values(&[labels[0], labels[1], status.as_str()]);
        let kept = STATUSES.iter().position(|known| *known == status.as_u16());
        match kept.and_then(|kept| series.statuses.get(kept)) {
            Some(kept) => kept.get_or_init(counter).inc(),
            None => counter().inc(),
        }
    }
}

fn methods(template: &str) -> [Route; METHODS.len()] {
    METHODS.map(|method| Route {
        name: if template.is_empty() { Arc::from("") } else { format!("{method} {template}").into() },
        template: template.into(),
        method,
        series: OnceLock::new(),
    })
}

impl Route {
    /// Returns the method and the template.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the template; empty where the path is none of ours.
    pub(crate) fn template(&self) -> &Arc<str> {
        &self.template
    }

    /// Returns the method, or `other`.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(metrics: Option<RestMetrics>) -> Templates {
        Templates::new(["/a", "/a/{id}", "/a/{id}/b", "/a/list"].into_iter(), metrics)
    }

    #[test]
    fn a_path_is_told_by_its_template() {
        let templates = templates(None);
        for (method, path, name) in [
            (Method::GET, "/a", "GET /a"),
            (Method::PUT, "/a/12", "PUT /a/{id}"),
            (Method::POST, "/a/list", "POST /a/list"),
            (Method::DELETE, "/a/12/b", "DELETE /a/{id}/b"),
            (Method::GET, "/a/12/c", ""),
            (Method::TRACE, "/a", "other /a"),
        ] {
            assert_eq!(&**templates.find(&method, path).unwrap().name(), name);
        }
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let registry = Registry::new();
        let metrics = RestMetrics::register(&registry).unwrap();
        let templates = templates(Some(metrics.clone()));
        let in_flight = metrics.begin();
        for (path, status) in [("/a/1", 200), ("/a/2", 200), ("/a/3", 404), ("/a/4", 418), ("/nothing", 404)] {
            let route = templates.find(&Method::GET, path).unwrap();
            templates.observe(route, StatusCode::from_u16(status).unwrap(), Duration::from_millis(3));
        }
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"coffre_rest_requests_total{method="GET",route="/a/{id}",status="200"} 2"#,
            r#"coffre_rest_requests_total{method="GET",route="/a/{id}",status="404"} 1"#,
            r#"coffre_rest_requests_total{method="GET",route="/a/{id}",status="418"} 1"#,
            r#"coffre_rest_requests_total{method="GET",route="none",status="404"} 1"#,
            r#"coffre_rest_duration_seconds_count{method="GET",route="/a/{id}"} 4"#,
            "coffre_rest_in_flight 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(in_flight);
        assert_eq!(metrics.in_flight.get(), 0);
    }
}
