//! The Go program of `xtask/manifests`, and the Go modules whose files it reads: nothing of them is copied into this repository.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{capture, step};
use crate::go;
use crate::workspace::Workspace;

/// A module that is read, not built: where it is, which version, what it must hash to (as `go.sum` has it), and what is read of it.
struct Module {
    path: &'static str,
    version: &'static str,
    sum: &'static str,
    /// A folder, and how the names of the files begin that are read; all of it where it is empty.
    folder: &'static str,
    prefixes: &'static [&'static str],
}

/// The OpenAPI documents of Kubernetes.
const KUBERNETES: Module = Module {
    path: "k8s.io/kubernetes",
    version: "v1.37.2",
    sum: "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=",
    folder: "api/openapi-spec/v3",
    prefixes: &[],
};

/// The definitions of the custom resources that manifests use.
const DEFINITIONS: [Module; 4] = [
    Module {
        path: "github.com/cert-manager/cert-manager",
        version: "v1.21.2",
        sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        folder: "deploy/crds",
        prefixes: &["cert-manager.io_certificates", "cert-manager.io_issuers"],
    },
    Module {
        path: "sigs.k8s.io/gateway-api",
        version: "v1.5.1",
        sum: "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
        folder: "config/crd/standard",
        prefixes: &[
            "gateway.networking.k8s.io_backend",
            "gateway.networking.k8s.io_httproutes",
            "gateway.networking.k8s.io_grpc",
        ],
    },
    Module {
        path: "github.com/prometheus-operator/prometheus-operator",
        version: "v0.85.0",
        sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        folder: "example/prometheus-operator-crd",
        prefixes: &["monitoring.coreos.com_servicemonitors", "monitoring.coreos.com_prometheusrules"],
    },
    Module {
        path: "github.com/cloudnative-pg/cloudnative-pg",
        version: "v1.30.0",
        sum: "h1:fnhVq44xXx97MNiuvJsPrX1vSjYbgdyBK5MSGfdHdp0=",
        folder: "config/crd/bases",
        prefixes: &["postgresql.cnpg.io_clusters"],
    },
];

#[derive(Serialize)]
struct Request<'a> {
    folders: &'a [PathBuf],
    documents: &'a [PathBuf],
    expressions: &'a [String],
    objects: &'a [Value],
    openapi: &'a Path,
    definitions: &'a [PathBuf],
}

/// What the program found.
#[derive(Deserialize)]
pub(crate) struct Answer {
    /// Folders as they were rendered, in the order of the request.
    pub(crate) folders: Vec<Folder>,
    /// What is wrong with single objects.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests show with it that schemas refuse what is broken"))]
    pub(crate) objects: Vec<String>,
    /// Documents by their path.
    pub(crate) documents: BTreeMap<PathBuf, Value>,
    /// PromQL as it was understood.
    pub(crate) expressions: Vec<Expression>,
}

/// A folder as it was rendered.
#[derive(Deserialize)]
pub(crate) struct Folder {
    pub(crate) objects: Vec<Value>,
    pub(crate) faults: Vec<String>,
}

/// A PromQL expression as it was understood.
#[derive(Deserialize, Default)]
pub(crate) struct Expression {
    pub(crate) text: String,
    /// Why it cannot be read; empty where it can.
    pub(crate) fault: String,
    pub(crate) selectors: Vec<Selector>,
    /// Labels by which it sums up or joins.
    pub(crate) groups: Vec<String>,
}

/// Series that an expression asks for.
#[derive(Deserialize)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) labels: Vec<String>,
}

/// The program, and what it reads.
pub(crate) struct Tool {
    program: PathBuf,
    openapi: PathBuf,
    definitions: Vec<PathBuf>,
}

impl Tool {
    /// Builds the program and fetches the modules where they are not there yet.
    pub(crate) fn provide(workspace: &Workspace) -> Result<Self> {
        let program = go::provide_manifests(workspace)?;
        let go = go::find()?;
        let (openapi, definitions) =
            step("schemas of Kubernetes and of the custom resources, from their Go modules", || {
                let openapi = KUBERNETES.fetch(&go)?.join(KUBERNETES.folder);
                let mut definitions = Vec::new();
                for module in &DEFINITIONS {
                    definitions.extend(module.files(&go)?);
                }
                Ok((openapi, definitions))
            })?;
        Ok(Self { program, openapi, definitions })
    }

