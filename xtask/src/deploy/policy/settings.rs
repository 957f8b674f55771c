//! Settings and ports: what a manifest sets, the program knows; what it names, is there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Pairs, Rendered, Workload, list, name, number, selects, shown, text, texts};

/// Variables that are not ours: read by the library that speaks with PostgreSQL.
const FOREIGN: [&str; 2] = ["PGSSLMODE", "PGSSLROOTCERT"];
/// Our image, in which the settings mean something.
const CONTAINER: &str = "coffre";
/// Settings that are addresses of our ports, with the name of the port that the manifests give it.
const PORTS: [(&str, &str); 4] = [
    ("COFFRE_HTTP_ADDR", "rest"),
    ("COFFRE_GRPC_ADDR", "grpc"),
    ("COFFRE_INTERNAL_ADDR", "internal"),
    ("COFFRE_MANAGEMENT_ADDR", "management"),
];

/// Every breach of every container of ours, and of the Services before them.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for workload in rendered.workloads() {
        for container in workload.containers().filter(|container| text(container, "/name") == CONTAINER) {
            let environment = rendered.environment(container);
            let mut says = Vec::new();
            known(&environment, facts, &mut says);
            if text(workload.object, "/kind") == "Deployment" {
                serves(workload, container, &mut says, facts);
                ports(workload, container, &environment, facts, &mut says);
                probes(container, facts, &mut says);
                stops(workload.pod(), &environment, facts, &mut says);
                finds_others(rendered, workload, &environment, facts, &mut says);
            }
            files(workload, container, &environment, &mut says);
            found.extend(says.into_iter().map(|breach| format!("{}: {breach}", workload.shown())));
        }
    }
    for service in rendered.of("Service") {
        found.extend(of_service(rendered, service).into_iter().map(|breach| format!("{}: {breach}", shown(service))));
    }
    let deployed: BTreeSet<&str> =
        rendered.workloads().filter(|one| text(one.object, "/kind") == "Deployment").map(Workload::component).collect();
    for service in facts.calls.keys().filter(|service| !deployed.contains(service.as_str())) {
        found.push(format!("there is no Deployment of {service}"));
    }
    found
}

fn known(environment: &Pairs, facts: &Facts, says: &mut Vec<String>) {
    for (variable, value) in environment {
        if !facts.settings.contains_key(variable) && !FOREIGN.contains(&variable.as_str()) {
            says.push(format!("there is no setting {variable}"));
        }
        if value.is_empty() {
            says.push(format!("{variable} is set to nothing"));
        }
    }
}

fn serves(workload: Workload<'_>, container: &Value, says: &mut Vec<String>, facts: &Facts) {
    let component = workload.component();
    if texts(container, "/args") != ["serve", component] || !facts.calls.contains_key(component) {
        says.push(format!("it does not run `coffre serve {component}`"));
    }
    if list(container, "/command").next().is_some() {
        says.push("it replaces the program of the image".to_owned());
    }
}

/// Each port of the container is one at which the process listens, on an address that others reach; and none is left out.
fn ports(workload: Workload<'_>, container: &Value, environment: &Pairs, facts: &Facts, says: &mut Vec<String>) {
    let gateway = workload.component() == "gateway";
    let expected = PORTS.iter().filter(|(_, port)| match *port {
        "rest" => gateway,
        "grpc" | "internal" => !gateway,
        _ => true,
    });
    let mut left: Vec<(&str, i64)> = list(container, "/ports")
        .map(|port| (text(port, "/name"), number(port, "/containerPort").unwrap_or(0)))
        .collect();
    for (setting, port) in expected {
        let address = facts.effective(environment, setting);
        let (host, listens) = address.rsplit_once(':').unwrap_or_default();
        if ["127.0.0.1", "localhost", "[::1]"].contains(&host) {
            says.push(format!("{setting} is {address}, which nobody outside of the pod reaches"));
        }
        let at = left.iter().position(|(known, number)| known == port && number.to_string() == listens);
        match at {
            Some(at) => {
                left.remove(at);
            }
            None => says.push(format!("no port {port} is {listens}, where it listens ({setting})")),
        }
    }
    for (port, number) in left {
        says.push(format!("nothing listens at its port {port}, {number}"));
    }
}

