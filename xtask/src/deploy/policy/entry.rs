//! Ways in, and who vouches for whom: routes lead to every gRPC service that callers outside see and to no other, and each service has the
//! certificate of its own name.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Rendered, Workload, list, number, shown, text, texts};

/// Every breach. An overlay without certificates and routes (the one for trying out) has none to look at.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    if rendered.is_production() {
        found.extend(identities(rendered, facts));
        found.extend(of_public_ports(rendered));
        found.extend(rpcs(rendered, facts));
        found.extend(rest(rendered));
    }
    for route in rendered.of("HTTPRoute").chain(rendered.of("GRPCRoute")) {
        found.extend(backends(rendered, route));
    }
    found
}

/// Each service has one certificate for calls between services, with the one URI that is its name there, for both ends of a call.
fn identities(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut says = Vec::new();
    for deployment in rendered.workloads().filter(|one| text(one.object, "/kind") == "Deployment") {
        let service = deployment.component();
        let environment =
            deployment.containers().next().map(|container| rendered.environment(container)).unwrap_or_default();
        let domain = facts.effective(&environment, "COFFRE_TLS__TRUST_DOMAIN");
        let Some(certificate) = certificate_of(rendered, deployment, "tls-internal") else {
            says.push(format!("{}: nobody makes the certificate that it shows to other services", deployment.shown()));
            continue;
        };
        if texts(certificate, "/spec/uris") != [format!("spiffe://{domain}/{service}")] {
            says.push(format!("{}: its one URI is spiffe://{domain}/{service}, and no other", shown(certificate)));
        }
        let usages = texts(certificate, "/spec/usages");
        if !["server auth", "client auth"].iter().all(|usage| usages.contains(usage)) {
            says.push(format!("{}: it is for both ends of a call", shown(certificate)));
        }
        says.extend(made_well(certificate));
    }
    // Whoever may ask for a certificate in his own namespace must not get one of ours.
    for certificate in
        rendered.of("Certificate").filter(|certificate| text(certificate, "/spec/issuerRef/kind") != "Issuer")
    {
        says.push(format!("{}: its authority is not this namespace's alone", shown(certificate)));
    }
    says
}

/// The certificate whose Secret a volume shows.
fn certificate_of<'r>(rendered: &'r Rendered, deployment: Workload<'_>, volume: &str) -> Option<&'r Value> {
    let volume = list(deployment.pod(), "/volumes").find(|known| text(known, "/name") == volume)?;
    rendered
        .of("Certificate")
        .find(|certificate| text(certificate, "/spec/secretName") == text(volume, "/secret/secretName"))
}

fn made_well(certificate: &Value) -> Vec<String> {
    let mut says = Vec::new();
    if text(certificate, "/spec/privateKey/rotationPolicy") != "Always" {
        says.push(format!("{}: a new certificate gets a new key", shown(certificate)));
    }
    let hours =
        |pointer: &str| text(certificate, pointer).strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok());
    match (hours("/spec/duration"), hours("/spec/renewBefore")) {
        // The alarm comes a week before the end.
        (Some(life), Some(before)) if before >= 24 * 14 && life >= 2 * before => {}
        _ => says.push(format!(
            "{}: it is renewed two weeks before its end at least, and lives twice as long",
            shown(certificate)
        )),
    }
    says
}

