//! Every way between pods that the services use is open, and none more. The policies are evaluated as a network would: a way is open where
//! the one end may go out and the other lets in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{COMPONENT, Pairs, Rendered, list, number, selects, text, texts};

/// The ports that anything here listens at, and one at which nothing does.
const PORTS: [i64; 9] = [8080, 50051, 50052, 9090, 5432, 8000, 443, 6443, 53];
const REST: i64 = 8080;
const GRPC: i64 = 50051;
const INTERNAL: i64 = 50052;
const MANAGEMENT: i64 = 9090;
const POSTGRES: i64 = 5432;
/// Where CloudNativePG's instances answer their operator and each other.
const INSTANCE: i64 = 8000;
const DATABASE: &str = "database";
/// Who keeps something in the database, beside the services themselves.
const JOBS: [&str; 2] = ["migrate", "init"];

/// One end of a way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Pods of this namespace, by what they are for.
    Pod(String, Pairs),
    /// Pods of another namespace.
    Elsewhere(String, Pairs),
    /// An address outside.
    Address(String),
}

impl End {
    fn shown(&self) -> &str {
        match self {
            Self::Pod(name, _) | Self::Elsewhere(name, _) | Self::Address(name) => name,
        }
    }
}

/// Every way that is open and should not be, or the other way round.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let policies: Vec<&Value> = rendered.of("NetworkPolicy").collect();
    let pods = pods(rendered);
    let mut found = Vec::new();
    if pods.len() < facts.calls.len() {
        found.push("not every service has pods".to_owned());
    }
    let dns = Pairs::from([("k8s-app".to_owned(), "kube-dns".to_owned())]);
    let place = |name: &str, default: &str| rendered.places.get(name).map_or_else(|| default.to_owned(), Clone::clone);
    let mut outside = vec![
        End::Elsewhere("kube-system".to_owned(), dns),
        End::Elsewhere("kube-system".to_owned(), Pairs::new()),
        End::Elsewhere("somewhere-else".to_owned(), Pairs::new()),
        End::Elsewhere("cnpg-system".to_owned(), Pairs::new()),
        End::Address("198.51.100.7/32".to_owned()),
    ];
    for name in ["PROXY_NAMESPACE", "MONITORING_NAMESPACE"] {
        outside.extend(rendered.places.get(name).map(|space| End::Elsewhere(space.clone(), Pairs::new())));
    }
    outside.extend(rendered.places.get("DATABASE_CIDR").map(|network| End::Address(network.clone())));
    outside.sort();
    outside.dedup();
    let ways = Ways {
        facts,
        proxy: place("PROXY_NAMESPACE", ""),
        monitoring: place("MONITORING_NAMESPACE", ""),
        database: place("DATABASE_CIDR", ""),
    };
    let mut judge = |from: &End, to: &End, port: i64, protocol: &str, open: bool| {
        let wanted = ways.wanted(from, to, port, protocol);
        if open != wanted {
            let state = if open { "is open, and nobody needs it" } else { "is shut, and is needed" };
            found.push(format!("the way from {} to {} at {protocol} {port} {state}", from.shown(), to.shown()));
        }
    };
    for from in &pods {
        for to in &pods {
            for port in PORTS {
                let open = admits(&policies, "Egress", from, to, port, "TCP")
                    && admits(&policies, "Ingress", to, from, port, "TCP");
                judge(from, to, port, "TCP", open);
            }
        }
        for other in &outside {
            for (port, protocol) in PORTS.iter().map(|port| (*port, "TCP")).chain([(53, "UDP")]) {
                judge(from, other, port, protocol, admits(&policies, "Egress", from, other, port, protocol));
                judge(other, from, port, protocol, admits(&policies, "Ingress", from, other, port, protocol));
            }
        }
    }
    found
}

/// Which ways there should be.
struct Ways<'f> {
    facts: &'f Facts,
    proxy: String,
    monitoring: String,
    database: String,
}

