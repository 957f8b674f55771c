//! Asks other replicas for the root key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_crypto::keyring::RootKey;
use coffre_crypto::peer::Ask;
use coffre_error::{Reason, Refusal};
use coffre_proto::vault::internal::v1::ShareRootKeyRequest;
use coffre_proto::vault::internal::v1::peer_service_client::PeerServiceClient;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tracing::Instrument as _;

use super::{Pace, PeerCounts, Peers, Replica, identity};
use crate::domain::error::VaultError;
use crate::domain::keys::Mode;
use crate::keyring::{Keyring, Pair, Stored, Taken, detached};

/// How many are asked at once.
const AT_ONCE: usize = 4;
/// An answer has 80 bytes and a name.
const MAX_ANSWER_BYTES: usize = 4096;
/// How often it is looked whether the vault is sealed.
const LOOK: Duration = Duration::from_millis(250);
/// How many looks pass between two rounds, and how many more at random: replicas that start together do not ask together.
const LOOKS_BETWEEN: (u8, u8) = (3, 3);

/// What asks for the root key. Clones share it.
#[derive(Clone)]
pub struct Asking {
    keyring: Arc<Keyring>,
    site: Arc<Site>,
    peers: Arc<dyn Peers>,
    counts: Arc<PeerCounts>,
    pace: Pace,
    /// The log says once in a seal what stands in the way.
    told: Arc<AtomicBool>,
}

/// How a round of asking ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    /// The vault is open, sealed on purpose, or in the mode Express: there is nothing to ask for.
    NotNeeded,
    /// It is open now.
    Opened,
    /// It was sealed or opened, or its keys changed, meanwhile.
    Overtaken,
    /// Nobody gave the root key.
    Nobody,
}

/// A root key that came, and from whom.
struct Given {
    root: RootKey,
    share: String,
    giver_name: String,
}

impl Asking {
    /// Takes what it needs.
    #[must_use]
    pub fn new(
        keyring: Arc<Keyring>,
        site: Arc<Site>,
        peers: Arc<dyn Peers>,
        counts: Arc<PeerCounts>,
        pace: Pace,
    ) -> Self {
        Self { keyring, site, peers, counts, pace, told: Arc::default() }
    }

    /// Asks, while the vault is sealed, until it is told to stop.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut looks = 0;
        loop {
            if self.keyring.is_open() {
                looks = 0;
            } else if looks > 0 {
                looks -= 1;
            } else {
                let Some(round) = stop.run_until_cancelled(self.round()).await else { return };
                match round {
                    Ok(Round::Nobody) => self.tell_once(),
                    Ok(Round::NotNeeded | Round::Opened | Round::Overtaken) => {}
                    Err(error) => tracing::debug!(%error, "it is not known whether to ask for the root key"),
                }
                looks = between();
            }
            if stop.run_until_cancelled(sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    /// Says once in a seal that a person is needed. A process that has no others says so elsewhere.
    fn tell_once(&self) {
        if !self.peers.replicas().is_empty() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no other replica gives the root key: somebody has to apply the master key at one of them; the others ask that one then"
            );
        }
    }

    /// Asks every replica until one gives the root key.
    ///
    /// # Errors
    /// The store's.
    pub async fn round(&self) -> Result<Round, VaultError> {
        let Some(stored) = self.keyring.to_ask_for().await? else {
            self.told.store(false, Ordering::Relaxed);
            return Ok(Round::NotNeeded);
        };
        let mut replicas = self.peers.replicas();
        turn(&mut replicas);
        let (mut rest, mut asks) = (replicas.into_iter(), JoinSet::new());
        loop {
            if asks.len() < AT_ONCE
                && let Some(replica) = rest.next()
            {
                asks.spawn(self.clone().ask(replica, stored.clone()).in_current_span());
            }
            let answered = tokio::select! {
                answered = asks.join_next() => answered,
                () = sleep(self.pace.stagger), if asks.len() < AT_ONCE && rest.len() > 0 => continue,
            };
            match answered {
                // No more are under way, and so none is left to ask.
                None => return Ok(Round::Nobody),
                Some(Ok(Some((replica, given)))) => match self.take(&replica, stored.clone(), given).await? {
                    Taken::Opened => return Ok(Round::Opened),
                    Taken::Overtaken => return Ok(Round::Overtaken),
                    Taken::Unusable => self.unusable(&replica),
                },
                Some(Ok(None) | Err(_)) => {}
            }
        }
    }

