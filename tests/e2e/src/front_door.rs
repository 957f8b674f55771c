//! The front door in long runs: refusals that cannot be told apart by their time, and requests of clients that nobody knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::api::{Client, NewUser, Protocol, Session, TOKEN, UserChange, basic, form};
use crate::canary;
use crate::case::{Case, permission};
use crate::http::Http;
use crate::server::{Engine, Home};

/// Attempts that one account sees: after more, answers to it are delayed.
const FAILURES_OF_ONE: usize = 12;
/// Attempts that one address makes.
const CALLS_OF_ONE: u64 = 12;

/// Why the token endpoint refuses an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    WrongPassword,
    Unknown,
    Disabled,
    NoRight,
    /// Too many failures, of a name that exists.
    Locked,
    /// Too many failures, of a name that does not.
    LockedUnknown,
}

impl Refusal {
    pub const ALL: [Self; 6] =
        [Self::WrongPassword, Self::Unknown, Self::Disabled, Self::NoRight, Self::Locked, Self::LockedUnknown];

    /// What it must not be told apart from.
    pub fn beside(self) -> Self {
        match self {
            Self::Locked | Self::LockedUnknown => Self::Locked,
            _ => Self::WrongPassword,
        }
    }

    fn status(self) -> u16 {
        if self.beside() == Self::Locked { 429 } else { 400 }
    }
}

/// The times of one kind of refusal, in microseconds and in their order.
#[derive(Clone, Debug)]
pub struct Times {
    pub refusal: Refusal,
    sorted: Vec<u64>,
}

impl Times {
    pub fn quantile(&self, quantile: f64) -> u64 {
        let last = self.sorted.len() - 1;
        self.sorted[(last as f64 * quantile).round() as usize]
    }

    /// Compares two kinds by the ranks of their times.
    pub fn compared(&self, other: &Self) -> Ranks {
        rank_test(&self.sorted, &other.sorted)
    }
}

/// What the test of Mann and Whitney says of two samples.
#[derive(Clone, Copy, Debug)]
pub struct Ranks {
    /// How often a time of the one is longer than a time of the other; one half where they are alike.
    pub longer: f64,
    /// How likely so great a difference is by chance, from both sides.
    pub p: f64,
}

impl Ranks {
    /// A difference that is no chance, and that somebody could use with few attempts.
    pub fn differ(&self) -> bool {
        self.p < 0.001 && (self.longer - 0.5).abs() > 0.1
    }
}

/// Ranks two sorted samples; the distribution of the sum of ranks is near the normal one from some twenty of each.
fn rank_test(one: &[u64], other: &[u64]) -> Ranks {
    let mut all: Vec<(u64, bool)> =
        one.iter().map(|time| (*time, true)).chain(other.iter().map(|time| (*time, false))).collect();
    all.sort_unstable();
    let (mut sum, mut ties, mut begin) = (0.0, 0.0, 0);
    while begin < all.len() {
        let end = begin + all[begin..].iter().take_while(|(time, _)| *time == all[begin].0).count();
        let rank = (begin + 1 + end) as f64 / 2.0;
        sum += rank * all[begin..end].iter().filter(|(_, is_one)| *is_one).count() as f64;
        let alike = (end - begin) as f64;
        ties += alike.powi(3) - alike;
        begin = end;
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let u = sum - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)));
    let z = (u - n * m / 2.0) / variance.sqrt();
    Ranks { longer: u / (n * m), p: 2.0 * upper_tail(z.abs()) }
}

/// The part of the normal distribution above `z` (Abramowitz and Stegun 26.2.17; the error is below 1e-7).
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series
}

/// An address of this machine that was hardly used before.
fn somewhere() -> Option<IpAddr> {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    let address = Ipv4Addr::new(127, bytes[0], bytes[1], bytes[2].clamp(2, 250));
    cfg!(target_os = "linux").then_some(IpAddr::V4(address))
}

