//! A small folder that breaks no rule, for tests to break.

use serde_json::{Value, json};

use crate::deploy::facts::Facts;
use crate::deploy::object::{Pairs, Rendered, name, pairs, text};

const SERVICES: [&str; 5] = ["auth", "vault", "locker", "audit", "gateway"];
const IMAGE: &str = "ghcr.io/coffre/coffre:1.2.3";
const SETTINGS: &str = "COFFRE_HTTP_ADDR=0.0.0.0:8080
COFFRE_GRPC_ADDR=0.0.0.0:50051
COFFRE_INTERNAL_ADDR=0.0.0.0:50052
COFFRE_MANAGEMENT_ADDR=0.0.0.0:9090
COFFRE_SERVICES__AUTH=coffre-auth:50052
COFFRE_SERVICES__VAULT=coffre-vault:50052
COFFRE_SERVICES__LOCKER=coffre-locker:50052
COFFRE_SERVICES__AUDIT=coffre-audit:50052
COFFRE_TLS__CERT_FILE=/etc/coffre/tls/public/tls.crt
COFFRE_KEYS_DIR=/etc/coffre/keys
COFFRE_DATABASE_URL_FILE=/etc/coffre/database/url
COFFRE_LAME_DUCK_SECONDS=5
COFFRE_DRAIN_SECONDS=20
COFFRE_ENVIRONMENT=production
COFFRE_PUBLIC_URL=https://vault.example.org
COFFRE_TRUSTED_PROXIES=10.0.0.0/8
PGSSLMODE=verify-full";

/// What the code would say of itself.
pub(super) fn facts() -> Facts {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let all = ["auth", "vault", "locker", "audit"];
    let mut settings = pairs(SETTINGS).unwrap();
    settings.remove("PGSSLMODE");
    settings.insert("COFFRE_TLS__TRUST_DOMAIN".to_owned(), "coffre.internal".to_owned());
    settings.insert("COFFRE_DATABASE_URL".to_owned(), String::new());
    settings.insert("COFFRE_MANAGEMENT_ADDR".to_owned(), "127.0.0.1:9090".to_owned());
    Facts {
        settings,
        calls: [
            ("auth", &["vault", "locker", "audit"][..]),
            ("vault", &["auth", "locker", "audit", "vault"]),
            ("locker", &["auth", "vault", "audit"]),
            ("audit", &["auth"]),
            ("gateway", &all),
        ]
        .map(|(who, whom)| (who.to_owned(), set(whom)))
        .into(),
        management: set(&["/livez", "/readyz", "/metrics"]),
        rpc: [("coffre.auth.v1.UserService", "auth"), ("coffre.vault.v1.KeyService", "vault")]
            .map(|(rpc, owner)| (rpc.to_owned(), owner.to_owned()))
            .into(),
        metrics: [
            ("coffre_rpc_calls_total", &["service", "rpc", "code"]),
            ("coffre_rpc_duration_seconds", &["service", "rpc", "le"]),
        ]
        .map(|(metric, labels)| (metric.to_owned(), set(labels)))
        .into(),
        images: Pairs::from([("IMAGE_COFFRE".to_owned(), IMAGE.to_owned())]),
        readme: "`coffre-database` `coffre-key-auth` `coffre-key-audit` `coffre-key-express` `coffre-key-checkpoint`"
            .to_owned(),
        version: "1.2.3".to_owned(),
    }
}

/// The folder as it should be.
pub(super) fn good() -> Rendered {
    let settings: Value = serde_json::to_value(pairs(SETTINGS).unwrap()).unwrap();
    let mut objects = vec![json!({"kind": "ConfigMap", "metadata": {"name": "coffre-settings"}, "data": settings})];
    for service in SERVICES {
        objects.extend(of_service(service));
    }
    objects.extend(job());
    objects.extend(network());
    objects.extend(routes());
    let places = "PROXY_NAMESPACE=gateway-system\nMONITORING_NAMESPACE=monitoring\nDATABASE_CIDR=192.0.2.10/32";
    Rendered { name: "overlays/production".to_owned(), objects, places: pairs(places).unwrap() }
}

/// The folder with one thing changed. A `null` takes it away; what is not there yet is put there.
pub(super) fn broken(kind: &str, wanted: &str, pointer: &str, value: Value) -> Rendered {
    let mut rendered = good();
    let object =
        rendered.objects.iter_mut().find(|object| text(object, "/kind") == kind && name(object) == wanted).unwrap();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Object(fields) if value.is_null() => {
            fields.remove(last);
        }
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => match items.get_mut(last.parse::<usize>().unwrap()) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        other => panic!("{other} has no parts"),
    }
    rendered
}

