//! The public gRPC port: reflection, health, and what is not there (contract, section 7; security.md 4).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, Protocol, Session};
use coffre_e2e::case::{Case, run, run_apart};
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::server::{Engine, Home, Server};
use coffre_proto::{DESCRIPTORS, PUBLIC_DESCRIPTORS};
use prost_reflect::DescriptorPool;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect_lazy()
}

macro_rules! listed_by {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let mut client = ServerReflectionClient::new($channel);
        let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let asked = vec![
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("coffre.vault.v1.CredentialService".to_owned())),
            ask(MessageRequest::FileContainingSymbol("coffre.auth.internal.v1.CallerService".to_owned())),
            ask(MessageRequest::FileByFilename("coffre/auth/internal/v1/caller_service.proto".to_owned())),
        ];
        let mut answers = client.server_reflection_info(futures_util::stream::iter(asked)).await.unwrap().into_inner();
        let mut next = async || answers.message().await.ok().flatten().and_then(|answer| answer.message_response);
        let services: BTreeSet<String> = match next().await {
            Some(MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|service| service.name).collect()
            }
            other => panic!("no list: {other:?}"),
        };
        assert!(
            matches!(next().await, Some(MessageResponse::FileDescriptorResponse(_))),
            "a public service is described"
        );
        for _ in 0..2 {
            // A refusal may also end the stream.
            assert!(
                !matches!(next().await, Some(MessageResponse::FileDescriptorResponse(_))),
                "an internal service is described"
            );
        }
        services
    }};
}

#[test]
fn reflection_shows_the_public_services_alone() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let server = Server::shared(engine);
            let pool = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
            let expected: BTreeSet<String> = pool.services().map(|one| one.full_name().to_owned()).collect();
            assert!(expected.contains("coffre.locker.v1.LockerService"), "{expected:?}");
            for services in [listed_by!(v1, channel(server)), listed_by!(v1alpha, channel(server))] {
                let ours: BTreeSet<String> = services.into_iter().filter(|name| name.starts_with("coffre.")).collect();
                assert_eq!(ours, expected);
            }
        });
    }
}

#[test]
fn reflection_is_off_in_serve_unless_switched_on() {
    run_apart(Engine::Postgres, async |engine| {
        let server = Home::new(engine).with("COFFRE_REFLECTION", "").start();
        use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
        let mut client = ServerReflectionClient::new(channel(&server));
        let refused = client.server_reflection_info(futures_util::stream::iter(Vec::new())).await;
        assert_eq!(refused.err().map(|status| status.code()), Some(Code::Unimplemented));
    });
}

#[test]
fn health_is_told_for_every_service() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let mut client = HealthClient::new(channel(Server::shared(engine)));
            let pool = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
            let services = pool.services().map(|one| one.full_name().to_owned());
            for service in services.chain([String::new()]) {
                let answer = client.check(HealthCheckRequest { service: service.clone() }).await.unwrap().into_inner();
                assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
            }
            let unknown = client.check(HealthCheckRequest { service: "coffre.unknown.v1.Service".to_owned() }).await;
            assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
        });
    }
}

#[test]
fn internal_services_are_not_on_the_public_port() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Grpc, async |case: &Case<'_>| {
            let all = DescriptorPool::decode(DESCRIPTORS).unwrap();
            let public = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
            let hidden: Vec<String> = all
                .services()
                .filter(|service| public.get_service_by_name(service.full_name()).is_none())
                .flat_map(|service| {
                    service
                        .methods()
                        .map(|method| format!("{}/{}", service.full_name(), method.name()))
                        .collect::<Vec<_>>()
                })
                .collect();
            assert!(hidden.len() >= 3, "the internal services are known: {hidden:?}");
            for rpc in hidden.iter().map(String::as_str).chain([
                "coffre.vault.v1.CredentialService/Nothing",
                "coffre.vault.v1.Nothing/Nothing",
                "x/y",
            ]) {
                for caller in [&case.anonymous(), &case.admin] {
                    let status = caller.unary::<(), ()>(rpc, Request::new(())).await.unwrap_err();
                    assert_eq!(status.code(), Code::Unimplemented, "{rpc}: {status:?}");
                }
            }
        });
    }
}

#[test]
fn what_a_caller_says_about_its_address_and_source_is_not_believed() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Grpc, async |case: &Case<'_>| {
            let owner = case.basic("spoofer").await;
            let id = format!("spoof-{}", uuid::Uuid::new_v4());
            let mut request = Request::new(coffre_proto::vault::v1::ListCredentialsRequest::default());
            for (key, value) in [
                ("x-request-id", id.as_str()),
                ("x-coffre-source", "System"),
                ("x-coffre-client-address", "203.0.113.9"),
                ("x-coffre-user", "1"),
                ("x-coffre-caller", "1"),
                ("x-forwarded-for", "203.0.113.9"),
            ] {
                request.metadata_mut().insert(key, MetadataValue::try_from(value).unwrap());
            }
            let _: coffre_proto::vault::v1::ListCredentialsResponse =
                owner.unary("coffre.vault.v1.CredentialService/ListCredentials", request).await.unwrap();
            let entry = raw_entry(&case.admin, &id).await;
            assert_eq!(entry.source(), coffre_proto::audit::v1::Source::Grpc);
            assert_ne!(entry.client_address, "203.0.113.9");
            assert!(entry.client_address.starts_with("127."), "{}", entry.client_address);
            assert_eq!(entry.actor.unwrap().user_id, owner.id);
        });
    }
}

#[test]
fn a_forwarded_address_counts_only_from_a_proxy_that_is_trusted() {
    run(Engine::Sqlite, Protocol::Rest, async |case: &Case<'_>| {
        let id = format!("forwarded-{}", uuid::Uuid::new_v4());
        let request = case.api.http.get("/v2/credentialvault/credentials").token(case.admin.token.as_deref().unwrap());
        request
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-coffre-source", "System")
            .header("x-request-id", &id)
            .send()
            .await
            .is(200);
        let grpc = Session { api: Api::new(case.server, Protocol::Grpc), ..case.admin.clone() };
        let entry = raw_entry(&grpc, &id).await;
        assert!(entry.client_address.starts_with("127."), "{}", entry.client_address);
        assert_eq!(entry.source(), coffre_proto::audit::v1::Source::Api);
    });
}

/// The event of a call, with all its fields, waiting for its arrival.
async fn raw_entry(reader: &Session, request_id: &str) -> coffre_proto::audit::v1::Event {
    let query = Query::filter(Filter::new("requestId", "eq", request_id)).proto();
    let begun = Instant::now();
    loop {
        let message = coffre_proto::audit::v1::ListEntriesRequest { query: Some(query.clone()) };
        let answer: coffre_proto::audit::v1::ListEntriesResponse =
            reader.unary("coffre.audit.v1.AuditService/ListEntries", Request::new(message)).await.unwrap();
        if let Some(entry) = answer.entries.into_iter().next() {
            return entry.event.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no entry");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
