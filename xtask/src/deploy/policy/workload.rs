//! What every pod must be: nobody in particular, with nothing to write to, bounded, and of an image that the one file names.

use serde_json::Value;

use crate::deploy::facts::Facts;
use crate::deploy::object::{Rendered, Workload, is, list, name, number, selects, shown, text, texts};

/// Built on the spot; only the overlay for trying out may run it.
const LOCAL: &str = "localhost/coffre:dev";

/// Every breach of every workload.
pub(super) fn breaches(rendered: &Rendered, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for workload in rendered.workloads() {
        let shown = workload.shown();
        let mut says = Vec::new();
        pod(rendered, workload, &mut says);
        for container in workload.containers() {
            of_container(container, &mut says);
            image(text(container, "/image"), rendered, facts, &mut says);
            mounts(container, workload.pod(), &mut says);
        }
        found.extend(says.into_iter().map(|breach| format!("{shown}: {breach}")));
    }
    for cluster in rendered.of("Cluster") {
        let mut says = Vec::new();
        image(text(cluster, "/spec/imageName"), rendered, facts, &mut says);
        found.extend(says.into_iter().map(|breach| format!("{}: {breach}", shown(cluster))));
    }
    found
}

fn pod(rendered: &Rendered, workload: Workload<'_>, says: &mut Vec<String>) {
    let pod = workload.pod();
    for (pointer, expected, breach) in [
        ("/enableServiceLinks", false, "enableServiceLinks is not false: names of Services would become settings"),
        (
            "/automountServiceAccountToken",
            false,
            "automountServiceAccountToken is not false: nobody here speaks with the API server",
        ),
        ("/securityContext/runAsNonRoot", true, "runAsNonRoot is not true"),
    ] {
        if !is(pod, pointer, expected) {
            says.push(breach.to_owned());
        }
    }
    if text(pod, "/securityContext/seccompProfile/type") != "RuntimeDefault" {
        says.push("seccompProfile is not RuntimeDefault".to_owned());
    }
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        match number(pod, &format!("/securityContext/{field}")) {
            None | Some(0) => says.push(format!("{field} is not said, or is root's")),
            Some(id) if !workload.component().is_empty() && id != 65532 => {
                says.push(format!("{field} is {id}, and the image's user is 65532"));
            }
            Some(_) => {}
        }
    }
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        if is(pod, &format!("/{forbidden}"), true) {
            says.push(format!("{forbidden} is true"));
        }
    }
    if rendered.is_production() && !is(pod, "/hostUsers", false) {
        says.push("hostUsers is not false".to_owned());
    }
    let account = text(pod, "/serviceAccountName");
    match rendered.named("ServiceAccount", account) {
        None => says.push(format!("there is no ServiceAccount `{account}`")),
        Some(account) if !is(account, "/automountServiceAccountToken", false) => {
            says.push(format!("{}: automountServiceAccountToken is not false", shown(account)));
        }
        Some(_) => {}
    }
    let shared = rendered.workloads().filter(|other| text(other.pod(), "/serviceAccountName") == account).count();
    if shared > 1 {
        says.push(format!("the ServiceAccount `{account}` is somebody else's, too"));
    }
    let pods = workload.labels();
    if !pods.contains_key("app.kubernetes.io/name")
        || pods.get("app.kubernetes.io/part-of").is_none_or(|part| part != "coffre")
    {
        says.push("its pods lack app.kubernetes.io/name, or part-of `coffre`".to_owned());
    }
    let selector = workload.object.pointer("/spec/selector");
    if selector.is_some() && !selects(selector, &pods) {
        says.push("its selector does not select its own pods".to_owned());
    }
    let stolen =
        |other: &Workload<'_>| name(other.object) != name(workload.object) && selects(selector, &other.labels());
    if let Some(other) = rendered.workloads().find(stolen) {
        says.push(format!("its selector selects the pods of {}, too", other.shown()));
    }
    for volume in list(pod, "/volumes").filter(|volume| volume.get("hostPath").is_some()) {
        says.push(format!("the volume {} is a folder of the node", text(volume, "/name")));
    }
}

fn of_container(container: &Value, says: &mut Vec<String>) {
    let context = "/securityContext";
    for (field, expected) in [
        ("allowPrivilegeEscalation", false),
        ("privileged", false),
        ("readOnlyRootFilesystem", true),
        ("runAsNonRoot", true),
    ] {
        if !is(container, &format!("{context}/{field}"), expected) {
            says.push(format!("{field} is not {expected}"));
        }
    }
    if texts(container, "/securityContext/capabilities/drop") != ["ALL"]
        || list(container, "/securityContext/capabilities/add").next().is_some()
    {
        says.push("it does not drop ALL capabilities".to_owned());
    }
    for resource in ["cpu", "memory"] {
        if text(container, &format!("/resources/requests/{resource}")).is_empty() {
            says.push(format!("it requests no {resource}"));
        }
    }
    let (request, limit) = (text(container, "/resources/requests/memory"), text(container, "/resources/limits/memory"));
    if limit.is_empty() || limit != request {
        says.push("its limit of memory is not what it requests: a hash of a password could be its end".to_owned());
    }
}

fn image(image: &str, rendered: &Rendered, facts: &Facts, says: &mut Vec<String>) {
    let known = facts.images.iter().any(|(name, known)| name.starts_with("IMAGE_") && known == image);
    let local = image == LOCAL && !rendered.is_production();
    if !known && !local {
        says.push(format!("`{image}` is no image of deploy/images/images.env"));
    }
}

