//! Throttling of sign-ins (security.md 2.2): on a server of its own, because it counts by address and by name.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Protocol};
use coffre_e2e::case::Case;
use coffre_e2e::server::{Engine, Home};

on_each_engine! {
    failed_sign_ins_are_throttled_alike_for_known_and_unknown_names,
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
