//! `coffre backup` of running services and `coffre restore` elsewhere, from either database into either one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Key, ModeKeys, NewAttribute, NewValue, Protocol, Session};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::load::Load;
use coffre_e2e::model::{Filter, Query, Right};
use coffre_e2e::server::{Engine, Home, Server, private_folder};
use coffre_e2e::split::Ground;
use coffre_e2e::{canary, tables};

use crate::keys::own::{keeper, master_key, recovery_key_in};

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.text
    }

    #[track_caller]
    fn refused(self, why: &str) {
        assert!(self.code == Some(1) && self.text.contains(why), "not {why:?}: {self:?}");
        assert!(!canary::is_in(self.text.as_bytes()) && !self.text.contains("panicked"), "{self:?}");
    }
}

fn run(home: &Home, arguments: &[&str]) -> Said {
    let mut command = home.command(arguments);
    let output = command.current_dir(&home.folder).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Said { code: output.status.code(), text }
}

/// Makes a backup as soon as a vault vouches for its keys: it does within a second after it opened.
fn backup(home: &Home, out: &Path) -> String {
    let begun = Instant::now();
    loop {
        let said = run(home, &["backup", "--out", out.to_str().unwrap()]);
        if said.code == Some(0)
            || !said.text.contains("no open vault vouches")
            || begun.elapsed() > Duration::from_secs(20)
        {
            return said.ok();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn restore(home: &Home, file: &Path, key: &Path, more: &[&str]) -> Said {
    run(home, &[&["restore", file.to_str().unwrap(), "--key-file", key.to_str().unwrap()], more].concat())
}

/// The key of another log: that of the example of <https://pkg.go.dev/golang.org/x/mod/sumdb/note>.
const ANOTHER_LOGS_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// The key with which a backup is signed, as the command says it.
fn said_key(said: &str) -> String {
    let (_, key) = said.split_once("the key of the audit log, ").expect("the key is said");
    key.split_once(':').unwrap().0.to_owned()
}

/// Its SHA-256.
fn said_sum(said: &str) -> String {
    let (_, sum) = said.split_once("SHA-256 ").expect("the sum is said");
    sum[..64].to_owned()
}

/// A file with a key, not where other tests look for keys.
fn key_file(folder: &Path, name: &str, key: &str) -> PathBuf {
    let path = folder.join(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    writeln!(file, "{key}").unwrap();
    path
}

/// A running installation: one process on SQLite, one for each service on PostgreSQL; with its recovery key.
fn source(engine: Engine) -> (Home, Server, String) {
    let home = Home::new(engine);
    let (server, shown) = match engine {
        Engine::Sqlite => {
            let server = home.start();
            let shown = server.said();
            (server, shown)
        }
        Engine::Postgres => {
            let shown = fs::read_to_string(home.folder.join("init.log")).unwrap();
            (Ground::new(home.clone()).start(), shown)
        }
    };
    let recovery = recovery_key_in(&shown).expect("a recovery key is shown");
    (home, server, recovery)
}

fn stop(server: &Server) {
    if server.parts.is_empty() {
        assert!(server.stop().success(), "{}", server.said());
    }
    server.parts.iter().for_each(|part| assert!(part.process().stop().success(), "{}", part.process().said()));
}

fn at(server: &Server, session: &Session) -> Session {
    Session { api: Api::new(server, Protocol::Rest), ..session.clone() }
}

/// What was acknowledged before a backup.
struct Kept {
    owner: Session,
    name: String,
    password: String,
    values: Vec<(i64, String)>,
    locker: i64,
}

impl Kept {
    async fn new(case: &Case<'_>) -> Self {
        let (owner, mut values) = (case.basic("kept").await, Vec::new());
        for number in 0..5 {
            let name = case.unique(&format!("kept-{number}"));
            let created = owner.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
            let secret = case.secret(&name);
            owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
            values.push((created.id, secret));
        }
        let locker = case.recent_admin().await.create_locker(&case.unique("kept"), None).await.ok().id;
        case.recent_admin().await.set_member(locker, owner.id, &[Right::Own]).await.ok();
        Self { name: owner.username.clone(), password: case.password_of(&owner), owner, values, locker }
    }

    /// Finds everything on another server, and that no session of before is one there.
    async fn is_there(&self, server: &Server) {
        let late = at(server, &self.owner).list_values(self.values[0].0).await;
        assert!(late.outcome.as_ref().is_err_and(|refused| refused.status == 401), "{:?}", late.outcome);
        let owner = Api::new(server, Protocol::Rest).anonymous().open(&self.name, &self.password).await;
        for (credential, secret) in &self.values {
            let read = owner.list_values(*credential).await.ok();
            assert_eq!(read.iter().map(|value| value.value.as_str()).collect::<Vec<_>>(), [secret.as_str()]);
        }
        owner.get_locker(self.locker).await.ok();
        let new = owner.create_credential("made after the restoration", &[NewAttribute::standard("a")]).await.ok();
        let highest = self.values.iter().map(|(id, _)| *id).max().unwrap();
        assert!(
            new.id > highest + 1_000_000_000,
            "security 3.5: ids of after the backup are not given again: {}",
            new.id
        );
        assert!(new.attributes[0].id > 1_000_000_000);
    }
}

async fn is_recorded(server: &Server, home: &Home, event: &str) {
    let admin = Api::new(server, Protocol::Rest).anonymous().open("admin", &home.admin_password).await;
    let begun = Instant::now();
    loop {
        let query = Query::filter(Filter::Or(vec![Filter::new("event", "eq", event)]));
        let found = admin.query_entries(&query).await.ok().items;
        if let [entry] = &found[..] {
            assert_eq!((entry.status.as_str(), entry.object_type.as_str()), ("Successful", "backup"), "{entry:?}");
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{event} is in the audit: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn nothing_can_be_read(file: &Path, keys: &Path, recovery: &str) {
    let bytes = fs::read(file).unwrap();
    assert!(!canary::is_in(&bytes), "a planted secret is in the backup");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut secrets = vec![recovery.as_bytes().to_vec()];
    for name in ["auth.key", "audit.key", "checkpoint.key", "express.key"] {
        secrets.push(fs::read(keys.join(name)).unwrap());
    }
    for form in secrets.iter().flat_map(|secret| canary::forms(secret)) {
        assert!(!bytes.windows(form.len()).any(|window| window == form), "a key is in the backup");
    }
}

/// The log that was restored is whole to a witness of its own, and lacks its end to the one that saw more of the lost log.
async fn an_auditor_sees_what_happened(server: &Server, home: &Home, of_the_lost_log: &Path) {
    let admin = Api::new(server, Protocol::Rest).anonymous().open("admin", &home.admin_password).await;
    let token = key_file(&private_folder("auditor"), "token", admin.token.as_deref().unwrap());
    let verify = |witness: &Path| {
        let mut command = home.command(&["audit", "verify", "--server", "--witness", witness.to_str().unwrap()]);
        command.env("COFFRE_ADDR", format!("http://{}", server.grpc)).env("COFFRE_TOKEN_FILE", &token);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Said { code: output.status.code(), text }
    };
    let said = verify(&home.folder.join("witness/audit.witness")).ok();
    assert!(said.contains("is whole"), "{said}");
    verify(of_the_lost_log).refused("are missing at the end");
}

fn goes_from(from: Engine) {
    run_apart(from, async |engine| {
        let (home, server, recovery) = source(engine);
        let keys = home.folder.join(if engine == Engine::Sqlite { "data/keys" } else { "keys" });
        let case = Case::on(&server, Protocol::Rest).await;
        let kept = Kept::new(&case).await;
        let token = case.recent_admin().await.token.unwrap();
        let load = Load::start(&server, &token, 3, 1).await;
        load.goes_on(5).await;
        let folder = private_folder("backup");
        let (file, key) = (folder.join("vault.backup"), key_file(&folder, "recovery", &recovery));
        let said = tokio::task::block_in_place(|| backup(&home, &file));
        assert!(said.contains("rows") && said.contains("SHA-256"), "{said}");
        load.goes_on(5).await;
        run(&home, &["backup", "--out", file.to_str().unwrap()]).refused("is there already");
        let link = folder.join("link");
        std::os::unix::fs::symlink(folder.join("nowhere"), &link).unwrap();
        run(&home, &["backup", "--out", link.to_str().unwrap()]).refused("is there already");
        is_recorded(&server, &home, "backup.made").await;
        let (log_key, sum) = (said_key(&said), said_sum(&said));
        let refused = load.finish().await.refused;
        assert!(refused.is_empty(), "nobody is kept from working: {refused:?}");
        case.settle().await;
        stop(&server);
        nothing_can_be_read(&file, &keys, &recovery);

        let witness = home.folder.join("witness/audit.witness");
        let wrong = key_file(&folder, "wrong", "not the key of this backup");
        let cut = folder.join("cut.backup");
        let bytes = fs::read(&file).unwrap();
        fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
        for target in Engine::BOTH.into_iter().filter(|engine| engine.is_wanted()) {
            let home = Home::bare(target);
            restore(&home, &file, &wrong, &[]).refused("recovery key");
            restore(&home, &cut, &key, &[]).refused("cut off");
            restore(&home, &wrong, &key, &[]).refused("no backup of Coffre");
            let of_the_lost_log = home.clone().with("COFFRE_AUDIT_WITNESS_FILE", witness.to_str().unwrap());
            if engine == Engine::Sqlite {
                restore(&of_the_lost_log, &file, &key, &["--dry-run"]).refused("and the log in this backup has");
            }
            let said = restore(&home, &file, &key, &["--dry-run"]).ok();
            assert!(said.contains("dry run") && said.contains("values"), "{said}");
            assert!(said.contains("was not checked") && said.contains(&log_key) && said.contains(&sum), "{said}");
            let (other_key, other_sum) = (ANOTHER_LOGS_KEY, sum.chars().rev().collect::<String>());
            restore(&home, &file, &key, &["--log-key", other_key]).refused("was not made by the installation");
            restore(&home, &file, &key, &["--sha256", &other_sum]).refused("and not the one that was given");
            assert!(!home.folder.join("data").exists(), "a dry run makes nothing");
            let said = restore(&home, &file, &key, &["--log-key", &log_key, "--sha256", &sum]).ok();
            assert!(said.contains("made by the installation") && !said.contains("was not checked"), "{said}");
            assert!(said.contains("fits nothing older"), "a new express key is made: {said}");
            assert!(said.contains("Begin a new witness"), "{said}");
            restore(&home, &file, &key, &[]).refused("is not empty");
            let server = home.start();
            kept.is_there(&server).await;
            is_recorded(&server, &home, "restore.done").await;
            if engine == Engine::Sqlite && target == Engine::Sqlite {
                an_auditor_sees_what_happened(&server, &home, &witness).await;
            }
            stop(&server);
            nobody_begins_anew_over_it(&home, &file, &key);
        }
    });
}

/// Without its users, as after a restoration that stopped halfway, it gets no new administrator.
fn nobody_begins_anew_over_it(home: &Home, file: &Path, key: &Path) {
    match home.engine {
        Engine::Sqlite => {
            fs::remove_file(home.folder.join("data/auth.db")).unwrap();
            let refused = home.try_start().expect_err("no new administrator");
            assert!(refused.contains("stopped halfway"), "{refused}");
        }
        Engine::Postgres => {
            tables::execute(home, "auth", "DROP SCHEMA coffre_auth CASCADE");
            run(home, &["init"]).refused("stopped halfway");
        }
    }
    restore(home, file, key, &[]).refused("is not empty");
}

#[test]
fn a_backup_under_load_goes_from_sqlite_to_both_databases() {
    goes_from(Engine::Sqlite);
}

#[test]
fn a_backup_of_services_apart_under_load_goes_from_postgresql_to_both_databases() {
    goes_from(Engine::Postgres);
}

/// A disk of sixteen kilobytes, which the command alone sees.
fn a_full_disk_keeps_nothing(home: &Home) {
    const SCRIPT: &str =
        r#"mount -t tmpfs -o size=16k tmpfs "$1" && "$2" backup --out "$1/file"; echo "ended with $?"; ls -A "$1""#;
    let (small, program) = (private_folder("small"), home.command(&[]));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT, "sh"]).arg(&small).arg(program.get_program());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(&home.folder).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
    assert!(said.contains("No space left") && said.ends_with("ended with 1\n"), "nothing is left there: {said}");
}

#[test]
fn of_a_vault_whose_key_people_hold_the_master_key_opens_the_backup_and_what_is_restored_is_sealed() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let server = home.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let (kept, keeper, master) = (Kept::new(&case).await, keeper(&case).await, master_key(&case, "backup"));
        keeper.set_mode("Manual", ModeKeys::private(&master)).await.ok();
        let folder = private_folder("backup");
        let (file, key) = (folder.join("vault.backup"), key_file(&folder, "master", &master));
        tokio::task::block_in_place(|| backup(&home, &file));
        tokio::task::block_in_place(|| {
            a_full_disk_keeps_nothing(&home);
            let foreign = folder.join("keys");
            run(&home, &["init", "keys", "--out", foreign.to_str().unwrap()]).ok();
            let elsewhere = home.clone().with("COFFRE_KEYS_DIR", foreign.to_str().unwrap());
            let third = folder.join("third.backup");
            run(&elsewhere, &["backup", "--out", third.to_str().unwrap()]).refused("not the one of this installation");
            assert!(!third.exists());
        });
        // A value that somebody moves in the database opens nowhere.
        let damaged = kept.values[0].0;
        stop(&server);
        tables::execute(
            &home,
            "vault",
            &format!("UPDATE attribute_values SET version = 99 WHERE credential_id = {damaged}"),
        );
        let second = folder.join("second.backup");
        tokio::task::block_in_place(|| backup(&home, &second));
        // Whoever writes the database and puts his own recipient there gets nothing.
        tables::execute(&home, "vault", "UPDATE backup_recipient SET public_key = sha256('his own')");
        let third = folder.join("third.backup");
        run(&home, &["backup", "--out", third.to_str().unwrap()]).refused("no open vault vouches");
        assert!(!third.exists());

        let target = Home::bare(engine);
        let refused = restore(&target, &second, &key, &["--dry-run"]);
        assert!(refused.text.contains(&format!("of credential {damaged}")), "{refused:?}");
        refused.refused("--accept-damaged");
        assert!(restore(&target, &second, &key, &["--dry-run", "--accept-damaged"]).ok().contains("does not open"));
        let said = restore(&target, &file, &key, &[]).ok();
        assert!(said.contains("sealed until somebody types"), "{said}");
        let server = target.start();
        let operator =
            Api::new(&server, Protocol::Rest).anonymous().open(&keeper.username, &case.password_of(&keeper)).await;
        assert!(!operator.key_applied().await.ok());
        operator.apply_key(Key::Master(&master)).await.ok();
        kept.is_there(&server).await;
        stop(&server);
    });
}