/// The folder without an object.
pub(super) fn without(kind: &str, wanted: &str) -> Rendered {
    let mut rendered = good();
    let before = rendered.objects.len();
    rendered.objects.retain(|object| text(object, "/kind") != kind || name(object) != wanted);
    assert_eq!(rendered.objects.len() + 1, before);
    rendered
}

fn labels(component: &str) -> Value {
    json!({"app.kubernetes.io/name": "coffre", "app.kubernetes.io/part-of": "coffre", "app.kubernetes.io/component": component})
}

fn selector(component: &str) -> Value {
    json!({"app.kubernetes.io/name": "coffre", "app.kubernetes.io/component": component})
}

fn secret(volume: &str, secret: &str) -> Value {
    json!({"name": volume, "secret": {"secretName": secret, "defaultMode": 288}})
}

fn keys(names: &[&str]) -> Value {
    let sources: Vec<Value> =
        names.iter().map(|key| json!({"secret": {"name": format!("coffre-key-{key}")}})).collect();
    json!({"name": "keys", "projected": {"defaultMode": 288, "sources": sources}})
}

fn pod(account: &str, container: &Value, volumes: &[Value]) -> Value {
    json!({"serviceAccountName": account, "enableServiceLinks": false, "automountServiceAccountToken": false, "hostUsers": false,
        "terminationGracePeriodSeconds": 60, "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
        "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [container], "volumes": volumes})
}

fn container(arguments: &[&str], mounts: &[(&str, &str)]) -> Value {
    let mounts: Vec<Value> =
        mounts.iter().map(|(volume, path)| json!({"name": volume, "mountPath": path, "readOnly": true})).collect();
    json!({"name": "coffre", "image": IMAGE, "args": arguments, "envFrom": [{"configMapRef": {"name": "coffre-settings"}}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}, "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}}})
}

fn account(component: &str) -> Value {
    json!({"kind": "ServiceAccount", "metadata": {"name": format!("coffre-{component}")}, "automountServiceAccountToken": false})
}

fn of_service(service: &str) -> Vec<Value> {
    let keeper = service != "gateway";
    let named = format!("coffre-{service}");
    let mut volumes =
        vec![secret("tls-public", &format!("{named}-public")), secret("tls-internal", &format!("{named}-internal"))];
    let mut mounts = vec![("tls-public", "/etc/coffre/tls/public"), ("tls-internal", "/etc/coffre/tls/internal")];
    let mut ports = vec![json!({"name": "management", "containerPort": 9090})];
    if keeper {
        let needed = match service {
            "auth" => &["auth", "audit"][..],
            "vault" => &["express", "audit"],
            "audit" => &["audit", "checkpoint"],
            _ => &["audit"],
        };
        volumes.extend([keys(needed), secret("database", "coffre-database")]);
        mounts.extend([("keys", "/etc/coffre/keys"), ("database", "/etc/coffre/database")]);
        ports.extend([
            json!({"name": "grpc", "containerPort": 50051}),
            json!({"name": "internal", "containerPort": 50052}),
        ]);
    } else {
        ports.push(json!({"name": "rest", "containerPort": 8080}));
    }
    let mut container = container(&["serve", service], &mounts);
    container["ports"] = json!(ports);
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        container[probe] = json!({"httpGet": {"path": path, "port": "management"}});
    }
    let mut pod = pod(&named, &container, &volumes);
    let spread = |key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": selector(service)}, "matchLabelKeys": ["pod-template-hash"]});
    pod["topologySpreadConstraints"] = json!([spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")]);
    let public = if keeper { format!("{named}-grpc") } else { named.clone() };
    let (port, target) = if keeper { (50051, "grpc") } else { (8080, "rest") };
    let issued = |kind: &str| {
        json!({"secretName": format!("{named}-{kind}"), "duration": "2160h", "renewBefore": "720h", "usages": ["server auth", "client auth"],
            "privateKey": {"rotationPolicy": "Always"}, "issuerRef": {"kind": "Issuer"}})
    };
    let (mut internal, mut outer) = (issued("internal"), issued("public"));
    internal["uris"] = json!([format!("spiffe://coffre.internal/{service}")]);
    outer["dnsNames"] = json!([format!("{public}.coffre.svc")]);
    let mut objects = vec![
        account(service),
        json!({"kind": "Deployment", "metadata": {"name": named}, "spec": {"minReadySeconds": 5,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector(service)}, "template": {"metadata": {"labels": labels(service)}, "spec": pod}}}),
        json!({"kind": "Service", "metadata": {"name": public}, "spec": {"selector": selector(service),
            "ports": [{"port": port, "targetPort": target}]}}),
        json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": named}, "spec": {"minReplicas": 3, "maxReplicas": 5,
            "scaleTargetRef": {"kind": "Deployment", "name": named}, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}}}),
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": named}, "spec": {"maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": selector(service)}}}),
        json!({"kind": "Certificate", "metadata": {"name": format!("{named}-internal")}, "spec": internal}),
        json!({"kind": "Certificate", "metadata": {"name": format!("{named}-public")}, "spec": outer}),
        json!({"kind": "BackendTLSPolicy", "metadata": {"name": public}, "spec": {
            "targetRefs": [{"kind": "Service", "name": public}], "validation": {"hostname": format!("{public}.coffre.svc")}}}),
    ];
    if keeper {
        objects.push(json!({"kind": "Service", "metadata": {"name": named}, "spec": {"clusterIP": "None", "selector": selector(service),
            "ports": [{"port": 50052, "targetPort": "internal"}]}}));
    }
    objects
}

