//! Operations that no single transaction holds, as fast as they go: credentials enter and leave lockers, lockers and users are deleted while
//! something comes to them, holdings are handed over. For servers that are killed under them.
//!
//! [`check`] then looks at the whole installation: whatever was interrupted, no credential is in a missing locker, no owner is a missing
//! user, and what was acknowledged is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::{Value as Json, json};

use crate::canary;
use crate::case::Case;
use crate::http::Http;
use crate::model::{Query, Right};
use crate::server::Server;

const CREDENTIALS: &str = "/v2/credentialvault/credentials";
const LOCKERS: &str = "/v2/credentialvault/lockers";
const USERS: &str = "/v1/usermanagement/users";

/// What the server acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// Request ids of acknowledged changes.
    pub requests: Vec<String>,
    places: Vec<Place>,
}

/// Where a credential is, as the only one who moves it knows.
#[derive(Clone, Debug)]
struct Place {
    credential: i64,
    acknowledged: Option<i64>,
    /// Where it was sent without an answer: it may be there or not.
    open: Vec<Option<i64>>,
}

/// Users who live as long as the installation.
#[derive(Clone, Copy, Debug)]
pub struct Parties {
    giver: i64,
    taker: i64,
}

/// Work that goes on until it is stopped or the server is gone.
#[derive(Debug)]
pub struct Sharing {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    workers: Vec<tokio::task::JoinHandle<Acknowledged>>,
}

/// One who asks in an administrator's name and remembers what was acknowledged.
struct Caller {
    http: Http,
    token: String,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    requests: Mutex<Vec<String>>,
}

/// No answer came: the server is gone.
struct Gone;

