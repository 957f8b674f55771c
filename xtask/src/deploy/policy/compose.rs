//! The compose file: as tight as a pod, and with the settings that there are.

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{is, list, text, texts};

/// Every breach.
pub(crate) fn breaches(compose: &Value, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let services = compose.pointer("/services").and_then(Value::as_object);
    if services.is_none_or(serde_json::Map::is_empty) {
        found.push("there is no service".to_owned());
    }
    for (name, service) in services.into_iter().flatten() {
        found.extend(of_service(service, facts).into_iter().map(|breach| format!("{name}: {breach}")));
    }
    if !is(compose, "/networks/database/internal", true) {
        found.push("the network of the database leads out".to_owned());
    }
    for (name, secret) in compose.pointer("/secrets").and_then(Value::as_object).into_iter().flatten() {
        if text(secret, "/file").is_empty() {
            found.push(format!("the secret {name} is not in a file"));
        }
    }
    found
}

fn of_service(service: &Value, facts: &Facts) -> Vec<String> {
    let mut says = Vec::new();
    let image = text(service, "/image");
    let named = image.strip_prefix("${").and_then(|rest| rest.split_once(":?")).map_or("", |(name, _)| name);
    if !facts.images.contains_key(named) {
        says.push(format!("`{image}` is no image of deploy/images/images.env, demanded by its name"));
    }
    if !is(service, "/read_only", true) {
        says.push("its root folder may be written".to_owned());
    }
    if texts(service, "/cap_drop") != ["ALL"] || service.get("cap_add").is_some() || service.get("privileged").is_some()
    {
        says.push("it does not drop ALL capabilities".to_owned());
    }
    if !texts(service, "/security_opt").contains(&"no-new-privileges:true") {
        says.push("it may get new privileges".to_owned());
    }
    if text(service, "/user").split(':').next().is_none_or(|user| user.is_empty() || user == "0" || user == "root") {
        says.push("it runs as root".to_owned());
    }
    if text(service, "/mem_limit").is_empty() || service.get("pids_limit").is_none() {
        says.push("its memory or its processes have no bound".to_owned());
    }
    let environment = service.pointer("/environment").and_then(Value::as_object);
    for variable in environment.into_iter().flatten().map(|(variable, _)| variable) {
        if variable.starts_with("COFFRE_") && !facts.settings.contains_key(variable) {
            says.push(format!("there is no setting {variable}"));
        }
        if variable.contains("PASSWORD") && !variable.ends_with("_FILE") {
            says.push(format!("{variable} is a secret in the environment: give a file"));
        }
    }
    let goes_on = !text(service, "/restart").is_empty();
    if goes_on && list(service, "/healthcheck/test").next().is_none() {
        says.push("nobody asks whether it is well".to_owned());
    }
    for volume in list(service, "/volumes").filter(|volume| volume.is_object()) {
        let target = text(volume, "/target");
        if target.starts_with("/etc/") && !is(volume, "/read_only", true) {
            says.push(format!("{target} may be written"));
        }
    }
    says
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::policy::sample::facts;

    fn good() -> Value {
        json!({"services": {"coffre": {
            "image": "${IMAGE_COFFRE:?give it}", "user": "65532:65532", "read_only": true, "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"], "mem_limit": "1g", "pids_limit": 10, "restart": "unless-stopped",
            "environment": {"COFFRE_KEYS_DIR": "/etc/coffre/keys"}, "healthcheck": {"test": ["CMD", "x"]},
            "volumes": [{"type": "bind", "source": "k", "target": "/etc/coffre/keys", "read_only": true}]}},
            "networks": {"database": {"internal": true}}, "secrets": {"url": {"file": "./url"}}})
    }

    #[test]
    fn each_weakness_is_found() {
        assert_eq!(breaches(&good(), &facts()), [""; 0]);
        let service = "/services/coffre";
        for (pointer, value, part) in [
            (format!("{service}/image"), json!("postgres:18"), "no image of"),
            (format!("{service}/image"), json!("${IMAGE_OTHER:?x}"), "no image of"),
            (format!("{service}/user"), json!("0:0"), "runs as root"),
            (format!("{service}/user"), json!(""), "runs as root"),
            (format!("{service}/read_only"), json!(false), "may be written"),
            (format!("{service}/cap_drop"), json!(["NET_RAW"]), "capabilities"),
            (format!("{service}/security_opt"), json!([]), "new privileges"),
            (format!("{service}/mem_limit"), json!(null), "no bound"),
            (format!("{service}/environment"), json!({"COFFRE_KEYSDIR": "x"}), "no setting COFFRE_KEYSDIR"),
            (format!("{service}/environment"), json!({"POSTGRES_PASSWORD": "x"}), "secret in the environment"),
            (format!("{service}/healthcheck"), json!({}), "nobody asks"),
            (format!("{service}/volumes/0/read_only"), json!(false), "/etc/coffre/keys may be written"),
            ("/networks/database/internal".to_owned(), json!(false), "leads out"),
            ("/secrets/url".to_owned(), json!({"environment": "URL"}), "not in a file"),
            ("/services".to_owned(), json!({}), "no service"),
        ] {
            let mut broken = good();
            *broken.pointer_mut(&pointer).unwrap() = value;
            let found = breaches(&broken, &facts());
            assert!(found.iter().any(|breach| breach.contains(part)), "{pointer}: {found:?}");
        }
    }
}
