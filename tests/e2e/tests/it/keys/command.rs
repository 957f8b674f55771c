//! `coffre keys …`, the real program, as an operator's script runs it: keys from standard input and files, exit codes, text and JSON.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Stdio;

use coffre_e2e::api::{Key, Session};
use coffre_e2e::canary;
use coffre_e2e::model::Rotation;
use coffre_e2e::server::{Engine, Home, private_folder};
use serde_json::{Value, json};

use super::own::{Kept, Own, drilled, keeper, master_key, rotated};

on_each_engine! {
    an_operator_looks_after_the_keys,
    what_goes_wrong_has_its_exit_code,
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// What it said where all went well.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// The sentence of a refusal.
    #[track_caller]
    fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "one sentence: {self:?}");
        assert!(!canary::is_in(self.err.as_bytes()) && !self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

/// An operator at a shell.
struct Shell<'o> {
    own: &'o Own,
    /// Not in the server's folder: what lies there is searched for keys.
    folder: PathBuf,
}

impl<'o> Shell<'o> {
    fn new(own: &'o Own, operator: &Session) -> Self {
        let shell = Self { own, folder: private_folder("shell") };
        shell.file("token", operator.token.as_deref().unwrap());
        shell
    }

    /// Writes a file for the owner's eyes alone.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        writeln!(file, "{text}").unwrap();
        path.display().to_string()
    }

    fn at(&self, address: &str, line: &str, input: &str) -> Said {
        let words: Vec<&str> = ["keys"].into_iter().chain(line.split_whitespace()).collect();
        let mut command = self.own.home.command(&words);
        command.env("COFFRE_ADDR", address).env("COFFRE_TOKEN_FILE", self.folder.join("token"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // What needs nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn run(&self, line: &str, input: &str) -> Said {
        self.at(&format!("http://{}", self.own.server.grpc), line, input)
    }
}

async fn an_operator_looks_after_the_keys(engine: Engine) {
    let own = Own::new(Home::new(engine));
    let case = own.case().await;
    let (keeper, kept, owner) = (keeper(&case).await, Kept::new(&case).await, case.basic("many").await);
    let held = super::rotation::many(&case, &owner, 8).await;
    let shell = Shell::new(&own, &keeper);
    let [first, second] = ["first", "second"].map(|what| master_key(&case, what));

    assert_eq!(
        shell.run("status", "").ok(),
        "mode      Express\nvault     open\nrotation  none yet: 401 values, term 1\n"
    );
    let status = shell.run("status --json", "").json();
    assert_eq!((&status["mode"], &status["applied"]), (&json!("Express"), &json!(true)));
    assert!(!Rotation::from_json(&status["rotation"]).is_begun);
    let slots = shell.run("slots", "").ok();
    let lines: Vec<&str> = slots.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("express  ") && lines[1].starts_with("recovery  "), "{slots}");
    assert!(lines[0].ends_with("the server's key file") && lines[1].ends_with("the recovery key"), "{slots}");
    assert_eq!(
        shell.run("drill --recovery", &own.recovery).ok(),
        "the key opens the vault (slot recovery); nothing was changed\n"
    );

    // To people, with one line break more than the key has.
    let said = shell.run("mode manual", &format!("{first}\n")).ok();
    assert!(said.starts_with("the mode is Manual; values are re-encrypted in the background"), "{said}");
    assert_eq!(shell.run("slots --json", "").json()["list"][0]["kind"], "manual");
    assert_eq!(shell.run("drill", &first).ok(), "the key opens the vault (slot manual); nothing was changed\n");
    assert_eq!(shell.run("seal", "").ok(), "the vault is sealed\n");
    let status = shell.run("status", "").ok();
    assert!(status.contains("mode      Manual\nvault     sealed; `coffre keys apply` opens it\n"), "{status}");
    let path = shell.file("first", &first);
    assert_eq!(shell.run(&format!("apply --key-file {path}"), "").ok(), "the vault is open\n");
    let new = shell.file("second", &second);
    let changed = shell.run(&format!("mode manual --json --key-file {path} --new-key-file {new}"), "").json();
    assert_eq!(changed, json!({"mode": "Manual", "keyIsShort": false}));
    kept.is_readable(&case).await;

    // A new recovery key, into a file and onto the screen.
    let out = shell.folder.join("recovery");
    let said = shell.run(&format!("recovery new --key-file {new} --out {}", out.display()), "").ok();
    let written = fs::read_to_string(&out).unwrap().trim().to_owned();
    canary::remember_recovery_key(&written);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(said.contains(&out.display().to_string()) && !said.contains(&written), "{said}");
    assert_eq!(drilled(&keeper, Key::Recovery(&written)).await, "recovery");
    let said = shell.run(&format!("recovery new --key-file {}", out.display()), "").ok();
    let shown = super::own::recovery_key_in(&said).unwrap_or_else(|| panic!("no key: {said}"));
    canary::remember_recovery_key(&shown);
    assert!(said.contains("not shown again") && said.contains("Write it down"), "{said}");
    assert_eq!(shell.run("apply --recovery", &shown).ok(), "the vault is open\n");
    shell.run("drill --recovery", &written).refused(65);
    shell.run("drill", &second).ok();

    // Back to the server, and a seal there.
    let said = shell.run("mode express", &second).ok();
    assert!(said.starts_with("the mode is Express;"), "{said}");
    assert_eq!(shell.run("seal --json", "").json(), json!({"applied": false}));
    let status = shell.run("status", "").ok();
    assert!(status.contains("sealed; `coffre keys unseal` opens it"), "{status}");
    assert_eq!(shell.run("unseal", "").ok(), "the vault is open\n");

    // Progress to its end, and then that it ended.
    rotated(&keeper).await;
    let said = shell.run("rotate", "").ok();
    let lines: Vec<&str> = said.lines().collect();
    let (last, before) = lines.split_last().unwrap();
    assert!(last.starts_with("done: 401 values under term ") && last.contains(" since 2"), "{said}");
    assert!(!before.is_empty() && before.len() <= 101, "{said}");
    assert!(before.iter().all(|line| line.contains(" % (") && line.contains(" of 401 values), ")), "{said}");
    let begun = shell.run("rotate --no-wait --json", "").json();
    assert!(Rotation::from_json(&begun).running, "{begun}");
    let watched = shell.run("rotate --watch --json", "").ok();
    let all: Vec<Rotation> =
        watched.lines().map(|line| Rotation::from_json(&serde_json::from_str(line).unwrap())).collect();
    let last = all.last().unwrap();
    assert!(last.is_ended && last.done == 401, "{watched}");
    assert_eq!(shell.run("rotate --watch", "").ok().lines().count(), 1, "it has ended");
    super::rotation::all_there(&owner, &held).await;
    kept.is_readable(&case).await;
    case.settle().await;
    assert!(own.server.stop().success());
}

