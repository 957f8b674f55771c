//! Taking connections: who says nothing is dropped, and who makes work gets a bounded share of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::verify::in_words;
use crate::{Alpn, Identity, InternalTls, PublicTls};

/// How long a handshake may take from the first byte on.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take once the other side has said what it wants, and holds a place.
const WITH_A_PLACE: Duration = Duration::from_secs(5);
/// Handshakes that are worked on at once.
const AT_ONCE: usize = 512;

/// Takes connections of a port. Clones share its bounds.
#[derive(Clone, Debug)]
pub struct Acceptor {
    of: Of,
    places: Arc<Semaphore>,
    patience: Duration,
}

#[derive(Clone, Debug)]
enum Of {
    Public(PublicTls, Alpn),
    Internal(InternalTls),
}

/// A connection that was taken.
#[derive(Debug)]
pub struct Accepted {
    /// What is said on it.
    pub stream: TlsStream<TcpStream>,
    /// Which service is at the other end; nobody on public ports.
    pub identity: Option<Identity>,
}

impl Acceptor {
    pub(crate) fn public(tls: PublicTls, alpn: Alpn) -> Self {
        Self::new(Of::Public(tls, alpn))
    }

    pub(crate) fn internal(tls: InternalTls) -> Self {
        Self::new(Of::Internal(tls))
    }

    fn new(of: Of) -> Self {
        Self { of, places: Arc::new(Semaphore::new(AT_ONCE)), patience: PATIENCE }
    }

    /// Gives handshakes another time than ten seconds.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// Where the other side is nobody we take connections from, or does not get there in time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let until = Instant::now() + self.patience;
        // Whoever says nothing takes no place from others.
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let hello = timeout_at(until, hello).await??;
        let _place = timeout_at(until, self.places.acquire()).await?.map_err(io::Error::other)?;
        let until = until.min(Instant::now() + WITH_A_PLACE);
        let stream = timeout_at(until, hello.into_stream(self.config())).await?.map_err(in_words)?;
        let identity = match &self.of {
            Of::Public(..) => None,
            Of::Internal(tls) => Some(identity(&stream, tls)?),
        };
        Ok(Accepted { stream, identity })
    }

    fn config(&self) -> Arc<ServerConfig> {
        match &self.of {
            Of::Public(tls, alpn) => tls.config(*alpn),
            Of::Internal(tls) => tls.config(),
        }
    }
}

/// Reads who is there: the handshake has checked it.
fn identity(stream: &TlsStream<TcpStream>, tls: &InternalTls) -> io::Result<Identity> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let shown = shown.ok_or_else(|| io::Error::other("the other side showed no certificate"))?;
    Identity::of(shown, tls.trust_domain()).map_err(io::Error::other)
}