fn probes(container: &Value, facts: &Facts, says: &mut Vec<String>) {
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let asked = text(container, &format!("/{probe}/httpGet/path"));
        if asked != path || !facts.management.contains(asked) {
            says.push(format!("{probe} does not ask {path}"));
        }
        if text(container, &format!("/{probe}/httpGet/port")) != "management" {
            says.push(format!("{probe} does not ask the management port, the only one without TLS"));
        }
    }
}

/// The time that a pod gets to end is longer than what the process takes: waiting, draining, and twice 5 s for what is queued.
fn stops(pod: &Value, environment: &Pairs, facts: &Facts, says: &mut Vec<String>) {
    let seconds = |name: &str| facts.effective(environment, name).parse::<f64>().ok();
    let (lame_duck, drain) =
        (seconds("COFFRE_LAME_DUCK_SECONDS").unwrap_or(5.0), seconds("COFFRE_DRAIN_SECONDS").unwrap_or(10.0));
    let needed = lame_duck + drain + 10.0;
    let given = number(pod, "/terminationGracePeriodSeconds").and_then(|given| i32::try_from(given).ok()).unwrap_or(30);
    if f64::from(given) <= needed {
        says.push(format!("terminationGracePeriodSeconds is {given}, and the process may take {needed} s to end"));
    }
}

/// Whom it calls it finds: at a headless Service, so that it sees every replica, and at its internal port.
fn finds_others(
    rendered: &Rendered,
    workload: Workload<'_>,
    environment: &Pairs,
    facts: &Facts,
    says: &mut Vec<String>,
) {
    for other in facts.calls.get(workload.component()).into_iter().flatten() {
        let setting = format!("COFFRE_SERVICES__{}", other.to_ascii_uppercase());
        let address = facts.effective(environment, &setting);
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        let Some(service) = rendered.named("Service", host) else {
            says.push(format!("{setting} is `{address}`, and there is no such Service"));
            continue;
        };
        if text(service, "/spec/clusterIP") != "None" {
            says.push(format!(
                "{setting}: {} is not headless: one connection would go to one replica for ever",
                shown(service)
            ));
        }
        if is_not_ready_published(service) {
            says.push(format!("{setting}: {} also names replicas that are not ready", shown(service)));
        }
        let internal = list(service, "/spec/ports").any(|one| {
            text(one, "/targetPort") == "internal"
                && number(one, "/port").is_some_and(|known| known.to_string() == port)
        });
        if !internal {
            says.push(format!("{setting} is `{address}`, which is not the internal port of {}", shown(service)));
        }
        let right = rendered
            .workloads()
            .filter(|one| selects(service.pointer("/spec/selector").map(wrapped).as_ref(), &one.labels()))
            .all(|one| one.component() == other);
        if !right {
            says.push(format!("{setting}: {} leads to others than {other}", shown(service)));
        }
    }
}

fn is_not_ready_published(service: &Value) -> bool {
    service.pointer("/spec/publishNotReadyAddresses").and_then(Value::as_bool).unwrap_or(false)
}

/// A Service's selector is the plain form of a label selector.
fn wrapped(selector: &Value) -> Value {
    serde_json::json!({ "matchLabels": selector })
}

/// A Service leads to pods, and to ports by the names that those have.
fn of_service(rendered: &Rendered, service: &Value) -> Vec<String> {
    let selector = service.pointer("/spec/selector").map(wrapped);
    let led: Vec<Workload<'_>> = rendered
        .workloads()
        .filter(|one| text(one.object, "/kind") != "Job" && selects(selector.as_ref(), &one.labels()))
        .collect();
    let mut says = Vec::new();
    if led.is_empty() {
        says.push("it leads to no pod".to_owned());
    }
    for port in list(service, "/spec/ports") {
        let target = text(port, "/targetPort");
        for workload in &led {
            let has = workload
                .containers()
                .any(|container| list(container, "/ports").any(|known| text(known, "/name") == target));
            if !has {
                says.push(format!("{} has no port `{target}`", workload.shown()));
            }
        }
    }
    says
}

