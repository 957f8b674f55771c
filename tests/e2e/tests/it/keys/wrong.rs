//! Keys that are none, or the wrong ones: each is refused for what it is, and guessing is slow (security.md 5.1).

use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Key, ModeKeys, NewAttribute, Protocol, Session, refused};
use coffre_e2e::canary;
use coffre_e2e::case::run_apart;
use coffre_e2e::http::Http;
use coffre_e2e::model::{Filter, Query, Refused};
use coffre_e2e::operation;
use coffre_e2e::raw;
use coffre_e2e::server::{Engine, Home};
use serde_json::json;

use super::own::{Kept, Own, drilled, keeper, master_key, to_express, to_manual};
use crate::bad_messages::send;

vault_cases! {
    odd_keys_are_refused_for_what_they_are,
    ten_mebibytes_and_bytes_that_are_no_text_are_refused,
    the_recovery_key_of_another_vault_opens_nothing,
}

on_each_engine! {
    a_thousand_wrong_keys_are_slowed_down_and_leave_nothing_behind,
}

/// A recovery key that was never ours: thirty-two zeros and their checksum.
const OF_ANOTHER: &str = "2222222-2222222-2222222-2222222-2222222-2222222-2222222-2222222-";

async fn odd_keys_are_refused_for_what_they_are(own: &mut Own) {
    let case = own.case().await;
    let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
    to_manual(&keeper, &master).await;
    // None, and both.
    for answer in [keeper.apply_key(Key::Master("")).await, keeper.apply_key(Key::Recovery("")).await] {
        answer.refused(400, "request.invalid");
    }
    for answer in [keeper.drill_key(Key::Master("")).await, keeper.drill_key(Key::Recovery("")).await] {
        answer.refused(400, "request.invalid");
    }
    if case.protocol == Protocol::Rest {
        for body in [json!({}), json!({"privateKey": null}), json!({"privateKey": master, "recoveryKey": own.recovery})]
        {
            keeper.apply_key_by(body).await.refused(400, "request.invalid");
        }
    }
    // What can be no master key.
    let long = "k".repeat(1025);
    for odd in ["1", "12345", "e\u{301}e\u{301}e\u{301}", &long] {
        let refused = keeper.apply_key(Key::Master(odd)).await.refused(400, "request.invalid");
        assert!(!refused.message.contains(odd) || odd.len() < 2, "the key is repeated: {refused:?}");
        let new = keeper.set_mode("Manual", ModeKeys::private(odd).current(&master)).await;
        assert!(matches!(new.code(), Some("vault.key_weak" | "request.invalid")), "{new:?}");
    }
    // What can be no recovery key; the refusal says where to look.
    let mut letters: Vec<char> = own.recovery.chars().collect();
    let told = |text: String, words: &'static [&'static str]| (text, words);
    letters[9] = if letters[9] == '3' { '4' } else { '3' };
    let one_wrong: String = letters.iter().collect();
    letters[9] = 'Q';
    let impossible: String = letters.iter().collect();
    let mut swapped: Vec<char> = own.recovery.chars().collect();
    let at = (0..70).find(|at| swapped[*at] != swapped[at + 1] && swapped[*at] != '-' && swapped[at + 1] != '-');
    let at = at.unwrap();
    swapped.swap(at, at + 1);
    for (typed, words) in [
        told(one_wrong, &["checksum"]),
        told(swapped.iter().collect(), &["checksum", "swapped"]),
        told(impossible, &["letter 2 of group 2"]),
        told(own.recovery[..70].to_owned(), &["63 letters", "62"]),
        told(format!("{}A", own.recovery), &["63 letters", "64"]),
        told("\u{200b}".to_owned(), &["letter 1 of group 1"]),
    ] {
        for answer in [
            keeper.apply_key(Key::Recovery(&typed)).await.refused(400, "request.invalid"),
            keeper.drill_key(Key::Recovery(&typed)).await.refused(400, "request.invalid"),
        ] {
            for word in words {
                assert!(answer.message.contains(word), "{word}: {answer:?}");
            }
            let shown = own.recovery.split('-').any(|group| answer.message.contains(group));
            assert!(!shown, "a part of the key is shown: {answer:?}");
        }
    }
    // None of these was an attempt: the next is tried at once, and a wrong one is wrong.
    keeper.apply_key(Key::Master(&master_key(&case, "wrong"))).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&master.to_uppercase())).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&format!(" {master}"))).await.refused(403, "vault.key_wrong");
    keeper.apply_key(Key::Master(&master)).await.ok();
    kept.is_readable(&case).await;
    to_express(&keeper, &master).await;
    case.settle().await;
}

