//! The wall between the layers of a service: `domain/` knows neither the wire nor the database, `api/` no database,
//! `store/` no wire. Reads the names that source files use; comments and texts do not count.

use std::path::Path;

use anyhow::Result;

use crate::workspace::Workspace;

/// A layer and the crates that it may not name, with the reason.
const WALLS: [(&str, &[&str], &str); 3] = [
    (
        "domain",
        &["tonic", "tonic_types", "prost", "prost_types", "diesel", "diesel_migrations", "axum", "hyper", "http"],
        "the domain holds rules only; conversions belong in api/, queries in store/",
    ),
    ("api", &["diesel", "diesel_migrations"], "a handler reaches the database through a use case and its ports"),
    (
        "store",
        &["tonic", "tonic_types", "axum", "hyper", "http"],
        "the store answers its own errors; api/error.rs maps them",
    ),
];

/// Every breach in the services.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for file in workspace.files()? {
        if let (Some((_, forbidden, reason)), Some(text)) = (wall_of(&file), workspace.text(&file)?) {
            for (line, name) in names_used(&text, forbidden) {
                breaches.push(format!("{}:{line}: names `{name}`: {reason}", file.display()));
            }
        }
    }
    Ok(breaches)
}

/// The wall that a file stands behind: `services/<name>/src/<layer>/…` or `services/<name>/src/<layer>.rs`.
fn wall_of(file: &Path) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    let mut parts = file.components().map(|part| part.as_os_str().to_string_lossy());
    if parts.next()? != "services" || file.extension()? != "rs" {
        return None;
    }
    parts.next()?;
    if parts.next()? != "src" {
        return None;
    }
    let layer = parts.next()?;
    let layer = layer.strip_suffix(".rs").unwrap_or(&layer);
    WALLS.iter().find(|(name, ..)| *name == layer)
}

/// Where the text names one of the crates: imported, or at the root of a path.
fn names_used<'a>(text: &str, crates: &[&'a str]) -> Vec<(usize, &'a str)> {
    let code = without_comments_and_texts(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let words = words(line);
        let word_at = |index: Option<usize>| index.and_then(|index| words.get(index)).copied().unwrap_or_default();
        for (index, word) in words.iter().enumerate() {
            let Some(name) = crates.iter().find(|name| *name == word) else { continue };
            let before = word_at(index.checked_sub(1));
            // `crate::http` is a module of ours; `http::…` and `::http` are the crate.
            let parent = word_at(index.checked_sub(2));
            let imported = before == "use" || (before == "::" && parent == "use");
            let root = before != "::" || !is_word(parent);
            if imported || (root && word_at(Some(index + 1)) == "::") {
                found.push((number + 1, *name));
            }
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    text.starts_with(|sign: char| sign.is_alphanumeric() || sign == '_')
}

/// A line as words, `::`, and other signs.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(rest) {
            rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, tail) = rest.split_at(length);
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

/// The same lines with comments and string literals blanked.
fn without_comments_and_texts(text: &str) -> String {
    #[derive(PartialEq)]
    enum State {
        Code,
        Line,
        Block(u32),
        Text,
        Raw(usize),
    }
    let signs: Vec<char> = text.chars().collect();
    let at = |index: usize| signs.get(index).copied().unwrap_or('\0');
    let mut code = String::new();
    let mut state = State::Code;
    let mut index = 0;
    while index < signs.len() {
        let sign = at(index);
        let next = at(index + 1);
        let mut step = 1;
        let mut kept = false;
        match state {
            State::Code if sign == '/' && next == '/' => state = State::Line,
            State::Code if sign == '/' && next == '*' => (state, step) = (State::Block(1), 2),
            State::Code if sign == '"' => state = State::Text,
            State::Code if sign == '\'' && (next == '\\' || at(index + 2) == '\'') => {
                // A character literal: it may hold a quote.
                let end = (index + 2..signs.len()).find(|end| at(*end) == '\'').unwrap_or(index);
                step = end + 1 - index;
            }
            State::Code
                if sign == 'r' && (next == '"' || next == '#') && !at(index.wrapping_sub(1)).is_alphanumeric() =>
            {
                let hashes = (index + 1..signs.len()).take_while(|at_hash| at(*at_hash) == '#').count();
                if at(index + 1 + hashes) == '"' {
                    (state, step) = (State::Raw(hashes), hashes + 2);
                } else {
                    kept = true;
                }
            }
            State::Code => kept = true,
            State::Line if sign == '\n' => (state, kept) = (State::Code, true),
            State::Block(depth) if sign == '*' && next == '/' => {
                (state, step) = (if depth == 1 { State::Code } else { State::Block(depth - 1) }, 2);
            }
            State::Block(depth) if sign == '/' && next == '*' => (state, step) = (State::Block(depth + 1), 2),
            State::Text if sign == '\\' => step = 2,
            State::Text if sign == '"' => state = State::Code,
            State::Raw(hashes) if sign == '"' && (1..=hashes).all(|hash| at(index + hash) == '#') => {
                (state, step) = (State::Code, hashes + 1);
            }
            State::Line | State::Block(_) | State::Text | State::Raw(_) => {}
        }
        if kept {
            code.push(sign);
        } else {
            // Lines keep their numbers.
            code.extend((index..index + step).filter(|line| at(*line) == '\n').map(|_| '\n'));
        }
        index += step;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        names_used(text, &["diesel", "http"])
    }

    #[test]
    fn imports_and_paths_are_found_with_their_line() {
        assert_eq!(found("use diesel::prelude::*;"), [(1, "diesel")]);
        assert_eq!(found("\n    pub(crate) use diesel;\n"), [(2, "diesel")]);
        assert_eq!(found("use ::diesel as d;"), [(1, "diesel")]);
        assert_eq!(found("fn a() -> diesel::QueryResult<()> {}"), [(1, "diesel")]);
        assert_eq!(found("/* a\nb */ let s = \"x\ny\"; http::Uri::default()"), [(3, "http")]);
    }

    #[test]
    fn comments_texts_and_our_own_modules_do_not_count() {
        assert_eq!(found("// use diesel::x;\n/// [`diesel::x`]"), []);
        assert_eq!(found("let a = \"use diesel::x \\\" diesel::y\";"), []);
        assert_eq!(found("let a = r#\"use \"diesel::x\"\"#; let q = '\"'; // diesel::x"), []);
        assert_eq!(found("use crate::http::Reader; self.http(); let http = 1;"), []);
        assert_eq!(found("use diesel_async::x;"), []);
    }

    #[test]
    fn only_the_layers_of_services_have_walls() {
        let wall = |path: &str| wall_of(Path::new(path)).map(|(layer, ..)| *layer);
        assert_eq!(wall("services/vault/src/domain/policy.rs"), Some("domain"));
        assert_eq!(wall("services/vault/src/domain.rs"), Some("domain"));
        assert_eq!(wall("services/audit/src/store/rows.rs"), Some("store"));
        assert_eq!(wall("services/vault/src/api/error.rs"), Some("api"));
        assert_eq!(wall("services/vault/src/app.rs"), None);
        assert_eq!(wall("crates/db/src/store/list.rs"), None);
        assert_eq!(wall("services/vault/src/domain/README.md"), None);
    }
}
