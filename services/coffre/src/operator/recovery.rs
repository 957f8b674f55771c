//! `coffre keys recovery new`: the one command whose answer is lost for good where nobody gets it.

use std::fs::{File, remove_file};
use std::io::Write;
use std::path::Path;

use coffre_proto::vault::v1::key_slot::Kind;
use coffre_proto::vault::v1::{Mode, ReplaceRecoveryKeyRequest};
use coffre_secret::SecretText;
use serde_json::json;

use super::fault::Fault;
use super::keys;
use super::secrets::{self, Typed};
use super::session::Session;
use super::shown::Shown;
use crate::keys::{private_file, write_for_people};
use crate::say;

/// What the command line says.
pub(crate) struct Asked<'a> {
    /// Holds the present key.
    pub(crate) key_file: Option<&'a Path>,
    /// Gets the new one, in place of the screen.
    pub(crate) file: Option<&'a Path>,
    pub(crate) as_json: bool,
}

/// Makes a new recovery key. That it can be written is tried before anything is changed: afterwards the old key is void, and a new one that
/// nobody got is lost.
pub(crate) async fn new_key(
    session: &Session,
    typed: &mut impl Typed,
    asked: &Asked<'_>,
    out: &mut impl Write,
) -> Result<(), Fault> {
    // Nobody can show a key where there is none: a vault that never had a recovery key, opened by the server.
    let mode = keys::mode(session).await?;
    let wanted = asked.key_file.is_some()
        || mode == Mode::Manual
        || keys::slots(session).await?.iter().any(|slot| slot.kind() == Kind::Recovery);
    let what = if mode == Mode::Manual { "master key or present recovery key" } else { "present recovery key" };
    let current_key = match wanted {
        true => secrets::key(typed, asked.key_file, what)?.into_exposed(),
        false => String::new(),
    };
    begin(out, asked.as_json)?;
    let file = asked.file.map(NewFile::make).transpose()?;
    let request = session.request(ReplaceRecoveryKeyRequest { current_key })?;
    let answer = match session.keys().replace_recovery_key(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            if let Some(file) = file {
                file.remove();
            }
            let fault = session.fault(&status);
            return Err(if fault.is_unsure() { fault.and(&unsure(mode)) } else { fault });
        }
    };
    let key = SecretText::new(answer.recovery_key);
    let Some(file) = file else { return on_screen(&key, "", mode, out, asked.as_json) };
    let path = file.path;
    match file.fill(&key) {
        Ok(()) => in_file(path).print(out, asked.as_json),
        // Better on the screen than nowhere.
        Err(error) => {
            let why = format!("{} cannot be written: {error}\n", path.display());
            on_screen(&key, &why, mode, out, asked.as_json)
        }
    }
}

/// Tries whether an answer can be written, with what an answer may begin with.
fn begin(out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
    let begun = if as_json {
        // Leads to one line that is one object all the same.
        out.write_all(b" ").and_then(|()| out.flush())
    } else {
        say::line_to(out, "Making a new recovery key: the old one opens only old backups then.")
    };
    begun.map_err(|error| {
        Fault::failed(format!(
            "a new recovery key could not be printed ({error}); nothing was changed: run it again where what it prints can be written"
        ))
    })
}

/// The file for the new key.
struct NewFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> NewFile<'a> {
    fn make(path: &'a Path) -> Result<Self, Fault> {
        private_file(path)
            .map(|file| Self { path, file })
            .map_err(|error| Fault::failed(format!("{} cannot be made: {error}; nothing was changed", path.display())))
    }

    fn fill(self, key: &SecretText) -> std::io::Result<()> {
        let written = write_for_people(key, self.path, self.file);
        if written.is_err() {
            let _ = remove_file(self.path);
        }
        written
    }

    fn remove(self) {
        // It is empty; what does not go is empty still.
        let _ = remove_file(self.path);
    }
}

