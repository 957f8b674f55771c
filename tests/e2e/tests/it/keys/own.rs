//! A vault of a case's own, which may be sealed, started again, and given other keys; the cases take turns at few of them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffre_e2e::api::{Key, ModeKeys, NewAttribute, NewValue, Protocol, Session};
use coffre_e2e::case::{Case, permission, run_apart};
use coffre_e2e::ledger;
use coffre_e2e::model::{Credential, Entry, Rotation, StoredValue};
use coffre_e2e::server::{Engine, Home, Server};

/// A master key that everybody may see is none; this one is searched for wherever it may not be.
pub(crate) fn master_key(case: &Case<'_>, what: &str) -> String {
    case.secret(&format!("master key {what}"))
}

/// A server with its vault in the mode Express, open, and the key that was shown when it was made.
pub(crate) struct Own {
    pub(crate) home: Home,
    pub(crate) server: Server,
    pub(crate) protocol: Protocol,
    /// The recovery key; whoever replaces it keeps the new one here.
    pub(crate) recovery: String,
}

/// Vaults that no case uses at the moment, with their recovery keys. Their servers are stopped: each would hold connections to the database.
static IDLE: Mutex<Vec<(Home, String)>> = Mutex::new(Vec::new());

/// Runs a case, after which the vault is to be in the mode Express and open.
pub(crate) fn run(engine: Engine, protocol: Protocol, case: impl AsyncFnOnce(&mut Own)) {
    run_apart(engine, async |engine| {
        let mut own = Own::idle(engine).unwrap_or_else(|| Own::new(Home::new(engine)));
        own.protocol = protocol;
        case(&mut own).await;
        own.check().await;
        assert!(own.server.stop().success(), "{}", own.server.said());
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push((own.home, own.recovery));
    });
}

impl Own {
    fn idle(engine: Engine) -> Option<Self> {
        let (home, recovery) = {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let at = idle.iter().position(|(home, _)| home.engine == engine)?;
            idle.swap_remove(at)
        };
        let server = home.start();
        Some(Self { home, server, protocol: Protocol::Rest, recovery })
    }

    /// Starts a new installation and reads the recovery key that it shows.
    pub(crate) fn new(home: Home) -> Self {
        let server = home.start();
        let shown = match home.engine {
            Engine::Sqlite => server.said(),
            Engine::Postgres => std::fs::read_to_string(home.folder.join("init.log")).unwrap(),
        };
        let recovery = recovery_key_in(&shown).unwrap_or_else(|| panic!("no recovery key is shown: {shown}"));
        Self { home, server, protocol: Protocol::Rest, recovery }
    }

    pub(crate) async fn case(&self) -> Case<'_> {
        Case::on(&self.server, self.protocol).await
    }

    /// Starts the server again, after a change of what lies on the disk.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&Home)) {
        assert!(self.server.stop().success(), "{}", self.server.said());
        change(&self.home);
        self.server = self.home.start();
    }

    /// Proves that the case left the vault as it found it.
    async fn check(&self) {
        let case = self.case().await;
        let keeper = keeper(&case).await;
        assert_eq!((keeper.mode().await.ok().as_str(), keeper.key_applied().await.ok()), ("Express", true));
        assert_eq!(drilled(&keeper, Key::Recovery(&self.recovery)).await, "recovery");
    }
}

/// Finds the recovery key in what was shown.
pub(crate) fn recovery_key_in(shown: &str) -> Option<String> {
    let is_key = |word: &&str| word.len() == 71 && word.split('-').filter(|group| group.len() == 7).count() == 9;
    shown.split_whitespace().find(is_key).map(ToOwned::to_owned)
}

/// The folder of the key files.
pub(crate) fn key_file(home: &Home) -> PathBuf {
    let folder = match home.engine {
        Engine::Sqlite => home.folder.join("data/keys"),
        Engine::Postgres => home.folder.join("keys"),
    };
    folder.join("express.key")
}

/// Somebody who looks after the keys and nothing else, signed in just now.
pub(crate) async fn keeper(case: &Case<'_>) -> Session {
    case.holder("keeper", &[permission::MANAGE_SETTINGS]).await
}

/// Drills a key, after as much patience as wrong ones before it cost.
pub(crate) async fn drilled(keeper: &Session, key: Key<'_>) -> String {
    loop {
        match keeper.drill_key(key).await.outcome {
            Ok(kind) => return kind,
            Err(refused) => {
                assert_eq!(refused.code, "vault.key_throttled", "{refused:?}");
                let wait = refused.retry_after.expect("429 says when to come back");
                assert!(wait <= 60, "{refused:?}");
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
        }
    }
}

/// Goes to the mode Manual.
pub(crate) async fn to_manual(keeper: &Session, master: &str) {
    let warned = keeper.set_mode("Manual", ModeKeys::private(master)).await.event("vault.mode.changed").ok();
    assert!(!warned, "a long key is warned of");
    assert_eq!(keeper.mode().await.ok(), "Manual");
}

/// Goes back to the mode Express.
pub(crate) async fn to_express(keeper: &Session, master: &str) {
    keeper.set_mode("Express", ModeKeys::private(master)).await.ok();
    assert_eq!(keeper.mode().await.ok(), "Express");
}

/// Which keys open the vault.
pub(crate) async fn kinds(keeper: &Session) -> Vec<String> {
    let mut kinds: Vec<String> = keeper.key_slots().await.ok().into_iter().map(|slot| slot.kind).collect();
    kinds.sort();
    kinds
}

/// Waits until the re-encryption has ended.
pub(crate) async fn rotated(keeper: &Session) -> Rotation {
    let begun = Instant::now();
    loop {
        let rotation = keeper.rotation().await.ok();
        if !rotation.running {
            assert_eq!(rotation.done, rotation.total, "{rotation:?}");
            return rotation;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end: {rotation:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The audit's entry of a call.
pub(crate) async fn entry_of(case: &Case<'_>, request_id: &str) -> Entry {
    let begun = Instant::now();
    loop {
        if let Some(mut entries) = ledger::entries(&case.admin, &[request_id]).await.remove(request_id) {
            assert_eq!(entries.len(), 1, "{entries:#?}");
            return entries.remove(0);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no entry of {request_id}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody with a value in a locker, which is there whenever the vault is open.
pub(crate) struct Kept {
    owner: Session,
    pub(crate) password: String,
    pub(crate) credential: Credential,
    pub(crate) value: StoredValue,
    pub(crate) locker: i64,
}

impl Kept {
    pub(crate) async fn new(case: &Case<'_>) -> Self {
        let owner = case.basic("owner").await;
        let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b")];
        let credential = owner.create_credential(&case.unique("kept"), &attributes).await.ok();
        let new = NewValue::new(credential.attributes[0].id, case.secret("kept"));
        let value = owner.create_values(credential.id, &[new]).await.ok().remove(0);
        let locker = owner.create_locker(&case.unique("kept"), None).await.ok().id;
        owner.assign(locker, credential.id).await.ok();
        let password = case.password_of(&owner);
        Self { owner, password, credential, value, locker }
    }

    /// Its owner at a server, in the session of before.
    pub(crate) fn owner(&self, case: &Case<'_>) -> Session {
        Session { api: case.api.clone(), ..self.owner.clone() }
    }

    /// Reads it.
    pub(crate) async fn is_readable(&self, case: &Case<'_>) {
        let values = self.owner(case).list_values(self.credential.id).await.ok();
        assert_eq!(values, std::slice::from_ref(&self.value));
    }
}
