//! Programs at two replicas: what one issues the other takes, what one ends the other refuses, and of many refreshes at once one family remains
//! (security.md 1.2, 2.2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffre_e2e::api::{Api, ApiAccessChange, Client, Protocol, Session};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::model::TokenGrant;
use coffre_e2e::server::{Engine, Home, Server};

use crate::cases::oauth_ends::is_refused_everywhere;
use crate::cases::within_a_second;

/// Refreshes at once.
const AT_ONCE: usize = 24;

/// The same caller at the other replica.
fn elsewhere(there: &Api, session: &Session) -> Session {
    Session { api: there.clone(), ..session.clone() }
}

fn at(case: &Case<'_>, server: &Server) -> Api {
    Api { ledger: case.api.ledger.clone(), ..Api::new(server, case.protocol) }
}

#[test]
fn programs_are_served_by_two_replicas_as_by_one() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let (one, two) = (home.start(), home.start());
        for protocol in Protocol::BOTH {
            let case = Case::on(&one, protocol).await;
            let there = at(&case, &two);
            let admin = case.api_administrator().await;
            let (access, client) = case.access(&admin, "program").await;
            let operator = case.basic("operator").await;

            // Issued at one, used, renewed, explained and revoked at the other.
            let grant = case.grant(&client, &operator).await;
            let program_there = elsewhere(&there, &operator.with_token(&grant.access_token));
            program_there.list_credentials(&Default::default()).await.ok();
            program_there.dashboard().await.ok();
            let anonymous_there = there.anonymous();
            assert!(anonymous_there.introspect(&client, &grant.access_token).await.ok().active);
            let next = anonymous_there.token_for_refresh(&client, grant.refresh()).await;
            let next = next.for_operator(&operator.username).ok();
            let program = operator.with_token(&next.access_token);
            program.list_credentials(&Default::default()).await.ok();
            anonymous_there.revoke(&client, next.refresh()).await.ok();
            is_refused_everywhere(&program).await;
            is_refused_everywhere(&program_there).await;
            case.anonymous().token_for_refresh(&client, next.refresh()).await.refused(400, "oauth.invalid_grant");

            // Disabled at one, refused at the other.
            let grant = case.grant(&client, &operator).await;
            let program_there = elsewhere(&there, &operator.with_token(&grant.access_token));
            program_there.list_lockers(None).await.ok();
            let change = ApiAccessChange { disabled: Some(true), ..ApiAccessChange::default() };
            admin.update_api_access(access.id, &change).await.ok();
            is_refused_everywhere(&program_there).await;
            anonymous_there.token_for_refresh(&client, grant.refresh()).await.refused(401, "oauth.invalid_client");
            let change = ApiAccessChange { disabled: Some(false), ..ApiAccessChange::default() };
            admin.update_api_access(access.id, &change).await.ok();

            // A key made at one opens the other, and revoked there is refused here.
            let permissions = [1, 2, coffre_e2e::case::permission::GENERATE_API_KEY];
            let holder = case.holder("keys", &permissions).await;
            let (shown, key) = holder.create_api_key("one", None).await.ok();
            let bot_there = anonymous_there.open_with_key(&holder.username, &key).await;
            let bot = Session { api: case.api.clone(), ..bot_there.clone() };
            bot.list_credentials(&Default::default()).await.ok();
            elsewhere(&there, &holder).delete_api_key(shown.id).await.ok();
            is_refused_everywhere(&bot).await;
            is_refused_everywhere(&bot_there).await;

            failures_are_counted_together(&case, &there, &operator, &client).await;
            case.api.ledger.forget();
            many_refreshes_at_once_leave_one_family(&case, &there, &operator, &client).await;
            case.settle().await;
        }
        assert!(one.stop().success() && two.stop().success());
    });
}