    /// Asks one replica.
    async fn ask(self, replica: Replica, stored: Stored) -> Option<(String, Given)> {
        let Replica { name, channel } = replica;
        let own = identity(self.peers.trust_domain(), "vault");
        let pair = Pair { asker: own.clone(), asker_name: self.site.host_name.clone(), giver: own };
        let generation = stored.state.generation;
        let ask = stored.digest().and_then(|digest| Ok(Ask::new(&pair.about(generation, &digest))?));
        let ask = ask.inspect_err(|error| tracing::error!(%error, "the root key cannot be asked for")).ok()?;
        let asked = ask.asked();
        let mut request = Request::new(ShareRootKeyRequest {
            generation,
            public_key: asked.public_key.to_vec(),
            nonce: asked.nonce.to_vec(),
            proof: asked.proof.to_vec(),
            asker_name: pair.asker_name.clone(),
        });
        request.set_timeout(self.pace.answer);
        let mut client = PeerServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        let answer = match timeout(self.pace.answer, client.share_root_key(request)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                self.refused(&name, &Refusal::from_status(&status));
                return None;
            }
            Err(_) => {
                tracing::debug!(replica = name, "a replica does not answer");
                return None;
            }
        };
        let share = asked.id();
        match ask.open(&answer.sealed_root_key) {
            Ok(root) => Some((name, Given { root, share, giver_name: answer.giver_name })),
            Err(_) => {
                self.unusable(&name);
                None
            }
        }
    }

    /// Opens the vault with what came.
    async fn take(&self, replica: &str, stored: Stored, given: Given) -> Result<Taken, VaultError> {
        let Given { root, share, giver_name } = given;
        let record = CallRecord::system(self.site.clone(), "vault.opened", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        record.detail("mode", Mode::Manual.name());
        record.detail("how", "peer");
        record.detail("from", giver_name.as_str());
        record.detail("address", replica);
        record.detail("share", share.as_str());
        let keyring = self.keyring.clone();
        let taken = detached(async move { keyring.open_shared(stored, root, Arc::new(record)).await }).await?;
        if taken == Taken::Opened {
            PeerCounts::count(&self.counts.taken);
            self.told.store(false, Ordering::Relaxed);
            tracing::info!(
                replica,
                from = giver_name,
                share,
                "the vault was opened with the root key of another replica"
            );
        }
        Ok(taken)
    }

    fn unusable(&self, replica: &str) {
        PeerCounts::count(&self.counts.unusable);
        tracing::error!(
            replica,
            "a replica gave something that is not the root key; nothing was opened: look at that replica and at who can be reached under its address"
        );
    }

    /// A replica that is sealed, too, or in another generation, says nothing of note.
    fn refused(&self, replica: &str, refusal: &Refusal) {
        let (reason, why) = (refusal.reason(), refusal.message());
        let of_note = matches!(
            reason,
            Reason::VaultKeyWrong | Reason::VaultKeyDamaged | Reason::AuthzPermissionRequired | Reason::RequestInvalid
        );
        if of_note && !self.told.load(Ordering::Relaxed) {
            tracing::error!(replica, ?reason, why, "another replica refuses to give the root key");
        } else {
            tracing::debug!(replica, ?reason, why, "another replica does not give the root key");
        }
    }
}

/// Begins somewhere else each time, so that not everybody asks the same one first.
fn turn(replicas: &mut [Replica]) {
    let random = coffre_crypto::random::<2>().map_or(0, u16::from_be_bytes);
    let begin = usize::from(random).checked_rem(replicas.len()).unwrap_or(0);
    replicas.rotate_left(begin);
}

fn between() -> u8 {
    let (least, more) = LOOKS_BETWEEN;
    let random = coffre_crypto::random::<1>().map_or(0, |[random]| random);
    least + random % more
}
