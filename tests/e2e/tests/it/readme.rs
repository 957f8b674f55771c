//! The story of the README, line by line: its commands are run by a shell and answer what the README shows.

use std::path::Path;
use std::process::{Command, Stdio};

use coffre_e2e::server::{Engine, Home, binary, private_folder};
use serde_json::Value;

const README: &str = include_str!("../../../../README.md");

/// What differs from run to run; everything else must be as printed.
const VOLATILE: [&str; 20] = [
    "createdOn",
    "updatedOn",
    "createTime",
    "updateTime",
    "timeUs",
    "requestId",
    "hostName",
    "salt",
    "sessionId",
    "leafHash",
    "nextPageToken",
    "logIndex",
    "total",
    "detail",
    "clientAddress",
    "expiresOn",
    "lastUsedOn",
    "hint",
    "expires_in",
    "sealedSince",
];

struct Line {
    command: String,
    answer: String,
}

/// Reads the console block under a heading.
fn block(heading: &str) -> Vec<Line> {
    let text = README.split(heading).nth(1).unwrap().split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut lines: Vec<Line> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            lines.push(Line { command: command.to_owned(), answer: String::new() });
        } else if continued {
            let last = lines.last_mut().unwrap();
            last.command = format!("{}\n{line}", last.command);
        } else {
            let last = lines.last_mut().unwrap();
            last.answer = format!("{}{line}\n", last.answer);
        }
        let open_quote =
            lines.last().is_some_and(|last| last.answer.is_empty() && last.command.matches('\'').count() % 2 == 1);
        continued = line.ends_with('\\') || open_quote;
    }
    lines
}

/// Says where two answers differ, in what is not volatile.
fn difference(at: &str, shown: &Value, real: &Value) -> Option<String> {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            let (names, others): (Vec<_>, Vec<_>) = (shown.keys().collect(), real.keys().collect());
            if names != others {
                return Some(format!("{at}: the keys are {others:?}, the README shows {names:?}"));
            }
            // An audit entry's id is a UUID; the ids of everything else are as printed.
            shown
                .iter()
                .filter(|(name, value)| {
                    !VOLATILE.contains(&name.as_str())
                        && !value.as_str().is_some_and(|text| *name == "id" && text.len() > 20)
                })
                .find_map(|(name, value)| difference(&format!("{at}.{name}"), value, real.get(name)?))
        }
        (Value::Array(shown), Value::Array(real)) if shown.len() == real.len() => shown
            .iter()
            .zip(real)
            .enumerate()
            .find_map(|(place, (shown, real))| difference(&format!("{at}[{place}]"), shown, real)),
        _ if shown == real => None,
        _ => Some(format!("{at}: {real}, the README shows {shown}")),
    }
}

fn repeat(lines: &[Line], server: &coffre_e2e::server::Server, folder: &str, witness: &Path) {
    let marker = "@@@ end of answer @@@";
    let script: String = lines.iter().map(|line| format!("{}\necho; echo '{marker}'\n", line.command)).collect();
    let script =
        script.replace("127.0.0.1:8080", &server.http.to_string()).replace("127.0.0.1:50051", &server.grpc.to_string());
    let program = binary().parent().unwrap().display();
    let path = format!("{folder}:{program}:{}", std::env::var("PATH").unwrap());
    let story = private_folder("story");
    // Whoever follows the story stands where the server keeps its folders.
    std::os::unix::fs::symlink(witness, story.join("witness")).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(story).stdin(Stdio::null());
    let address = format!("http://{}", server.grpc);
    let output = shell.env("PATH", path).env("COFFRE_ADDR", address).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = said.split(marker).collect();
    assert_eq!(answers.len(), lines.len() + 1, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for (line, real) in lines.iter().zip(answers) {
        let (shown, real) = (line.answer.trim(), real.trim());
        match (serde_json::from_str::<Value>(shown), serde_json::from_str::<Value>(real)) {
            (Ok(shown), Ok(real)) => {
                let found = difference("", &shown, &real);
                assert!(found.is_none(), "$ {}\n{}", line.command, found.unwrap());
            }
            _ => assert_eq!(shown, real, "$ {}", line.command),
        }
    }
}

#[test]
fn every_line_of_the_story_answers_what_the_readme_shows() {
    let mut home = Home::new(Engine::Sqlite);
    "correct-horse-battery".clone_into(&mut home.admin_password);
    let server = home.start();
    let grpcurl = coffre_e2e::tools::grpcurl();
    let folder = grpcurl.parent().unwrap().to_str().unwrap();
    let mut curl = block("## The story with `curl`");
    // The second part uses the first one's token and credential.
    let (sharing, grpc) = (block("## Sharing through a locker"), block("## The story with `grpcurl`"));
    assert!(curl.len() >= 5 && sharing.len() >= 10 && grpc.len() >= 6, "the README lost its story");
    let (program, key) = (block("## A program gets in"), block("A script that signs in as its user"));
    assert!(program.len() >= 10 && key.len() >= 4, "the README lost its story");
    curl.extend(sharing);
    curl.extend(program);
    let (master, command) = (block("## The master key"), block("The same with `coffre keys`"));
    assert!(master.len() >= 6 && command.len() >= 7, "the README lost its story");
    curl.extend(key);
    curl.extend(master);
    curl.extend(command);
    let proof = block("## Proving who read what");
    assert!(proof.len() >= 8, "the README lost its story");
    curl.extend(proof);
    let witness = home.folder.join("witness");
    repeat(&curl, &server, folder, &witness);
    repeat(&grpc, &server, folder, &witness);
}