/// Whoever fails now here, now there is throttled as if there were one server.
async fn failures_are_counted_together(case: &Case<'_>, there: &Api, operator: &Session, client: &Client) {
    // Only from one address they are one.
    let from =
        Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 78, u8::from(case.protocol == Protocol::Grpc), 9)));
    let one = Api { ledger: there.ledger.clone(), ..Api::from_address(case.server, case.protocol, from) };
    let mut failures = 0;
    let begun = Instant::now();
    loop {
        let answer = one.anonymous().token_for_password(client, &operator.username, "not this one").await;
        match answer.code() {
            Some("oauth.invalid_grant") => failures += 1,
            Some("auth.throttled") => break,
            other => panic!("{other:?}"),
        }
        assert!(failures < 50 && begun.elapsed() < Duration::from_secs(60), "fifty wrong passwords are not throttled");
    }
    // Signing in is throttled with it: it is the same account at the same address.
    let password = case.password_of(operator);
    one.anonymous().sign_in(&operator.username, &password).await.refused(429, "auth.throttled");
}

/// What so many refreshes at once came to: all of one token, half of them at each replica.
async fn refresh_at_both(
    here: &Session,
    there: &Session,
    client: &Client,
    token: &str,
) -> Vec<Result<TokenGrant, String>> {
    let mut tasks = Vec::new();
    for index in 0..AT_ONCE {
        let caller = if index % 2 == 0 { here.clone() } else { there.clone() };
        let (client, token) = (client.clone(), token.to_owned());
        tasks.push(tokio::spawn(async move {
            let answer = caller.token_for_refresh(&client, &token).await;
            answer.outcome.map_err(|refused| refused.code)
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

async fn many_refreshes_at_once_leave_one_family(case: &Case<'_>, there: &Api, operator: &Session, client: &Client) {
    let (here, there) = (case.anonymous(), there.anonymous());
    let first = case.grant(client, operator).await;
    let mut current = first.clone();
    for round in 0..4 {
        let answers = refresh_at_both(&here, &there, client, current.refresh()).await;
        let pairs: BTreeSet<(&str, &str)> = answers
            .iter()
            .map(|answer| match answer {
                Ok(grant) => (grant.access_token.as_str(), grant.refresh()),
                Err(code) => panic!("round {round}: one of {AT_ONCE} refreshes is refused: {code}"),
            })
            .collect();
        assert_eq!(pairs.len(), 1, "round {round}: everybody gets the same pair");
        current = answers.into_iter().next().unwrap().unwrap();
        for api in [&case.api, &there.api] {
            let program = Session { api: api.clone(), ..operator.with_token(&current.access_token) };
            program.list_credentials(&Default::default()).await.ok();
        }
    }
    // Of a token that is used up all are refused, and nothing remains of the family, whoever comes first.
    let answers = refresh_at_both(&here, &there, client, first.refresh()).await;
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_err_and(|code| code == "oauth.invalid_grant")),
        "{answers:?}"
    );
    here.token_for_refresh(client, current.refresh()).await.refused(400, "oauth.invalid_grant");
    there.token_for_refresh(client, current.refresh()).await.refused(400, "oauth.invalid_grant");
    let program = operator.with_token(&current.access_token);
    within_a_second("the family's tokens are refused", async || {
        program.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
}

#[test]
fn a_replica_killed_during_refreshes_leaves_one_family() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let survivor = home.start();
        for round in 0..6_u64 {
            let victim = home.start();
            let case = Case::on(&survivor, Protocol::Rest).await;
            let admin = case.api_administrator().await;
            let (_, client) = case.access(&admin, "killed").await;
            let operator = case.basic("operator").await;
            let grant = case.grant(&client, &operator).await;

            // Clients of both refresh one after the other; at some moment one replica is gone.
            let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let mut clients = Vec::new();
            for server in [&survivor, &victim, &victim] {
                let caller = at(&case, server).anonymous();
                let (client, mut token) = (client.clone(), grant.refresh().to_owned());
                let (stop, good) = (stop.clone(), good.clone());
                clients.push(tokio::spawn(async move {
                    let mut grants = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let Ok(answer) = ask(&caller, &client, &token).await else { break };
                        match answer {
                            Ok(grant) => {
                                good.fetch_add(1, Ordering::SeqCst);
                                token = grant.refresh().to_owned();
                                grants.push(grant);
                            }
                            // Somebody was two steps ahead: that is a copy, and the family has ended.
                            Err(code) => {
                                assert_eq!(code, "invalid_grant");
                                return (grants, true);
                            }
                        }
                    }
                    (grants, false)
                }));
            }
            while good.load(Ordering::SeqCst) < usize::try_from(round).unwrap()
                && clients.iter().any(|one| !one.is_finished())
            {
                tokio::task::yield_now().await;
            }
            victim.kill();
            stop.store(true, Ordering::SeqCst);
            let mut ended = false;
            let mut pairs: BTreeMap<u64, BTreeSet<(String, String)>> = BTreeMap::new();
            let mut keep = |grant: &TokenGrant| {
                let pair = (grant.access_token.clone(), grant.refresh().to_owned());
                pairs.entry(generation(grant.refresh())).or_default().insert(pair);
            };
            keep(&grant);
            for client in clients {
                let (grants, refused) = client.await.unwrap();
                ended |= refused;
                grants.iter().for_each(&mut keep);
            }

            // Whoever was answered at either replica was given the same pair of the same generation: nowhere did the family branch.
            assert!(pairs.values().all(|pairs| pairs.len() == 1), "round {round}: a family of two branches");
            let newest = pairs.values().next_back().and_then(|pairs| pairs.first()).unwrap().1.clone();
            let here = case.anonymous();
            let next = here.token_for_refresh(&client, &newest).await;
            if ended {
                next.refused(400, "oauth.invalid_grant");
            } else {
                // It goes on from there, also where the killed one was a step ahead and nobody heard of it.
                let next = next.ok();
                let last = here.token_for_refresh(&client, next.refresh()).await.ok();
                assert!(generation(last.refresh()) > generation(grant.refresh()) + 1);
                // The first one is a copy by now, and ends it all.
                here.token_for_refresh(&client, grant.refresh()).await.refused(400, "oauth.invalid_grant");
                here.token_for_refresh(&client, last.refresh()).await.refused(400, "oauth.invalid_grant");
            }
            case.api.ledger.forget();
        }
        assert!(survivor.stop().success());
    });
}

/// The number of a refresh token in its family.
fn generation(token: &str) -> u64 {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("coffre_rt_").unwrap()).unwrap();
    u64::from_be_bytes(bytes[16..24].try_into().unwrap())
}

