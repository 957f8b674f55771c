//! What is read at the start, and what is taken while connections are open.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use coffre_test_support::certificates::write_private;
use tokio_util::sync::CancellationToken;

use super::*;

#[test]
fn what_cannot_be_used_is_refused_at_the_start_and_it_says_which_file_and_why() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let refused = |change: &dyn Fn(&Placed)| {
        let placed = authority.place(&folders.of("vault"), &Wish::service("vault"));
        change(&placed);
        let error = internal(&placed, Service::Vault).map(|_| ()).unwrap_err();
        let text = error.to_string();
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        for cause in causes.map(ToString::to_string) {
            assert!(!text.contains(&cause), "whoever prints the causes says {cause:?} twice");
        }
        text
    };
    let (other, other_key) = authority.issue(&Wish::service("vault"));
    let theirs = Authority::new("theirs");
    let written = |wish: Wish| {
        let (cert, key) = authority.issue(&wish);
        move |placed: &Placed| {
            fs::write(&placed.cert, &cert).unwrap();
            write_private(&placed.key, &key);
        }
    };
    for (said, file, text) in [
        ("no key", "key.pem", refused(&|placed| fs::remove_file(&placed.key).unwrap())),
        (
            "an open key",
            "chmod 600",
            refused(&|placed| fs::set_permissions(&placed.key, PermissionsExt::from_mode(0o644)).unwrap()),
        ),
        ("half a pair", "does not belong to", refused(&|placed| fs::write(&placed.cert, &other).unwrap())),
        ("the other half", "does not belong to", refused(&|placed| write_private(&placed.key, &other_key))),
        (
            "an empty certificate",
            "cert.pem holds no certificate",
            refused(&|placed| fs::write(&placed.cert, "").unwrap()),
        ),
        (
            "half a certificate",
            "cert.pem holds no certificate",
            refused(&|placed| fs::write(&placed.cert, &other[..200]).unwrap()),
        ),
        ("a key that is none", "key.pem holds no private key", refused(&|placed| write_private(&placed.key, "secret"))),
        (
            "authorities that are none",
            "ca.pem holds no certificate",
            refused(&|placed| fs::write(&placed.ca, "x").unwrap()),
        ),
        ("another authority", "not what the authorities in", refused(&|placed| placed.trust(&[&theirs]))),
        (
            "expired",
            "expired at 2021-01-01T00:00:00.000Z",
            refused(&written(Wish { to_year: 2021, ..Wish::service("vault") })),
        ),
        (
            "not yet valid",
            "valid from 2100-01-01T00:00:00.000Z on",
            refused(&written(Wish { from_year: 2100, ..Wish::service("vault") })),
        ),
        ("another service", "it is auth's, and vault's is asked for", refused(&written(Wish::service("auth")))),
        (
            "for servers alone",
            "as server and as client",
            refused(&written(Wish { client: false, ..Wish::service("vault") })),
        ),
        (
            "for clients alone",
            "as server and as client",
            refused(&written(Wish { server: false, ..Wish::service("vault") })),
        ),
        (
            "a public certificate",
            "it names 0 identities",
            refused(&written(Wish { client: true, ..Wish::server(&["vault"]) })),
        ),
    ] {
        assert!(text.contains(file), "{said}: {text}");
        assert!(!text.contains("PRIVATE KEY-----\n"), "{said}: {text}");
    }
}

#[test]
fn a_public_pair_is_checked_too() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let folder = folders.of("public");
    for (wish, said) in [
        (Wish { to_year: 2021, ..Wish::server(&["a"]) }, Some("expired at")),
        (Wish { from_year: 2100, ..Wish::server(&["a"]) }, Some("valid from")),
        (Wish { to_year: 2120, ..Wish::server(&["a"]) }, None),
    ] {
        authority.place(&folder, &wish);
        match (public(&folder), said) {
            (Err(error), Some(said)) => assert!(error.to_string().contains(said), "{error}"),
            (Ok(tls), None) => assert_eq!(tls.expires_at().to_rfc3339_millis(), "2120-01-01T00:00:00.000Z"),
            (other, said) => panic!("{said:?}: {other:?}"),
        }
    }
}