impl Caller {
    async fn call(&self, method: Method, path: String, body: Option<Json>) -> Result<(u16, Json), Gone> {
        let id = format!("sharing-{}", uuid::Uuid::new_v4());
        let changes = method != Method::GET;
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, path).token(&self.token).header("x-request-id", &id);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.try_send().await.map_err(|_| Gone)?;
        assert!(
            matches!(answer.status, 200 | 201 | 204 | 404 | 409 | 503),
            "{what} is answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        if answer.status < 300 && changes {
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok((answer.status, answer.json()))
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Makes something and returns its id; asks again where the server says "not now".
    async fn make(&self, path: &str, body: Json) -> Result<i64, Gone> {
        loop {
            let (status, made) = self.call(Method::POST, path.to_owned(), Some(body.clone())).await?;
            if status == 201 {
                let id = made["id"].as_i64().or_else(|| made["id"].as_str()?.parse().ok());
                return Ok(id.unwrap_or_else(|| panic!("no id: {made}")));
            }
            assert_eq!(status, 503, "{path}: {made}");
        }
    }

    async fn credential(&self) -> Result<i64, Gone> {
        let name = format!("sharing {}", uuid::Uuid::new_v4());
        self.make(CREDENTIALS, json!({"name": name, "attributes": [{"name": "secret"}]})).await
    }

    async fn locker(&self) -> Result<i64, Gone> {
        self.make(LOCKERS, json!({"name": format!("sharing {}", uuid::Uuid::new_v4())})).await
    }

    async fn user(&self) -> Result<i64, Gone> {
        let name = format!("sharing {}", uuid::Uuid::new_v4());
        self.make(USERS, json!({"username": name, "password": canary::password(&name)})).await
    }

    async fn put_in(&self, locker: i64, credential: i64) -> Result<u16, Gone> {
        let path = format!("{LOCKERS}/{locker}/credentials/{credential}");
        Ok(self.call(Method::PUT, path, None).await?.0)
    }

    async fn take_out(&self, locker: i64, credential: i64) -> Result<u16, Gone> {
        let path = format!("{LOCKERS}/{locker}/credentials/{credential}");
        Ok(self.call(Method::DELETE, path, None).await?.0)
    }

    async fn give(&self, credential: i64, user: i64) -> Result<u16, Gone> {
        Ok(self.call(Method::PUT, format!("{CREDENTIALS}/{credential}/owner/{user}"), None).await?.0)
    }

    async fn hand_over(&self, from: i64, to: i64) -> Result<u16, Gone> {
        let path = format!("{USERS}/{from}/holdings/transfer");
        Ok(self.call(Method::POST, path, Some(json!({"userId": to}))).await?.0)
    }

    async fn delete(&self, of: &str, id: i64) -> Result<u16, Gone> {
        Ok(self.call(Method::DELETE, format!("{of}/{id}"), None).await?.0)
    }

    /// Moves a credential between two lockers.
    async fn travel(&self, place: &mut Place, lockers: [i64; 2]) -> Result<(), Gone> {
        for locker in lockers.into_iter().cycle() {
            if !self.goes_on() {
                break;
            }
            for target in [Some(locker), None] {
                place.open.push(target);
                let status = match target {
                    Some(locker) => self.put_in(locker, place.credential).await?,
                    None => self.take_out(locker, place.credential).await?,
                };
                if status < 300 {
                    (place.acknowledged, place.open) = (target, Vec::new());
                    continue;
                }
                // "Not now" may mean that it happened; whoever asks learns it.
                assert!(status == 503 || place.open.len() > 1, "{status}: nobody else moves it: {place:?}");
                let path = format!("{CREDENTIALS}/{}", place.credential);
                let (status, now) = self.call(Method::GET, path, None).await?;
                if status == 200 {
                    let now = now["lockerId"].as_str().map(|id| id.parse().expect("an id"));
                    (place.acknowledged, place.open) = (now, Vec::new());
                }
            }
        }
        Ok(())
    }

    /// Deletes lockers while a credential enters them.
    async fn demolish(&self) -> Result<(), Gone> {
        let credential = self.credential().await?;
        while self.goes_on() {
            let locker = self.locker().await?;
            let (entered, deleted) = tokio::join!(self.put_in(locker, credential), self.delete(LOCKERS, locker));
            let (entered, deleted) = (entered?, deleted?);
            assert!(entered != 200 || deleted != 204, "credential {credential} entered the deleted locker {locker}");
            if deleted != 204 {
                self.take_out(locker, credential).await?;
                self.delete(LOCKERS, locker).await?;
            }
        }
        Ok(())
    }

    /// Deletes users while they are given something.
    async fn dismiss(&self, parties: Parties) -> Result<(), Gone> {
        let (credential, locker) = (self.credential().await?, self.locker().await?);
        self.give(credential, parties.giver).await?;
        while self.goes_on() {
            let user = self.user().await?;
            let member = format!("{LOCKERS}/{locker}/members/{user}");
            let own = Some(json!({"permissions": ["own"]}));
            let (given, member, deleted) = tokio::join!(
                self.give(credential, user),
                self.call(Method::PUT, member, own),
                self.delete(USERS, user)
            );
            let (given, deleted) = (given?, deleted?);
            member?;
            assert!(given != 200 || deleted != 204, "credential {credential} was given to the deleted user {user}");
            if deleted != 204 {
                self.hand_over(user, parties.giver).await?;
                self.delete(USERS, user).await?;
            }
        }
        Ok(())
    }

    /// Hands everything of one user to another and back.
    async fn hand_to_and_fro(&self, parties: Parties) -> Result<(), Gone> {
        for _ in 0..3 {
            let credential = self.credential().await?;
            self.give(credential, parties.giver).await?;
        }
        let locker = self.locker().await?;
        let member = format!("{LOCKERS}/{locker}/members/{}", parties.giver);
        self.call(Method::PUT, member, Some(json!({"permissions": [Right::Own.word()]}))).await?;
        while self.goes_on() {
            self.hand_over(parties.giver, parties.taker).await?;
            self.hand_over(parties.taker, parties.giver).await?;
        }
        Ok(())
    }
}

impl Sharing {
    /// Starts one worker for each kind of operation; the parties are made where there are none yet.
    pub async fn start(server: &Server, token: &str, parties: &mut Option<Parties>) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = || Caller {
            http: Http::new(server.http),
            token: token.to_owned(),
            stop: stop.clone(),
            count: count.clone(),
            requests: Mutex::default(),
        };
        let mut workers = Vec::new();
        let setup = caller();
        if parties.is_none()
            && let (Ok(giver), Ok(taker)) = (setup.user().await, setup.user().await)
        {
            *parties = Some(Parties { giver, taker });
        }
        if let Some(parties) = *parties {
            let one = caller();
            workers.push(tokio::spawn(async move { one.travels().await }));
            let one = caller();
            workers.push(tokio::spawn(async move {
                let _ = one.demolish().await;
                one.acknowledged(Vec::new())
            }));
            let one = caller();
            workers.push(tokio::spawn(async move {
                let _ = one.dismiss(parties).await;
                one.acknowledged(Vec::new())
            }));
            let one = caller();
            workers.push(tokio::spawn(async move {
                let _ = one.hand_to_and_fro(parties).await;
                one.acknowledged(Vec::new())
            }));
        }
        Self { stop, count, workers }
    }

