//! The program of an earlier commit, built beside this one.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, step, succeed};
use crate::workspace::Workspace;

/// Builds the program of a commit in a work tree of its own, below `target`.
pub(crate) fn program(workspace: &Workspace, commit: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("before");
    let (tree, target) = (folder.join("tree"), folder.join("target"));
    step(&format!("building the program of {commit}, some minutes the first time"), || {
        let mut git = Command::new("git");
        if tree.join(".git").exists() {
            git.arg("-C").arg(&tree).args(["checkout", "--quiet", "--detach", commit]);
        } else {
            // One that was registered there, and removed by hand, is no hindrance.
            git.arg("-C").arg(&workspace.root).args(["worktree", "add", "--quiet", "--force", "--detach"]);
            git.arg(&tree).arg(commit);
        }
        succeed(&mut git)?;
        let mut build = cargo(workspace);
        build.current_dir(&tree).env("CARGO_TARGET_DIR", &target).env_remove("CARGO");
        succeed(build.args(["build", "--locked", "-p", "coffre"]))
    })?;
    Ok(target.join("debug/coffre"))
}
