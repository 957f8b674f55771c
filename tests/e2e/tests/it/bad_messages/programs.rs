//! Messages of programs that no generated client would send.

use coffre_e2e::api::Client;
use coffre_e2e::case::permission;
use coffre_proto::auth::v1::{
    ApiAccess, ClientAuthentication, ConfirmApiAccessRequest, CreateApiAccessRequest, CreateApiKeyRequest,
    DeleteApiAccessRequest, DeleteApiKeyRequest, GetApiAccessRequest, IntrospectTokenRequest,
    IssueTokenForPasswordRequest, IssueTokenForPasswordResponse, IssueTokenForRefreshTokenRequest, RevokeTokenRequest,
    RotateApiAccessSecretRequest, UpdateApiAccessRequest, WithdrawApiAccessConfirmationRequest,
};
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::{Bytes, on_each, refused, send};

/// The RPCs, and whether they ask for anything.
const PROGRAMS: [(&str, bool); 17] = [
    ("coffre.auth.v1.OAuthService/IssueTokenForPassword", true),
    ("coffre.auth.v1.OAuthService/IssueTokenForRefreshToken", true),
    ("coffre.auth.v1.OAuthService/IssueTokenForClient", true),
    ("coffre.auth.v1.OAuthService/RevokeToken", true),
    ("coffre.auth.v1.OAuthService/IntrospectToken", true),
    ("coffre.auth.v1.ApiAccessService/CreateApiAccess", true),
    ("coffre.auth.v1.ApiAccessService/GetApiAccess", true),
    ("coffre.auth.v1.ApiAccessService/ListApiAccesses", false),
    ("coffre.auth.v1.ApiAccessService/UpdateApiAccess", true),
    ("coffre.auth.v1.ApiAccessService/DeleteApiAccess", true),
    ("coffre.auth.v1.ApiAccessService/RotateApiAccessSecret", true),
    ("coffre.auth.v1.ApiAccessService/ConfirmApiAccess", true),
    ("coffre.auth.v1.ApiAccessService/WithdrawApiAccessConfirmation", true),
    ("coffre.auth.v1.ApiKeyService/CreateApiKey", true),
    ("coffre.auth.v1.ApiKeyService/ListApiKeys", false),
    ("coffre.auth.v1.ApiKeyService/DeleteApiKey", true),
    ("coffre.vault.v1.DashboardService/GetDashboard", false),
];

const RIGHTS: [i64; 3] = [permission::MANAGE_API_ACCESS, permission::CONNECT_TO_API, permission::GENERATE_API_KEY];

#[test]
fn bytes_that_are_no_message_of_a_program_are_refused() {
    on_each(async |case| {
        let caller = case.holder("garbler", &RIGHTS).await;
        for (rpc, asks) in PROGRAMS {
            for bytes in [&b"\xff\xff\xff\xff"[..], b"\x0a\x05ab", b"\x08"] {
                let refused = refused(&send(&caller, rpc, bytes.to_vec()).await.unwrap_err());
                assert_eq!((refused.status, refused.code.as_str()), (400, "request.malformed"), "{rpc} {bytes:?}");
            }
            let nothing = send(&caller, rpc, Bytes::new()).await;
            if asks {
                let refused = refused(&nothing.unwrap_err());
                assert!(matches!(refused.status, 400 | 401 | 404), "{rpc}: {refused:?}");
            } else {
                nothing.unwrap();
            }
        }
        assert!(caller.query_api_accesses(&Default::default()).await.outcome.is_ok());
        assert!(caller.list_api_keys().await.ok().is_empty());
    });
}