#[test]
fn the_end_that_is_told_is_the_first_one_among_certificate_and_authorities() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let placed = authority.place(&folders.of("vault"), &Wish { to_year: 2120, ..Wish::service("vault") });
    let ends = |placed: &Placed| internal(placed, Service::Vault).unwrap().expires_at().to_rfc3339_millis();
    assert_eq!(ends(&placed), "2120-01-01T00:00:00.000Z");
    let placed = authority.place(&folders.of("vault"), &Wish { to_year: 2900, ..Wish::service("vault") });
    assert_eq!(ends(&placed), "2300-01-01T00:00:00.000Z", "the authority's");
}

#[tokio::test]
async fn a_half_written_pair_changes_nothing_and_a_whole_one_does() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let server = folders.service(&authority, Service::Vault);
    let client = folders.service(&authority, Service::Gateway);
    let placed = Placed::in_folder(&folders.of("vault"));
    let mut changes = server.changes();
    let (cert, key) = authority.issue(&Wish { to_year: 2111, ..Wish::service("vault") });
    let before = server.expires_at();
    assert!(!server.look(), "nothing was exchanged");
    for half in [&cert[..100], &cert] {
        fs::write(&placed.cert, half).unwrap();
        assert!(!server.look() && !changes.has_changed().unwrap());
        let (connected, _) = meet(&client, Service::Vault, &server).await;
        connected.unwrap();
    }
    write_private(&placed.key, &key);
    assert!(server.look());
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    assert_ne!(server.expires_at(), before);
    let (connected, _) = meet(&client, Service::Vault, &server).await;
    connected.unwrap();
    assert!(!server.look(), "it is taken once");
    // What is worse than what is there is not taken either.
    for wish in [Wish { to_year: 2021, ..Wish::service("vault") }, Wish::service("auth")] {
        authority.place(&folders.of("vault"), &wish);
        assert!(!server.look() && !changes.has_changed().unwrap());
    }
    fs::remove_file(&placed.key).unwrap();
    assert!(!server.look());
    let (connected, _) = meet(&client, Service::Vault, &server).await;
    connected.unwrap();
}

#[tokio::test]
async fn an_authority_is_exchanged_with_both_trusted_in_between_and_the_old_one_is_then_refused() {
    let folders = Folders::new();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let [server, client, late] =
        [Service::Vault, Service::Gateway, Service::Locker].map(|who| folders.service(&old, who));
    let both = |name: &str| Placed::in_folder(&folders.of(name)).trust(&[&old, &new]);
    let meets = async |client: &InternalTls| meet(client, Service::Vault, &server).await.0;
    for (name, tls) in [("vault", &server), ("gateway", &client), ("locker", &late)] {
        both(name);
        assert!(tls.look());
    }
    for (name, tls) in [("vault", &server), ("gateway", &client)] {
        new.place(&folders.of(name), &Wish::service(name));
        both(name);
        assert!(tls.look());
        meets(&client).await.unwrap();
        meets(&late).await.unwrap();
    }
    for (name, tls) in [("vault", &server), ("gateway", &client)] {
        Placed::in_folder(&folders.of(name)).trust(&[&new]);
        assert!(tls.look());
    }
    meets(&client).await.unwrap();
    assert!(meets(&late).await.is_err(), "what the old authority vouched for is nothing any more");
}

#[tokio::test]
async fn a_mounted_secret_that_is_swapped_as_a_folder_is_seen_by_the_watch() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let mount = folders.of("mount");
    fs::create_dir_all(&mount).unwrap();
    authority.place(&folders.of("mount/..1"), &Wish { to_year: 2111, ..Wish::service("vault") });
    symlink("..1", mount.join("..data")).unwrap();
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let tls = internal(&Placed::in_folder(&mount), Service::Vault).unwrap();
    assert_eq!(tls.expires_at().to_rfc3339_millis(), "2111-01-01T00:00:00.000Z");
    let stop = CancellationToken::new();
    let watching = tokio::spawn(tls.clone().watch(stop.clone()));
    let mut changes = tls.changes();
    authority.place(&folders.of("mount/..2"), &Wish { to_year: 2112, ..Wish::service("vault") });
    symlink("..2", mount.join("..new")).unwrap();
    fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    changes.changed().await.unwrap();
    assert_eq!(tls.expires_at().to_rfc3339_millis(), "2112-01-01T00:00:00.000Z");
    stop.cancel();
    watching.await.unwrap();
}
