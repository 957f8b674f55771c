//! Replicas: enough of them, apart from each other, exchanged without a gap, and never more than their database can serve.

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Rendered, Workload, list, name, number, selects, shown, text, texts};

/// Connections that a replica opens at most: readers, writers, and one more for each that steps in (`crates/db/src/options.rs`).
const CONNECTIONS: i64 = 20;
/// Connections of PostgreSQL that are not for us: streaming, the operator, people.
const RESERVED: i64 = 40;

/// Every breach.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let mut connections = 0;
    for deployment in rendered.workloads().filter(|one| text(one.object, "/kind") == "Deployment") {
        let mut says = Vec::new();
        let scaler = rendered.of("HorizontalPodAutoscaler").find(|scaler| {
            text(scaler, "/spec/scaleTargetRef/kind") == "Deployment"
                && text(scaler, "/spec/scaleTargetRef/name") == name(deployment.object)
        });
        let (least, most) = replicas(deployment, scaler, &mut says);
        if rendered.is_production() {
            if least < 2 {
                says.push(format!("{least} replica: an upgrade or a lost node would be an outage"));
            }
            apart(deployment, &mut says);
            if scaler.is_none() {
                says.push("there is no HorizontalPodAutoscaler".to_owned());
            }
        }
        exchanged(deployment, &mut says);
        disruption(rendered, deployment, least, &mut says);
        if facts.keepers().any(|keeper| keeper == deployment.component()) {
            connections += most * CONNECTIONS;
        }
        found.extend(says.into_iter().map(|breach| format!("{}: {breach}", deployment.shown())));
    }
    for job in rendered.of("Job") {
        if number(job, "/spec/activeDeadlineSeconds").is_none()
            || number(job, "/spec/ttlSecondsAfterFinished").is_none()
        {
            found.push(format!("{}: it ends at no time, or stays for ever", shown(job)));
        }
    }
    for cluster in rendered.of("Cluster") {
        found
            .extend(of_cluster(cluster, connections).into_iter().map(|breach| format!("{}: {breach}", shown(cluster))));
    }
    found
}

/// The least and the most replicas there are.
fn replicas(deployment: Workload<'_>, scaler: Option<&Value>, says: &mut Vec<String>) -> (i64, i64) {
    let said = number(deployment.object, "/spec/replicas");
    let Some(scaler) = scaler else {
        let said = said.unwrap_or(1);
        return (said, said);
    };
    if said.is_some() {
        says.push(
            "it names a number of replicas, which each apply would set over what the autoscaler chose".to_owned(),
        );
    }
    let (least, most) =
        (number(scaler, "/spec/minReplicas").unwrap_or(1), number(scaler, "/spec/maxReplicas").unwrap_or(1));
    if most <= least {
        says.push(format!("{}: there is no room between {least} and {most}", shown(scaler)));
    }
    if number(scaler, "/spec/behavior/scaleDown/stabilizationWindowSeconds").is_none_or(|window| window < 300) {
        says.push(format!("{}: it takes replicas away at once", shown(scaler)));
    }
    (least, most)
}

fn apart(deployment: Workload<'_>, says: &mut Vec<String>) {
    let labels = deployment.labels();
    for key in ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] {
        let constraint =
            list(deployment.pod(), "/topologySpreadConstraints").find(|one| text(one, "/topologyKey") == key);
        let Some(constraint) = constraint else {
            says.push(format!("its replicas are not spread over {key}"));
            continue;
        };
        let keys = texts(constraint, "/matchLabelKeys");
        if !selects(constraint.get("labelSelector"), &labels) || !keys.contains(&"pod-template-hash") {
            says.push(format!("the spread over {key} does not count its replicas of one version"));
        }
    }
}

fn exchanged(deployment: Workload<'_>, says: &mut Vec<String>) {
    let strategy = "/spec/strategy/rollingUpdate";
    let none_away = number(deployment.object, &format!("{strategy}/maxUnavailable")) == Some(0);
    let one_more = number(deployment.object, &format!("{strategy}/maxSurge")).is_some_and(|surge| surge > 0);
    if !none_away || !one_more || text(deployment.object, "/spec/strategy/type") != "RollingUpdate" {
        says.push("an upgrade takes a replica away before the new one serves".to_owned());
    }
    if number(deployment.object, "/spec/minReadySeconds").is_none_or(|seconds| seconds < 1) {
        says.push("a new replica counts as soon as it was ready once".to_owned());
    }
}

fn disruption(rendered: &Rendered, deployment: Workload<'_>, least: i64, says: &mut Vec<String>) {
    let labels = deployment.labels();
    let budgets: Vec<&Value> = rendered
        .of("PodDisruptionBudget")
        .filter(|budget| selects(budget.pointer("/spec/selector"), &labels))
        .collect();
    let [budget] = budgets.as_slice() else {
        if !budgets.is_empty() {
            says.push("several PodDisruptionBudgets select it, and then no pod is ever moved".to_owned());
        } else if rendered.is_production() {
            says.push("there is no PodDisruptionBudget".to_owned());
        }
        return;
    };
    let may_go = match (number(budget, "/spec/maxUnavailable"), number(budget, "/spec/minAvailable")) {
        (Some(away), None) => away,
        (None, Some(there)) => least - there,
        _ => 0,
    };
    if may_go < 1 || may_go >= least {
        says.push(format!(
            "{}: of {least} replicas {may_go} may go: either no node is ever drained, or all go at once",
            shown(budget)
        ));
    }
    if text(budget, "/spec/unhealthyPodEvictionPolicy") != "AlwaysAllow" {
        says.push(format!("{}: a replica that is not ready holds up the drain of its node", shown(budget)));
    }
}

