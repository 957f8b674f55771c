//! `coffre healthcheck`, and what `/readyz` looks at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coffre_authn::Authenticator;
use coffre_config::Settings;
use coffre_gateway::{Readiness, VaultSeal};
use coffre_rpc::Front;
use coffre_telemetry::{Component, Health, State};
use coffre_types::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::compose::Remote;
use crate::say;
use crate::stores::{Store, Stores};

/// The lag at which the audit counts as behind.
const BEHIND: Duration = Duration::from_secs(10);

/// How often the parts are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(200);
/// For how many looks a service that was not heard yet may still be starting.
const LOOKS_OF_A_START: u32 = 50;

/// Asks the management port whether the process can serve.
pub(crate) async fn check(settings: Settings) -> anyhow::Result<()> {
    let address = settings.management_addr;
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        // In `dev` the port takes no other name than the loopback interface's.
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(3), asked)
        .await
        .with_context(|| format!("{address} does not answer"))?
        .with_context(|| format!("{address} cannot be reached"))?;
    let text = String::from_utf8_lossy(&answer);
    if !text.starts_with("HTTP/1.1 200") {
        bail!("not ready: {}", text.lines().last().unwrap_or_default());
    }
    say::line("ready").context("ready, and that cannot be printed")
}

/// Watches the parts of the process and tells probes about them until the stop. What does not run here is not told of.
pub(crate) struct Watch {
    pub(crate) health: Health,
    pub(crate) stores: Stores,
    /// Where something is kept, callers are looked for.
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) vault: Option<Arc<coffre_vault::App>>,
    pub(crate) audit: Option<coffre_audit::Keeping>,
    /// The ways to services elsewhere.
    pub(crate) remote: Vec<Remote>,
    pub(crate) readiness: Readiness,
    pub(crate) front: Option<Front>,
}

/// The parts that are told of.
struct Parts {
    databases: Vec<(Component, &'static str, Store)>,
    sessions: Option<(Component, Authenticator)>,
    shares: Option<(Component, Arc<coffre_vault::App>)>,
    seal: Option<(Component, Arc<coffre_vault::App>)>,
    relay: Option<Component>,
    proofs: Option<(Component, coffre_audit::Keeping)>,
    /// Each with whether it was reached once.
    remote: Vec<(Component, Remote, bool)>,
    /// Nobody waits for this process before it is ready, so it may wait for others: true of a gateway by itself.
    may_wait: bool,
    /// Auth was heard once: before, nobody can be recognised; afterwards, what still works, works.
    heard: bool,
    /// How often it was looked at.
    looks: u32,
}

impl Watch {
    fn parts(&self) -> Parts {
        let part = |name| self.health.component(name);
        let of_vault = |name| self.vault.clone().map(|vault| (part(name), vault));
        Parts {
            databases: self.stores.all().map(|(name, store)| (part(name), name, store.clone())).collect(),
            sessions: self.authenticator.clone().map(|authenticator| (part("sessions"), authenticator)),
            shares: of_vault("shares"),
            seal: of_vault("seal"),
            relay: self.stores.own().map(|_| part("relay")),
            proofs: self.audit.clone().map(|audit| (part("proofs"), audit)),
            remote: self.remote.iter().map(|remote| (part(remote.component()), remote.clone(), false)).collect(),
            may_wait: self.stores.own().is_none(),
            heard: false,
            looks: 0,
        }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut parts = self.parts();
        if let Some(since) = self.sealed_since() {
            tracing::warn!(
                since = since.to_rfc3339_millis(),
                "the vault is sealed from the start; `coffre keys status` says what opens it"
            );
        }
        loop {
            parts.look();
            if self.vault.is_some() {
                self.readiness.set_vault(match self.sealed_since() {
                    Some(since) => VaultSeal::Sealed { since },
                    None => VaultSeal::Open,
                });
            }
            let failures = self.health.failures();
            let ready = failures.is_empty() && !stop.is_cancelled();
            match ready || stop.is_cancelled() {
                true => self.readiness.set(ready),
                false => self.readiness.fail(format!("{}; the server then goes on by itself", failures.join("; "))),
            }
            self.set_serving(ready).await;
            tokio::select! {
                () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
                () = stop.cancelled() => break,
            }
        }
        self.health.stopping();
        self.readiness.set(false);
        self.set_serving(false).await;
    }

    fn sealed_since(&self) -> Option<Timestamp> {
        self.vault.as_ref().and_then(|vault| vault.sealed_since())
    }

