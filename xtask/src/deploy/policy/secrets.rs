//! Secrets are made by people and operators, never written down here; each pod is shown those that it needs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Rendered, list, name, shown, text};

/// The key files that each of ours reads, and nobody else's.
const KEYS: [(&str, &[&str]); 7] = [
    ("auth", &["audit", "auth"]),
    ("vault", &["audit", "express"]),
    ("locker", &["audit"]),
    ("audit", &["audit", "checkpoint"]),
    ("gateway", &[]),
    ("migrate", &["audit"]),
    ("init", &["audit", "auth", "checkpoint", "express"]),
];
const KEY: &str = "coffre-key-";

/// Every breach.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for secret in rendered.of("Secret") {
        found.push(format!("{}: secrets are not written into manifests", shown(secret)));
    }
    for settings in rendered.of("ConfigMap") {
        for (key, value) in settings.pointer("/data").and_then(Value::as_object).into_iter().flatten() {
            if holds_secret(key, value.as_str().unwrap_or_default()) {
                found.push(format!("{}: {key} holds a secret", shown(settings)));
            }
        }
    }
    let made = made_by_operators(rendered);
    for workload in rendered.workloads() {
        let mut says = Vec::new();
        for container in workload.containers() {
            for one in list(container, "/env") {
                if one.pointer("/valueFrom/secretKeyRef").is_some()
                    || holds_secret(text(one, "/name"), text(one, "/value"))
                {
                    says.push(format!("{} puts a secret into the environment: mount a file", text(one, "/name")));
                }
            }
            if list(container, "/envFrom").any(|source| source.get("secretRef").is_some()) {
                says.push("a Secret is put into the environment: mount files".to_owned());
            }
        }
        let shown_to_it = secrets_of(workload.pod());
        for secret in shown_to_it
            .iter()
            .filter(|secret| !made.contains(**secret) && !facts.readme.contains(&format!("`{secret}`")))
        {
            says.push(format!("nobody makes the Secret {secret}, and deploy/README.md does not say who should"));
        }
        let keys: Vec<&str> = shown_to_it.iter().filter_map(|secret| secret.strip_prefix(KEY)).collect();
        let expected =
            KEYS.iter().find(|(component, _)| *component == workload.component()).map_or(&[][..], |(_, keys)| keys);
        if keys != expected {
            says.push(format!("it is shown the keys {}, and needs {}", keys.join(", "), expected.join(", ")));
        }
        let others = shown_to_it.iter().filter(|secret| belongs_to_another(secret, workload.component(), facts));
        says.extend(others.map(|secret| format!("it is shown {secret}, which belongs to another service")));
        found.extend(says.into_iter().map(|breach| format!("{}: {breach}", workload.shown())));
    }
    found
}

/// A variable of that kind names a file; a URL in plain sight holds no password.
fn holds_secret(variable: &str, value: &str) -> bool {
    let file = variable.ends_with("_FILE");
    let named = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE_KEY"].iter().any(|word| variable.contains(word));
    // Settings about passwords and tokens, such as the life of a token, are numbers or switches.
    let harmless = value.parse::<f64>().is_ok() || ["true", "false"].contains(&value);
    let authority = value.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let in_url = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || value.contains("password=");
    (named && !file && !harmless && variable.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        || in_url
        || value.contains("PRIVATE KEY")
}

/// The Secrets that a pod mounts, each once.
fn secrets_of(pod: &Value) -> BTreeSet<&str> {
    let plain = list(pod, "/volumes").map(|volume| text(volume, "/secret/secretName"));
    let projected = list(pod, "/volumes")
        .flat_map(|volume| list(volume, "/projected/sources"))
        .map(|source| text(source, "/secret/name"));
    plain.chain(projected).filter(|name| !name.is_empty()).collect()
}

/// What cert-manager and CloudNativePG make from objects that are here.
fn made_by_operators(rendered: &Rendered) -> BTreeSet<String> {
    let certificates = rendered.of("Certificate").map(|certificate| text(certificate, "/spec/secretName").to_owned());
    let clusters =
        rendered.of("Cluster").flat_map(|cluster| ["app", "ca"].map(|part| format!("{}-{part}", name(cluster))));
    certificates.chain(clusters).collect()
}

fn belongs_to_another(secret: &str, component: &str, facts: &Facts) -> bool {
    facts
        .calls
        .keys()
        .filter(|service| *service != component)
        .any(|service| ["internal", "public"].iter().any(|kind| secret == format!("coffre-{service}-{kind}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::policy::sample::{broken, facts, good};

    fn finds(rendered: &Rendered, part: &str) {
        let found = breaches(rendered, &facts());
        assert!(found.iter().any(|breach| breach.contains(part)), "{part}: {found:?}");
    }

    #[test]
    fn what_is_good_is_taken() {
        assert_eq!(breaches(&good(), &facts()), [""; 0]);
    }

    #[test]
    fn a_secret_in_a_manifest_is_found_in_each_disguise() {
        let mut with_secret = good();
        with_secret.objects.push(json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}}));
        finds(&with_secret, "Secret s");
        for (key, value) in [
            ("COFFRE_ADMIN_PASSWORD", "hunter2"),
            ("COFFRE_DATABASE_URL", "postgres://coffre:hunter2@db/coffre"),
            ("COFFRE_DATABASE_URL", "postgres://db/coffre?password=hunter2"),
            ("COFFRE_NOTE", "-----BEGIN PRIVATE KEY-----"),
        ] {
            finds(&broken("ConfigMap", "coffre-settings", &format!("/data/{key}"), json!(value)), "holds a secret");
        }
        let environment = |value| broken("Deployment", "coffre-vault", "/spec/template/spec/containers/0/env", value);
        finds(
            &environment(json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}])),
            "mount a file",
        );
        finds(&environment(json!([{"name": "MY_TOKEN", "value": "abc"}])), "mount a file");
        let from = json!([{"secretRef": {"name": "s"}}]);
        finds(&broken("Deployment", "coffre-vault", "/spec/template/spec/containers/0/envFrom", from), "mount files");
        for (fine, value) in [
            ("COFFRE_ADMIN_PASSWORD_FILE", "/run/password"),
            ("COFFRE_AUTH__PASSWORD_MIN_LENGTH", "12"),
            ("COFFRE_DATABASE_URL", "postgres://db/coffre"),
        ] {
            assert!(!holds_secret(fine, value), "{fine}");
        }
    }

    #[test]
    fn a_pod_that_is_shown_more_or_less_than_it_needs_is_found() {
        let volume = |at: usize, value| {
            broken("Deployment", "coffre-vault", &format!("/spec/template/spec/volumes/{at}"), value)
        };
        let secret = |name: &str| json!({"name": "v", "secret": {"secretName": name, "defaultMode": 288}});
        finds(&volume(0, secret("coffre-auth-internal")), "belongs to another service");
        finds(
            &volume(0, secret("coffre-key-auth")),
            "it is shown the keys audit, auth, express, and needs audit, express",
        );
        finds(&volume(2, secret("coffre-key-audit")), "it is shown the keys audit, and needs audit, express");
        finds(&volume(0, secret("somebodys")), "nobody makes the Secret somebodys");
    }
}
