//! Every RPC of the contract has its row, and a test for each kind of caller.

use coffre_auth::RPCS;
use coffre_proto::query::v1::Query;
use coffre_rpc::Access;
use coffre_test_support::TestDb;
use coffre_types::Permission;
use http::Request;
use http_body_util::BodyExt as _;
use prost_reflect::DescriptorPool;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::world::{ADMIN_ROLE, BASIC_ROLE, World};

/// The kinds of caller, in the columns of [`EXPECTED`].
const KINDS: [&str; 5] = ["nobody", "no role", "AAE_Basic", "manager of users", "AAE_Admin"];

/// Who gets through the door: `y`, `n`, in the order of [`KINDS`].
const EXPECTED: [(&str, &str); 35] = [
    ("AuthenticationService/SignIn", "yyyyy"),
    ("AuthenticationService/ValidateToken", "yyyyy"),
    ("AuthenticationService/RefreshToken", "yyyyy"),
    ("AuthenticationService/SignOut", "yyyyy"),
    ("AuthenticationService/ChangePassword", "nyyyy"),
    ("AuthenticationService/GetJsonWebKeySet", "yyyyy"),
    ("OAuthService/IssueTokenForPassword", "yyyyy"),
    ("OAuthService/IssueTokenForRefreshToken", "yyyyy"),
    ("OAuthService/IssueTokenForClient", "yyyyy"),
    ("OAuthService/RevokeToken", "yyyyy"),
    ("OAuthService/IntrospectToken", "yyyyy"),
    ("ApiAccessService/CreateApiAccess", "nnnny"),
    ("ApiAccessService/GetApiAccess", "nyyyy"),
    ("ApiAccessService/ListApiAccesses", "nyyyy"),
    ("ApiAccessService/UpdateApiAccess", "nnnny"),
    ("ApiAccessService/DeleteApiAccess", "nnnny"),
    ("ApiAccessService/RotateApiAccessSecret", "nnnny"),
    ("ApiAccessService/ConfirmApiAccess", "nnyny"),
    ("ApiAccessService/WithdrawApiAccessConfirmation", "nyyyy"),
    ("ApiKeyService/CreateApiKey", "nnnny"),
    ("ApiKeyService/ListApiKeys", "nnnny"),
    ("ApiKeyService/DeleteApiKey", "nyyyy"),
    ("UserService/CreateUser", "nnnyy"),
    ("UserService/GetUser", "nnnyy"),
    ("UserService/ListUsers", "nnyyy"),
    ("UserService/UpdateUser", "nnnyy"),
    ("UserService/DeleteUser", "nnnyy"),
    ("UserService/ListUserHoldings", "nyyyy"),
    ("UserService/TransferUserHoldings", "nyyyy"),
    ("RoleService/CreateRole", "nnnyy"),
    ("RoleService/GetRole", "nnnyy"),
    ("RoleService/ListRoles", "nnyyy"),
    ("RoleService/UpdateRole", "nnnyy"),
    ("RoleService/DeleteRole", "nnnyy"),
    ("RoleService/ListPermissions", "nnnyy"),
];

#[test]
fn every_rpc_of_the_contract_has_its_row_and_its_expectation() {
    let pool = DescriptorPool::decode(coffre_proto::PUBLIC_DESCRIPTORS).unwrap();
    let mut seen = 0;
    for service in pool.services().filter(|service| service.package_name() == "coffre.auth.v1") {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let rows = RPCS.iter().filter(|rpc| rpc.path == path).count();
            assert_eq!(rows, 1, "{path}");
            let short = format!("{}/{}", service.name(), method.name());
            assert!(EXPECTED.iter().any(|(name, _)| *name == short), "{short}");
            seen += 1;
        }
    }
    assert_eq!((seen, RPCS.len()), (EXPECTED.len(), EXPECTED.len()), "no row without an RPC");
}

#[test]
fn what_changes_others_needs_the_permission() {
    for rpc in RPCS.iter().filter(|rpc| rpc.path.contains("UserService") || rpc.path.contains("RoleService")) {
        // The domain's policy says more about these.
        let open = ["/ListUsers", "/ListRoles", "/ListUserHoldings", "/TransferUserHoldings"];
        let expected = if open.iter().any(|end| rpc.path.ends_with(end)) {
            Access::Caller
        } else {
            Access::Permission(Permission::ManageUsers)
        };
        assert_eq!(rpc.access, expected, "{}", rpc.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_caller_meets_the_door_that_the_table_says() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let managers = world.admin().await.create_role("managers", &[7]).await.unwrap();
    let mut callers = vec![world.nobody()];
    for (name, roles) in
        [("none", vec![]), ("basic", vec![BASIC_ROLE]), ("manager", vec![managers.id]), ("second", vec![ADMIN_ROLE])]
    {
        callers.push(world.user(name, &roles).await.1);
    }
    // Signing out comes last: it works.
    let (last, first): (Vec<_>, Vec<_>) = EXPECTED.into_iter().partition(|(short, _)| short.ends_with("/SignOut"));
    for (short, expected) in first.into_iter().chain(last) {
        let path = format!("/coffre.auth.v1.{short}");
        for ((kind, caller), expected) in KINDS.iter().zip(&callers).zip(expected.chars()) {
            // An empty message: whoever gets through the door is refused for what it says, or answered.
            let mut request = Request::post(&path)
                .header("content-type", "application/grpc")
                .body(Body::new(
                    http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5])).map_err(|never| match never {}),
                ))
                .unwrap();
            if !caller.token.is_empty() {
                request.headers_mut().insert("authorization", format!("Bearer {}", caller.token).parse().unwrap());
            }
            let answer = caller.channel.clone().oneshot(request).await.unwrap();
            let status = tonic::Status::from_header_map(answer.headers());
            let refused = status.as_ref().map(crate::world::reason);
            let door = matches!(
                refused,
                Some(coffre_error::Reason::AuthTokenRequired | coffre_error::Reason::AuthzPermissionRequired)
            );
            assert_eq!(!door, expected == 'y', "{short} for {kind}: {refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_leaves_one_record() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let admin = world.admin().await;
    world.events();
    admin.user(1).await.unwrap();
    admin.user(999).await.unwrap_err();
    admin.list_users(Query::default()).await.unwrap();
    world.nobody().list_users(Query::default()).await.unwrap_err();
    world.nobody().sign_in("admin", "wrong").await.unwrap_err();
    let told: Vec<_> = world.events().into_iter().map(|event| (event.event, event.reason)).collect();
    let expected = [
        ("user.read", ""),
        ("user.read", "USER_NOT_FOUND"),
        ("user.listed", ""),
        ("user.listed", "AUTH_TOKEN_REQUIRED"),
        ("session.opened", "AUTH_SIGN_IN_FAILED"),
    ];
    assert_eq!(told, expected.map(|(event, reason)| (event.to_owned(), reason.to_owned())));
}