/// Behind each way in stands a certificate of the name that the proxy asks for, and the proxy does ask.
fn of_public_ports(rendered: &Rendered) -> Vec<String> {
    let mut says = Vec::new();
    let routes = || rendered.of("HTTPRoute").chain(rendered.of("GRPCRoute"));
    let led: BTreeSet<&str> = routes()
        .flat_map(|route| list(route, "/spec/rules"))
        .flat_map(|rule| list(rule, "/backendRefs"))
        .map(|backend| text(backend, "/name"))
        .collect();
    if led.is_empty() {
        says.push("no route leads anywhere".to_owned());
    }
    for service in led {
        let policy = rendered.of("BackendTLSPolicy").find(|policy| {
            list(policy, "/spec/targetRefs")
                .any(|target| text(target, "/kind") == "Service" && text(target, "/name") == service)
        });
        let Some(policy) = policy else {
            says.push(format!("the proxy would speak plain text with {service}: there is no BackendTLSPolicy"));
            continue;
        };
        let host = text(policy, "/spec/validation/hostname");
        let component = rendered
            .named("Service", service)
            .map(|service| text(service, "/spec/selector/app.kubernetes.io~1component"));
        let certificate = rendered
            .workloads()
            .find(|one| text(one.object, "/kind") == "Deployment" && Some(one.component()) == component)
            .and_then(|deployment| certificate_of(rendered, deployment, "tls-public"));
        match certificate {
            None => says.push(format!("nobody makes the certificate of {service}")),
            Some(certificate) => {
                if !texts(certificate, "/spec/dnsNames").contains(&host) {
                    says.push(format!("{}: the proxy asks for {host}, which is none of its names", shown(certificate)));
                }
                if !texts(certificate, "/spec/uris").is_empty() {
                    says.push(format!("{}: a public certificate is no service's identity", shown(certificate)));
                }
                says.extend(made_well(certificate));
            }
        }
    }
    says
}

/// What a GRPCRoute leads to is what callers may see, each to the service that has it.
fn rpcs(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut says = Vec::new();
    let mut routed = BTreeSet::new();
    for rule in rendered.of("GRPCRoute").flat_map(|route| list(route, "/spec/rules")) {
        let backends: Vec<&str> = list(rule, "/backendRefs").map(|backend| text(backend, "/name")).collect();
        if list(rule, "/matches").next().is_none() {
            says.push("a rule of the GRPCRoute takes every call".to_owned());
        }
        for one in list(rule, "/matches") {
            let name = text(one, "/method/service");
            match facts.rpc.get(name) {
                None => says.push(format!("the GRPCRoute leads to `{name}`, which is no service for callers outside")),
                Some(owner) if backends != [format!("coffre-{owner}-grpc")] => {
                    says.push(format!("the GRPCRoute leads {name} to {}, and not to {owner}", backends.join(", ")));
                }
                Some(_) => {
                    routed.insert(name.to_owned());
                }
            }
        }
    }
    says.extend(
        facts.rpc.keys().filter(|name| !routed.contains(*name)).map(|name| format!("no GRPCRoute leads to {name}")),
    );
    says
}

/// The URL that tokens carry is the one under which callers come.
fn rest(rendered: &Rendered) -> Vec<String> {
    let mut says = Vec::new();
    let hosts: Vec<&str> = rendered.of("HTTPRoute").flat_map(|route| texts(route, "/spec/hostnames")).collect();
    for deployment in rendered.workloads().filter(|one| text(one.object, "/kind") == "Deployment") {
        let environment =
            deployment.containers().next().map(|container| rendered.environment(container)).unwrap_or_default();
        let url = environment.get("COFFRE_PUBLIC_URL").map_or("", String::as_str);
        let host = url.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
        if host.is_none_or(|host| !hosts.contains(&host)) {
            says.push(format!(
                "{}: COFFRE_PUBLIC_URL is `{url}`, and callers come by https to {}",
                deployment.shown(),
                hosts.join(", ")
            ));
        }
        // Behind a proxy all callers would be one.
        if !environment.contains_key("COFFRE_TRUSTED_PROXIES") {
            says.push(format!(
                "{}: COFFRE_TRUSTED_PROXIES is not set, and every caller seems to be the proxy",
                deployment.shown()
            ));
        }
    }
    let shared =
        rendered.of("GRPCRoute").flat_map(|route| texts(route, "/spec/hostnames")).any(|host| hosts.contains(&host));
    if shared {
        says.push("HTTPRoute and GRPCRoute share a host name, and their matches get in each other's way".to_owned());
    }
    says
}

