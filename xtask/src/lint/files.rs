//! Rules for single files: a source file of more than 600 lines is split or says why not, and nothing names a place that
//! exists on one machine only.

use std::path::Path;

use anyhow::Result;

use crate::workspace::Workspace;

/// A longer source file must explain itself.
const MAX_LINES: usize = 600;
/// How the first line of such a file begins; the reason follows.
const EXPLANATION: &str = "// Long: ";

/// Every breach in the repository.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in workspace.files()? {
        if let Some(text) = workspace.text(&file)? {
            breaches.extend(length_breach(&file, &text));
            breaches.extend(path_breaches(&file, &text));
        }
    }
    Ok(breaches)
}

fn length_breach(file: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let source = file.extension().is_some_and(|extension| extension == "rs");
    let explained =
        text.strip_prefix(EXPLANATION).is_some_and(|reason| reason.lines().next().is_some_and(|line| line.len() > 10));
    if !source || lines <= MAX_LINES || explained {
        return None;
    }
    Some(format!(
        "{}: {lines} lines, more than {MAX_LINES}: split it, or say why not in a first line `{EXPLANATION}…`",
        file.display()
    ))
}

/// Beginnings of paths that exist on one machine only. Put together here, so that this file passes itself.
fn private_places() -> [String; 6] {
    ["..|shared", "|work|", "|root|", "|home|", "|Users|", "|mnt|"].map(|place| place.replace('|', "/"))
}

fn path_breaches(file: &Path, text: &str) -> Vec<String> {
    let places = private_places();
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for place in &places {
            for (at, _) in line.match_indices(place.as_str()) {
                // `/framework/` or a path below some other folder is no absolute path.
                let before = line.get(..at).and_then(|start| start.chars().next_back());
                let absolute = !before.is_some_and(|sign| sign.is_alphanumeric() || "._-}~*>$".contains(sign));
                if absolute || place.starts_with('.') {
                    breaches.push(format!("{}:{}: `{place}` is a place on one machine", file.display(), number + 1));
                }
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_must_explain_itself() {
        let long = "x\n".repeat(601);
        assert!(length_breach(Path::new("a.rs"), &long).is_some());
        assert!(length_breach(Path::new("a.rs"), &format!("// Long: \n{long}")).is_some());
        assert!(length_breach(Path::new("a.rs"), &format!("// Long: one table of all routes.\n{long}")).is_none());
        assert!(length_breach(Path::new("a.md"), &long).is_none());
        assert!(length_breach(Path::new("a.rs"), &"x\n".repeat(600)).is_none());
    }

    #[test]
    fn absolute_paths_of_a_machine_are_found() {
        let [shared, work, ..] = private_places();
        let found = |line: &str| path_breaches(Path::new("a.md"), line).len();
        assert_eq!(found(&format!("see {shared}/design")), 1);
        assert_eq!(found(&format!("see `{work}main`")), 1);
        assert_eq!(found(&format!("\"{work}main\" and {work}other")), 2);
        assert_eq!(found(&format!("the frame{work}main")), 0);
        assert_eq!(found(&format!("$HOME{work}main")), 0);
        assert_eq!(found("coffre-data/keys"), 0);
    }
}
