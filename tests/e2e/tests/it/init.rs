//! `coffre init` where nobody can read what it prints.

use std::fs;
use std::process::Stdio;

use coffre_e2e::case::run_apart;
use coffre_e2e::server::{Engine, Home};

/// Runs `coffre init` with its output going there; the administrator's password is made.
fn init_into(home: &Home, out: impl Into<Stdio>, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = home.operator(&["init"]);
    for given in ["COFFRE_ADMIN_PASSWORD", "COFFRE_ADMIN_PASSWORD_FILE"] {
        command.env_remove(given);
    }
    let output = command.args(arguments).stdout(out).output().unwrap();
    let [said, refused] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(!refused.contains("panicked"), "{refused}");
    (output.status.code(), said, refused)
}

fn full_disk() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn init_makes_no_vault_whose_recovery_key_nobody_can_see() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let home = Home::bare(engine);
            for out in [full_disk(), closed_pipe()] {
                let (code, _, refused) = init_into(&home, out, &[]);
                assert!(code == Some(1) && refused.contains("nothing was made"), "{engine:?}: {code:?} {refused}");
            }
            let (code, said, refused) = init_into(&home, Stdio::piped(), &[]);
            assert_eq!(code, Some(0), "{engine:?}: {said}{refused}");
            assert!(said.contains("The vault's recovery key is\n\n") && !said.contains("earlier try"), "{said}");
            assert!(said.contains("its password is\n\n"), "{said}");
        });
    }
}

#[test]
fn init_does_not_say_that_somebody_has_the_recovery_key_of_an_earlier_try() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::bare(engine);
        let key = home.folder.join("recovery-key");
        // The vault is made, since its key is in the file; the administrator is not, since nobody would see the password.
        let (code, _, refused) = init_into(&home, full_disk(), &["--recovery-key-out", key.to_str().unwrap()]);
        assert!(code == Some(1) && refused.contains("no administrator was made"), "{code:?} {refused}");
        assert!(fs::read_to_string(&key).unwrap().trim().len() > 50);
        let (code, said, refused) = init_into(&home, Stdio::piped(), &[]);
        assert_eq!(code, Some(0), "{said}{refused}");
        for part in ["made by an earlier try", "If nobody has it, it is lost", "coffre keys recovery new"] {
            assert!(said.contains(part), "it does not say {part:?}: {said}");
        }
    });
}
