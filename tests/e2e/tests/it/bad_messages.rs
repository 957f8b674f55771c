//! Bad input over gRPC: messages that no generated client would send, and metadata that contradicts itself.

mod programs;

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use coffre_e2e::api::{Protocol, Session, refused};
use coffre_e2e::case::{Case, run};
use coffre_e2e::server::Engine;
use coffre_proto::query::v1::{Comparison, Filter, Junction, Query, filter::Condition};
use coffre_proto::vault::v1::{
    CreateCredentialRequest, DeleteCredentialRequest, GetCredentialRequest, ListCredentialsRequest, NewAttribute,
};
use prost::Message as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

/// Sends bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

pub(crate) async fn send(caller: &Session, rpc: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
    let mut request = Request::new(message.into());
    if let Some(token) = &caller.token {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    }
    let mut client = tonic::client::Grpc::new(caller.api.channel.clone());
    client.ready().await.unwrap();
    client.unary(request, format!("/{rpc}").parse().unwrap(), Raw).await.map(tonic::Response::into_inner)
}

const CREATE: &str = "coffre.vault.v1.CredentialService/CreateCredential";
const GET: &str = "coffre.vault.v1.CredentialService/GetCredential";
const LIST: &str = "coffre.vault.v1.CredentialService/ListCredentials";

