//! The walls between the layers: which crates each may use.

use std::fs;
use std::path::Path;

/// The `use` lines and paths of a layer that name one of these crates.
fn breaches(layer: &str, banned: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            if banned.iter().any(|name| line.contains(&format!("{name}::"))) {
                found.push(format!("{}: {line}", path.display()));
            }
        }
    }
    found
}

#[test]
fn each_layer_uses_what_is_its_own() {
    assert_eq!(breaches("domain", &["tonic", "prost", "diesel", "axum"]), Vec::<String>::new());
    assert_eq!(breaches("api", &["diesel"]), Vec::<String>::new());
    assert_eq!(breaches("store", &["tonic"]), Vec::<String>::new());
}
