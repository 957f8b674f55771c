//! Rules of the house, which every service's tests check in the same way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::Engine;

/// Fails where a room of a service names what is not its own: a crate (`diesel`) or another room (`crate::api`). Each room is a folder of
/// `src` in `root`, the folder of the crate; its tests and its comments may name what they like.
pub fn assert_doors_closed(root: &str, rooms: &[(&str, &[&str])]) {
    for (room, foreign) in rooms {
        let folder = Path::new(root).join("src").join(room);
        let mut files = Vec::new();
        sources(&folder, &mut files);
        assert!(!files.is_empty(), "{} has no source", folder.display());
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code.take_while(|line| *line != "mod tests {") {
                let named = foreign.iter().find(|name| line.contains(&format!("{name}::")));
                assert!(named.is_none(), "{}: {line}", file.display());
            }
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            found.push(path);
        }
    }
}

/// Fails unless the RPCs of a package and the rows of its access table are the same. `descriptors` is an encoded `FileDescriptorSet`.
pub fn assert_every_rpc_has_a_row<'a>(
    descriptors: &[u8],
    package: &str,
    rows: impl ExactSizeIterator<Item = &'a str> + Clone,
) {
    let set = FileDescriptorSet::decode(descriptors).expect("descriptors");
    let files = set.file.iter().filter(|file| file.package() == package);
    let declared: BTreeSet<String> = files
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(|method| format!("/{package}.{}/{}", service.name(), method.name()))
        })
        .collect();
    let paths: BTreeSet<String> = rows.clone().map(str::to_owned).collect();
    assert_eq!(declared, paths);
    assert_eq!(paths.len(), rows.len(), "a row twice");
}

/// Returns the statement that lists every column of a schema as `table.column`, under the name `name`.
#[must_use]
pub const fn columns_sql(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "SELECT m.name || '.' || c.name AS name FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'"
        }
        Engine::Postgres => {
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_\\_%'"
        }
    }
}
