//! `coffre audit verify --server`: a whole log and a changed one, with the real program and somebody who has the database's password.

use std::fs;
use std::path::PathBuf;

use coffre_audit_proof::note::SigningKey;
use coffre_e2e::api::{NewAttribute, NewValue, Protocol, ValueChange};
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home, Server, private_folder};
use coffre_e2e::tables::{blobs, execute, ids};
use serde_json::Value;

use crate::audit_command::{audit, said};

on_each_engine! {
    a_whole_log_is_vouched_for_and_the_exit_code_says_so,
    whatever_is_done_to_the_log_is_named,
    a_log_that_was_put_back_is_found_by_what_the_witness_saw,
    values_that_were_moved_or_put_back_are_named,
}

/// An installation whose witness and key an auditor keeps.
struct Kept {
    home: Home,
    folder: PathBuf,
}

/// What `coffre audit verify` came to.
#[derive(Debug)]
struct Told {
    code: i32,
    report: Value,
}

impl Told {
    /// The sentences of what was found.
    fn findings(&self) -> Vec<String> {
        let all = [&self.report["findings"], &self.report["values"]["findings"]];
        let all = all.into_iter().filter_map(Value::as_array).flatten();
        all.map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["message"].as_str().unwrap())).collect()
    }

    #[track_caller]
    fn is_whole(&self) {
        assert_eq!((self.code, &self.report["verdict"]), (0, &"whole".into()), "{self:#?}");
        assert_eq!(self.report["anchored"], self.report["size"], "{self:#?}");
    }

    /// One finding holds both, and the exit code says that the record is damaged.
    #[track_caller]
    fn names(&self, kind: &str, what: &str) {
        assert_eq!((self.code, &self.report["verdict"]), (1, &"damaged".into()), "{self:#?}");
        let found = self.findings().iter().any(|one| one.starts_with(kind) && one.contains(what));
        assert!(found, "{kind} … {what}: {self:#?}");
    }
}

