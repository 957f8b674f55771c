//! The contract in `proto/`: its style, and what changed since the last release. No network, no `protoc`.

mod breaking;
mod style;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use prost_reflect::DescriptorPool;

use crate::workspace::Workspace;

/// The contract as the last release had it, relative to the repository.
const BASELINE: &str = "proto/baseline/coffre.binpb";

/// Lints the protos and compares them with the baseline.
pub(crate) fn check(workspace: &Workspace) -> Result<ExitCode> {
    let breaches = breaches(workspace)?;
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => {
            println!("the contract is in order and compatible with {BASELINE}");
            Ok(ExitCode::SUCCESS)
        }
        count => {
            println!("{count} breaches");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Every breach of style and compatibility.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let pool = compile(workspace, true)?;
    let mut breaches = style::breaches(&pool)?;
    match fs::read(workspace.root.join(BASELINE)) {
        Ok(bytes) => {
            let released = DescriptorPool::decode(bytes.as_slice()).context(BASELINE)?;
            breaches.extend(breaking::breaches(&released, &pool));
        }
        Err(_) => breaches.push(format!("{BASELINE} is missing; `cargo xtask proto baseline` writes it")),
    }
    Ok(breaches)
}

/// Writes the baseline.
pub(crate) fn write_baseline(workspace: &Workspace) -> Result<ExitCode> {
    let path = workspace.root.join(BASELINE);
    fs::create_dir_all(path.parent().context("no folder")?)?;
    fs::write(&path, compile_set(workspace, false)?)?;
    println!("wrote {BASELINE}: from now on every change of the contract is compared with this moment.");
    println!("Only a release commits this file; a change that it refuses belongs into a new package version.");
    Ok(ExitCode::SUCCESS)
}

fn compile(workspace: &Workspace, comments: bool) -> Result<DescriptorPool> {
    Ok(DescriptorPool::decode(compile_set(workspace, comments)?.as_slice())?)
}

fn compile_set(workspace: &Workspace, comments: bool) -> Result<Vec<u8>> {
    let root = workspace.root.join("proto");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(comments).include_imports(true).open_files(&files)?;
    // The encoded set keeps our own options, which prost's descriptor types drop.
    Ok(compiler.encode_file_descriptor_set())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether an element is ours, not one of an imported library.
fn is_ours(package: &str) -> bool {
    package == "coffre" || package.starts_with("coffre.")
}

#[cfg(test)]
mod testing {
    //! Protos that exist only in a test.

    use prost_reflect::DescriptorPool;
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

    struct Texts(Vec<(String, String)>);

    impl FileResolver for Texts {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match self.0.iter().find(|(path, _)| path == name) {
                Some((path, text)) => File::from_source(path, text),
                None => Err(protox::Error::file_not_found(name)),
            }
        }
    }

    /// Compiles files given by path and text; our options can be imported.
    pub(super) fn compile(files: &[(&str, &str)]) -> DescriptorPool {
        let options = ("coffre/options/v1/rules.proto", include_str!("../../../proto/coffre/options/v1/rules.proto"));
        let texts =
            files.iter().chain([&options]).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(texts));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_source_info(true).include_imports(true);
        compiler.open_files(files.iter().map(|(path, _)| path)).unwrap();
        DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
    }
}
