//! The certificate of public ports.

use std::fmt;
use std::sync::Arc;

use coffre_types::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::ResolvesServerCert;
use rustls::sign::SingleCertAndKey;
use tokio_util::sync::CancellationToken;

use crate::files::{Mark, Read};
use crate::material::{expires, pair, provider};
use crate::watch::{Kept, Material};
use crate::{Acceptor, Error, Files};

/// What is spoken on a public port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alpn {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/2 and HTTP/1.1.
    Rest,
}

/// The certificate of public ports. Clones share it.
#[derive(Clone)]
pub struct PublicTls(Arc<Kept<Made>>);

struct Made {
    mark: Mark,
    grpc: Arc<ServerConfig>,
    rest: Arc<ServerConfig>,
    expires: Timestamp,
}

impl Material for Made {
    type From = Files;

    const NAME: &'static str = "public";

    fn read(from: &Files) -> Result<Read, Error> {
        Read::pair(&from.cert, &from.key)
    }

    fn make(from: &Files, read: Read, now: UnixTime) -> Result<Self, Error> {
        let provider = provider();
        let expires = expires(read.certificates.first());
        let pair = pair(read.certificates, read.key, (&from.cert, &from.key), &provider, now)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(pair));
        let config = |protocols: &[&[u8]]| {
            let mut config = ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|fault| Error::Unusable { path: from.cert.clone(), why: fault.to_string() })?
                .with_no_client_auth()
                .with_cert_resolver(resolver.clone());
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Self { mark: read.mark, grpc: config(&[b"h2"])?, rest: config(&[b"h2", b"http/1.1"])?, expires })
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl PublicTls {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// Where they cannot be used: they are away, or open to others, or no pair, or their time is over.
    pub fn load(files: Files) -> Result<Self, Error> {
        Kept::load(files).map(Self)
    }

    /// Looks at the files again until `stop`, and takes what was exchanged.
    pub async fn watch(self, stop: CancellationToken) {
        self.0.watch(stop).await;
    }

    /// Looks at the files now, and says whether something else was taken.
    pub fn look(&self) -> bool {
        self.0.look()
    }

    /// Returns when the certificate ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.now().expires
    }

    /// Returns what takes connections.
    #[must_use]
    pub fn acceptor(&self, alpn: Alpn) -> Acceptor {
        Acceptor::public(self.clone(), alpn)
    }

    pub(crate) fn config(&self, alpn: Alpn) -> Arc<ServerConfig> {
        let made = self.0.now();
        match alpn {
            Alpn::Grpc => made.grpc.clone(),
            Alpn::Rest => made.rest.clone(),
        }
    }
}

/// Without what was read.
impl fmt::Debug for PublicTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicTls").field("files", self.0.from()).finish_non_exhaustive()
    }
}
