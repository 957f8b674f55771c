//! The certificate of a service, and the authorities whose certificates it takes.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use coffre_types::Timestamp;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error as TlsError, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::files::{Mark, Read};
use crate::material::{expires, pair, provider, roots};
use crate::verify::{Callers, Wanted, in_words};
use crate::watch::{Kept, Material};
use crate::{Acceptor, Error, Identity, InternalFiles, Service, TrustDomain};

/// How long the other side may take to show who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The certificate of a service, and the authorities whose certificates it takes. Clones share them.
#[derive(Clone)]
pub struct InternalTls(Arc<Kept<Made>>);

struct Source {
    files: InternalFiles,
    own: Service,
}

struct Made {
    mark: Mark,
    server: Arc<ServerConfig>,
    clients: BTreeMap<Service, Arc<ClientConfig>>,
    expires: Timestamp,
}

impl Material for Made {
    type From = Source;

    const NAME: &'static str = "internal";

    fn read(from: &Source) -> Result<Read, Error> {
        Read::with_authorities(&from.files)
    }

    fn make(from: &Source, read: Read, now: UnixTime) -> Result<Self, Error> {
        let (files, provider) = (&from.files, provider());
        let unusable = |fault: TlsError| Error::Unusable { path: files.cert.clone(), why: fault.to_string() };
        let expires = expires(read.certificates.first().into_iter().chain(&read.authorities));
        let pair = pair(read.certificates, read.key, (&files.cert, &files.key), &provider, now)?;
        let roots = roots(read.authorities, &files.ca)?;
        let chain = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|fault| Error::Unusable { path: files.ca.clone(), why: fault.to_string() })?;
        let callers = Callers { chain, trust_domain: files.trust_domain.clone() };
        let wanted = |service| Wanted {
            roots: roots.clone(),
            algorithms: provider.signature_verification_algorithms,
            trust_domain: files.trust_domain.clone(),
            service,
        };
        check(&pair.cert, from, &callers, &wanted(from.own), now)?;

        let certificate = Arc::new(SingleCertAndKey::from(pair));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::new(callers))
            .with_cert_resolver(certificate.clone());
        server.alpn_protocols = vec![b"h2".to_vec()];
        // Every connection is checked anew: one that is taken up again would bring an old certificate along.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut clients = BTreeMap::new();
        for service in Service::ALL {
            let mut client = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])
                .map_err(unusable)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(wanted(service)))
                .with_client_cert_resolver(certificate.clone());
            client.alpn_protocols = vec![b"h2".to_vec()];
            client.resumption = Resumption::disabled();
            client.enable_sni = false;
            clients.insert(service, Arc::new(client));
        }
        Ok(Self { mark: read.mark, server: Arc::new(server), clients, expires })
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Looks at the own certificate as the others will.
fn check(
    chain: &[CertificateDer<'static>],
    from: &Source,
    callers: &Callers,
    servers: &Wanted,
    now: UnixTime,
) -> Result<(), Error> {
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::server::danger::ClientCertVerifier as _;

    let files = &from.files;
    let (own, intermediates) = chain.split_first().ok_or_else(|| Error::NoCertificate { path: files.cert.clone() })?;
    Identity::of(own, &files.trust_domain)
        .and_then(|identity| identity.is(from.own))
        .map_err(|why| Error::Identity { path: files.cert.clone(), why })?;
    let nobody = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    let as_server = servers.verify_server_cert(own, intermediates, &nobody, &[], now).map(|_| ());
    let as_client = callers.verify_client_cert(own, intermediates, now).map(|_| ());
    as_server.and(as_client).map_err(|fault| Error::NotVouchedFor {
        cert: files.cert.clone(),
        ca: files.ca.clone(),
        why: fault.to_string(),
    })
}

impl InternalTls {
    /// Reads and checks the files of a service.
    ///
    /// # Errors
    /// Where they cannot be used: they are away, or open to others, or no pair, or their time is over, or they are somebody else's.
    pub fn load(files: InternalFiles, own: Service) -> Result<Self, Error> {
        Kept::load(Source { files, own }).map(Self)
    }

    /// Looks at the files again until `stop`, and takes what was exchanged.
    pub async fn watch(self, stop: CancellationToken) {
        self.0.watch(stop).await;
    }

    /// Looks at the files now, and says whether something else was taken.
    pub fn look(&self) -> bool {
        self.0.look()
    }

    /// Returns whose they are.
    #[must_use]
    pub fn own(&self) -> Service {
        self.0.from().own
    }

    /// Returns when the certificate ends, or the first of the authorities before it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.now().expires
    }

    /// Tells when something else was taken: connections of before are to be given up.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }

    /// Returns what takes connections.
    #[must_use]
    pub fn acceptor(&self) -> Acceptor {
        Acceptor::internal(self.clone())
    }

    /// Makes a connection to a service, and to nobody else.
    ///
    /// # Errors
    /// Where the other side is not that service, or does not take us, or says nothing for ten seconds.
    pub async fn connect(&self, wanted: Service, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let made = self.0.now();
        let config = made.clients.get(&wanted).ok_or(io::ErrorKind::NotFound)?.clone();
        let peer = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        let connecting = TlsConnector::from(config).connect(peer, stream);
        let connected = tokio::time::timeout(HANDSHAKE, connecting).await?.map_err(in_words)?;
        if connected.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the other side does not speak HTTP/2"));
        }
        Ok(connected)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.0.now().server.clone()
    }

    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.0.from().files.trust_domain
    }
}

/// Without what was read.
impl fmt::Debug for InternalTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.0.from();
        f.debug_struct("InternalTls").field("own", &from.own).field("files", &from.files).finish_non_exhaustive()
    }
}