fn in_file(path: &Path) -> Shown {
    let text = format!(
        "the new recovery key is in {}: write it down, keep it away from the vault, and delete the file; the old one opens only old backups",
        path.display()
    );
    Shown { text, json: json!({"writtenTo": path}) }
}

/// Shows a new recovery key, this once.
fn on_screen(key: &SecretText, why: &str, mode: Mode, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
    let text = format!(
        "{why}The new recovery key is\n\n  {}\n\nIt is not shown again. Write it down and keep it away from the vault; the old one opens only old backups.",
        key.expose()
    );
    let shown = Shown { text, json: json!({"recoveryKey": key.expose()}) };
    shown.write(out, as_json).map_err(|error| {
        Fault::failed(format!(
            "the new recovery key was made and cannot be printed ({error}): it is lost, and the old one is void. {}",
            way_on(mode)
        ))
    })
}

fn unsure(mode: Mode) -> String {
    format!(
        "Whether the recovery key was replaced is not known: `coffre keys slots` says when it was made. If that is now, the old one is void and \
         the new one is lost. {}",
        way_on(mode)
    )
}

/// How to get a recovery key where nobody has the present one.
fn way_on(mode: Mode) -> &'static str {
    match mode {
        Mode::Manual => "Make another one now: `coffre keys recovery new`, with the master key",
        Mode::Express | Mode::Unspecified => {
            "Make another one now, while the vault is open: `coffre keys mode manual` with a master key that you choose, `coffre keys recovery new` \
             with that master key, `coffre keys mode express` with it too"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use coffre_error::Reason;
    use coffre_proto::vault::v1::{KeySlot, ListKeySlotsResponse, ReplaceRecoveryKeyResponse};

    use super::super::tests::{Fake, Server, run, run_into};
    use super::*;
    use crate::say::tests::Disk;

    const KEY: &str = "ABCDE-FGHIJ";

    #[test]
    fn a_key_that_cannot_be_printed_is_lost_and_the_fault_says_how_to_go_on() {
        for (mode, way) in [(Mode::Manual, "with the master key"), (Mode::Express, "coffre keys mode manual")] {
            for as_json in [false, true] {
                let key = SecretText::new(KEY.into());
                let fault = on_screen(&key, "", mode, &mut Disk::with_room(20), as_json).unwrap_err().to_string();
                for part in ["the old one is void", "it is lost", "coffre keys recovery new", way] {
                    assert!(fault.contains(part), "{mode:?} {as_json}: {fault}");
                }
                assert!(!fault.contains(KEY), "{fault}");
            }
        }
    }

    #[test]
    fn with_json_the_answer_is_one_line_and_one_object() {
        let mut disk = Disk::with_room(1000);
        begin(&mut disk, true).unwrap();
        on_screen(&SecretText::new(KEY.into()), "", Mode::Manual, &mut disk, true).unwrap();
        let text = String::from_utf8(disk.written).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json!({"recoveryKey": KEY}));
    }

    #[tokio::test]
    async fn a_new_recovery_key_needs_a_present_key_where_there_is_one() {
        let slot = |kind: Kind| KeySlot { kind: kind.into(), create_time: None };
        let reply = ReplaceRecoveryKeyResponse { recovery_key: "ABCDE-FGHIJ".into() };
        for (mode, slots, typed, current_key) in [
            (Mode::Express, vec![slot(Kind::Express)], &["pw"][..], ""),
            (Mode::Express, vec![slot(Kind::Express), slot(Kind::Recovery)], &["pw", "old"], "old"),
            (Mode::Manual, vec![slot(Kind::Manual)], &["pw", "master"], "master"),
        ] {
            let server = Server::in_mode(mode);
            server.reply("ListKeySlots", &ListKeySlotsResponse { slots }).reply("ReplaceRecoveryKey", &reply);
            let said = run(&server, "recovery new --user e", &mut Fake::at_terminal(typed)).await.unwrap();
            assert!(said.contains("\n  ABCDE-FGHIJ\n"), "{said}");
            assert_eq!(server.asked::<ReplaceRecoveryKeyRequest>("ReplaceRecoveryKey").current_key, current_key);
        }
    }

    #[tokio::test]
    async fn a_new_recovery_key_goes_to_a_file_for_the_owners_eyes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery");
        let line = format!("recovery new --user e --out {}", path.display());
        let server = Server::in_mode(Mode::Express);
        server.refuse("ReplaceRecoveryKey", Reason::VaultSealed);
        assert_eq!(run(&server, &line, &mut Fake::at_terminal(&["pw"])).await.unwrap_err().exit_code(), 75);
        assert!(!path.exists(), "nothing was made, nothing is left");

        server.reply("ReplaceRecoveryKey", &ReplaceRecoveryKeyResponse { recovery_key: "ABCDE-FGHIJ".into() });
        let said = run(&server, &line, &mut Fake::at_terminal(&["pw"])).await.unwrap();
        assert!(!said.contains("ABCDE"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ABCDE-FGHIJ\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let calls = server.methods().iter().filter(|method| *method == "ReplaceRecoveryKey").count();
        let fault = run(&server, &line, &mut Fake::at_terminal(&["pw"])).await.unwrap_err();
        assert!(fault.to_string().contains("nothing was changed"), "{fault}");
        assert_eq!(server.methods().iter().filter(|method| *method == "ReplaceRecoveryKey").count(), calls);
    }

    #[tokio::test]
    async fn a_recovery_key_is_replaced_only_where_the_new_one_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery");
        let server = Server::in_mode(Mode::Manual);
        server.reply("ReplaceRecoveryKey", &ReplaceRecoveryKeyResponse { recovery_key: "ABCDE-FGHIJ".into() });
        let to_file = format!("recovery new --user e --out {}", path.display());
        for line in ["recovery new --user e", "recovery new --json --user e", &to_file] {
            let mut full = Disk::with_room(0);
            let fault =
                run_into(&mut full, &server, line, &mut Fake::at_terminal(&["pw", "master"])).await.unwrap_err();
            assert!(fault.exit_code() == 1 && fault.to_string().contains("nothing was changed"), "{line}: {fault}");
        }
        assert!(!server.methods().contains(&"ReplaceRecoveryKey".to_owned()) && !path.exists());

        // Full only when the key comes: it is lost, and that is said.
        let mut full = Disk::with_room(80);
        let mut typed = Fake::at_terminal(&["pw", "master"]);
        let fault = run_into(&mut full, &server, "recovery new --user e", &mut typed).await.unwrap_err();
        assert!(fault.to_string().contains("the old one is void"), "{fault}");
        // With the key in a file nothing is lost.
        let mut full = Disk::with_room(80);
        let fault =
            run_into(&mut full, &server, &to_file, &mut Fake::at_terminal(&["pw", "master"])).await.unwrap_err();
        assert!(fault.to_string().contains("was done") && !fault.to_string().contains("void"), "{fault}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ABCDE-FGHIJ\n");
    }

    #[tokio::test]
    async fn where_the_answer_with_a_recovery_key_does_not_come_it_is_told_what_that_may_mean() {
        let server = Server::in_mode(Mode::Manual);
        for (reason, unsure) in [(Reason::StoreUnavailable, true), (Reason::VaultKeyWrong, false)] {
            server.refuse("ReplaceRecoveryKey", reason);
            let mut typed = Fake::at_terminal(&["pw", "master"]);
            let fault = run(&server, "recovery new --user e", &mut typed).await.unwrap_err().to_string();
            assert_eq!(fault.contains("coffre keys slots"), unsure, "{fault}");
        }
        server.cut("ReplaceRecoveryKey");
        let fault = run(&server, "recovery new --user e", &mut Fake::at_terminal(&["pw", "master"])).await.unwrap_err();
        assert!(fault.exit_code() == 69 && fault.to_string().contains("coffre keys slots"), "{fault}");
    }
}