fn job() -> Vec<Value> {
    let mounts = [("keys", "/etc/coffre/keys"), ("database", "/etc/coffre/database")];
    let container = container(&["migrate"], &mounts);
    let pod = pod("coffre-migrate", &container, &[keys(&["audit"]), secret("database", "coffre-database")]);
    let job = json!({"kind": "Job", "metadata": {"name": "coffre-migrate-1.2.3"}, "spec": {"activeDeadlineSeconds": 1,
        "ttlSecondsAfterFinished": 1, "template": {"metadata": {"labels": labels("migrate")}, "spec": pod}}});
    vec![account("migrate"), job]
}

fn network() -> Vec<Value> {
    let policy = |name: &str, spec: Value| json!({"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec});
    let of = |components: &[&str]| {
        json!({"matchLabels": {"app.kubernetes.io/name": "coffre"},
            "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": components}]})
    };
    let space = |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    let at = |port: u16| json!([{"protocol": "TCP", "port": port}]);
    let dns = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
    let mut found = vec![
        policy("nothing-by-default", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})),
        policy(
            "names",
            json!({"podSelector": {}, "policyTypes": ["Egress"],
                "egress": [{"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]}),
        ),
        policy(
            "to-database",
            json!({"podSelector": of(&["auth", "vault", "locker", "audit", "migrate"]), "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}], "ports": at(5432)}]}),
        ),
        policy(
            "monitoring",
            json!({"podSelector": of(&SERVICES), "policyTypes": ["Ingress"], "ingress": [{"from": [space("monitoring")], "ports": at(9090)}]}),
        ),
    ];
    let calls = facts().calls;
    for service in SERVICES {
        let callers: Vec<&str> = SERVICES.into_iter().filter(|other| calls[*other].contains(service)).collect();
        let whom: Vec<&str> = calls[service].iter().map(String::as_str).collect();
        let rule = |peers: &[&str], key: &str| json!([{key: [{"podSelector": of(peers)}], "ports": at(50052)}]);
        found.push(policy(
            service,
            json!({"podSelector": of(&[service]), "policyTypes": ["Ingress", "Egress"],
                "ingress": if callers.is_empty() { json!([]) } else { rule(&callers, "from") }, "egress": rule(&whom, "to")}),
        ));
        let port = if service == "gateway" { 8080 } else { 50051 };
        let ingress = json!([{"from": [space("gateway-system")], "ports": at(port)}]);
        found.push(policy(
            &format!("callers-of-{service}"),
            json!({"podSelector": of(&[service]), "policyTypes": ["Ingress"], "ingress": ingress}),
        ));
    }
    found
}

fn routes() -> Vec<Value> {
    let grpc = |service: &str, rpc: &str| json!({"matches": [{"method": {"service": rpc}}], "backendRefs": [{"name": format!("coffre-{service}-grpc"), "port": 50051}]});
    vec![
        json!({"kind": "HTTPRoute", "metadata": {"name": "coffre-rest"}, "spec": {"hostnames": ["vault.example.org"],
            "rules": [{"backendRefs": [{"name": "coffre-gateway", "port": 8080}]}]}}),
        json!({"kind": "GRPCRoute", "metadata": {"name": "coffre-grpc"}, "spec": {"hostnames": ["grpc.vault.example.org"],
            "rules": [grpc("auth", "coffre.auth.v1.UserService"), grpc("vault", "coffre.vault.v1.KeyService")]}}),
    ]
}
