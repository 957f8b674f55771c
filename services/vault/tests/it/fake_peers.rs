//! Other replicas: the ways to them, and somebody who stands in between and does what an attacker would.

use std::sync::{Arc, Mutex};

use coffre_channel::{Answer, Channel, Request as Call, ResponseFuture};
use coffre_proto::vault::internal::v1::peer_service_client::PeerServiceClient;
use coffre_proto::vault::internal::v1::peer_service_server::{PeerService, PeerServiceServer};
use coffre_proto::vault::internal::v1::{ShareRootKeyRequest, ShareRootKeyResponse};
use coffre_rpc::Peer;
use coffre_vault::{App, Peers, Replica};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

/// The trust domain of the tests.
pub(crate) const TRUST_DOMAIN: &str = "coffre.test";

/// The replicas that a vault knows. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct FakePeers(Arc<Mutex<Vec<Channel>>>);

impl FakePeers {
    pub(crate) fn are(&self, channels: Vec<Channel>) {
        *self.0.lock().unwrap() = channels;
    }
}

impl Peers for FakePeers {
    fn trust_domain(&self) -> &'static str {
        TRUST_DOMAIN
    }

    fn replicas(&self) -> Vec<Replica> {
        let channels = self.0.lock().unwrap();
        let named = channels.iter().enumerate();
        named.map(|(index, channel)| Replica { name: format!("replica-{index}"), channel: channel.clone() }).collect()
    }
}

/// A connection that shows what a certificate would.
struct As(Option<Peer>, Routes);

impl Answer for As {
    fn answer(&self, mut request: Call) -> ResponseFuture {
        if let Some(peer) = self.0 {
            request.extensions_mut().insert(peer);
        }
        let answered = self.1.clone().oneshot(request);
        Box::pin(async move { answered.await.map_err(|never| match never {}) })
    }
}

/// Leads to the internal side of a vault, as whoever the connection shows.
pub(crate) fn as_peer(app: &App, peer: Option<Peer>) -> Channel {
    Channel::new(As(peer, app.parts.internal.clone().prepare()))
}

/// The same as another replica.
pub(crate) fn as_vault(app: &App) -> Channel {
    as_peer(app, Some(Peer::Internal("vault")))
}

/// What somebody does who stands between asker and giver.
#[derive(Clone)]
pub(crate) enum Does {
    /// Passes everything on, and keeps it.
    Listen,
    /// Gives the answer to the first ask to every ask.
    Replay,
    /// Puts other bytes in the place of the answer.
    Give(Vec<u8>),
    /// Changes the ask.
    Change(fn(&mut ShareRootKeyRequest)),
    /// Waits before it passes the ask on, or the answer.
    WaitBefore(Arc<Gate>),
    WaitAfter(Arc<Gate>),
    /// Never answers.
    Hang,
}

/// Says that somebody arrived, and holds him up.
pub(crate) struct Gate {
    pub(crate) arrived: Semaphore,
    pub(crate) open: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { arrived: Semaphore::new(0), open: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }
}

type Exchange = (ShareRootKeyRequest, ShareRootKeyResponse);

/// Somebody in between. Clones share what was seen.
#[derive(Clone)]
pub(crate) struct Middle {
    to: Channel,
    does: Does,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

impl Middle {
    pub(crate) fn new(to: Channel, does: Does) -> Self {
        Self { to, does, seen: Arc::default() }
    }

    pub(crate) fn channel(&self) -> Channel {
        Channel::in_process(PeerServiceServer::new(self.clone()))
    }

    /// Returns the asks and answers that were passed on.
    pub(crate) fn seen(&self) -> Vec<Exchange> {
        self.seen.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl PeerService for Middle {
    async fn share_root_key(
        &self,
        request: Request<ShareRootKeyRequest>,
    ) -> Result<Response<ShareRootKeyResponse>, Status> {
        let mut asked = request.into_inner();
        match &self.does {
            Does::Hang => std::future::pending().await,
            Does::WaitBefore(gate) => gate.pass().await,
            Does::Change(change) => change(&mut asked),
            Does::Replay => {
                if let Some((_, first)) = self.seen().into_iter().next() {
                    return Ok(Response::new(first));
                }
            }
            Does::Give(sealed_root_key) => {
                let sealed_root_key = sealed_root_key.clone();
                return Ok(Response::new(ShareRootKeyResponse { sealed_root_key, giver_name: "mallory".into() }));
            }
            Does::Listen | Does::WaitAfter(_) => {}
        }
        let answer = PeerServiceClient::new(self.to.clone()).share_root_key(asked.clone()).await?.into_inner();
        self.seen.lock().unwrap().push((asked, answer.clone()));
        if let Does::WaitAfter(gate) = &self.does {
            gate.pass().await;
        }
        Ok(Response::new(answer))
    }
}