impl Kept {
    fn new(engine: Engine) -> Self {
        let folder = private_folder("witness");
        let witness = folder.join("audit.witness");
        let home = Home::new(engine).with("COFFRE_AUDIT_WITNESS_FILE", witness.to_str().unwrap());
        Self { home, folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Verifies with the token of whoever the case signs in, and with further options.
    async fn verify_with(&self, server: &Server, options: &[&str]) -> Told {
        let case = Case::on(server, Protocol::Rest).await;
        let token = self.file("token", case.admin.token.as_deref().unwrap());
        let words = [&["verify", "--server", "--json"], options].concat();
        let output = audit(server, &token, &words);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_ne!(report, Value::Null, "{}", String::from_utf8_lossy(&output.stderr));
        Told { code: output.status.code().unwrap(), report }
    }

    /// Verifies with the key and the witness that the auditor keeps, values included.
    async fn verify(&self, server: &Server) -> Told {
        let [key, witness] = ["key", "audit.witness"].map(|name| self.folder.join(name).display().to_string());
        self.verify_with(server, &["--values", "--key", &key, "--witness", &witness]).await
    }

    /// Keeps the key that the server tells at the beginning.
    async fn keep_key(&self, server: &Server) -> String {
        let case = Case::on(server, Protocol::Rest).await;
        let token = self.file("token", case.admin.token.as_deref().unwrap());
        let key = said(&audit(server, &token, &["key"]));
        self.file("key", &key);
        key.trim().to_owned()
    }

    /// Stops the server, has somebody do this to a database, and starts it again.
    fn tamper(&self, server: Server, service: &str, statements: &str) -> Server {
        assert!(server.stop().success());
        execute(&self.home, service, statements);
        self.home.start()
    }

    /// Bytes as a literal of SQL.
    fn literal(&self, bytes: &[u8]) -> String {
        match self.home.engine {
            Engine::Sqlite => format!("X'{}'", hex::encode(bytes)),
            Engine::Postgres => format!("'\\x{}'::bytea", hex::encode(bytes)),
        }
    }
}

/// Makes some entries.
async fn fill(server: &Server) {
    let case = Case::on(server, Protocol::Rest).await;
    for number in 0..10 {
        let name = case.unique(&format!("filled {number}"));
        case.admin.create_credential(&name, &[NewAttribute::standard("a")]).await.ok();
    }
    case.settle().await;
}

async fn a_whole_log_is_vouched_for_and_the_exit_code_says_so(engine: Engine) {
    let kept = Kept::new(engine);
    let server = kept.home.start();
    fill(&server).await;
    let key = kept.keep_key(&server).await;
    let told = kept.verify(&server).await;
    told.is_whole();
    assert_eq!((&told.report["keyGiven"], &told.report["incidents"]), (&true.into(), &0.into()));

    // Whoever holds server and key could have written it anew, unless somebody saw it.
    let told = kept.verify_with(&server, &[]).await;
    assert_eq!((told.code, &told.report["verdict"]), (3, &"notAnchored".into()), "{told:#?}");
    // A witness that lies behind vouches for what it saw.
    let earlier = kept.folder.join("earlier");
    fs::copy(kept.folder.join("audit.witness"), &earlier).unwrap();
    fill(&server).await;
    let told = kept.verify_with(&server, &["--witness", earlier.to_str().unwrap()]).await;
    assert_eq!((told.code, &told.report["verdict"]), (3, &"notAnchored".into()), "{told:#?}");
    assert_ne!(told.report["anchored"], "0", "{told:#?}");

    // A server that signs with another key than the one that is known.
    let (name, _) = key.split_once('+').unwrap();
    let other = SigningKey::from_seed(name, &vec![7; 32].into()).unwrap();
    let told = kept.verify_with(&server, &["--key", &other.verifier().to_string()]).await;
    told.names("wrongKey", "the checkpoint of the server");
    let last = if name.ends_with('0') { '1' } else { '0' };
    let other = SigningKey::from_seed(&format!("{}{last}", &name[..name.len() - 1]), &vec![7; 32].into()).unwrap();
    let told = kept.verify_with(&server, &["--key", &other.verifier().to_string()]).await;
    told.names("otherLog", "the checkpoint of the server");

    assert!(server.stop().success());
    let server = kept.home.start();
    fill(&server).await;
    kept.verify(&server).await.is_whole();
}

async fn whatever_is_done_to_the_log_is_named(engine: Engine) {
    let kept = Kept::new(engine);
    let server = kept.home.start();
    fill(&server).await;
    kept.keep_key(&server).await;
    kept.verify(&server).await.is_whole();
    let entry = |log_index: i64| {
        let of = |column: &str| {
            let query = format!("SELECT log_index AS id, {column} AS bytes FROM entries WHERE log_index = {log_index}");
            kept.literal(&blobs(&kept.home, "audit", &query).remove(0).1)
        };
        (of("canonical"), of("leaf_hash"))
    };
    let ((own, own_leaf), (other, other_leaf)) = (entry(7), entry(8));
    let put_back = format!("UPDATE entries SET canonical = {own}, leaf_hash = {own_leaf} WHERE log_index = 7");

    let server = kept.tamper(server, "audit", &format!("UPDATE entries SET canonical = {other} WHERE log_index = 7"));
    kept.verify(&server).await.names("changed", "entry 7 ");
    let server = kept.tamper(server, "audit", &put_back);
    kept.verify(&server).await.is_whole();

    // With its hash, it does not lead to what was signed.
    let forged = format!("UPDATE entries SET canonical = {other}, leaf_hash = {other_leaf} WHERE log_index = 7");
    let server = kept.tamper(server, "audit", &forged);
    kept.verify(&server).await.names("changed", "do not lead to the signed root");
    let server = kept.tamper(server, "audit", &put_back);
    kept.verify(&server).await.is_whole();

    let removed = "CREATE TABLE taken AS SELECT * FROM entries WHERE log_index IN (7, 8); \
                   DELETE FROM entries WHERE log_index IN (7, 8);";
    let server = kept.tamper(server, "audit", removed);
    kept.verify(&server).await.names("removed", "the entries 7 to 8 are missing");
    let server = kept.tamper(server, "audit", "INSERT INTO entries SELECT * FROM taken; DROP TABLE taken;");
    kept.verify(&server).await.is_whole();

    // The last ones, behind the server's back: what comes next leaves their places empty.
    assert!(server.stop().success());
    let size = ids(&kept.home, "audit", "SELECT size AS id FROM log_head").pop_last().unwrap();
    execute(&kept.home, "audit", &format!("DELETE FROM entries WHERE log_index >= {}", size - 3));
    let server = kept.home.start();
    let told = kept.verify(&server).await;
    assert_eq!(told.code, 1, "{told:#?}");
    let missing = format!("the entries {} to {} are missing", size - 3, size - 1);
    assert!(told.findings().iter().any(|one| one.contains(&missing)), "{missing}: {told:#?}");
    assert_ne!(told.report["incidents"], 0, "the server found it, too: {told:#?}");
}

async fn a_log_that_was_put_back_is_found_by_what_the_witness_saw(engine: Engine) {
    let kept = Kept::new(engine);
    let server = kept.home.start();
    fill(&server).await;
    kept.keep_key(&server).await;
    let early = Case::on(&server, Protocol::Rest).await.admin.create_checkpoint().await.ok().size;
    fill(&server).await;
    let told = kept.verify(&server).await;
    told.is_whole();
    // Everything in the database fits: only the witness knows more.
    let server = kept.tamper(
        server,
        "audit",
        &format!(
            "DELETE FROM entries WHERE log_index >= {early}; DELETE FROM checkpoints WHERE size > {early}; \
             UPDATE log_head SET size = {early}, frontier = NULL;"
        ),
    );
    let told = kept.verify(&server).await;
    told.names("cutTail", &format!("the entries {early} to "));
    assert_ne!(told.report["incidents"], 0, "the server found it, too: {told:#?}");
    // Written anew it is another log, and stays one.
    fill(&server).await;
    kept.verify(&server).await.names("cutTail", &format!("the entries {early} to "));
}

async fn values_that_were_moved_or_put_back_are_named(engine: Engine) {
    let kept = Kept::new(engine);
    let server = kept.home.start();
    kept.keep_key(&server).await;
    let case = Case::on(&server, Protocol::Rest).await;
    let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b")];
    let credential = case.admin.create_credential(&case.unique("sealed"), &attributes).await.ok();
    let value = |index: usize, what: &str| NewValue::new(credential.attributes[index].id, case.secret(what));
    let stored = case.admin.create_values(credential.id, &[value(0, "one"), value(1, "two")]).await.ok();
    let (one, two) = (stored[0].id, stored[1].id);
    let row = |id: i64| {
        let query = format!("SELECT version AS id, sealed AS bytes FROM attribute_values WHERE id = {id}");
        let (version, sealed) = blobs(&kept.home, "vault", &query).remove(0);
        format!("UPDATE attribute_values SET version = {version}, sealed = {} WHERE id = {id}", kept.literal(&sealed))
    };
    let (first, other) = (row(one), row(two));
    let change = ValueChange { value: case.secret("three"), ..ValueChange::default() };
    case.admin.update_value(credential.id, one, &change).await.ok();
    case.settle().await;
    let newest = row(one);
    let told = kept.verify(&server).await;
    told.is_whole();
    assert_eq!(told.report["values"]["compared"], 2, "{told:#?}");

    let server = kept.tamper(server, "vault", &first);
    kept.verify(&server).await.names("rolledBack", &format!("value {one} is stored in version"));
    let server = kept.tamper(server, "vault", &newest);
    kept.verify(&server).await.is_whole();

    let moved = format!(
        "UPDATE attribute_values SET sealed = (SELECT sealed FROM attribute_values WHERE id = {one}) WHERE id = {two}"
    );
    let server = kept.tamper(server, "vault", &moved);
    kept.verify(&server).await.names("changed", &format!("value {two}, version"));
    let server = kept.tamper(server, "vault", &other);
    kept.verify(&server).await.is_whole();
}
