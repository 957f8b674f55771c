//! Settings with which a service by itself does not start, and what it says about them.

use coffre_e2e::case::run_apart;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::Ground;

use crate::program::said;

/// A service, the settings that are changed or left out, and what it says.
type Refused<'s> = (&'static str, Vec<(&'s str, Option<String>)>, &'s [&'s str]);

#[test]
fn a_service_by_itself_refuses_what_is_unsafe_and_says_what_to_do() {
    run_apart(Engine::Postgres, async |engine| {
        let ground = Ground::new(Home::new(engine));
        let certs =
            |service: &str, file: &str| ground.home.folder.join("certs").join(service).join(file).display().to_string();
        let keys_of_locker = ground.home.folder.join("keys-of/locker").display().to_string();
        let refused: [Refused<'_>; 6] = [
            ("vault", vec![("TLS__INTERNAL_CERT_FILE", None)], &["tls.internal_cert_file", "is missing"]),
            ("vault", vec![("SERVICES__AUDIT", None)], &["serve vault", "COFFRE_SERVICES__AUDIT"]),
            ("vault", vec![("GRPC_ADDR", Some("0.0.0.0:0".into()))], &["COFFRE_GRPC_ADDR", "tls.cert_file"]),
            ("locker", vec![("DATABASE_URL_FILE", None)], &["SQLite", "PostgreSQL"]),
            ("audit", vec![("KEYS_DIR", Some(keys_of_locker))], &["checkpoint.key"]),
            (
                "vault",
                vec![
                    ("TLS__INTERNAL_CERT_FILE", Some(certs("auth", "tls.crt"))),
                    ("TLS__INTERNAL_KEY_FILE", Some(certs("auth", "tls.key"))),
                ],
                &["auth", "vault"],
            ),
        ];
        for (service, changes, parts) in refused {
            let mut command = ground.command(service);
            for (name, value) in &changes {
                let name = format!("COFFRE_{name}");
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            let (code, said) = said(command);
            assert!(matches!(code, Some(1 | 78)), "{service} {changes:?}: {code:?} {said}");
            assert!(!said.contains("panicked"), "{said}");
            for part in parts {
                assert!(said.contains(part), "{service} {changes:?}: it does not say {part:?}: {said}");
            }
        }
    });
}

#[test]
fn keys_are_made_apart_and_taken_as_they_are_mounted() {
    run_apart(Engine::Postgres, async |engine| {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::bare(engine);
        let made = home.folder.join("made");
        let (code, told) = said(home.operator(&["init", "keys", "--out", made.to_str().unwrap()]));
        assert!(code == Some(0) && told.contains("express.key"), "{code:?} {told}");
        let (code, told) = said(home.operator(&["init", "keys", "--out", made.to_str().unwrap()]));
        assert!(code == Some(1) && told.contains("not replaced"), "{code:?} {told}");
        // As a cluster mounts them: nothing can be written there.
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o555)).unwrap();
        for command in ["migrate", "init"] {
            let mut command = home.operator(&[command]);
            command.env("COFFRE_KEYS_DIR", &made);
            let (code, told) = said(command);
            assert_eq!(code, Some(0), "{told}");
        }
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o700)).unwrap();
    });
}
