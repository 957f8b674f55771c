//! Who may connect to whom.

use coffre_tls::Alpn;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use super::*;

#[tokio::test]
async fn two_services_meet_and_know_each_other() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let server = folders.service(&authority, Service::Vault);
    for caller in Service::ALL {
        let client = folders.service(&authority, caller);
        let (connected, accepted) = meet(&client, Service::Vault, &server).await;
        connected.unwrap();
        let identity = accepted.unwrap().identity.unwrap();
        assert_eq!(identity.uri(), format!("spiffe://coffre.internal/{caller}"));
    }
}

#[tokio::test]
async fn a_service_is_not_taken_for_another_one() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let (client, server) = (folders.service(&authority, Service::Locker), folders.service(&authority, Service::Audit));
    let (connected, accepted) = meet(&client, Service::Vault, &server).await;
    let said = connected.unwrap_err();
    assert!(said.contains("it is audit's, and vault's is asked for"), "{said}");
    assert!(accepted.is_err());
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused_on_both_sides() {
    let folders = Folders::new();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = folders.service(&ours, Service::Vault);
    // The stranger trusts us, we do not trust it.
    let stranger = theirs.place(&folders.of("stranger"), &Wish::service("gateway"));
    stranger.trust(&[&ours, &theirs]);
    let stranger = internal(&stranger, Service::Gateway).unwrap();
    let (connected, accepted) = meet(&stranger, Service::Vault, &server).await;
    assert!(accepted.unwrap_err().contains("UnknownIssuer"));
    assert!(connected.unwrap_err().contains("alert"), "it learns that it was refused");
    // And the other way round: nobody talks to a server of theirs.
    let client = folders.service(&ours, Service::Gateway);
    let impostor = theirs.place(&folders.of("impostor"), &Wish::service("vault"));
    impostor.trust(&[&ours, &theirs]);
    let (connected, accepted) = meet(&client, Service::Vault, &internal(&impostor, Service::Vault).unwrap()).await;
    assert!(connected.unwrap_err().contains("UnknownIssuer"));
    assert!(accepted.is_err());
}

/// Connects with what no service of ours would show.
async fn show(
    folders: &Folders,
    authority: &Authority,
    wish: Option<&Wish>,
    server: &InternalTls,
) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let roots = std::sync::Arc::new(roots);
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match wish {
        None => builder.with_no_client_auth(),
        Some(wish) => {
            let placed = authority.place(&folders.of("shown"), wish);
            let chain = CertificateDer::pem_file_iter(placed.cert).unwrap().map(Result::unwrap).collect();
            let key = rustls::pki_types::PrivateKeyDer::from_pem_file(placed.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = tokio::join!(
        async {
            let (stream, _) = listener.accept().await.unwrap();
            server.acceptor().accept(stream).await.map(drop)
        },
        async {
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
            let name = ServerName::try_from("vault.example.org").unwrap();
            let connected = connector.connect(name, stream).await;
            if let Ok(mut stream) = connected {
                let _ = stream.read_u8().await;
            }
        }
    );
    accepted.map_err(|fault| fault.to_string())
}

#[tokio::test]
async fn what_a_client_must_show_is_one_certificate_of_one_service_that_is_valid_now() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    // A name for clients that look at names, so that they get as far as showing something.
    let wish = Wish { names: vec!["vault.example.org".into()], ..Wish::service("vault") };
    let server = internal(&authority.place(&folders.of("vault"), &wish), Service::Vault).unwrap();
    let good = Wish::service("gateway");
    assert_eq!(show(&folders, &authority, Some(&good), &server).await, Ok(()), "the case itself works");
    let gateway = "spiffe://coffre.internal/gateway";
    for (wish, said) in [
        (None, "peer sent no certificates"),
        (Some(Wish { to_year: 2021, ..good.clone() }), "expired"),
        (Some(Wish { from_year: 2100, ..good.clone() }), "not valid yet"),
        (Some(Wish { client: false, ..good.clone() }), "extended key usage"),
        (Some(Wish::uris(&[gateway, "spiffe://coffre.internal/auth"])), "it names 2 identities"),
        (Some(Wish::uris(&[gateway, "https://example.org"])), "it names 2 identities"),
        (Some(Wish::uris(&[gateway, gateway])), "it names 2 identities"),
        (Some(Wish::uris(&[])), "it names 0 identities"),
        (Some(Wish::server(&["gateway"])), "extended key usage"),
        (
            Some(Wish::uris(&["spiffe://elsewhere.internal/gateway"])),
            "it names \"spiffe://elsewhere.internal/gateway\"",
        ),
        (Some(Wish::service("billing")), "\"billing\" is no service"),
    ] {
        let refused = show(&folders, &authority, wish.as_ref(), &server).await.unwrap_err();
        assert!(refused.contains(said), "{said}: {refused}");
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_hung_up_on() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let acceptor = folders.service(&authority, Service::Vault).acceptor();
    assert!(ends(&acceptor, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await);
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_and_holds_nobody_up() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    let server = folders.service(&authority, Service::Vault);
    let acceptor = server.acceptor().with_patience(Duration::from_millis(50));
    // Nothing; and the beginning of a handshake.
    for said in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0][..]] {
        assert!(ends(&acceptor, said).await, "{said:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = server.acceptor();
        tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
    }
    let (connected, _) = meet(&folders.service(&authority, Service::Gateway), Service::Vault, &server).await;
    connected.unwrap();
}

#[tokio::test]
async fn a_public_port_shows_its_certificate_and_asks_for_none() {
    let (folders, authority) = (Folders::new(), Authority::new("ours"));
    authority.place(&folders.of("public"), &Wish::server(&["vault.example.org"]));
    let tls = public(&folders.of("public")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    for (alpn, offered, agreed) in [
        (Alpn::Grpc, &["h2"][..], Some("h2")),
        (Alpn::Rest, &["http/1.1"][..], Some("http/1.1")),
        (Alpn::Rest, &["h2", "http/1.1"][..], Some("h2")),
        (Alpn::Grpc, &["http/1.1"][..], None),
    ] {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let (accepted, connected) = tokio::join!(
            async {
                let (stream, _) = listener.accept().await.unwrap();
                tls.acceptor(alpn).accept(stream).await
            },
            connector.connect(ServerName::try_from("vault.example.org").unwrap(), stream)
        );
        let found = connected.ok().map(|stream| stream.get_ref().1.alpn_protocol().unwrap().to_vec());
        assert_eq!(found.as_deref(), agreed.map(str::as_bytes), "{alpn:?} {offered:?}");
        assert_eq!(accepted.ok().map(|accepted| accepted.identity), agreed.map(|_| None));
    }
}