/// One refresh at a server that may be killed: no answer, or the pair, or the error code.
async fn ask(caller: &Session, client: &Client, token: &str) -> Result<Result<TokenGrant, String>, ()> {
    let body = coffre_e2e::api::form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
    let request = caller.api.http.post(coffre_e2e::api::TOKEN);
    let request = request
        .header("authorization", &coffre_e2e::api::basic(&client.id, &client.secret))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(body).try_send().await.map_err(|_| ())?;
    match answer.status {
        200 => Ok(Ok(TokenGrant::from_json(&answer.json()))),
        // It is going down, or has lost its database.
        503 => Err(()),
        status => {
            assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer.body));
            Ok(Err(answer.json()["error"].as_str().unwrap_or_default().to_owned()))
        }
    }
}

/// The answer that a killed replica gave before it went is given again by the other.
#[test]
fn what_a_killed_replica_answered_is_answered_again() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        let survivor = home.start();
        let victim = home.start();
        let case = Case::on(&survivor, Protocol::Rest).await;
        let admin = case.api_administrator().await;
        let (_, client) = case.access(&admin, "answered").await;
        let operator = case.basic("operator").await;
        let grant = case.grant(&client, &operator).await;
        let there = at(&case, &victim).anonymous();
        let answered = there.token_for_refresh(&client, grant.refresh()).await.for_operator(&operator.username).ok();
        victim.kill();
        let here = case.anonymous();
        let again = here.token_for_refresh(&client, grant.refresh()).await.for_operator(&operator.username).ok();
        assert_eq!((&again.access_token, &again.refresh_token), (&answered.access_token, &answered.refresh_token));
        operator.with_token(&again.access_token).list_credentials(&Default::default()).await.ok();
        // And the family goes on.
        let next = here.token_for_refresh(&client, again.refresh()).await.for_operator(&operator.username).ok();
        let other = home.start();
        let there = at(&case, &other).anonymous();
        there.token_for_refresh(&client, next.refresh()).await.for_operator(&operator.username).ok();
        case.settle().await;
        assert!(survivor.stop().success() && other.stop().success());
    });
}
