//! Programs that users have and the cases call.

use std::path::{Path, PathBuf};

/// `grpcurl`, which `cargo xtask test` builds and names in `COFFRE_TEST_GRPCURL`.
///
/// # Panics
/// Where it is neither named nor built nor in `PATH`.
pub fn grpcurl() -> PathBuf {
    if let Some(given) = std::env::var_os("COFFRE_TEST_GRPCURL") {
        return given.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let built = std::fs::read_dir(tools).into_iter().flatten().flatten().map(|entry| entry.path().join("grpcurl"));
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        built.chain(std::env::split_paths(&in_path).map(|folder| folder.join("grpcurl"))).find(|path| path.is_file());
    found
        .expect("the story needs grpcurl: `cargo xtask test` builds it, or COFFRE_TEST_GRPCURL names it")
        .canonicalize()
        .unwrap()
}

/// The client of `clients/go`, which `cargo xtask test` builds and names in `COFFRE_TEST_OAUTH_CLIENT`.
///
/// # Panics
/// Where it is neither named nor built.
pub fn oauth_client() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/oauth-client/oauth-client");
    let found = std::env::var_os("COFFRE_TEST_OAUTH_CLIENT").map_or(built, PathBuf::from);
    found.canonicalize().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test` builds it, or COFFRE_TEST_OAUTH_CLIENT names it", found.display())
    })
}

/// The library that makes a process believe in another time, which `cargo xtask test` names in `COFFRE_TEST_FAKETIME`.
///
/// # Panics
/// Where it is neither named nor installed.
pub fn faketime() -> PathBuf {
    if let Some(given) = std::env::var_os("COFFRE_TEST_FAKETIME") {
        return given.into();
    }
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).filter(|path| path.is_file());
    found
        .next()
        .expect("the test needs libfaketime: install the package `faketime`, or name it in COFFRE_TEST_FAKETIME")
}