fn on_each(case: impl AsyncFn(&Case<'_>)) {
    for engine in Engine::BOTH {
        run(engine, Protocol::Grpc, &case);
    }
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    on_each(async |case| {
        let owner = case.basic("garbler").await;
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x0a\x05ab", b"\x08", b"\x0a\x02\xff\xfe", b"{\"name\":\"x\"}"] {
            let status = send(&owner, CREATE, bytes.to_vec()).await.unwrap_err();
            let refused = refused(&status);
            assert_eq!((refused.status, refused.code.as_str()), (400, "request.malformed"), "{bytes:?}: {status:?}");
            assert!(!status.message().contains("prost") && !status.message().contains("protobuf error"), "{status:?}");
        }
        assert!(owner.list_credentials(&Default::default()).await.ok().is_empty());
    });
}

/// The RPCs about lockers, what is in them, and what users hold.
const SHARING: [&str; 18] = [
    "coffre.locker.v1.LockerService/CreateLocker",
    "coffre.locker.v1.LockerService/GetLocker",
    "coffre.locker.v1.LockerService/ListLockers",
    "coffre.locker.v1.LockerService/UpdateLocker",
    "coffre.locker.v1.LockerService/DeleteLocker",
    "coffre.locker.v1.LockerService/ListMembers",
    "coffre.locker.v1.LockerService/SetMember",
    "coffre.locker.v1.LockerService/RemoveMember",
    "coffre.locker.v1.LockerService/ListConsumers",
    "coffre.locker.v1.LockerService/AddConsumer",
    "coffre.locker.v1.LockerService/RemoveConsumer",
    "coffre.vault.v1.CredentialService/AssignCredential",
    "coffre.vault.v1.CredentialService/WithdrawCredential",
    "coffre.vault.v1.CredentialService/ListLockerCredentials",
    "coffre.vault.v1.CredentialService/ExplainAccess",
    "coffre.vault.v1.CredentialService/ListMissingValues",
    "coffre.auth.v1.UserService/ListUserHoldings",
    "coffre.auth.v1.UserService/TransferUserHoldings",
];

#[test]
fn bytes_that_are_no_message_about_lockers_are_refused() {
    on_each(async |case| {
        let owner = case.basic("garbler").await;
        for rpc in SHARING {
            for bytes in [&b"\xff\xff\xff\xff"[..], b"\x0a\x05ab", b"\x08", b"{\"name\":\"x\"}"] {
                let refused = refused(&send(&owner, rpc, bytes.to_vec()).await.unwrap_err());
                assert_eq!((refused.status, refused.code.as_str()), (400, "request.malformed"), "{rpc} {bytes:?}");
            }
            // Nothing at all: what is required is missing; only a list asks for nothing.
            let nothing = send(&owner, rpc, Bytes::new()).await;
            if rpc.ends_with("/ListLockers") {
                nothing.unwrap();
            } else {
                let refused = refused(&nothing.unwrap_err());
                assert!(matches!(refused.status, 400 | 404), "{rpc}: {refused:?}");
            }
        }
        assert!(owner.list_lockers(None).await.ok().is_empty());
    });
}

#[test]
fn odd_messages_about_lockers_are_refused() {
    use coffre_proto::auth::v1 as auth;
    use coffre_proto::locker::v1::{
        AddConsumerRequest, DeleteLockerRequest, GetLockerRequest, Member, SetMemberRequest, UpdateLockerRequest,
    };
    use coffre_proto::vault::v1::{
        AssignCredentialRequest, ExplainAccessRequest, ListLockerCredentialsRequest, WithdrawCredentialRequest,
    };
    on_each(async |case| {
        let owner = case.basic("odd").await;
        let it = crate::cases::lockers::locker(case, &owner, "untouched").await;
        let inside = crate::cases::contents::credential(case, &owner, "untouched").await;
        let locker = "coffre.locker.v1.LockerService";
        let credential = "coffre.vault.v1.CredentialService";
        for id in [0, -1, i64::MIN] {
            let etag = String::new;
            for (rpc, message) in [
                (format!("{locker}/GetLocker"), GetLockerRequest { id }.encode_to_vec()),
                (format!("{locker}/UpdateLocker"), UpdateLockerRequest { id, ..Default::default() }.encode_to_vec()),
                (format!("{locker}/DeleteLocker"), DeleteLockerRequest { id, etag: etag() }.encode_to_vec()),
                (format!("{locker}/AddConsumer"), AddConsumerRequest { locker_id: it.id, role_id: id }.encode_to_vec()),
                (
                    format!("{locker}/SetMember"),
                    SetMemberRequest { locker_id: it.id, member: Some(Member { user_id: id, permissions: vec![2] }) }
                        .encode_to_vec(),
                ),
                (
                    format!("{credential}/AssignCredential"),
                    AssignCredentialRequest { credential_id: inside.id, locker_id: id, etag: etag() }.encode_to_vec(),
                ),
                (
                    format!("{credential}/WithdrawCredential"),
                    WithdrawCredentialRequest { credential_id: id, locker_id: it.id, etag: etag() }.encode_to_vec(),
                ),
                (
                    format!("{credential}/ListLockerCredentials"),
                    ListLockerCredentialsRequest { locker_id: id, query: None }.encode_to_vec(),
                ),
                (
                    format!("{credential}/ExplainAccess"),
                    ExplainAccessRequest { credential_id: inside.id, user_id: Some(id) }.encode_to_vec(),
                ),
                (
                    "coffre.auth.v1.UserService/TransferUserHoldings".to_owned(),
                    auth::TransferUserHoldingsRequest { id: owner.id, recipient_id: id }.encode_to_vec(),
                ),
            ] {
                let refused = refused(&send(&owner, &rpc, message).await.unwrap_err());
                assert!(matches!(refused.status, 400 | 404), "{rpc} {id}: {refused:?}");
            }
        }
        let rpc = format!("{locker}/SetMember");
        for member in [None, Some(vec![]), Some(vec![0]), Some(vec![4]), Some(vec![-1]), Some(vec![2, 99])] {
            let member = member.map(|permissions| Member { user_id: owner.id, permissions });
            let message = SetMemberRequest { locker_id: it.id, member: member.clone() }.encode_to_vec();
            let refused = refused(&send(&owner, &rpc, message).await.unwrap_err());
            assert_eq!((refused.status, refused.code.as_str()), (400, "request.invalid"), "{member:?}");
        }
        assert_eq!(owner.get_locker(it.id).await.ok(), it, "a refusal changes nothing");
        assert_eq!(owner.get_credential(inside.id).await.ok(), inside, "a refusal changes nothing");
    });
}

#[test]
fn a_message_of_many_megabytes_is_refused() {
    on_each(async |case| {
        let owner = case.basic("sender").await;
        let request = CreateCredentialRequest { name: "x".repeat(8 * 1024 * 1024), ..Default::default() };
        let status = send(&owner, CREATE, request.encode_to_vec()).await.unwrap_err();
        let refused = refused(&status);
        assert_eq!((refused.status, refused.code.as_str()), (413, "request.too_large"), "{status:?}");
        owner.list_credentials(&Default::default()).await.ok();
    });
}

#[test]
fn odd_ids_are_refused() {
    on_each(async |case| {
        let owner = case.basic("odd").await;
        for id in [0, -1, i64::MIN] {
            for (rpc, message) in [
                (GET, GetCredentialRequest { id }.encode_to_vec()),
                (
                    "coffre.vault.v1.CredentialService/DeleteCredential",
                    DeleteCredentialRequest { id, etag: String::new() }.encode_to_vec(),
                ),
            ] {
                let refused = refused(&send(&owner, rpc, message).await.unwrap_err());
                assert!(matches!(refused.status, 400 | 404), "{rpc} {id}: {refused:?}");
            }
        }
    });
}

#[test]
fn odd_filters_are_refused() {
    on_each(async |case| {
        let owner = case.basic("odd").await;
        let comparison = |operator: i32| {
            Condition::Comparison(Comparison { operator, field: "name".to_owned(), value: "abc".to_owned() })
        };
        let nested = |levels: usize| {
            let mut filter = Filter { condition: Some(comparison(1)) };
            for _ in 0..levels {
                filter =
                    Filter { condition: Some(Condition::Junction(Junction { operator: 3, operands: vec![filter] })) };
            }
            filter
        };
        let wide = Junction { operator: 2, operands: (0..200).map(|_| nested(0)).collect() };
        for (what, filter) in [
            ("no operator", Filter { condition: Some(comparison(0)) }),
            ("an unknown operator", Filter { condition: Some(comparison(99)) }),
            (
                "no junction",
                Filter { condition: Some(Condition::Junction(Junction { operator: 0, operands: vec![nested(0)] })) },
            ),
            (
                "an unknown junction",
                Filter { condition: Some(Condition::Junction(Junction { operator: 9, operands: vec![nested(0)] })) },
            ),
            (
                "not of nothing",
                Filter { condition: Some(Condition::Junction(Junction { operator: 3, operands: vec![] })) },
            ),
            ("200 operands", Filter { condition: Some(Condition::Junction(wide)) }),
            ("20 levels", nested(20)),
            ("1000 levels", nested(1000)),
        ] {
            let query = Query { filter: Some(filter), ..Query::default() };
            let message = ListCredentialsRequest { query: Some(query), ..Default::default() };
            let status = send(&owner, LIST, message.encode_to_vec()).await.unwrap_err();
            assert_eq!(refused(&status).status, 400, "{what}: {status:?}");
        }
        for query in [
            Query { page_size: -1, ..Query::default() },
            Query { skip: -1, ..Query::default() },
            Query { page_size: i32::MAX, ..Query::default() },
            Query { page_token: "x".repeat(5000), ..Query::default() },
        ] {
            let message = ListCredentialsRequest { query: Some(query.clone()), ..Default::default() };
            let status = send(&owner, LIST, message.encode_to_vec()).await.unwrap_err();
            assert_eq!(refused(&status).status, 400, "{query:?}: {status:?}");
        }
    });
}

#[test]
fn two_tokens_are_one_too_many() {
    on_each(async |case| {
        let owner = case.basic("two tokens").await;
        let (token, other) = (owner.token.clone().unwrap(), case.admin.token.clone().unwrap());
        for tokens in [[&token, &token], [&token, &other]] {
            let mut request = Request::new(Bytes::new());
            for token in tokens {
                request
                    .metadata_mut()
                    .append("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
            }
            let mut client = tonic::client::Grpc::new(case.api.channel.clone());
            client.ready().await.unwrap();
            let status =
                client.unary::<_, Bytes, _>(request, format!("/{LIST}").parse().unwrap(), Raw).await.unwrap_err();
            assert_eq!(refused(&status).code, "auth.token_conflict", "{status:?}");
        }
        for odd in ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", &token] {
            let mut request = Request::new(Bytes::new());
            request.metadata_mut().insert("authorization", MetadataValue::try_from(odd).unwrap());
            let mut client = tonic::client::Grpc::new(case.api.channel.clone());
            client.ready().await.unwrap();
            let status =
                client.unary::<_, Bytes, _>(request, format!("/{LIST}").parse().unwrap(), Raw).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{odd}: {status:?}");
        }
        // The header of the old scripts belongs to REST.
        let mut request = Request::new(Bytes::new());
        request.metadata_mut().insert("x-authorization", MetadataValue::try_from(&*token).unwrap());
        let mut client = tonic::client::Grpc::new(case.api.channel.clone());
        client.ready().await.unwrap();
        let status = client.unary::<_, Bytes, _>(request, format!("/{LIST}").parse().unwrap(), Raw).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    });
}

#[test]
fn a_deadline_is_kept_and_a_client_that_leaves_does_no_harm() {
    on_each(async |case| {
        let owner = case.basic("hasty").await;
        for micros in [1, 100, 1000, 5000] {
            let attributes = vec![NewAttribute { name: "a".to_owned(), ..Default::default() }];
            let message = CreateCredentialRequest {
                name: case.unique(&format!("hasty {micros}")),
                description: None,
                attributes,
            };
            let mut request = Request::new(Bytes::from(message.encode_to_vec()));
            request.metadata_mut().insert(
                "authorization",
                MetadataValue::try_from(format!("Bearer {}", owner.token.as_ref().unwrap())).unwrap(),
            );
            request.set_timeout(Duration::from_micros(micros));
            let mut client = tonic::client::Grpc::new(case.api.channel.clone());
            client.ready().await.unwrap();
            let call = client.unary::<_, Bytes, _>(request, format!("/{CREATE}").parse().unwrap(), Raw);
            if let Ok(Err(status)) = tokio::time::timeout(Duration::from_secs(20), call).await {
                assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
            }
        }
        owner.list_credentials(&Default::default()).await.ok();
    });
}