/// What a setting names as a file lies in a volume that is mounted. The settings are one for all; what a service does not read is not for it.
fn files(workload: Workload<'_>, container: &Value, environment: &Pairs, says: &mut Vec<String>) {
    let component = workload.component();
    let reads = |variable: &str| {
        let job = !["auth", "vault", "locker", "audit", "gateway"].contains(&component);
        match variable {
            "COFFRE_KEYS_DIR" | "COFFRE_DATABASE_URL_FILE" => component != "gateway",
            _ if variable.starts_with("COFFRE_TLS__") => !job,
            "PGSSLROOTCERT" => false,
            _ => true,
        }
    };
    let mounts: Vec<&str> = list(container, "/volumeMounts").map(|mount| text(mount, "/mountPath")).collect();
    for (variable, path) in environment.iter().filter(|(variable, path)| path.starts_with('/') && reads(variable)) {
        let mounted = mounts
            .iter()
            .any(|mount| path == mount || path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/')));
        if !mounted {
            says.push(format!("{variable} is {path}, where nothing is mounted"));
        }
    }
    let pod = workload.pod();
    for mount in list(container, "/volumeMounts") {
        let wanted = text(mount, "/name");
        let claims = list(workload.object, "/spec/volumeClaimTemplates").any(|claim| name(claim) == wanted);
        if !claims && !list(pod, "/volumes").any(|volume| text(volume, "/name") == wanted) {
            says.push(format!("there is no volume {wanted}"));
        }
    }
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
    fn settings_that_nobody_knows_are_found() {
        let set =
            |name: &str, value: &str| broken("ConfigMap", "coffre-settings", &format!("/data/{name}"), json!(value));
        finds(&set("COFFRE_HTTP_ADR", "x"), "there is no setting COFFRE_HTTP_ADR");
        finds(&set("COFFRE_ENVIRONMENT", ""), "COFFRE_ENVIRONMENT is set to nothing");
        finds(&set("COFFRE_MANAGEMENT_ADDR", "127.0.0.1:9090"), "nobody outside of the pod reaches");
        finds(&set("COFFRE_MANAGEMENT_ADDR", "0.0.0.0:9091"), "no port management is 9091");
        finds(&set("COFFRE_DRAIN_SECONDS", "45"), "terminationGracePeriodSeconds");
        finds(&set("COFFRE_TLS__CERT_FILE", "/elsewhere/tls.crt"), "where nothing is mounted");
        finds(&set("COFFRE_SERVICES__AUTH", "auth:50052"), "there is no such Service");
        finds(&set("COFFRE_SERVICES__AUTH", "coffre-auth:50051"), "not the internal port");
        finds(&set("COFFRE_SERVICES__AUTH", "coffre-auth-grpc:50051"), "not headless");
        finds(&set("COFFRE_SERVICES__AUTH", "coffre-vault:50052"), "leads to others than auth");
    }

    #[test]
    fn a_container_that_does_not_serve_as_it_says_is_found() {
        let container = "/spec/template/spec/containers/0";
        for (pointer, value, part) in [
            ("args", json!(["serve", "all"]), "coffre serve vault"),
            ("command", json!(["sh"]), "replaces the program"),
            ("ports/0", json!({"name": "debug", "containerPort": 6060}), "nothing listens at its port debug"),
            ("livenessProbe/httpGet/path", json!("/healthz"), "livenessProbe does not ask /livez"),
            ("livenessProbe/httpGet/path", json!("/readyz"), "livenessProbe does not ask /livez"),
            ("readinessProbe/httpGet/port", json!("grpc"), "does not ask the management port"),
            ("startupProbe", json!(null), "startupProbe"),
            ("volumeMounts/0/name", json!("missing"), "there is no volume missing"),
        ] {
            finds(&broken("Deployment", "coffre-vault", &format!("{container}/{pointer}"), value), part);
        }
        finds(&without("Deployment", "coffre-locker"), "no Deployment of locker");
    }

    #[test]
    fn a_service_that_leads_nowhere_is_found() {
        let of = |pointer: &str, value| broken("Service", "coffre-vault", pointer, value);
        finds(&of("/spec/selector", json!({"app.kubernetes.io/name": "other"})), "leads to no pod");
        finds(&of("/spec/ports/0/targetPort", json!("sip")), "has no port `sip`");
        finds(&of("/spec/publishNotReadyAddresses", json!(true)), "not ready");
    }
}