impl Ways<'_> {
    fn wanted(&self, from: &End, to: &End, port: i64, protocol: &str) -> bool {
        match (from, to) {
            (End::Pod(from, _), End::Pod(to, _)) => self.inside(from, to, port),
            (End::Pod(from, _), End::Elsewhere(space, labels)) => {
                // The database of the overlay for trying out asks for no names.
                let asks = from != DATABASE || labels.contains_key("k8s-app") && self.is_cluster();
                space == "kube-system" && labels.contains_key("k8s-app") && port == 53 && asks
                    || from == DATABASE && self.is_cluster() && [443, 6443].contains(&port) && protocol == "TCP"
            }
            (End::Pod(from, _), End::Address(address)) => {
                let database = !self.database.is_empty() && *address == self.database;
                (database && port == POSTGRES && protocol == "TCP" && self.keeps(from))
                    // The API server has no label.
                    || (from == DATABASE && self.is_cluster() && [443, 6443].contains(&port) && protocol == "TCP")
            }
            (End::Elsewhere(space, _), End::Pod(to, _)) => {
                let keeper = self.facts.keepers().any(|service| service == to);
                let called = (to == "gateway" && port == REST) || (keeper && port == GRPC);
                let service = self.facts.calls.contains_key(to);
                protocol == "TCP"
                    && ((*space == self.proxy && called)
                        || (*space == self.monitoring && service && port == MANAGEMENT)
                        || (space == "cnpg-system"
                            && to == DATABASE
                            && self.is_cluster()
                            && [POSTGRES, INSTANCE].contains(&port)))
            }
            _ => false,
        }
    }

    fn inside(&self, from: &str, to: &str, port: i64) -> bool {
        let calls = self.facts.calls.get(from).is_some_and(|others| others.contains(to));
        (calls && port == INTERNAL)
            || (to == DATABASE && self.keeps(from) && port == POSTGRES)
            || (from == DATABASE && to == DATABASE && self.is_cluster() && [POSTGRES, INSTANCE].contains(&port))
    }

    fn keeps(&self, component: &str) -> bool {
        self.facts.keepers().any(|service| service == component) || JOBS.contains(&component)
    }

    /// Whether the database is one of CloudNativePG's: then there are places for a proxy, and none for a database.
    fn is_cluster(&self) -> bool {
        !self.proxy.is_empty() && self.database.is_empty()
    }
}

/// The pods of a folder, one end for each kind of them.
fn pods(rendered: &Rendered) -> Vec<End> {
    let mut found = BTreeMap::new();
    for workload in rendered.workloads() {
        let labels = workload.labels();
        let name = labels.get(COMPONENT).cloned().unwrap_or_else(|| DATABASE.to_owned());
        found.insert(name, labels);
    }
    for cluster in rendered.of("Cluster") {
        let label = ("cnpg.io/cluster".to_owned(), text(cluster, "/metadata/name").to_owned());
        found.insert(DATABASE.to_owned(), Pairs::from([label]));
    }
    found.into_iter().map(|(name, labels)| End::Pod(name, labels)).collect()
}

/// Whether the policies that select this end let it speak with the other one. Pods that none selects speak with everybody.
fn admits(policies: &[&Value], direction: &str, end: &End, other: &End, port: i64, protocol: &str) -> bool {
    let End::Pod(_, own) = end else { return true };
    let (rules, peers) = if direction == "Ingress" { ("/spec/ingress", "/from") } else { ("/spec/egress", "/to") };
    let mut isolated = false;
    for policy in policies {
        if !texts(policy, "/spec/policyTypes").contains(&direction)
            || !selects(policy.pointer("/spec/podSelector"), own)
        {
            continue;
        }
        isolated = true;
        let admitted = list(policy, rules).any(|rule| {
            let at = rule.get("ports").is_none()
                || list(rule, "/ports").any(|one| {
                    let protocol_of = Some(text(one, "/protocol")).filter(|known| !known.is_empty()).unwrap_or("TCP");
                    protocol_of == protocol && number(one, "/port").is_none_or(|known| known == port)
                });
            let with = rule.pointer(peers).is_none() || list(rule, peers).any(|peer| is_peer(peer, other));
            at && with
        });
        if admitted {
            return true;
        }
    }
    !isolated
}