fn of_cluster(cluster: &Value, connections: i64) -> Vec<String> {
    let mut says = Vec::new();
    if number(cluster, "/spec/instances").is_none_or(|instances| instances < 3) {
        says.push("fewer than three instances: without one, nothing is acknowledged".to_owned());
    }
    let synchronous = "/spec/postgresql/synchronous";
    if number(cluster, &format!("{synchronous}/number")).is_none_or(|number| number < 1)
        || text(cluster, &format!("{synchronous}/dataDurability")) != "required"
    {
        says.push("a write is acknowledged that only one server has".to_owned());
    }
    let most = text(cluster, "/spec/postgresql/parameters/max_connections").parse().unwrap_or(100);
    if connections + RESERVED > most {
        says.push(format!(
            "max_connections is {most}, and our replicas may open {connections} beside {RESERVED} of others"
        ));
    }
    if text(cluster, "/spec/affinity/podAntiAffinityType") != "required" {
        says.push("two instances may share a node".to_owned());
    }
    says
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::policy::sample::{broken, facts, good, without};

    fn finds(rendered: &Rendered, part: &str) {
        let found = breaches(rendered, &facts());
        assert!(found.iter().any(|breach| breach.contains(part)), "{part}: {found:?}");
    }

    #[test]
    fn what_is_good_is_taken() {
        assert_eq!(breaches(&good(), &facts()), [""; 0]);
    }

    #[test]
    fn replicas_that_are_too_few_or_too_near_are_found() {
        finds(&broken("HorizontalPodAutoscaler", "coffre-vault", "/spec/minReplicas", json!(1)), "1 replica");
        finds(&broken("HorizontalPodAutoscaler", "coffre-vault", "/spec/maxReplicas", json!(3)), "no room");
        finds(&broken("HorizontalPodAutoscaler", "coffre-vault", "/spec/behavior", json!({})), "at once");
        finds(&without("HorizontalPodAutoscaler", "coffre-vault"), "no HorizontalPodAutoscaler");
        let of = |pointer: &str, value| broken("Deployment", "coffre-vault", pointer, value);
        finds(&of("/spec/replicas", json!(3)), "each apply would set");
        let constraints = "/spec/template/spec/topologySpreadConstraints";
        finds(&of(constraints, json!([])), "not spread over kubernetes.io/hostname");
        finds(&of(&format!("{constraints}/0/labelSelector"), json!({"matchLabels": {"a": "b"}})), "does not count");
        finds(&of(&format!("{constraints}/0/matchLabelKeys"), json!([])), "does not count");
    }

    #[test]
    fn an_exchange_with_a_gap_is_found() {
        let of = |pointer: &str, value| broken("Deployment", "coffre-vault", pointer, value);
        finds(&of("/spec/strategy/rollingUpdate/maxUnavailable", json!(1)), "takes a replica away");
        finds(&of("/spec/strategy", json!({"type": "Recreate"})), "takes a replica away");
        finds(&of("/spec/minReadySeconds", json!(0)), "ready once");
        finds(&broken("Job", "coffre-migrate-1.2.3", "/spec/activeDeadlineSeconds", json!(null)), "ends at no time");
    }

    #[test]
    fn a_budget_that_lets_all_go_or_none_is_found() {
        let of = |pointer: &str, value| broken("PodDisruptionBudget", "coffre-vault", pointer, value);
        finds(&of("/spec/maxUnavailable", json!(3)), "of 3 replicas 3 may go");
        finds(&of("/spec/maxUnavailable", json!(0)), "of 3 replicas 0 may go");
        finds(
            &of(
                "/spec",
                json!({"minAvailable": 3, "selector": {"matchLabels": {"app.kubernetes.io/component": "vault"}}}),
            ),
            "0 may go",
        );
        finds(&of("/spec/unhealthyPodEvictionPolicy", json!(null)), "holds up the drain");
        finds(&of("/spec/selector", json!({"matchLabels": {"a": "b"}})), "no PodDisruptionBudget");
        finds(&of("/spec/selector", json!({})), "several PodDisruptionBudgets");
    }

    #[test]
    fn a_database_that_may_lose_a_write_or_has_no_room_is_found() {
        let cluster = |spec: Value| {
            let mut rendered = good();
            rendered.objects.push(json!({"kind": "Cluster", "metadata": {"name": "db"}, "spec": spec}));
            rendered
        };
        let good = json!({"instances": 3, "affinity": {"podAntiAffinityType": "required"}, "postgresql": {
            "synchronous": {"number": 1, "dataDurability": "required"}, "parameters": {"max_connections": "500"}}});
        assert_eq!(breaches(&cluster(good.clone()), &facts()), [""; 0]);
        for (pointer, value, part) in [
            ("/instances", json!(1), "fewer than three"),
            ("/postgresql/synchronous/dataDurability", json!("preferred"), "only one server has"),
            ("/postgresql/parameters/max_connections", json!("100"), "max_connections is 100"),
            ("/affinity/podAntiAffinityType", json!("preferred"), "share a node"),
        ] {
            let mut spec = good.clone();
            *spec.pointer_mut(pointer).unwrap() = value;
            finds(&cluster(spec), part);
        }
    }
}
