//! Real handshakes over real connections, with certificates of all kinds.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files;
mod handshakes;

use std::path::Path;
use std::time::Duration;

use coffre_test_support::certificates::{Authority, Placed, Wish};
use coffre_tls::{Accepted, Acceptor, Error, Files, InternalFiles, InternalTls, PublicTls, Service, TrustDomain};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A folder for each service.
struct Folders {
    folder: TempDir,
}

impl Folders {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn of(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Places what an authority vouches for, and loads it.
    fn service(&self, authority: &Authority, service: Service) -> InternalTls {
        let placed = authority.place(&self.of(service.as_str()), &Wish::service(service.as_str()));
        internal(&placed, service).unwrap()
    }
}

fn internal(placed: &Placed, own: Service) -> Result<InternalTls, Error> {
    let Placed { cert, key, ca } = placed.clone();
    InternalTls::load(InternalFiles { cert, key, ca, trust_domain: TrustDomain::default() }, own)
}

fn public(folder: &Path) -> Result<PublicTls, Error> {
    let Placed { cert, key, .. } = Placed::in_folder(folder);
    PublicTls::load(Files { cert, key })
}

/// Connects and lets both sides say something, which is where a refused client learns of it.
async fn meet(
    client: &InternalTls,
    wanted: Service,
    server: &InternalTls,
) -> (Result<(), String>, Result<Accepted, String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = server.acceptor();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut accepted = acceptor.accept(stream).await.map_err(|fault| fault.to_string())?;
        accepted.stream.write_all(b"x").await.map_err(|fault| fault.to_string())?;
        Ok(accepted)
    };
    let connecting = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = client.connect(wanted, stream).await.map_err(|fault| fault.to_string())?;
        stream.read_u8().await.map(|_| ()).map_err(|fault| fault.to_string())
    };
    tokio::join!(connecting, serving)
}

/// Says whether a connection without anything of TLS is ended by the other side.
async fn ends(acceptor: &Acceptor, said: &[u8]) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(said).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let refused = acceptor.accept(stream).await.is_err();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut rest)).await.is_ok();
    refused && ended
}
