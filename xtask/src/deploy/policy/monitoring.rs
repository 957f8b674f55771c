//! Alarms and dashboards ask for metrics that exist, with labels that these have: a misspelt one would never ring.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Rendered, list, name, shown, text};
use crate::deploy::tool::Expression;

/// What Prometheus itself tells.
const OF_PROMETHEUS: [&str; 1] = ["up"];
/// Labels that Prometheus adds when it reads.
const ADDED: [&str; 7] = ["pod", "namespace", "job", "instance", "container", "endpoint", "le"];
/// A histogram has three series.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];
const HISTOGRAM: &str = "_duration_seconds";

/// Every expression of a folder, with what Grafana would put in its places.
pub(crate) fn expressions(rendered: &Rendered) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for rule in rendered
        .of("PrometheusRule")
        .flat_map(|rules| list(rules, "/spec/groups"))
        .flat_map(|group| list(group, "/rules"))
    {
        found.insert(text(rule, "/expr").to_owned());
    }
    for (file, board) in boards(rendered)? {
        let panels: Vec<&Value> = list(&board, "/panels").collect();
        let queries = panels.iter().flat_map(|panel| list(panel, "/targets")).map(|target| text(target, "/expr"));
        found.extend(queries.map(|query| query.replace("$__rate_interval", "5m").replace("$__range", "1h")));
        for variable in list(&board, "/templating/list").filter(|variable| text(variable, "/type") == "query") {
            let query = text(variable, "/query/query");
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|rest| rest.rsplit_once(','));
            let (metric, label) =
                inner.with_context(|| format!("{file}: `{query}` is no label_values(metric, label)"))?;
            found.insert(format!("count by ({}) ({metric})", label.trim()));
        }
    }
    Ok(found.into_iter().collect())
}

/// The dashboards, each with the name of its file.
fn boards(rendered: &Rendered) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    let marked = |object: &&Value| text(object, "/metadata/labels/grafana_dashboard") == "1";
    for object in rendered.of("ConfigMap").filter(marked) {
        for (file, board) in object.pointer("/data").and_then(Value::as_object).into_iter().flatten() {
            let board = serde_json::from_str(board.as_str().unwrap_or_default())
                .with_context(|| format!("{}: {file} is no JSON", shown(object)))?;
            found.push((format!("{}/{file}", name(object)), board));
        }
    }
    Ok(found)
}

/// What is wrong with them.
pub(crate) fn breaches(expressions: &[Expression], facts: &Facts) -> Vec<String> {
    let mut says = Vec::new();
    for one in expressions {
        if !one.fault.is_empty() {
            says.push(format!("`{}` is no PromQL: {}", one.text, one.fault));
            continue;
        }
        let mut labels: BTreeSet<&str> = ADDED.into();
        for selector in &one.selectors {
            let own = labels_of(&selector.metric, facts);
            if own.is_none() && !OF_PROMETHEUS.contains(&selector.metric.as_str()) {
                says.push(format!("`{}` asks for {}, which docs/metrics.md does not know", one.text, selector.metric));
            }
            let own: BTreeSet<&str> = own.into_iter().flatten().map(String::as_str).chain(ADDED).collect();
            for label in selector.labels.iter().filter(|label| !own.contains(label.as_str())) {
                says.push(format!(
                    "`{}` asks for the label {label}, which {} does not have",
                    one.text, selector.metric
                ));
            }
            labels.extend(own);
        }
        for label in one.groups.iter().filter(|label| !labels.contains(label.as_str())) {
            says.push(format!("`{}` sums up by {label}, which none of its metrics has", one.text));
        }
    }
    says
}

fn labels_of<'f>(metric: &str, facts: &'f Facts) -> Option<&'f BTreeSet<String>> {
    let base = PARTS.iter().find_map(|part| metric.strip_suffix(part)).filter(|base| base.ends_with(HISTOGRAM));
    // A histogram is asked for by its parts alone.
    if base.is_none() && metric.ends_with(HISTOGRAM) {
        return None;
    }
    facts.metrics.get(base.unwrap_or(metric))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::policy::sample::{facts, good};
    use crate::deploy::tool::Selector;

    fn asked(metric: &str, labels: &[&str], groups: &[&str]) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let selector = Selector { metric: metric.to_owned(), labels: own(labels) };
        breaches(
            &[Expression {
                text: "x".to_owned(),
                selectors: vec![selector],
                groups: own(groups),
                ..Expression::default()
            }],
            &facts(),
        )
    }

    #[test]
    fn a_metric_or_a_label_that_nobody_tells_is_found() {
        for (metric, labels, groups) in [
            ("coffre_rpc_calls_total", &["service", "code"][..], &["service"][..]),
            ("coffre_rpc_duration_seconds_bucket", &["rpc"], &["le"]),
            ("up", &["job"], &[]),
        ] {
            assert_eq!(asked(metric, labels, groups), [""; 0], "{metric}");
        }
        assert!(asked("coffre_rpc_call_total", &[], &[])[0].contains("does not know"));
        assert!(asked("coffre_rpc_duration_seconds", &[], &[])[0].contains("does not know"));
        assert!(asked("coffre_rpc_calls_total_bucket", &[], &[])[0].contains("does not know"));
        assert!(asked("coffre_rpc_calls_total", &["status"], &[])[0].contains("the label status"));
        assert!(asked("coffre_rpc_calls_total", &[], &["route"])[0].contains("sums up by route"));
        let unread =
            Expression { text: "sum(".to_owned(), fault: "unexpected end".to_owned(), ..Expression::default() };
        assert!(breaches(&[unread], &facts())[0].contains("is no PromQL"));
    }

    #[test]
    fn alarms_and_dashboards_are_asked_for_their_expressions() {
        let mut rendered = good();
        rendered.objects.push(json!({"kind": "PrometheusRule", "metadata": {"name": "r"}, "spec": {"groups": [{"rules": [{"expr": "up == 0"}]}]}}));
        let board = json!({"panels": [{"targets": [{"expr": "rate(a[$__rate_interval])"}]}],
            "templating": {"list": [{"type": "query", "query": {"query": "label_values(b, service)"}}]}});
        let labels = json!({"grafana_dashboard": "1"});
        let map = |board: String| json!({"kind": "ConfigMap", "metadata": {"name": "d", "labels": labels}, "data": {"a.json": board}});
        rendered.objects.push(map(board.to_string()));
        assert_eq!(expressions(&rendered).unwrap(), ["count by (service) (b)", "rate(a[5m])", "up == 0"]);
        rendered.objects.push(map("{".to_owned()));
        assert!(expressions(&rendered).is_err());
    }
}