fn mounts(container: &Value, pod: &Value, says: &mut Vec<String>) {
    // A StatefulSet's claims are volumes of its pods, and stand elsewhere.
    let writable = |volume: &Value| volume.get("emptyDir").is_some() || volume.get("persistentVolumeClaim").is_some();
    for mount in list(container, "/volumeMounts") {
        let wanted = text(mount, "/name");
        let volume = list(pod, "/volumes").find(|volume| text(volume, "/name") == wanted);
        if volume.is_some_and(|volume| !writable(volume)) && !is(mount, "/readOnly", true) {
            says.push(format!("the volume {wanted} is not mounted read-only"));
        }
        if mount.get("subPath").is_some() {
            says.push(format!("the volume {wanted} is mounted by subPath, and never gets what changes"));
        }
    }
    for volume in list(pod, "/volumes") {
        let mode = ["/secret/defaultMode", "/projected/defaultMode"].iter().find_map(|pointer| number(volume, pointer));
        let secret = volume.get("secret").is_some()
            || list(volume, "/projected/sources").any(|source| source.get("secret").is_some());
        if secret && mode != Some(0o440) {
            says.push(format!(
                "the secrets of the volume {} are not of the mode 0440, which Coffre demands",
                text(volume, "/name")
            ));
        }
        let bounded = volume.get("emptyDir").is_none_or(|empty| !text(empty, "/sizeLimit").is_empty());
        if !bounded {
            says.push(format!("the volume {} has no bound", text(volume, "/name")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::policy::sample::{broken, facts, good};

    #[test]
    fn what_is_good_is_taken() {
        assert_eq!(breaches(&good(), &facts()), [""; 0]);
    }

    #[test]
    fn each_weakness_of_a_pod_is_found() {
        let template = "/spec/template/spec";
        for (pointer, value, part) in [
            ("enableServiceLinks", json!(true), "enableServiceLinks"),
            ("automountServiceAccountToken", json!(null), "automountServiceAccountToken"),
            ("securityContext/runAsNonRoot", json!(false), "runAsNonRoot"),
            ("securityContext/seccompProfile", json!({"type": "Unconfined"}), "seccompProfile"),
            ("securityContext/runAsUser", json!(0), "runAsUser"),
            ("securityContext/fsGroup", json!(1000), "fsGroup is 1000"),
            ("hostNetwork", json!(true), "hostNetwork"),
            ("hostUsers", json!(null), "hostUsers"),
            ("serviceAccountName", json!("default"), "no ServiceAccount `default`"),
            ("serviceAccountName", json!("coffre-auth"), "somebody else's"),
            ("volumes/0", json!({"name": "tls-public", "hostPath": {"path": "/"}}), "folder of the node"),
            ("volumes/0/secret/defaultMode", json!(0o444), "0440"),
            ("volumes/0", json!({"name": "tls-public", "emptyDir": {}}), "no bound"),
            ("containers/0/securityContext/allowPrivilegeEscalation", json!(true), "allowPrivilegeEscalation"),
            ("containers/0/securityContext/readOnlyRootFilesystem", json!(false), "readOnlyRootFilesystem"),
            ("containers/0/securityContext/privileged", json!(true), "privileged"),
            (
                "containers/0/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}),
                "capabilities",
            ),
            ("containers/0/resources/requests", json!({"memory": "1Gi"}), "requests no cpu"),
            ("containers/0/resources/limits", json!({}), "limit of memory"),
            ("containers/0/resources/limits", json!({"memory": "9Gi"}), "limit of memory"),
            ("containers/0/image", json!("ghcr.io/somebody/else:1"), "is no image of"),
            ("containers/0/image", json!("localhost/coffre:dev"), "is no image of"),
            ("containers/0/volumeMounts/0/readOnly", json!(false), "not mounted read-only"),
            ("containers/0/volumeMounts/0/subPath", json!("tls.crt"), "subPath"),
        ] {
            let broken = broken("Deployment", "coffre-vault", &format!("{template}/{pointer}"), value);
            let found = breaches(&broken, &facts());
            assert!(found.iter().any(|breach| breach.contains(part)), "{pointer}: {found:?}");
        }
    }

    #[test]
    fn labels_and_selectors_that_do_not_fit_are_found() {
        let other = json!({"matchLabels": {"app.kubernetes.io/name": "coffre"}});
        let found = breaches(&broken("Deployment", "coffre-vault", "/spec/selector", other), &facts());
        assert!(found.iter().any(|breach| breach.contains("selects the pods of")), "{found:?}");
        let labels = json!({"app.kubernetes.io/name": "coffre"});
        let found = breaches(&broken("Deployment", "coffre-vault", "/spec/template/metadata/labels", labels), &facts());
        assert!(found.iter().any(|breach| breach.contains("does not select its own")), "{found:?}");
        assert!(found.iter().any(|breach| breach.contains("part-of")), "{found:?}");
    }

    #[test]
    fn an_account_with_a_token_is_found() {
        let found =
            breaches(&broken("ServiceAccount", "coffre-vault", "/automountServiceAccountToken", json!(true)), &facts());
        assert!(found.iter().any(|breach| breach.contains("ServiceAccount coffre-vault")), "{found:?}");
    }

    #[test]
    fn the_image_of_a_database_cluster_is_looked_at_too() {
        let mut rendered = good();
        rendered
            .objects
            .push(json!({"kind": "Cluster", "metadata": {"name": "db"}, "spec": {"imageName": "ghcr.io/x/y:1"}}));
        let found = breaches(&rendered, &facts());
        assert!(found.iter().any(|breach| breach.starts_with("Cluster db")), "{found:?}");
    }
}