async fn what_goes_wrong_has_its_exit_code(engine: Engine) {
    let own = Own::new(Home::new(engine));
    let case = own.case().await;
    let (keeper, master) = (keeper(&case).await, master_key(&case, "m"));
    let shell = Shell::new(&own, &keeper);
    // The command line.
    for line in ["", "apply 0123456789abcdef", "mode", "mode automatic", "rotate --watch --no-wait", "recovery"] {
        let said = shell.run(line, "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {said:?}");
        assert!(said.err.contains("--help"), "{said:?}");
    }
    // Keys that cannot be read or be none.
    for input in ["", "\n", &"k".repeat(1025), &"k".repeat(10 * 1024 * 1024)] {
        shell.run("drill", input).refused(65);
    }
    let refused = shell.run("drill --key-file /nowhere/key", "").refused(65);
    assert!(refused.contains("/nowhere/key"), "{refused}");
    let refused = shell.run("drill --recovery", &own.recovery[..60]).refused(65);
    assert!(refused.contains("63 letters"), "{refused}");
    let refused = shell.run("mode manual", "12345").refused(65);
    assert!(refused.contains("6 characters"), "{refused}");
    let json = shell.run("drill --recovery --json", "Q").refused(65);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["code"], "request.invalid", "{json}");
    // What the mode does not have.
    let refused = shell.run("drill", &master).refused(1);
    assert!(refused.contains("Express"), "{refused}");
    // Nobody there, nobody signed in, nobody who may.
    let refused = shell.at("http://127.0.0.1:1", "status", "").refused(69);
    assert!(refused.contains("127.0.0.1:1") && refused.contains("COFFRE_ADDR"), "{refused}");
    let refused = shell.at("http://10.255.255.1:50051", "status", "").refused(1);
    assert!(refused.contains("in the clear"), "{refused}");
    shell.file("token", "no.such.token");
    shell.run("status", "").refused(77);
    let basic = case.basic("basic").await;
    shell.file("token", basic.token.as_deref().unwrap());
    let refused = shell.run("status", "").refused(77);
    assert!(refused.contains("View and manage settings"), "{refused}");
    shell.file("token", keeper.token.as_deref().unwrap());
    // Not now.
    shell.run("seal", "").ok();
    let refused = shell.run("rotate", "").refused(75);
    assert!(refused.contains("sealed"), "{refused}");
    shell.run("unseal", "").ok();
    shell.run("mode manual", &master).ok();
    let mut refused = Vec::new();
    // On a busy machine the first waits are over before the key before is stretched; the twelfth is a minute.
    while refused.len() < 12 && refused.last().is_none_or(|(code, _)| *code != 75) {
        let said = shell.run("apply", &canary::secret(&format!("wrong key {}", refused.len())));
        let code = said.code;
        refused.push((code, said.refused(code)));
    }
    assert_eq!(refused[0].0, 65, "{refused:?}");
    assert!(refused.iter().any(|(code, said)| *code == 75 && said.contains("try again in")), "{refused:?}");
    case.settle().await;
    assert!(own.server.stop().success());
}
