//! The two ports of a service, over real connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coffre_channel::{Channel, Members, Target};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Source;
use coffre_proto::auth::internal::v1::caller_service_client::CallerServiceClient;
use coffre_proto::auth::internal::v1::{LookUpUserRequest, ResolveCallerRequest, WatchChangesRequest};
use coffre_proto::auth::v1::ListApiKeysRequest;
use coffre_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use coffre_rpc::Service;
use coffre_test_support::certificates::{Authority, Placed, Wish};
use coffre_tls::{Files, InternalFiles, InternalTls, PublicTls, TrustDomain};
use coffre_types::Permission;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use super::world::World;

/// A service with ports, and others that call it.
struct Net {
    world: World,
    authority: Authority,
    folder: TempDir,
    stop: CancellationToken,
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Net {
    async fn start() -> Self {
        Self {
            world: World::start(&[Permission::ManageSettings]).await,
            authority: Authority::new("ours"),
            folder: tempfile::tempdir().unwrap(),
            stop: CancellationToken::new(),
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificates in a folder of that name.
    fn tls(&self, name: &str, service: Service) -> InternalTls {
        let Placed { cert, key, ca } = self.authority.place(&self.folder(name), &Wish::service(service.as_str()));
        InternalTls::load(InternalFiles { cert, key, ca, trust_domain: TrustDomain::default() }, service).unwrap()
    }

    /// Opens the internal port on an address of its own.
    async fn internal(&self, host: &str, tls: InternalTls) -> SocketAddr {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(self.world.internal(tls).serve(listener, self.stop.clone()));
        address
    }

    async fn public(&self, tls: Option<PublicTls>, connections: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(self.world.front(tls, connections).serve(listener, self.stop.clone()));
        address
    }

    fn members(&self, addresses: &[SocketAddr], tls: InternalTls) -> Members {
        let text = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Members::follow(Target::parse(Service::Auth, &text).unwrap(), tls, self.stop.clone())
    }

    fn as_service(&self, caller: Service, address: SocketAddr) -> Channel {
        self.members(&[address], self.tls(caller.as_str(), caller)).channel()
    }
}

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).reason()
}

#[tokio::test]
async fn an_internal_call_is_for_those_whom_its_row_names() {
    let net = Net::start().await;
    let address = net.internal("127.0.0.1", net.tls("own", Service::Auth)).await;
    for caller in Service::ALL {
        let mut client = CallerServiceClient::new(net.as_service(caller, address));
        let resolved = client.resolve_caller(ResolveCallerRequest { user_id: 7, ..Default::default() }).await;
        let watched = client.watch_changes(WatchChangesRequest {}).await;
        for (outcome, may) in [
            (resolved.map(drop), matches!(caller, Service::Vault | Service::Locker)),
            (watched.map(drop), caller == Service::Vault),
        ] {
            match outcome {
                Ok(()) => assert!(may, "{caller}"),
                Err(status) => {
                    assert!(!may, "{caller}: {status:?}");
                    assert_eq!(
                        (status.code(), reason(&status)),
                        (Code::PermissionDenied, Reason::AuthzPermissionRequired)
                    );
                    assert!(status.message().contains(&format!("the service {caller} may not call")), "{status:?}");
                }
            }
        }
        let refused = if caller == Service::Vault {
            0
        } else if caller == Service::Locker {
            1
        } else {
            2
        };
        assert_eq!(net.world.counted_of("coffre_internal_refused_total", "caller", caller.as_str()), refused);
        // It has a handler, and no row.
        let status = client.look_up_user(LookUpUserRequest { user_id: 7 }).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, "no such call"), "{caller}");
    }
    let rpc = "coffre.auth.internal.v1.CallerService/ResolveCaller";
    assert_eq!(net.world.counted_of("coffre_internal_calls_total", "rpc", rpc), 2, "those of vault and of locker");
}