    /// Has folders rendered, documents read, expressions understood.
    pub(crate) fn ask(&self, folders: &[PathBuf], documents: &[PathBuf], expressions: &[String]) -> Result<Answer> {
        self.send(&Request {
            folders,
            documents,
            expressions,
            objects: &[],
            openapi: &self.openapi,
            definitions: &self.definitions,
        })
    }

    /// Holds single objects against the schemas.
    #[cfg(test)]
    pub(crate) fn faults(&self, objects: &[Value]) -> Result<Vec<String>> {
        let (openapi, definitions) = (self.openapi.as_path(), self.definitions.as_slice());
        let request = Request { folders: &[], documents: &[], expressions: &[], objects, openapi, definitions };
        Ok(self.send(&request)?.objects)
    }

    fn send(&self, request: &Request<'_>) -> Result<Answer> {
        let mut child = Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", self.program.display()))?;
        let mut input = child.stdin.take().context("no input")?;
        input.write_all(&serde_json::to_vec(request)?)?;
        drop(input);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("the program of xtask/manifests failed ({})", output.status);
        }
        serde_json::from_slice(&output.stdout).context("the answer of xtask/manifests cannot be read")
    }
}

impl Module {
    /// Fetches the module, where it is not there yet, and returns its folder. What hashes to something else is refused.
    fn fetch(&self, go: &Path) -> Result<PathBuf> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Fetched {
            dir: PathBuf,
            sum: String,
        }
        let name = format!("{}@{}", self.path, self.version);
        // Outside of the repository, so that no go.mod of it is looked at.
        let told = capture(go::go(go).args(["mod", "download", "-json", &name]).current_dir(std::env::temp_dir()))?;
        let fetched: Fetched = serde_json::from_str(&told).with_context(|| format!("go mod download {name}"))?;
        if fetched.sum != self.sum {
            bail!("{name} hashes to {}, and not to {}", fetched.sum, self.sum);
        }
        Ok(fetched.dir)
    }

    /// Returns the files that are read. A prefix without a file is an error: something was renamed.
    fn files(&self, go: &Path) -> Result<Vec<PathBuf>> {
        let folder = self.fetch(go)?.join(self.folder);
        let mut all: Vec<PathBuf> =
            std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        all.sort();
        let begins =
            |path: &Path, prefix: &str| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        let mut found = Vec::new();
        for prefix in self.prefixes {
            let before = found.len();
            found.extend(all.iter().filter(|path| begins(path, prefix)).cloned());
            if found.len() == before {
                bail!("{}@{} has no file {prefix}… in {}", self.path, self.version, self.folder);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Shows that the schemas refuse what an API server would; `cargo xtask test` builds the program.
    #[test]
    fn schemas_refuse_what_an_api_server_would() {
        if std::env::var_os("COFFRE_TEST_MANIFESTS").is_none() {
            return;
        }
        let tool = Tool::provide(&Workspace::find().unwrap()).unwrap();
        let budget = |spec: Value| json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}, "spec": spec});
        let route = |rule: Value| {
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "a"},
                "spec": {"parentRefs": [{"name": "g"}], "rules": [rule]}})
        };
        let pod = |context: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "a", "image": "a", "securityContext": context}]}})
        };
        let tight = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        for fine in [
            budget(json!({"maxUnavailable": 1})),
            route(json!({"backendRefs": [{"name": "s", "port": 1}]})),
            pod(tight),
        ] {
            assert_eq!(tool.faults(&[fine]).unwrap(), [""; 0]);
        }
        for (broken, part) in [
            (budget(json!({"maxUnavailabel": 1})), "maxUnavailabel"),
            (budget(json!({"maxUnavailable": [1]})), "maxUnavailable"),
            (json!({"apiVersion": "policy/v9", "kind": "PodDisruptionBudget"}), "policy/v9"),
            (route(json!({"backendRef": []})), "there is no field spec.rules[0].backendRef"),
            (route(json!({"backendRefs": [{"name": "s", "port": 70000}]})), "70000"),
            // A rule of the definition, in CEL.
            (route(json!({"backendRefs": [{"name": "s"}]})), "Must have port for Service reference"),
            (pod(json!({"allowPrivilegeEscalation": true})), "Pod Security restricted refuses it"),
        ] {
            let found = tool.faults(&[broken]).unwrap();
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:?}");
        }
    }
}