fn is_peer(peer: &Value, other: &End) -> bool {
    let (pods, spaces) = (peer.get("podSelector"), peer.get("namespaceSelector"));
    match other {
        End::Address(address) => {
            // Wider than the one address is wider than we want: whatever is not literally it counts as every address.
            let cidr = text(peer, "/ipBlock/cidr");
            !cidr.is_empty() && (cidr == address || cidr.ends_with("/0"))
        }
        End::Pod(_, labels) => {
            let here = spaces.is_none_or(|spaces| spaces.as_object().is_some_and(serde_json::Map::is_empty));
            here && peer.get("ipBlock").is_none() && pods.is_none_or(|pods| selects(Some(pods), labels))
        }
        End::Elsewhere(space, labels) => {
            let named = Pairs::from([("kubernetes.io/metadata.name".to_owned(), space.clone())]);
            spaces.is_some() && selects(spaces, &named) && pods.is_none_or(|pods| selects(Some(pods), labels))
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
    fn a_way_that_is_needed_and_shut_is_found() {
        finds(
            &broken("NetworkPolicy", "vault", "/spec/ingress", json!([])),
            "from gateway to vault at TCP 50052 is shut",
        );
        finds(
            &broken("NetworkPolicy", "gateway", "/spec/egress", json!([])),
            "from gateway to auth at TCP 50052 is shut",
        );
        let port = broken("NetworkPolicy", "auth", "/spec/ingress/0/ports/0/port", json!(50053));
        finds(&port, "from vault to auth at TCP 50052 is shut");
        for (policy, part) in [
            ("names", "from auth to kube-system at UDP 53 is shut"),
            ("to-database", "from audit to 192.0.2.10/32 at TCP 5432 is shut"),
            ("monitoring", "from monitoring to locker at TCP 9090 is shut"),
            ("callers-of-gateway", "from gateway-system to gateway at TCP 8080 is shut"),
        ] {
            finds(&without("NetworkPolicy", policy), part);
        }
    }

    #[test]
    fn a_way_that_nobody_needs_is_found() {
        finds(&without("NetworkPolicy", "nothing-by-default"), "to migrate at TCP 8080 is open");
        let anybody = broken("NetworkPolicy", "vault", "/spec/ingress/0/from", json!([{"podSelector": {}}]));
        assert_eq!(breaches(&anybody, &facts()), [""; 0], "the others may not go out to it, and are held up there");
        let everywhere = broken("NetworkPolicy", "gateway", "/spec/egress", json!([{}]));
        for part in
            ["from gateway to somewhere-else at TCP 443 is open", "from gateway to 192.0.2.10/32 at TCP 5432 is open"]
        {
            finds(&everywhere, part);
        }
        let every_port = broken("NetworkPolicy", "callers-of-auth", "/spec/ingress/0/ports", json!(null));
        finds(&every_port, "from gateway-system to auth at TCP 50052 is open");
        let every_space = broken("NetworkPolicy", "monitoring", "/spec/ingress/0/from/0/namespaceSelector", json!({}));
        finds(&every_space, "from somewhere-else to vault at TCP 9090 is open");
        let wide = broken("NetworkPolicy", "to-database", "/spec/egress/0/to/0/ipBlock/cidr", json!("0.0.0.0/0"));
        finds(&wide, "from auth to 198.51.100.7/32 at TCP 5432 is open");
        let gateway = json!({"matchLabels": {"app.kubernetes.io/name": "coffre"}});
        finds(
            &broken("NetworkPolicy", "to-database", "/spec/podSelector", gateway),
            "from gateway to 192.0.2.10/32 at TCP 5432",
        );
    }

    #[test]
    fn a_call_that_the_code_learns_needs_its_way() {
        let mut facts = facts();
        facts.calls.get_mut("audit").unwrap().insert("locker".to_owned());
        let found = breaches(&good(), &facts);
        assert!(
            found.iter().any(|breach| breach == "the way from audit to locker at TCP 50052 is shut, and is needed"),
            "{found:?}"
        );
        facts.calls.get_mut("audit").unwrap().clear();
        let found = breaches(&good(), &facts);
        assert!(found.iter().any(|breach| breach.contains("from audit to auth at TCP 50052 is open")), "{found:?}");
    }
}
