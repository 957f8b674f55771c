//! What is left behind when everything else has run. The harness starts tests in the order of their names, so this one starts last and waits
//! for the few that still run.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue, Protocol};
use coffre_e2e::case::{Case, RUNNING, block_on};
use coffre_e2e::server::{Engine, FOLDERS, Server};
use coffre_e2e::{canary, postgres};

/// Holds the secrets that the harness itself writes for the server to read.
const GIVEN: &[&str] = &["admin-password", "database-url"];

#[test]
fn no_planted_secret_is_in_any_log_output_or_database_file() {
    let begun = Instant::now();
    while RUNNING.load(Ordering::SeqCst) > 0 && begun.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Whoever was killed has had the time of all the others to settle what was interrupted; afterwards it is searched like them.
    coffre_e2e::settled::finish();
    for engine in Engine::BOTH.into_iter().filter(|engine| engine.is_wanted()) {
        let server = Server::shared(engine);
        block_on(async {
            // Also where this test runs alone.
            for protocol in Protocol::BOTH {
                let case = Case::on(server, protocol).await;
                let owner = case.basic("canary").await;
                let created =
                    owner.create_credential(&case.unique("canary"), &[NewAttribute::standard("a")]).await.ok();
                owner
                    .create_values(created.id, &[NewValue::new(created.attributes[0].id, case.secret("planted"))])
                    .await
                    .ok();
                owner.list_values(created.id).await.ok();
                case.anonymous()
                    .sign_in(&owner.username, &canary::secret("a wrong password"))
                    .await
                    .refused(401, "auth.sign_in_failed");
                case.settle().await;
            }
        });
        if let Some(url) = server.home.database() {
            let rows = postgres::dump(url);
            assert!(rows.len() > 10, "the dump holds {} rows", rows.len());
            let found = canary::search_rows(&rows);
            assert!(found.is_empty(), "planted secrets are in {found:#?}");
        }
        let log = std::fs::read_to_string(&server.log).unwrap();
        assert!(
            log.contains("DEBUG") || log.contains("debug"),
            "the log holds our debug lines too, or this test reads too little"
        );
        assert!(
            !log.contains("panicked"),
            "a handler panicked: {}",
            log.lines().find(|line| line.contains("panicked")).unwrap_or_default()
        );
        // How full the disk of this machine is, is no fault of ours.
        let errors: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("\"ERROR\"") || line.contains(" ERROR "))
            .filter(|line| !line.contains("coffre::disk"))
            .collect();
        assert!(errors.is_empty(), "the cases provoke no fault of ours, but the log says: {errors:#?}");
    }
    // Of every server of this run: logs, output, database files and their journals.
    let found = canary::search(FOLDERS.lock().unwrap().iter(), GIVEN);
    assert!(found.is_empty(), "planted secrets are in {found:#?}");
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = coffre_e2e::server::private_folder("search");
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("ab{}", canary::secret("x")));
    for (name, content) in
        [("plain", canary::secret("x")), ("base64", encoded), ("hex", hex::encode(canary::password("x")))]
    {
        std::fs::write(folder.join(name), format!("something before {content} and after")).unwrap();
    }
    std::fs::write(folder.join("clean"), "nothing here").unwrap();
    let mut found = canary::search([&folder], &[]);
    found.sort();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!found.iter().any(|path| path.ends_with("clean")));
    assert!(canary::search([&folder], &["plain", "hex", "base64"]).is_empty());
}