#[test]
fn odd_clients_and_tokens_are_refused() {
    on_each(async |case| {
        let admin = case.api_administrator().await;
        let (_, client) = case.access(&admin, "odd").await;
        let operator = case.basic("operator").await;
        let (username, password) = (operator.username.clone(), case.password_of(&operator));
        let nobody = case.anonymous();
        let oauth = |name: &str| format!("coffre.auth.v1.OAuthService/{name}");
        let ask = |client: Option<ClientAuthentication>, username: &str, password: &str| {
            let (username, password) = (username.to_owned(), password.to_owned());
            IssueTokenForPasswordRequest { client, username, password, scope: String::new() }.encode_to_vec()
        };
        let named = |id: &str, secret: &str, basic| {
            Some(ClientAuthentication { client_id: id.to_owned(), client_secret: secret.to_owned(), basic })
        };
        let rpc = oauth("IssueTokenForPassword");
        let own = || Some(client.proto());
        for (what, message, statuses) in [
            ("no client", ask(None, &username, &password), [400, 401]),
            ("no client id", ask(named("", &client.secret, false), &username, &password), [400, 401]),
            ("no secret", ask(named(&client.id, "", true), &username, &password), [401, 401]),
            ("NUL in the secret", ask(named(&client.id, "a\0b", false), &username, &password), [400, 401]),
            ("a long client id", ask(named(&"x".repeat(1025), "x", false), &username, &password), [400, 401]),
            ("a long secret", ask(named(&client.id, &"x".repeat(1025), false), &username, &password), [400, 401]),
            (
                "a form's encoding where none is",
                ask(named(&client.id.replace(' ', "+"), &client.secret, false), &username, &password),
                [401, 401],
            ),
            ("no user", ask(own(), "", &password), [400, 400]),
            ("a long user name", ask(own(), &"x".repeat(256), &password), [400, 400]),
            ("no password", ask(own(), &username, ""), [400, 400]),
            ("a long password", ask(own(), &username, &"x".repeat(1025)), [400, 400]),
            ("a mebibyte", ask(own(), &username, &"x".repeat(1024 * 1024)), [400, 413]),
        ] {
            let refused = refused(&send(&nobody, &rpc, message).await.unwrap_err());
            assert!(statuses.contains(&refused.status), "{what}: {refused:?}");
        }
        for token in [String::new(), "x".repeat(8193)] {
            let refresh =
                IssueTokenForRefreshTokenRequest { client: own(), refresh_token: token.clone(), scope: String::new() };
            let revoke = RevokeTokenRequest { client: own(), token: token.clone() };
            let introspect = IntrospectTokenRequest { client: own(), token };
            for (name, message) in [
                ("IssueTokenForRefreshToken", refresh.encode_to_vec()),
                ("RevokeToken", revoke.encode_to_vec()),
                ("IntrospectToken", introspect.encode_to_vec()),
            ] {
                let refused = refused(&send(&nobody, &oauth(name), message).await.unwrap_err());
                assert!(matches!(refused.status, 400), "{name}: {refused:?}");
            }
        }
        // What HTTP Basic may have encoded counts in both spellings where it says that it came so.
        let encoded = Client { id: client.id.replace(' ', "+"), ..client.clone() };
        let granted = send(&nobody, &rpc, ask(Some(encoded.proto()), &username, &password)).await.unwrap();
        let granted = IssueTokenForPasswordResponse::decode(granted).unwrap().grant.unwrap();
        operator.with_token(&granted.access_token).list_credentials(&Default::default()).await.ok();
    });
}

#[test]
fn odd_accesses_and_keys_are_refused() {
    on_each(async |case| {
        let caller = case.holder("odd", &RIGHTS).await;
        let (untouched, _) = case.access(&caller, "untouched").await;
        let access = |name: &str| format!("coffre.auth.v1.ApiAccessService/{name}");
        let etag = String::new;
        for id in [0, -1, i64::MIN, i64::MAX] {
            for (rpc, message) in [
                (access("GetApiAccess"), GetApiAccessRequest { id }.encode_to_vec()),
                (access("UpdateApiAccess"), UpdateApiAccessRequest { id, ..Default::default() }.encode_to_vec()),
                (access("DeleteApiAccess"), DeleteApiAccessRequest { id, etag: etag() }.encode_to_vec()),
                (
                    access("RotateApiAccessSecret"),
                    RotateApiAccessSecretRequest { id, ..Default::default() }.encode_to_vec(),
                ),
                (access("ConfirmApiAccess"), ConfirmApiAccessRequest { id, ..Default::default() }.encode_to_vec()),
                (access("WithdrawApiAccessConfirmation"), WithdrawApiAccessConfirmationRequest { id }.encode_to_vec()),
                ("coffre.auth.v1.ApiKeyService/DeleteApiKey".to_owned(), DeleteApiKeyRequest { id }.encode_to_vec()),
            ] {
                let refused = refused(&send(&caller, &rpc, message).await.unwrap_err());
                assert!(matches!(refused.status, 400 | 404), "{rpc} {id}: {refused:?}");
            }
        }
        let odd_lives = [
            Duration { seconds: 0, nanos: 0 },
            Duration { seconds: 90, nanos: 0 },
            Duration { seconds: 60, nanos: 1 },
            Duration { seconds: -60, nanos: 0 },
            Duration { seconds: i64::MAX, nanos: 0 },
            Duration { seconds: 60, nanos: -1 },
        ];
        for life in odd_lives {
            let message = CreateApiAccessRequest {
                client_id: case.unique("odd life"),
                access_token_life: Some(life),
                ..Default::default()
            };
            let answer = send(&caller, &access("CreateApiAccess"), message.encode_to_vec()).await;
            let refused = refused(&answer.unwrap_err());
            assert_eq!((refused.status, refused.code.as_str()), (400, "request.invalid"), "{life:?}");
        }
        for time in [0, -1, i64::MAX, i64::MIN] {
            let expire_time = Some(Timestamp { seconds: time, nanos: 0 });
            let message = CreateApiKeyRequest { name: case.unique("odd"), expire_time };
            let rpc = "coffre.auth.v1.ApiKeyService/CreateApiKey";
            let refused = refused(&send(&caller, rpc, message.encode_to_vec()).await.unwrap_err());
            assert_eq!((refused.status, refused.code.as_str()), (400, "request.invalid"), "{time}");
        }
        assert!(caller.list_api_keys().await.ok().is_empty());
        let message = GetApiAccessRequest { id: untouched.id }.encode_to_vec();
        let read = send(&caller, &access("GetApiAccess"), message).await.unwrap();
        let read = coffre_proto::auth::v1::GetApiAccessResponse::decode(read).unwrap().api_access;
        assert_eq!(read.map(|read: ApiAccess| read.version), Some(0), "a refusal changes nothing");
    });
}
