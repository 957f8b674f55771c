//! Where things are in this repository, and what `cargo metadata` says of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the repository and its build folder.
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let start = manifest.or_else(|| env::current_dir().ok()).context("no current folder")?;
        let root = start
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").exists() && folder.join("xtask").exists())
            .context("run this inside the repository")?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    /// The folder of tools that this program builds for itself.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// What `cargo metadata` says, with the dependency graph of `targets` only; of all targets where there are none.
    pub(crate) fn metadata(&self, targets: &[String]) -> Result<Value> {
        let mut command = crate::command::cargo(self);
        command.args(["metadata", "--format-version", "1", "--locked"]);
        for target in targets {
            command.args(["--filter-platform", target]);
        }
        let output = command.output().context("cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata")
    }

    /// Every file of the repository, relative to its root: tracked, or new and not ignored.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output();
        let mut files = match listed {
            Ok(output) if output.status.success() => String::from_utf8(output.stdout)
                .context("a file name is not UTF-8")?
                .split_terminator('\0')
                .map(PathBuf::from)
                .filter(|file| self.root.join(file).is_file())
                .collect(),
            // A source archive has no git.
            _ => self.walk()?,
        };
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn walk(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path == self.target || path.ends_with(".git") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&self.root)?.to_owned());
                }
            }
        }
        Ok(files)
    }

    /// The text of a file of the repository; nothing where it is not text.
    pub(crate) fn text(&self, file: &Path) -> Result<Option<String>> {
        let bytes = fs::read(self.root.join(file)).with_context(|| file.display().to_string())?;
        Ok(String::from_utf8(bytes).ok())
    }
}
