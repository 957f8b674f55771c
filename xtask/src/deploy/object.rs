//! Rendered objects, and what is asked of them again and again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The label that says which of our programs a pod runs.
pub(crate) const COMPONENT: &str = "app.kubernetes.io/component";

/// Labels or settings: names with their values.
pub(crate) type Pairs = BTreeMap<String, String>;

/// A folder of `deploy/kubernetes` as it was rendered.
pub(crate) struct Rendered {
    /// Its name, such as `overlays/production`.
    pub(crate) name: String,
    /// Every object.
    pub(crate) objects: Vec<Value>,
    /// What its `places.env` says; empty where there is none.
    pub(crate) places: Pairs,
}

/// The pods that an object makes.
#[derive(Clone, Copy)]
pub(crate) struct Workload<'o> {
    /// The Deployment, StatefulSet or Job.
    pub(crate) object: &'o Value,
    /// Its `spec.template`.
    pub(crate) template: &'o Value,
}

impl Rendered {
    /// Takes what was rendered of a folder, and reads the places that its overlay names.
    pub(crate) fn new(name: &str, folder: &Path, objects: Vec<Value>) -> Result<Self> {
        let overlay = name.rsplit('/').next().unwrap_or_default();
        let file = folder.join("../../overlays").join(overlay).join("places.env");
        let places = match file.exists() {
            true => pairs(&fs::read_to_string(&file)?).with_context(|| file.display().to_string())?,
            false => Pairs::new(),
        };
        Ok(Self { name: name.to_owned(), objects, places })
    }

    /// Whether somebody depends on it.
    pub(crate) fn is_production(&self) -> bool {
        self.name.contains("/production")
    }

    /// Returns the objects of a kind.
    pub(crate) fn of<'o>(&'o self, kind: &'o str) -> impl Iterator<Item = &'o Value> {
        self.objects.iter().filter(move |object| text(object, "/kind") == kind)
    }

    /// Returns an object by kind and name.
    pub(crate) fn named<'o>(&'o self, kind: &'o str, wanted: &str) -> Option<&'o Value> {
        self.of(kind).find(|object| name(object) == wanted)
    }

    /// Returns everything that makes pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        let makes =
            |object: &&Value| ["Deployment", "StatefulSet", "DaemonSet", "Job"].contains(&text(object, "/kind"));
        self.objects.iter().filter(makes).filter_map(|object| {
            let template = object.pointer("/spec/template")?;
            Some(Workload { object, template })
        })
    }

    /// Returns the environment of a container: what it takes from ConfigMaps, and what stands in it.
    pub(crate) fn environment(&self, container: &Value) -> Pairs {
        let mut found = Pairs::new();
        for source in list(container, "/envFrom") {
            let settings = self.named("ConfigMap", text(source, "/configMapRef/name"));
            let data = settings.and_then(|object| object.pointer("/data")).and_then(Value::as_object);
            for (key, value) in data.into_iter().flatten() {
                found.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        for one in list(container, "/env") {
            found.insert(text(one, "/name").to_owned(), text(one, "/value").to_owned());
        }
        found
    }
}

impl<'o> Workload<'o> {
    /// How people name it, such as `Deployment coffre-auth`.
    pub(crate) fn shown(self) -> String {
        shown(self.object)
    }

    /// The labels of its pods.
    pub(crate) fn labels(self) -> Pairs {
        labels(self.template, "/metadata/labels")
    }

    /// Which of our programs it runs; empty where it is none of ours.
    pub(crate) fn component(self) -> &'o str {
        let labels = self.template.pointer("/metadata/labels").and_then(|labels| labels.get(COMPONENT));
        labels.and_then(Value::as_str).unwrap_or_default()
    }

    /// The spec of its pods.
    pub(crate) fn pod(self) -> &'o Value {
        self.template.pointer("/spec").unwrap_or(&Value::Null)
    }

    /// Its containers, those that come first included.
    pub(crate) fn containers(self) -> impl Iterator<Item = &'o Value> {
        ["/initContainers", "/containers"].into_iter().flat_map(move |part| list(self.pod(), part))
    }
}

/// Reads `NAME=value` lines.
pub(crate) fn pairs(text: &str) -> Result<Pairs> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (key, value) = line.split_once('=').with_context(|| format!("`{line}` is no NAME=value"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    lines.map(read).collect()
}

/// A text at a place; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number at a place.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Whether a place holds this truth value.
pub(crate) fn is(value: &Value, pointer: &str, expected: bool) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(expected)
}

/// The elements of a list; none where there is no list.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list.
pub(crate) fn texts<'v>(value: &'v Value, pointer: &str) -> Vec<&'v str> {
    list(value, pointer).filter_map(Value::as_str).collect()
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// How people name an object.
pub(crate) fn shown(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), name(object))
}

/// Labels, or what else has that form, at a place.
pub(crate) fn labels(value: &Value, pointer: &str) -> Pairs {
    let found = value.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    found.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// Whether a label selector selects these labels. An absent one selects nothing; an empty one everything.
pub(crate) fn selects(selector: Option<&Value>, labels: &Pairs) -> bool {
    let Some(selector) = selector else { return false };
    let plain = self::labels(selector, "/matchLabels").iter().all(|(key, value)| labels.get(key) == Some(value));
    plain
        && list(selector, "/matchExpressions").all(|rule| {
            let found = labels.get(text(rule, "/key")).map(String::as_str);
            let among = found.is_some_and(|found| texts(rule, "/values").contains(&found));
            match text(rule, "/operator") {
                "In" => among,
                "NotIn" => !among,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}
