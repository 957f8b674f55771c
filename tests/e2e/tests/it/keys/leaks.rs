//! After a story with all keys: neither database nor files hold a value, a master key, a recovery key, a root key or a data key in any form.
//!
//! Root key and data keys are opened here after `docs/values-at-rest.md` alone, so that there is something to search for.

use std::collections::BTreeSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use coffre_e2e::api::{Key, ModeKeys, Protocol};
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::{canary, postgres, tables};

use super::own::{Kept, Own, keeper, key_file, master_key, recovery_key_in, rotated, to_express, to_manual};

on_each_engine! {
    nothing_that_is_stored_holds_a_value_or_a_key,
}

const ALPHABET: &[u8; 24] = b"23456789ACDEFHKLMNPRTWXY";

/// The text of a recovery key.
pub(super) fn recovery_key(key: &[u8; 32]) -> String {
    let mut checksum = Context::new(&SHA256);
    checksum.update(b"coffre/recovery-key/v1");
    checksum.update(key);
    let sum = checksum.finish();
    let words = key.chunks(4).chain([&sum.as_ref()[..4]]);
    let groups: Vec<String> = words
        .map(|word| {
            let number = u32::from_be_bytes(word.try_into().unwrap());
            let digit = |place: u32| char::from(ALPHABET[(number / 24_u32.pow(place) % 24) as usize]);
            (0..7).rev().map(digit).collect()
        })
        .collect();
    groups.join("-")
}

/// The bytes of a recovery key.
fn bytes_of(text: &str) -> Vec<u8> {
    let word = |group: &str| {
        let digits = group.bytes().map(|letter| ALPHABET.iter().position(|one| *one == letter).unwrap());
        let number = digits.fold(0_u64, |number, digit| number * 24 + digit as u64);
        u32::try_from(number).unwrap().to_be_bytes()
    };
    text.split('-').take(8).flat_map(word).collect()
}

#[test]
fn a_recovery_key_is_read_as_it_is_written() {
    let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 7).unwrap());
    assert_eq!(bytes_of(&recovery_key(&key)), key);
}

fn derive(secret: &[u8], salt: &[u8], info: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [info.as_bytes()];
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    extracted.expand(&info, HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

fn unwrap(key: &[u8; 32], wrapped: &[u8], associated: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&wrapped[..12]).unwrap();
    let mut bytes = wrapped[12..].to_vec();
    key.open_in_place(nonce, Aad::from(associated), &mut bytes).expect("it opens after the documentation").to_vec()
}

/// Root key and data keys of a vault in the mode Express.
fn inner_keys(home: &Home) -> BTreeSet<Vec<u8>> {
    let express = std::fs::read(key_file(home)).unwrap();
    let slots = tables::blobs(home, "vault", "SELECT kind AS id, slot AS bytes FROM key_slots WHERE kind = 1");
    let slot = &slots[0].1;
    assert_eq!(slot.len(), 175);
    let (header, salt) = (&slot[..51], &slot[18..50]);
    let associated = [b"coffre/slot/v1", header].concat();
    let root = unwrap(&derive(&express, salt, "coffre/slot/express/wrap/v1"), &slot[83..143], &associated);
    let wrapping = derive(&root, &[], "coffre/root/term/v1");
    let mut keys = BTreeSet::from([express, root]);
    for (term, wrapped) in tables::blobs(home, "vault", "SELECT term AS id, wrapped AS bytes FROM terms") {
        let associated = [&b"coffre/term/v1"[..], &u32::try_from(term).unwrap().to_be_bytes()].concat();
        keys.insert(unwrap(&wrapping, &wrapped, &associated));
    }
    assert!(keys.len() >= 3 && keys.iter().all(|key| key.len() == 32), "root key and data keys");
    keys
}

async fn nothing_that_is_stored_holds_a_value_or_a_key(engine: Engine) {
    let mut own = Own::new(Home::new(engine));
    let mut inner = BTreeSet::new();
    let mut recovery = vec![own.recovery.clone()];
    for protocol in Protocol::BOTH {
        own.protocol = protocol;
        let case = own.case().await;
        let (keeper, kept) = (keeper(&case).await, Kept::new(&case).await);
        let held = super::rotation::many(&case, &kept.owner(&case), 1).await;
        inner.extend(inner_keys(&own.home));
        let [first, second, wrong] = ["first", "second", "wrong"].map(|what| master_key(&case, what));
        to_manual(&keeper, &first).await;
        keeper.apply_key(Key::Master(&wrong)).await.refused(403, "vault.key_wrong");
        keeper.drill_key(Key::Master(&wrong)).await.refused(403, "vault.key_wrong");
        keeper.set_mode("Manual", ModeKeys::private(&second).current(&first)).await.ok();
        let new = keeper.replace_recovery_key(Some(&second)).await.ok();
        recovery.push(new.clone());
        keeper.seal_vault().await.ok();
        keeper.apply_key(Key::Recovery(&new)).await.ok();
        keeper.drill_key(Key::Recovery(&new)).await.ok();
        to_express(&keeper, &second).await;
        inner.extend(inner_keys(&own.home));
        keeper.start_rotation().await.ok();
        rotated(&keeper).await;
        inner.extend(inner_keys(&own.home));
        super::rotation::all_there(&kept.owner(&case), &held).await;
        case.settle().await;
    }
    assert!(inner.len() > 8, "new root keys and new terms: {}", inner.len());
    assert_eq!(bytes_of(&recovery[0]).len(), 32);

    let mut keys: Vec<Vec<u8>> = inner.iter().flat_map(|key| canary::forms(key)).collect();
    for text in &recovery {
        keys.extend(canary::forms(&bytes_of(text)));
        for spelled in [text.clone(), text.replace('-', ""), text.to_lowercase(), text.replace('-', " ")] {
            keys.extend(canary::forms(spelled.as_bytes()));
        }
    }
    // Running, with its journals, and stopped.
    for stopped in [false, true] {
        if stopped {
            assert!(own.server.stop().success());
        }
        search(&own, &keys);
    }
}

fn search(own: &Own, keys: &[Vec<u8>]) {
    let home = &own.home;
    // What was shown once is in what was shown.
    let given = ["admin-password", "database-url", "auth.key", "audit.key", "express.key"];
    let shown = own.server.out.file_name().and_then(|name| name.to_str()).unwrap();
    let except: Vec<&str> = given.into_iter().chain([shown, "init.log"]).collect();
    let found = canary::search_for([&home.folder], &except, keys);
    assert!(found.is_empty(), "a key is in {found:#?}");
    let found = canary::search([&home.folder], &given);
    assert!(found.is_empty(), "a value, a master key or a new recovery key is in {found:#?}");
    if let Some(url) = home.database() {
        let rows = postgres::dump(url);
        assert!(rows.len() > 100, "the dump holds {} rows", rows.len());
        let found = canary::search_rows_for(&rows, keys);
        assert!(found.is_empty(), "a key is in {found:#?}");
        let found = canary::search_rows(&rows);
        assert!(found.is_empty(), "a value or a master key is in {found:#?}");
    }
    // The first recovery key was shown, so that this finds what is there.
    let at = if home.engine == Engine::Sqlite { own.server.out.clone() } else { home.folder.join("init.log") };
    let text = std::fs::read_to_string(at).unwrap();
    let first = recovery_key_in(&text).unwrap();
    assert_eq!(text.matches(&first).count(), 1, "once");
    assert!(!canary::search_for([&home.folder], &given, &[first.into_bytes()]).is_empty());
}