    /// How many changes were acknowledged so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits for the workers, who end with the server, and returns what was acknowledged.
    pub async fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Acknowledged::default();
        for worker in self.workers {
            let one = worker.await.expect("a caller does not panic");
            all.requests.extend(one.requests);
            all.places.extend(one.places);
        }
        all
    }
}

impl Caller {
    fn acknowledged(self, places: Vec<Place>) -> Acknowledged {
        Acknowledged { requests: self.requests.into_inner().unwrap_or_else(PoisonError::into_inner), places }
    }

    async fn travels(self) -> Acknowledged {
        let made = async { Ok::<_, Gone>((self.credential().await?, [self.locker().await?, self.locker().await?])) };
        let Ok((credential, lockers)) = made.await else { return self.acknowledged(Vec::new()) };
        let mut place = Place { credential, acknowledged: None, open: Vec::new() };
        let _ = self.travel(&mut place, lockers).await;
        self.acknowledged(vec![place])
    }
}

/// Looks at the whole installation while nothing is under way.
///
/// # Panics
/// Where a credential is in a missing locker or owned by a missing user, where a locker has no owner who is there, where a count is wrong, and
/// where an acknowledged move is lost.
pub async fn check(case: &Case<'_>, before: &Acknowledged) {
    let admin = &case.admin;
    let credentials = admin.query_credentials(&Query::default()).await.ok().items;
    let lockers = admin.query_lockers(&Query::default()).await.ok().items;
    let users: BTreeSet<i64> =
        admin.query_users(&Query::default()).await.ok().items.into_iter().map(|(id, _)| id).collect();
    let mut inside: BTreeMap<i64, i64> = lockers.iter().map(|locker| (locker.id, 0)).collect();
    for one in &credentials {
        assert!(users.contains(&one.owner_id), "credential {} is owned by the missing user {}", one.id, one.owner_id);
        if let Some(locker) = one.locker_id {
            let count = inside.get_mut(&locker);
            *count.unwrap_or_else(|| panic!("credential {} is in the missing locker {locker}", one.id)) += 1;
        }
    }
    for locker in &lockers {
        let owners = locker.members.iter().filter(|member| member.rights.contains(&Right::Own));
        let present = owners.filter(|member| users.contains(&member.user_id)).count();
        assert!(present > 0, "locker {} has no owner who is there: {:?}", locker.id, locker.members);
        assert_eq!(locker.credentials, inside.get(&locker.id).copied(), "locker {} counts wrongly", locker.id);
    }
    for place in &before.places {
        let now = credentials.iter().find(|one| one.id == place.credential).map(|one| one.locker_id);
        let now = now.unwrap_or_else(|| panic!("credential {} is lost", place.credential));
        assert!(
            now == place.acknowledged || place.open.contains(&now),
            "an acknowledged move is lost: {now:?} {place:?}"
        );
    }
}
