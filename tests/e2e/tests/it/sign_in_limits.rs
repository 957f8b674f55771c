//! Throttling of sign-ins (security.md 2.2): on a server of its own, because it counts by address and by name.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Protocol, TOKEN, basic, form};
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home};
use serde_json::json;

on_each_engine! {
    failed_sign_ins_are_throttled_alike_for_known_and_unknown_names,
    every_door_and_every_spelling_counts_together,
}

/// Fails until the answer is 429; how often it was 401 before, and the delay.
async fn exhaust(api: &Api, username: &str) -> (usize, u64) {
    for attempt in 0..100 {
        let answer = api.anonymous().sign_in(username, "a wrong password").await;
        match answer.code() {
            Some("auth.sign_in_failed") => {}
            Some("auth.throttled") => {
                let refused = answer.refused(429, "auth.throttled");
                return (attempt, refused.retry_after.expect("429 says when to come back"));
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("a hundred wrong passwords are not throttled");
}

async fn failed_sign_ins_are_throttled_alike_for_known_and_unknown_names(engine: Engine) {
    let server = Home::new(engine).start();
    for (index, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let case = Case::on(&server, protocol).await;
        let user = case.basic("known").await;
        let last = u8::try_from(index).unwrap();
        let from =
            |host: u8| Api::from_address(&server, protocol, Some(IpAddr::V4(Ipv4Addr::new(127, 77, last, host))));
        let (known, _) = exhaust(&from(2), &user.username).await;
        let (unknown, _) = exhaust(&from(3), &case.unique("unknown")).await;
        assert_eq!(known, unknown, "the number of tries tells whether a name exists");
        assert!((3..=50).contains(&known), "throttled after {known} tries");
        // The right password is throttled as well, from there.
        from(2).anonymous().sign_in(&user.username, &case.password_of(&user)).await.refused(429, "auth.throttled");
        // Nobody can lock another out: from elsewhere there is a growing delay at most.
        let begun = Instant::now();
        let elsewhere = from(4);
        loop {
            let answer = elsewhere.anonymous().sign_in(&user.username, &case.password_of(&user)).await;
            match answer.outcome {
                Ok(_) => break,
                Err(refused) => {
                    assert_eq!(refused.code, "auth.throttled");
                    let wait = refused.retry_after.unwrap();
                    assert!(
                        wait <= 60 && begun.elapsed() < Duration::from_secs(60),
                        "locked out by somebody else for {wait} s"
                    );
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        }
        // Another account is not touched, also from the address that failed.
        let other = case.basic("other").await;
        from(2).anonymous().open(&other.username, &case.password_of(&other)).await;
    }
}

/// Tries a name at one of the doors, in the name of another address each time; the code of the refusal, if it is one.
async fn knock(doors: &Doors<'_>, attempt: usize, username: &str, password: &str) -> Option<String> {
    let forwarded = format!("198.51.100.{}", attempt % 250);
    let rest = &doors.rest.http;
    match attempt % 4 {
        0 => {
            let body = json!({"username": username, "password": password});
            let request = rest.post("/v1/authentication").header("x-forwarded-for", &forwarded).json(&body);
            let answer = request.send().await;
            (answer.status != 200).then(|| answer.code())
        }
        1 => {
            let fields = [("grant_type", "password"), ("username", username), ("password", password)];
            let request = rest.post(TOKEN).header("x-forwarded-for", &forwarded);
            let request = request.header("authorization", &basic(&doors.client.id, &doors.client.secret));
            let answer = request.body(form(&fields)).send().await;
            (answer.status != 200).then(|| answer.oauth_code())
        }
        2 => doors.grpc.anonymous().sign_in(username, password).await.code().map(ToOwned::to_owned),
        _ => {
            let answer = doors.grpc.anonymous().token_for_password(doors.client, username, password).await;
            answer.code().map(ToOwned::to_owned)
        }
    }
}

/// The ways in, from one address.
struct Doors<'c> {
    rest: Api,
    grpc: Api,
    client: &'c coffre_e2e::api::Client,
}

async fn every_door_and_every_spelling_counts_together(engine: Engine) {
    let server = Home::new(engine).start();
    let case = Case::on(&server, Protocol::Rest).await;
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "door").await;
    let user = case.basic("knocker").await;
    let from = |host: u8| Some(IpAddr::V4(Ipv4Addr::new(127, 79, 1, host)));
    let api = |protocol, host| Api::from_address(&server, protocol, from(host));
    let (alone, _) = exhaust(&api(Protocol::Rest, 2), &case.unique("alone")).await;

    let doors = Doors { rest: api(Protocol::Rest, 3), grpc: api(Protocol::Grpc, 3), client: &client };
    let wide: String = user.username.replace('k', "\u{ff4b}");
    let spellings = [user.username.clone(), user.username.to_uppercase(), format!("  {} ", user.username), wide];
    let mut failures = 0;
    loop {
        // Another spelling at another door each time.
        let spelled = &spellings[(failures + failures / 4) % 4];
        match knock(&doors, failures, spelled, "a wrong password").await.as_deref() {
            Some("auth.sign_in_failed" | "oauth.invalid_grant") => failures += 1,
            Some("auth.throttled") => break,
            other => panic!("{other:?}"),
        }
        assert!(failures < 100, "a hundred wrong passwords are not throttled");
    }
    assert_eq!(failures, alone, "as many tries as at one door with one spelling");
    // The block holds at each of them, for the right password too.
    let password = case.password_of(&user);
    for spelled in &spellings {
        for door in 0..4 {
            assert_eq!(knock(&doors, door, spelled, &password).await.as_deref(), Some("auth.throttled"), "{spelled}");
        }
    }
    case.api.ledger.forget();
}