#[tokio::test]
async fn the_gateway_alone_reaches_public_calls_here_and_is_believed_about_its_client() {
    let net = Net::start().await;
    let address = net.internal("127.0.0.1", net.tls("own", Service::Auth)).await;
    for caller in Service::ALL {
        let mut client = ApiKeyServiceClient::new(net.as_service(caller, address));
        let outcome = client.list_api_keys(net.world.request(ListApiKeysRequest {})).await;
        match (outcome, caller) {
            (Ok(_), Service::Gateway) => {}
            (Err(status), _) => assert_eq!(status.code(), Code::PermissionDenied, "{caller}: {status:?}"),
            (Ok(_), _) => panic!("{caller} got an answer"),
        }
    }
    let events = net.world.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].source(), events[0].client_address.as_str()), (Source::Api, "203.0.113.9"));
    assert_eq!(events[0].request_id, "request-1");
}

#[tokio::test]
async fn the_public_port_knows_no_internal_call_and_believes_nobody() {
    let net = Net::start().await;
    let channel = Channel::connect(format!("http://{}", net.public(None, 16).await)).unwrap();
    let status = CallerServiceClient::new(channel.clone()).resolve_caller(ResolveCallerRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
    ApiKeyServiceClient::new(channel).list_api_keys(net.world.request(ListApiKeysRequest {})).await.unwrap();
    let events = net.world.events();
    assert_eq!((events[0].source(), events[0].client_address.as_str()), (Source::Grpc, "127.0.0.1"));
}

#[tokio::test]
async fn the_public_port_shows_its_certificate() {
    let net = Net::start().await;
    let Placed { cert, key, .. } = net.authority.place(&net.folder("public"), &Wish::server(&["localhost"]));
    let tls = PublicTls::load(Files { cert, key }).unwrap();
    let address = net.public(Some(tls), 16).await;
    let endpoint = |authority: &Authority| {
        let tls = tonic::transport::ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(authority.pem()))
            .domain_name("localhost");
        let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    };
    let mut client = ApiKeyServiceClient::new(endpoint(&net.authority));
    client.list_api_keys(net.world.request(ListApiKeysRequest {})).await.unwrap();
    assert_eq!(net.world.events()[0].client_address, "127.0.0.1");
    let mut client = ApiKeyServiceClient::new(endpoint(&Authority::new("theirs")));
    assert!(client.list_api_keys(net.world.request(ListApiKeysRequest {})).await.is_err());
    let plain = Channel::connect(format!("http://{address}")).unwrap();
    assert!(ApiKeyServiceClient::new(plain).list_api_keys(net.world.request(ListApiKeysRequest {})).await.is_err());
    assert_eq!(net.world.events().len(), 1);
}

#[tokio::test]
async fn nothing_internal_is_answered_without_a_certificate() {
    let net = Net::start().await;
    let address = net.internal("127.0.0.1", net.tls("own", Service::Auth)).await;
    let plain = Channel::connect(format!("http://{address}")).unwrap();
    assert!(CallerServiceClient::new(plain).resolve_caller(ResolveCallerRequest::default()).await.is_err());
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(net.authority.pem()))
        .domain_name("vault.example.org");
    net.authority.place(&net.folder("own"), &Wish { names: vec!["vault.example.org".into()], ..Wish::service("auth") });
    let named = net.internal("127.0.0.1", reload(&net, "own", Service::Auth)).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{named}")).unwrap();
    let mut client = CallerServiceClient::new(endpoint.tls_config(tls).unwrap().connect_lazy());
    assert!(client.resolve_caller(ResolveCallerRequest::default()).await.is_err());
    assert_eq!(net.world.asked(), 0);
}

fn reload(net: &Net, name: &str, service: Service) -> InternalTls {
    let Placed { cert, key, ca } = Placed::in_folder(&net.folder(name));
    InternalTls::load(InternalFiles { cert, key, ca, trust_domain: TrustDomain::default() }, service).unwrap()
}