    async fn set_serving(&self, serving: bool) {
        if let Some(front) = &self.front {
            front.set_serving(serving).await;
        }
    }
}

impl Parts {
    fn look(&mut self) {
        self.looks = self.looks.saturating_add(1);
        for (component, name, store) in &self.databases {
            component.set(database_state(name, store.database.is_up(), store.database.is_full()));
        }
        if let Some((component, authenticator)) = &self.sessions {
            let fresh = authenticator.is_fresh();
            self.heard |= fresh;
            // It is told as a fault where it lasts: services start in any order.
            if self.heard || self.looks > LOOKS_OF_A_START {
                component.set(sessions_state(fresh, self.heard));
            }
        }
        if let Some((component, vault)) = &self.shares {
            component.set(match vault.hears_locker() {
                true => State::Ready,
                false => State::Degraded("changes of lockers do not arrive; locker is asked at each call".to_owned()),
            });
        }
        if let Some(component) = &self.relay {
            let lags = self.databases.iter().map(|(.., store)| store.outbox.lag().oldest());
            let behind = lags.max().unwrap_or_default();
            component.set(match behind > BEHIND {
                true => State::Degraded(format!("the audit log is {} s behind; nothing is lost", behind.as_secs())),
                false => State::Ready,
            });
        }
        if let Some((component, audit)) = &self.proofs {
            component.set(proofs_state(&audit.standing()));
        }
        if let Some((component, vault)) = &self.seal {
            component.set(match vault.keys_put_back() {
                Some(rolled_back) => State::Degraded(format!("the vault is closed: {rolled_back}")),
                None => seal_state(vault.sealed_since(), vault.keys_compared()),
            });
        }
        let starting = self.may_wait && self.looks <= LOOKS_OF_A_START;
        for (component, remote, reached) in &mut self.remote {
            *reached |= remote.is_reached();
            // Whoever sends calls here at once does not meet ways that are not laid yet. A service that is away for longer keeps nobody waiting.
            if *reached || !starting {
                component.set(remote.state());
            }
        }
    }
}

/// Before auth was heard for the first time nobody can be recognised, and another replica serves better. Later no other replica would: what
/// needs no caller goes on.
fn sessions_state(fresh: bool, heard: bool) -> State {
    match (fresh, heard) {
        (true, _) => State::Ready,
        (false, true) => State::Degraded("changes of sessions and rights do not arrive".to_owned()),
        (false, false) => {
            State::Failed("auth was not heard yet: start it, or mend the way to it (services.auth)".to_owned())
        }
    }
}

/// A log that was tampered with goes on recording: it is told, and nothing stops.
fn proofs_state(log: &coffre_audit::Standing) -> State {
    let why = match log {
        coffre_audit::Standing { damaged: Some(damage), .. } => {
            format!("{damage}; nothing is signed until somebody has looked at it")
        }
        coffre_audit::Standing { changed: 1.., .. } => {
            "entries or checkpoints of the audit log are not what they were; its incidents name them".to_owned()
        }
        coffre_audit::Standing { witness_fault: Some(fault), .. } => fault.clone(),
        coffre_audit::Standing { witness_lost: Some(lost), .. } => {
            format!("{lost}; where nobody moved it on purpose, look who can write there (this is told for a day)")
        }
        coffre_audit::Standing { retention_waits: Some(why), .. } => why.clone(),
        _ => return State::Ready,
    };
    State::Degraded(why)
}

/// Every call leaves a record, so no call is answered without its database.
fn database_state(service: &str, up: bool, full: bool) -> State {
    match (up, full) {
        (false, _) => State::Failed(format!(
            "the database of {service} does not answer: start it, or mend the way to it (database_url)"
        )),
        (true, true) => State::Failed(format!("the disk of the database of {service} is full: make room on it")),
        (true, false) => State::Ready,
    }
}

/// A sealed vault is ready: everything but values works, and nobody can unseal a process to which no request goes.
fn seal_state(sealed_since: Option<Timestamp>, compared: bool) -> State {
    match sealed_since {
        None if !compared => State::Degraded(
            "the vault is open, and it is not known whether its keys are the newest: audit has not answered since the start"
                .to_owned(),
        ),
        Some(since) => State::Degraded(format!(
            "the vault is sealed since {}; `coffre keys status` says what opens it",
            since.to_rfc3339_millis()
        )),
        None => State::Ready,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_audit_log_is_told_and_the_worst_first() {
        let told = |log: &coffre_audit::Standing| match proofs_state(log) {
            State::Degraded(why) => why,
            other => panic!("{other:?}"),
        };
        let mut log = coffre_audit::Standing::default();
        assert_eq!(proofs_state(&log), State::Ready);
        log.retention_waits = Some("retention would cut off 9 entries".to_owned());
        assert!(told(&log).starts_with("retention would cut off"));
        log.witness_lost = Some("the witness file x lost all of its checkpoints".to_owned());
        assert!(told(&log).starts_with("the witness file x lost"));
        log.witness_fault = Some("the witness file x cannot be written".to_owned());
        assert!(told(&log).contains("cannot be written"));
        log.changed = 1;
        assert!(told(&log).contains("not what they were"));
        log.damaged = Some("the log was put back".to_owned());
        assert!(told(&log).starts_with("the log was put back; nothing is signed"));
    }

    #[test]
    fn a_database_that_is_away_or_full_is_named_with_what_to_do() {
        for (up, full, part) in [
            (false, false, "the database of vault does not answer: start it"),
            (false, true, "the database of vault does not answer"),
            (true, true, "the disk of the database of vault is full: make room"),
        ] {
            let State::Failed(why) = database_state("vault", up, full) else { panic!("ready") };
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(database_state("vault", true, false), State::Ready);
    }

    #[test]
    fn a_service_that_never_heard_auth_is_not_ready_and_one_that_did_is() {
        let State::Failed(why) = sessions_state(false, false) else { panic!("ready") };
        assert!(why.contains("services.auth"), "{why}");
        assert_eq!(sessions_state(true, true), State::Ready);
        assert!(matches!(sessions_state(false, true), State::Degraded(_)), "what still works, works");
    }

    #[test]
    fn a_sealed_vault_is_ready_and_says_since_when() {
        let health = Health::default();
        let seal = health.component("seal");
        seal.set(seal_state(Some(Timestamp::from_seconds(1_530_697_249)), true));
        assert!(health.is_ready());
        let State::Degraded(why) = seal_state(Some(Timestamp::from_seconds(1_530_697_249)), false) else {
            panic!("ready")
        };
        assert!(why.contains("sealed since 2018-07-04T09:40:49.000Z"), "{why}");
        assert_eq!(seal_state(None, true), State::Ready);
        let State::Degraded(why) = seal_state(None, false) else { panic!("ready") };
        assert!(why.contains("not known whether its keys are the newest"), "{why}");
    }
}
