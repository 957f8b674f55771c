//! `coffre audit …` as an operator calls it.

use std::fs;
use std::path::Path;
use std::process::Output;

use coffre_e2e::api::{NewAttribute, Protocol, Session};
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home, Server};
use serde_json::Value;

on_each_engine! {
    an_operator_reads_exports_and_proves_the_audit,
}

/// Runs `coffre audit` with the token of a file.
pub(crate) fn audit(server: &Server, token: &Path, arguments: &[&str]) -> Output {
    let words: Vec<&str> = ["audit"].iter().chain(arguments).copied().collect();
    let mut command = server.home.command(&words);
    command.env("COFFRE_ADDR", format!("http://{}", server.grpc)).env("COFFRE_TOKEN_FILE", token);
    command.output().unwrap()
}

/// What a command said that ended well.
pub(crate) fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    text
}

async fn an_operator_reads_exports_and_proves_the_audit(engine: Engine) {
    let server = Home::new(engine).start();
    let case = Case::on(&server, Protocol::Rest).await;
    let file = |name: &str, who: &Session| {
        let path = server.home.folder.join(name);
        fs::write(&path, who.token.as_deref().unwrap()).unwrap();
        path
    };
    let name = case.unique("=1+1");
    let created = case.admin.create_credential(&name, &[NewAttribute::standard("a")]).await;
    let id = created.audit_id.clone().unwrap();
    created.ok();
    case.settle().await;
    let token = file("token", &case.admin);

    let list = said(&audit(&server, &token, &["list", "--utc", "--event", "credential.created"]));
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("TIME (UTC)  ") && lines[1].contains("admin"), "{list}");
    assert!(lines[1].contains(&format!("\"{name}\"")), "{list}");
    let json: Value =
        serde_json::from_str(&said(&audit(&server, &token, &["list", "--json", "--by", "admin"]))).unwrap();
    assert!(json["list"].as_array().unwrap().iter().all(|entry| entry["userName"] == "admin"), "{json}");
    let shown = said(&audit(&server, &token, &["show", &id, "--proof"]));
    assert!(shown.contains("credential.created") && shown.contains("— coffre.audit/"), "{shown}");

    let note = said(&audit(&server, &token, &["checkpoint"]));
    assert!(note.starts_with("coffre.audit/") && note.contains("\n— coffre.audit/"), "{note}");
    let key = said(&audit(&server, &token, &["key"]));
    assert_eq!(key.trim().split('+').count() >= 3, key.starts_with("coffre.audit/"), "{key}");
    assert_eq!(said(&audit(&server, &token, &["incidents"])), "nothing was found wrong\n");

    let path = server.home.folder.join("export");
    let out = path.to_str().unwrap();
    said(&audit(&server, &token, &["export", "--out", out]));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["kind"], &lines[lines.len() - 1]["kind"]), (&"export".into(), &"end".into()));
    assert!(lines.iter().any(|line| line["objectName"] == name.as_str()));
    let entries = lines.iter().filter(|line| line["canonical"].is_string()).count();
    let size: usize = lines[0]["checkpoint"].as_str().unwrap().lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(entries, size, "all of them, up to the checkpoint");
    assert!(!path.with_extension("bookmark").exists());
    let again = audit(&server, &token, &["export", "--out", out]);
    assert_eq!(again.status.code(), Some(1), "a file that is there stays as it is");
    let none = audit(&server, &token, &["export", "--out", out, "--resume"]);
    assert_eq!(none.status.code(), Some(65), "{}", String::from_utf8_lossy(&none.stderr));
    let table =
        said(&audit(&server, &token, &["export", "--out", "-", "--format", "csv", "--event", "credential.created"]));
    assert!(table.lines().count() == 2 && table.contains(&format!(",'{name},")), "{table}");

    let plain = file("plain", &case.basic("plain").await);
    assert_eq!(audit(&server, &plain, &["incidents"]).status.code(), Some(77));
    assert_eq!(audit(&server, &token, &["list", "--since", "yesterday"]).status.code(), Some(65));
    assert!(server.stop().success());
    assert_eq!(audit(&server, &token, &["list"]).status.code(), Some(69));
}