#[tokio::test]
async fn an_internal_call_ends_at_its_deadline() {
    let net = Net::start().await;
    let address = net.internal("127.0.0.1", net.tls("own", Service::Auth)).await;
    net.world.forget_callers();
    let mut client = CallerServiceClient::new(net.as_service(Service::Vault, address));
    let mut request = Request::new(ResolveCallerRequest::default());
    request.set_timeout(Duration::from_millis(50));
    assert_eq!(reason(&client.resolve_caller(request).await.unwrap_err()), Reason::RequestTimeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_authorities_are_exchanged_under_load_and_no_call_fails() {
    let net = Net::start().await;
    let names = ["one", "two", "gateway"];
    let old = &net.authority;
    let new = Authority::new("new");
    let tls = [
        net.tls("one", Service::Auth),
        net.tls("two", Service::Auth),
        net.tls("gateway", Service::Gateway),
        net.tls("late", Service::Vault),
    ];
    let addresses = [net.internal("127.0.0.2", tls[0].clone()).await, net.internal("127.0.0.3", tls[1].clone()).await];
    let channel = net.members(&addresses, tls[2].clone()).channel();
    // It has a connection of before, and will not have its certificate exchanged.
    let late = net.members(&addresses, tls[3].clone());
    let ask_late = || async {
        let request = ResolveCallerRequest { user_id: 7, ..Default::default() };
        CallerServiceClient::new(late.channel()).resolve_caller(request).await
    };
    ask_late().await.unwrap();

    let over = CancellationToken::new();
    let load: Vec<_> = (0..8)
        .map(|_| {
            let mut client = ApiKeyServiceClient::new(channel.clone());
            let (over, request) = (over.clone(), net.world.request(ListApiKeysRequest {}));
            let metadata = request.metadata().clone();
            tokio::spawn(async move {
                let mut done = 0_usize;
                while !over.is_cancelled() {
                    let mut request = Request::new(ListApiKeysRequest {});
                    *request.metadata_mut() = metadata.clone();
                    client.list_api_keys(request).await.unwrap_or_else(|status| panic!("after {done}: {status:?}"));
                    done += 1;
                }
                done
            })
        })
        .collect();
    let wait = || async {
        let before = net.world.counted("Ok");
        while net.world.counted("Ok") < before + 40 {
            tokio::task::yield_now().await;
        }
    };
    let trust = |name: &str, all: &[&Authority]| Placed::in_folder(&net.folder(name)).trust(all);
    let look = |index: usize| assert!(tls[index].look(), "{index}");
    wait().await;
    // A new pair of the same authority, everywhere.
    for (index, name) in names.into_iter().enumerate() {
        old.place(&net.folder(name), &Wish::service(tls[index].own().as_str()));
        look(index);
        wait().await;
    }
    // The new authority is trusted, then used, and then the old one is not trusted any more.
    for (index, name) in names.into_iter().chain(["late"]).enumerate() {
        trust(name, &[old, &new]);
        look(index);
        wait().await;
    }
    ask_late().await.unwrap();
    for (index, name) in names.into_iter().enumerate() {
        new.place(&net.folder(name), &Wish::service(tls[index].own().as_str()));
        trust(name, &[old, &new]);
        look(index);
        wait().await;
    }
    ask_late().await.unwrap();
    for (index, name) in names.into_iter().enumerate() {
        trust(name, &[&new]);
        look(index);
        wait().await;
    }
    over.cancel();
    let mut done = 0;
    for load in load {
        done += load.await.unwrap();
    }
    assert!(done >= 400, "{done}");
    // What the old authority vouched for is out, connections of before included.
    while ask_late().await.is_ok() {}
    assert!(
        matches!(late.reach(), coffre_channel::Reach::OutOfReach(why) if why.contains("UnknownIssuer") || why.contains("alert"))
    );
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_for_a_place() {
    let net = Net::start().await;
    let address = net.public(None, 2).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    // So that both have their places before the third one comes.
    first.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert!(first.read_u8().await.is_ok());
    while net.world.gauge("coffre_connections") < 2 {
        tokio::task::yield_now().await;
    }
    let mut client = ApiKeyServiceClient::new(Channel::connect(format!("http://{address}")).unwrap());
    let request = net.world.request(ListApiKeysRequest {});
    let mut calling = tokio::spawn(async move { client.list_api_keys(request).await });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut calling).await;
    assert!(early.is_err(), "there was a place");
    drop(first);
    calling.await.unwrap().unwrap();
}
