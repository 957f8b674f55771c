//! The vault's keys, on vaults of their own (contract, section 5; security.md 5). Here: key files that are lost, foreign or open to others;
//! the program says so and opens nothing (security.md 1, 2.6, 5, 6).

mod access;
mod command;
mod leaks;
mod modes;
pub(crate) mod own;
mod put_back;
pub(crate) mod rotation;
pub(crate) mod sealed;
mod wrong;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use coffre_e2e::api::{NewAttribute, NewValue, Protocol, Session};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::server::{Engine, Home};

on_each_engine! {
    a_foreign_or_lost_key_opens_nothing_and_the_right_one_opens_all_again,
    a_key_file_of_another_size_is_refused_at_the_start,
}

fn keys_of(home: &Home) -> PathBuf {
    match home.engine {
        Engine::Sqlite => home.folder.join("data/keys"),
        Engine::Postgres => home.folder.join("keys"),
    }
}

async fn a_foreign_or_lost_key_opens_nothing_and_the_right_one_opens_all_again(engine: Engine) {
    let home = Home::new(engine);
    let server = home.start();
    let (credential, secret, owner) = {
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let secret = case.secret("kept");
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
        case.settle().await;
        (created.id, secret, owner)
    };
    assert!(server.stop().success());

    let read = async |server: &coffre_e2e::server::Server| {
        let api = coffre_e2e::api::Api::new(server, Protocol::Rest);
        Session { api, ..owner.clone() }.list_values(credential).await.outcome
    };
    for name in ["auth.key", "express.key", "audit.key"] {
        let path = keys_of(&home).join(name);
        let right = fs::read(&path).unwrap();
        let mut foreign = right.clone();
        foreign[0] ^= 1;
        // Foreign, and lost: `dev` must not make a new one in silence for a store that has its own.
        for content in [Some(&foreign), None] {
            match content {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            match home.try_start() {
                Err(said) => {
                    assert!(said.contains("key"), "it says which key is wrong: {said}");
                    assert!(!said.contains("panicked"), "{said}");
                }
                // With a foreign express key it may run sealed, but it releases nothing.
                Ok(server) => {
                    let answer = read(&server).await;
                    assert!(answer.is_err(), "{name}: a value is released under a foreign key");
                    server.kill();
                    assert_eq!(name, "express.key", "it runs with a foreign {name}");
                }
            }
            fs::write(&path, &right).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        // Open to others.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let said = home.try_start().expect_err("a key that others can read is taken");
        assert!(said.contains("chmod") || said.contains("others"), "it says what to do: {said}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let server = home.start();
    assert_eq!(read(&server).await.unwrap()[0].value, secret);
    assert!(server.stop().success());
}

async fn a_key_file_of_another_size_is_refused_at_the_start(engine: Engine) {
    let home = Home::new(engine);
    assert!(home.start().stop().success());
    let path = keys_of(&home).join("express.key");
    let right = fs::read(&path).unwrap();
    assert_eq!(right.len(), 32);
    for size in [0, 1, 31, 33, 64, 10 * 1024 * 1024] {
        fs::write(&path, vec![7; size]).unwrap();
        let said = home.try_start().expect_err("a key of another size is taken");
        assert!(said.contains("express.key") && said.contains("32 bytes"), "{size}: {said}");
        assert!(!said.contains("panicked") && said.len() < 4096, "{size}: {said}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = home.try_start().expect_err("a folder is taken for a key");
    assert!(said.contains("express.key") && !said.contains("panicked"), "{said}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, &right).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(home.start().stop().success());
}

#[test]
fn the_keys_lie_outside_the_data_in_serve() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let inside = home.folder.join("data/keys").display().to_string();
        let refused = home
            .clone()
            .with("COFFRE_KEYS_DIR", &inside)
            .try_start()
            .expect_err("keys inside the data folder are taken in serve");
        assert!(refused.contains("outside"), "{refused}");
    });
}