fn backends(rendered: &Rendered, route: &Value) -> Vec<String> {
    let mut says = Vec::new();
    for backend in list(route, "/spec/rules").flat_map(|rule| list(rule, "/backendRefs")) {
        let (service, port) = (text(backend, "/name"), number(backend, "/port"));
        let target = rendered.named("Service", service).and_then(|service| {
            list(service, "/spec/ports")
                .find(|known| number(known, "/port") == port)
                .map(|port| text(port, "/targetPort"))
        });
        let expected = if text(route, "/kind") == "HTTPRoute" { "rest" } else { "grpc" };
        if target != Some(expected) {
            says.push(format!("{}: {service} has no port for it that leads to `{expected}`", shown(route)));
        }
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
    fn a_certificate_of_another_name_is_found() {
        let of = |pointer: &str, value| broken("Certificate", "coffre-vault-internal", pointer, value);
        finds(
            &of("/spec/uris", json!(["spiffe://coffre.internal/auth"])),
            "its one URI is spiffe://coffre.internal/vault",
        );
        finds(&of("/spec/uris/1", json!("spiffe://coffre.internal/auth")), "and no other");
        finds(&of("/spec/usages", json!(["server auth"])), "both ends");
        finds(&of("/spec/issuerRef/kind", json!("ClusterIssuer")), "not this namespace's alone");
        finds(&of("/spec/privateKey/rotationPolicy", json!("Never")), "a new key");
        finds(&of("/spec/renewBefore", json!("24h")), "two weeks");
        finds(&without("Certificate", "coffre-vault-internal"), "nobody makes the certificate that it shows");
        finds(&without("Certificate", "coffre-vault-public"), "nobody makes the certificate of coffre-vault-grpc");
        let of = |pointer: &str, value| broken("Certificate", "coffre-vault-public", pointer, value);
        finds(&of("/spec/dnsNames", json!(["other"])), "none of its names");
        finds(&of("/spec/uris", json!(["spiffe://coffre.internal/vault"])), "no service's identity");
    }

    #[test]
    fn a_route_too_few_or_too_many_is_found() {
        let of = |pointer: &str, value| broken("GRPCRoute", "coffre-grpc", pointer, value);
        finds(&of("/spec/rules/1/matches", json!([])), "takes every call");
        finds(&of("/spec/rules/1/matches", json!([])), "no GRPCRoute leads to coffre.vault.v1.KeyService");
        let internal = json!({"method": {"service": "coffre.vault.internal.v1.PeerService"}});
        finds(&of("/spec/rules/1/matches/0", internal), "no service for callers outside");
        finds(&of("/spec/rules/1/backendRefs/0/name", json!("coffre-auth-grpc")), "and not to vault");
        finds(&of("/spec/rules/1/backendRefs/0/port", json!(50052)), "no port for it");
        finds(&of("/spec/hostnames", json!(["vault.example.org"])), "share a host name");
        finds(&without("BackendTLSPolicy", "coffre-vault-grpc"), "plain text with coffre-vault-grpc");
        finds(
            &broken("HTTPRoute", "coffre-rest", "/spec/rules/0/backendRefs/0/name", json!("coffre-auth")),
            "no port for it",
        );
    }

    #[test]
    fn a_url_that_nobody_calls_is_found() {
        let set = |name: &str, value: Value| broken("ConfigMap", "coffre-settings", &format!("/data/{name}"), value);
        finds(
            &set("COFFRE_PUBLIC_URL", json!("https://other.example.org")),
            "callers come by https to vault.example.org",
        );
        finds(&set("COFFRE_PUBLIC_URL", json!("http://vault.example.org")), "callers come by https");
        finds(&set("COFFRE_TRUSTED_PROXIES", json!(null)), "COFFRE_TRUSTED_PROXIES is not set");
    }
}
