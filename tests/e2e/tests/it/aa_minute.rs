//! Issues what is good for a minute, before all other tests, as the name has it; `zy_minute` looks after them whether it has ended, so nobody waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use coffre_e2e::api::{Client, NewApiAccess, Protocol, Session};
use coffre_e2e::case::{Case, run};
use coffre_e2e::model::TokenGrant;
use coffre_e2e::server::Engine;

/// What was issued on each engine.
pub(crate) static ISSUED: Mutex<BTreeMap<&str, Issued>> = Mutex::new(BTreeMap::new());

pub(crate) struct Issued {
    pub(crate) at: Instant,
    pub(crate) operator: Session,
    /// Everything of it is good for a minute.
    pub(crate) short: Client,
    pub(crate) grant: TokenGrant,
    /// Its first secret is good for a minute more.
    pub(crate) rotated: [Client; 2],
    /// A family whose second token was never used.
    pub(crate) long: Client,
    pub(crate) first: TokenGrant,
    pub(crate) second: TokenGrant,
}

pub(crate) fn name(engine: Engine) -> &'static str {
    if engine == Engine::Sqlite { "sqlite" } else { "postgres" }
}

pub(crate) async fn issue(case: &Case<'_>) -> Issued {
    let admin = case.api_administrator().await;
    let operator = case.basic("minute").await;
    let new = NewApiAccess {
        client_id: case.unique("minute"),
        password_grant: Some(true),
        refresh_token_minutes: Some(1),
        ..NewApiAccess::default()
    };
    let (_, short) = admin.create_api_access(&new).await.ok();
    let grant = case.grant(&short, &operator).await;
    assert!((1..=60).contains(&grant.expires_in), "a token outlives its session: {}", grant.expires_in);
    let (access, old) = case.access(&admin, "rotated").await;
    let (_, new) = admin.rotate_secret(access.id, None, Some(1)).await.ok();
    let (_, long) = case.access(&admin, "long").await;
    let first = case.grant(&long, &operator).await;
    let second = case.anonymous().token_for_refresh(&long, first.refresh()).await.for_operator(&operator.username).ok();
    case.grant(&old, &operator).await;
    Issued { at: Instant::now(), operator, short, grant, rotated: [old, new], long, first, second }
}

fn begin(engine: Engine) {
    run(engine, Protocol::Rest, async |case| {
        let issued = issue(case).await;
        ISSUED.lock().unwrap_or_else(PoisonError::into_inner).insert(name(engine), issued);
    });
}

#[test]
fn begins_on_sqlite() {
    begin(Engine::Sqlite);
}

#[test]
fn begins_on_postgres() {
    begin(Engine::Postgres);
}