/// Asks the token endpoint for an operator, on a connection that is open already; the status and the time.
async fn ask(http: &Http, client: &Client, username: &str, password: &str) -> (u16, Duration) {
    let body = form(&[("grant_type", "password"), ("username", username), ("password", password)]);
    let request = http
        .post(TOKEN)
        .header("authorization", &basic(&client.id, &client.secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let begun = Instant::now();
    let answer = request.send().await;
    (answer.status, begun.elapsed())
}

async fn connected(address: SocketAddr, from: Option<IpAddr>) -> Http {
    let http = Http::from_address(address, from);
    http.get("/healthz").send().await.is(200);
    http
}

/// Who is asked for, of each kind, and with which password.
struct Cast {
    client: Client,
    wrong: Vec<Session>,
    disabled: Vec<Session>,
    without: Vec<Session>,
}

async fn cast(case: &Case<'_>, each: usize) -> Cast {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "timing").await;
    let connect = case.role("connect", &[permission::CONNECT_TO_API]).await;
    let mut cast = Cast { client, wrong: Vec::new(), disabled: Vec::new(), without: Vec::new() };
    for index in 0..each {
        for (kind, roles) in [("wrong", vec![connect]), ("disabled", vec![connect]), ("without", Vec::new())] {
            let username = case.unique(&format!("{kind} {index}"));
            let new = NewUser { password: canary::password(&username), username, roles, ..NewUser::default() };
            let made = case.admin.create_user(&new).await.ok();
            let user = Session { id: made.id, username: made.username, ..case.anonymous() };
            match kind {
                "wrong" => cast.wrong.push(user),
                "without" => cast.without.push(user),
                _ => {
                    let change = UserChange { disabled: Some(true), ..UserChange::default() };
                    case.admin.update_user(user.id, &change).await.ok();
                    cast.disabled.push(user);
                }
            }
        }
    }
    case.api.ledger.forget();
    cast
}

/// Measures so many refusals of each kind, by turns.
///
/// # Panics
/// Where an answer is none of those that are expected.
pub async fn times(engine: Engine, samples: usize) -> Vec<Times> {
    let home = Home::new(engine).with("COFFRE_LOG", "warn");
    let server = home.start();
    let case = Case::on(&server, Protocol::Rest).await;
    let cast = cast(&case, samples.div_ceil(FAILURES_OF_ONE) + 1).await;
    // The last one is asked for nowhere else.
    let (locked_at, locked) = (somewhere(), cast.wrong[cast.wrong.len() - 1].username.clone());
    let nobody = case.unique("locked nobody");
    let mut times: Vec<Times> =
        Refusal::ALL.map(|refusal| Times { refusal, sorted: Vec::with_capacity(samples) }).into();
    for round in 0..samples {
        // In another order each time, so that what the machine does beside falls on all of them; every second time backwards, so that
        // none always follows the same one: a password hash leaves no cache as it was.
        for step in 0..Refusal::ALL.len() {
            let step = if round % 2 == 0 { step } else { Refusal::ALL.len() - 1 - step };
            let place = (round / 2 + step) % Refusal::ALL.len();
            let of = |users: &[Session]| users[round / FAILURES_OF_ONE].clone();
            let refusal = Refusal::ALL[place];
            let (username, password) = match refusal {
                Refusal::WrongPassword => (of(&cast.wrong).username, canary::password("wrong")),
                Refusal::Unknown => (format!("nobody {}", uuid::Uuid::new_v4()), canary::password("wrong")),
                Refusal::Disabled => {
                    let user = of(&cast.disabled).username;
                    (user.clone(), canary::password(&user))
                }
                Refusal::NoRight => {
                    let user = of(&cast.without).username;
                    (user.clone(), canary::password(&user))
                }
                Refusal::Locked => (locked.clone(), canary::password("wrong")),
                Refusal::LockedUnknown => (nobody.clone(), canary::password("wrong")),
            };
            let is_locked = refusal.beside() == Refusal::Locked;
            let http = connected(server.http, if is_locked { locked_at } else { somewhere() }).await;
            let (mut status, mut time) = ask(&http, &cast.client, &username, &password).await;
            // A block ends, and then an attempt is one more failure that blocks again.
            while is_locked && status == 400 {
                (status, time) = ask(&http, &cast.client, &username, &password).await;
            }
            assert_eq!(status, refusal.status(), "{refusal:?} in round {round}");
            times[place].sorted.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }
    for kind in &mut times {
        kind.sorted.sort_unstable();
    }
    assert!(server.stop().success());
    times
}

/// Sends so many token requests, each with a client id that nobody has; `tell` hears of them as they go.
///
/// # Panics
/// Where an answer is another than `invalid_client`.
pub async fn unknown_clients(engine: Engine, requests: u64, connections: usize, tell: impl Fn(u64, u32, Duration)) {
    let home = Home::new(engine).with("COFFRE_LOG", "warn");
    let server = home.start();
    let case = Case::on(&server, Protocol::Rest).await;
    let admin = case.api_administrator().await;
    // A secret that was generated, for somebody else: it costs no password hash, whoever shows it.
    let (_, known) = case.access(&admin, "known").await;
    let (sent, address, pid) = (Arc::new(AtomicU64::new(0)), server.http, server.pid);
    let mut workers = Vec::new();
    for _ in 0..connections {
        let (sent, secret) = (sent.clone(), known.secret.clone());
        workers.push(tokio::spawn(async move {
            while sent.load(Ordering::Relaxed) < requests {
                let http = Http::from_address(address, somewhere());
                for _ in 0..CALLS_OF_ONE {
                    let id = uuid::Uuid::new_v4().to_string();
                    let request = http.post(TOKEN).header("authorization", &basic(&id, &secret));
                    let answer = request.body("grant_type=client_credentials").send().await;
                    assert_eq!((answer.status, answer.oauth_code().as_str()), (401, "oauth.invalid_client"));
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    let begun = Instant::now();
    let (mut told, step) = (0, (requests / 20).max(1));
    while told < requests && !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = sent.load(Ordering::Relaxed);
        if now >= told + step {
            told = now;
            tell(now, pid, begun.elapsed());
        }
    }
    for worker in workers {
        worker.await.unwrap();
    }
    tell(sent.load(Ordering::Relaxed), pid, begun.elapsed());
    // Whoever is known gets in as before.
    let operator = case.basic("afterwards").await;
    case.grant(&known, &operator).await;
    case.api.ledger.forget();
    assert!(server.stop().success());
}