async fn ten_mebibytes_and_bytes_that_are_no_text_are_refused(own: &mut Own) {
    let case = own.case().await;
    let keeper = keeper(&case).await;
    let huge = "k".repeat(10 * 1024 * 1024);
    let begun = Instant::now();
    match case.protocol {
        Protocol::Rest => {
            let token = keeper.token.as_deref().unwrap();
            let keys = "/v2/credentialvault/keys";
            for (method, path) in [
                (http::Method::PUT, format!("{keys}/private")),
                (http::Method::POST, format!("{keys}/drill")),
                (http::Method::PUT, "/v2/credentialvault/mode".to_owned()),
                (http::Method::POST, format!("{keys}/recovery")),
            ] {
                // The answer comes before all is sent.
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nhost: {}\r\nx-authorization: {token}\r\ncontent-length: {}\r\n\r\n",
                    own.server.http,
                    huge.len() + 20
                );
                let request = format!("{head}{{\"privateKey\":\"{huge}\"}}  ");
                let answer = raw::exchange(own.server.http, request.as_bytes(), Duration::from_secs(20)).unwrap();
                assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("request.too_large")), "{path}");
                assert!(answer.body.len() < 1024, "{path}: {}", answer.body.len());
                for body in [
                    &b"{\"name\":\"Manual\",\"privateKey\":\"\xff\xfe\xfd 0123456789abcdef\"}"[..],
                    b"{\"recoveryKey\":\"\xc3\x28 0123456789abcdef\"}",
                    b"{\"privateKey\":\"\\ud800 0123456789abcdef\",\"name\":\"Manual\"}",
                    b"\x00\x01",
                ] {
                    let request = case.api.http.request(method.clone(), &*path).token(token).body(body.to_vec());
                    crate::bad_input::refused(&path, &request.send().await, 400, "request.malformed");
                }
            }
        }
        Protocol::Grpc => {
            for answer in [
                keeper.apply_key(Key::Master(&huge)).await.refused(413, "request.too_large"),
                keeper.drill_key(Key::Recovery(&huge)).await.refused(413, "request.too_large"),
                keeper.set_mode("Manual", ModeKeys::private(&huge)).await.refused(413, "request.too_large"),
                keeper.replace_recovery_key(Some(&huge)).await.refused(413, "request.too_large"),
            ] {
                assert!(answer.message.len() < 1024, "{}", answer.message.len());
            }
            for one in
                [operation::APPLY_KEY, operation::DRILL_KEY, operation::REPLACE_RECOVERY_KEY, operation::SET_MODE]
            {
                for bytes in [&b"\x0a\x04\xff\xfe\xfd\xfc"[..], b"\x0a\x02\xc3\x28", b"\x0a\x05ab"] {
                    let refused = refused(&send(&keeper, one.rpc, bytes.to_vec()).await.unwrap_err());
                    assert_eq!((refused.status, refused.code.as_str()), (400, "request.malformed"), "{}", one.rpc);
                }
            }
            let unknown = send(&keeper, operation::SET_MODE.rpc, &b"\x08\x09"[..]).await.unwrap_err();
            assert_eq!(refused(&unknown).code, "request.invalid", "{unknown:?}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((keeper.mode().await.ok().as_str(), keeper.key_applied().await.ok()), ("Express", true));
    case.api.ledger.forget();
}

async fn the_recovery_key_of_another_vault_opens_nothing(own: &mut Own) {
    let case = own.case().await;
    let (keeper, master) = (keeper(&case).await, master_key(&case, "m"));
    let foreign = super::leaks::recovery_key(&[0; 32]);
    assert!(foreign.starts_with(OF_ANOTHER), "{foreign}");
    let refused = keeper.apply_key(Key::Recovery(&foreign)).await.refused(403, "vault.key_wrong");
    assert!(refused.message.contains("another vault"), "{refused:?}");
    keeper.drill_key(Key::Recovery(&foreign)).await.refused(403, "vault.key_wrong");
    keeper.replace_recovery_key(Some(&foreign)).await.refused(403, "vault.key_wrong");
    keeper.drill_key(Key::Recovery(&own.recovery)).await.ok();
    keeper.set_mode("Manual", ModeKeys::private(&master).recovery(&foreign)).await.refused(403, "vault.key_wrong");
    assert_eq!(keeper.mode().await.ok(), "Express");
    keeper.drill_key(Key::Recovery(&own.recovery)).await.ok();
    case.settle().await;
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn a_thousand_wrong_keys_are_slowed_down_and_leave_nothing_behind(engine: Engine) {
    let own = Own::new(Home::new(engine));
    let case = own.case().await;
    let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
    to_manual(&keeper, &master).await;
    let callers = Protocol::BOTH.map(|protocol| Session { api: Api::new(&own.server, protocol), ..keeper.clone() });
    let (mut wrong, mut waits) = (0, Vec::new());
    let mut one = async |index: usize| {
        let key = canary::secret(&format!("wrong key {index}"));
        let caller = &callers[index % 2];
        let answer = if index.is_multiple_of(3) {
            caller.drill_key(Key::Master(&key)).await.outcome.map(|_| true)
        } else {
            caller.apply_key(Key::Master(&key)).await.outcome
        };
        match answer {
            Err(Refused { status: 403, code, .. }) if code == "vault.key_wrong" => wrong += 1,
            Err(Refused { status: 429, code, retry_after, .. }) if code == "vault.key_throttled" => {
                waits.push(retry_after.expect("429 says when to come back"));
            }
            other => panic!("{other:?}"),
        }
    };
    for index in 0..50 {
        one(index).await;
    }
    let before = resident(own.server.pid);
    let begun = Instant::now();
    for index in 50..1000 {
        one(index).await;
    }
    let took = begun.elapsed();
    let after = resident(own.server.pid);
    assert!(after < before + 32 * 1024, "{} MiB before, {} MiB after", before / 1024, after / 1024);
    assert!((4..=14).contains(&wrong), "{wrong} of a thousand were tried, in {took:?}");
    assert!(waits.len() >= 980 && waits.iter().all(|wait| (1..=60).contains(wait)), "{wrong}: {waits:?}");
    // The right key waits as well, and nobody is locked out for good; what needs no key goes on.
    kept.is_readable(&case).await;
    keeper.seal_vault().await.ok();
    assert_eq!(drilled(&keeper, Key::Master(&master)).await, "manual");
    keeper.apply_key(Key::Master(&master)).await.ok();
    kept.is_readable(&case).await;

    // Each is in the audit, throttled ones too.
    case.settle().await;
    let begun = Instant::now();
    loop {
        let mut count = 0;
        for event in ["vault.key.applied", "vault.key.drilled"] {
            let refused = Filter::And(vec![
                Filter::new("event", "eq", event),
                Filter::new("status", "eq", "Unsuccessful"),
                Filter::new("userName", "eq", &*keeper.username),
            ]);
            let page = case.admin.query_entries(&Query::filter(refused).page(0, 1)).await.ok();
            count += page.total_filter.unwrap();
        }
        if count >= 1000 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{count} of a thousand wrong keys are in the audit");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(own.server.stop().success());
}

/// Keys that are tried while others wait are told to come back, and take no memory beyond one's.
#[test]
fn many_keys_at_once_are_bounded() {
    run_apart(Engine::Sqlite, async |engine| {
        let own = Own::new(Home::new(engine));
        let case = own.case().await;
        let (keeper, master) = (keeper(&case).await, master_key(&case, "m"));
        to_manual(&keeper, &master).await;
        // The right key: what is wrong would be slowed down before.
        let before = resident(own.server.pid);
        let tries = (0..40).map(|_| {
            let keeper = keeper.clone();
            let master = master.clone();
            tokio::spawn(async move { keeper.drill_key(Key::Master(&master)).await.outcome })
        });
        let tries: Vec<_> = tries.collect();
        let mut most = 0;
        while !tries.iter().all(tokio::task::JoinHandle::is_finished) {
            most = most.max(resident(own.server.pid));
            // Everybody else is served meanwhile.
            let http = Http::new(own.server.http);
            let health = tokio::time::timeout(Duration::from_secs(5), http.get("/healthz").send());
            assert_eq!(health.await.expect("an answer within seconds").status, 200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut good = 0;
        for one in tries {
            match one.await.unwrap() {
                Ok(kind) => {
                    assert_eq!(kind, "manual");
                    good += 1;
                }
                Err(refused) => assert_eq!((refused.status, refused.code.as_str()), (429, "vault.key_throttled")),
            }
        }
        assert!(good >= 1, "none was tried");
        assert!(most < before + (256 + 64) * 1024, "{} MiB before, {} MiB meanwhile", before / 1024, most / 1024);
        let created = case.basic("afterwards").await;
        created.create_credential(&case.unique("afterwards"), &[NewAttribute::standard("a")]).await.ok();
        case.api.ledger.forget();
        own.server.kill();
    });
}
