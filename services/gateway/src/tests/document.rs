//! The OpenAPI document against the routes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Upstream, send, send_with};
use crate::openapi;

fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    operations
}

/// The calls of the contract that stand today, with the RPC that answers each; a route or an operation that is not here, or a line
/// without one, fails.
const CALLS: &str = "
    POST /v1/authentication > AuthenticationService/SignIn
    GET /v1/authentication/token > AuthenticationService/ValidateToken
    POST /v1/authentication/token > AuthenticationService/RefreshToken
    POST /v1/authentication/token/validate > AuthenticationService/ValidateToken
    POST /v1/authentication/logout > AuthenticationService/SignOut
    PUT /v1/authentication/password > AuthenticationService/ChangePassword
    GET /.well-known/jwks.json > AuthenticationService/GetJsonWebKeySet
    POST /v1/apikeys > ApiKeyService/CreateApiKey
    GET /v1/apikeys > ApiKeyService/ListApiKeys
    DELETE /v1/apikeys/{id} > ApiKeyService/DeleteApiKey
    POST /oauth/token > OAuthService/IssueTokenForPassword
    POST /oauth/revoke > OAuthService/RevokeToken
    POST /oauth/introspect > OAuthService/IntrospectToken
    GET /.well-known/oauth-authorization-server
    POST /v1/apiaccess > ApiAccessService/CreateApiAccess
    GET /v1/apiaccess > ApiAccessService/ListApiAccesses
    POST /v1/apiaccess/list > ApiAccessService/ListApiAccesses
    GET /v1/apiaccess/{id} > ApiAccessService/GetApiAccess
    PUT /v1/apiaccess/{id} > ApiAccessService/UpdateApiAccess
    DELETE /v1/apiaccess/{id} > ApiAccessService/DeleteApiAccess
    POST /v1/apiaccess/{id}/secret > ApiAccessService/RotateApiAccessSecret
    POST /v1/apiaccess/{id}/confirmation > ApiAccessService/ConfirmApiAccess
    DELETE /v1/apiaccess/{id}/confirmation > ApiAccessService/WithdrawApiAccessConfirmation
    GET /api/dashboard > DashboardService/GetDashboard
    POST /v1/usermanagement/users > UserService/CreateUser
    GET /v1/usermanagement/users > UserService/ListUsers
    POST /v1/usermanagement/users/list > UserService/ListUsers
    GET /v1/usermanagement/users/{id} > UserService/GetUser
    PUT /v1/usermanagement/users/{id} > UserService/UpdateUser
    DELETE /v1/usermanagement/users/{id} > UserService/DeleteUser
    POST /v2/usermanagement/users/list > UserService/ListUsers
    GET /v2/usermanagement/users/{id} > UserService/GetUser
    GET /v1/usermanagement/users/{id}/holdings > UserService/ListUserHoldings
    GET /v2/usermanagement/users/{id}/holdings > UserService/ListUserHoldings
    POST /v1/usermanagement/users/{id}/holdings/transfer > UserService/TransferUserHoldings
    POST /v2/usermanagement/users/{id}/holdings/transfer > UserService/TransferUserHoldings
    POST /v1/usermanagement/roles > RoleService/CreateRole
    GET /v1/usermanagement/roles > RoleService/ListRoles
    POST /v1/usermanagement/roles/list > RoleService/ListRoles
    GET /v1/usermanagement/roles/{id} > RoleService/GetRole
    PUT /v1/usermanagement/roles/{id} > RoleService/UpdateRole
    DELETE /v1/usermanagement/roles/{id} > RoleService/DeleteRole
    GET /v1/usermanagement/permissions > RoleService/ListPermissions
    POST /v2/credentialvault/credentials > CredentialService/CreateCredential
    GET /v2/credentialvault/credentials > CredentialService/ListCredentials
    POST /v2/credentialvault/credentials/list > CredentialService/ListCredentials
    GET /v2/credentialvault/credentials/{id} > CredentialService/GetCredential
    PUT /v2/credentialvault/credentials/{id} > CredentialService/UpdateCredential
    PUT /v2/credentialvault/credentials/{id}/owner/{userId} > CredentialService/TransferCredential
    DELETE /v2/credentialvault/credentials/{id} > CredentialService/DeleteCredential
    DELETE /v2/credentialvault/credentials/{id}/attributes/{attributeId} > CredentialService/DeleteAttribute
    POST /v2/credentialvault/credentials/{id}/attributevalues > AttributeValueService/CreateAttributeValues
    GET /v2/credentialvault/credentials/{id}/attributevalues > AttributeValueService/ListAttributeValues
    PUT /v2/credentialvault/credentials/{id}/attributevalues/{valueId} > AttributeValueService/UpdateAttributeValue
    DELETE /v2/credentialvault/credentials/{id}/attributevalues/{valueId} > AttributeValueService/DeleteAttributeValue
    GET /v2/credentialvault/credentials/{id}/access > CredentialService/ExplainAccess
    GET /v2/credentialvault/credentials/{id}/missingvalues > CredentialService/ListMissingValues
    GET /v2/credentialvault/lockers > LockerService/ListLockers
    POST /v2/credentialvault/lockers/list > LockerService/ListLockers
    POST /v2/credentialvault/lockers > LockerService/CreateLocker
    GET /v2/credentialvault/lockers/advanced > LockerService/ListLockers
    GET /v2/credentialvault/lockers/{id} > LockerService/GetLocker
    PUT /v2/credentialvault/lockers/{id} > LockerService/UpdateLocker
    DELETE /v2/credentialvault/lockers/{id} > LockerService/DeleteLocker
    GET /v2/credentialvault/lockers/{id}/consumers > LockerService/ListConsumers
    PUT /v2/credentialvault/lockers/{id}/consumers > LockerService/AddConsumer
    POST /v2/credentialvault/lockers/{id}/consumers > LockerService/AddConsumer
    DELETE /v2/credentialvault/lockers/{id}/consumers/{roleId} > LockerService/RemoveConsumer
    GET /v2/credentialvault/lockers/{id}/members > LockerService/ListMembers
    PUT /v2/credentialvault/lockers/{id}/members/{userId} > LockerService/SetMember
    DELETE /v2/credentialvault/lockers/{id}/members/{userId} > LockerService/RemoveMember
    PUT /v2/credentialvault/lockers/{id}/credentials/{credentialId} > CredentialService/AssignCredential
    GET /v2/credentialvault/lockers/{id}/credentials > CredentialService/ListLockerCredentials
    DELETE /v2/credentialvault/lockers/{id}/credentials/{credentialId} > CredentialService/WithdrawCredential
    GET /v2/credentialvault/mode > KeyService/GetMode
    PUT /v2/credentialvault/mode > KeyService/SetMode
    GET /v2/credentialvault/keys/private > KeyService/GetMasterKeyStatus
    PUT /v2/credentialvault/keys/private > KeyService/ApplyMasterKey
    POST /v2/credentialvault/keys/rotation > KeyService/StartRotation
    GET /v2/credentialvault/keys/rotation > KeyService/GetRotation
    POST /v2/credentialvault/keys/seal > KeyService/SealVault
    POST /v2/credentialvault/keys/unseal > KeyService/UnsealVault
    POST /v2/credentialvault/keys/recovery > KeyService/ReplaceRecoveryKey
    GET /v2/credentialvault/keys/slots > KeyService/ListKeySlots
    POST /v2/credentialvault/keys/drill > KeyService/DrillKey
    GET /v2/credentialvault/keys/transport/public > KeyService/GetTransportPublicKey
    POST /v1/audit/messages/list > AuditService/ListEntries
    GET /v1/audit/messages/{id} > AuditService/GetEntry
    POST /v1/audit/messages/export > AuditService/StreamEntries
    GET /v1/audit/messages/{id}/proof > ProofService/GetInclusionProof
    GET /v1/audit/checkpoints/latest > ProofService/GetLatestCheckpoint
    GET /v1/audit/checkpoints/consistency > ProofService/GetConsistencyProof
    GET /v1/audit/checkpoints/{size} > ProofService/GetCheckpoint
    POST /v1/audit/checkpoints > ProofService/CreateCheckpoint
    GET /v1/audit/incidents > ProofService/ListIncidents
    POST /v1/audit/cut > ProofService/CutLog
    GET /healthz
    GET /readyz
    GET /version
";

fn calls() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let lines = CALLS.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(" > ").map_or((line, None), |(call, method)| (call, Some(method))))
}

#[test]
fn the_document_has_every_call_of_the_contract_and_no_other() {
    let documented: BTreeSet<String> =
        operations().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let calls: BTreeSet<String> = calls().map(|(call, _)| call.to_owned()).collect();
    assert_eq!(documented, calls);
}

#[tokio::test]
async fn every_documented_call_reaches_its_rpc_and_only_that() {
    let upstream = Upstream::default();
    let public_url = crate::PublicUrl::of("https://vault.example.org");
    let gateway = upstream.gateway_with(crate::Config { public_url, ..crate::Config::default() });
    let body = r#"{"username":"u","password":"p","token":"t","oldPassword":"o","newPassword":"n","name":"n","value":"v",
        "id":7,"userId":9,"before":"2026-01-01T00:00:00Z",
        "list":[{"credentialAttributeId":1,"value":"v"}]}"#;
    let names = ["{id}", "{userId}", "{attributeId}", "{valueId}", "{roleId}", "{credentialId}", "{size}"];
    for (call, method) in calls() {
        let (verb, path) = call.split_once(' ').unwrap();
        let path = names.iter().fold(path.to_owned(), |path, name| path.replace(name, "7"));
        let before = upstream.calls();
        // The permissions of a role are objects, those of a member words.
        let body = match path.as_str() {
            path if path.starts_with("/oauth") => "client_id=c&grant_type=password&username=u&password=p&token=t",
            path if path.contains("/members") => r#"{"permissions":["own"]}"#,
            path if path.ends_with("/mode") => r#"{"name":"Manual","privateKey":"k"}"#,
            _ => body,
        };
        let answer = send(&gateway, verb, &format!("{path}?token=t&from=1&to=2"), body).await;
        match method {
            None => assert_eq!((answer.status.as_u16(), upstream.calls()), (200, before), "{call}"),
            Some(method) => {
                // An export begins with the latest checkpoint.
                let calls = if path.ends_with("/export") { 2 } else { 1 };
                assert_eq!(upstream.calls(), before + calls, "{call}: {}", answer.text);
                assert_eq!(upstream.last().method, method, "{call}");
            }
        }
    }
}

#[test]
fn every_operation_says_what_it_takes_and_how_it_refuses() {
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations() {
        let call = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{call}: its name is taken");
        assert!(operation["summary"].is_string() || operation["description"].is_string(), "{call}: no words");
        let responses = operation["responses"].as_object().unwrap();
        let open = operation["security"] == serde_json::json!([{}]);
        let shape = if path.starts_with("/oauth/") { "OAuthError" } else { "ErrorBody" };
        let shape = format!("#/components/schemas/{shape}");
        assert!(open || responses.contains_key("401"), "{call}: needs a token, but does not tell what comes without");
        let takes = operation["requestBody"].is_object() || operation["parameters"].is_array();
        assert!(
            !takes || responses.contains_key("400"),
            "{call}: takes something, but does not tell what comes when it is wrong"
        );
        assert_eq!(responses["default"]["content"]["application/json"]["schema"]["$ref"], shape);
        for (status, response) in responses {
            let schema = &response["content"]["application/json"]["schema"];
            let empty = status == "204";
            assert_eq!(response["content"].is_null(), empty, "{call} {status}");
            if status.starts_with(['4', '5']) {
                assert_eq!(schema["$ref"], shape, "{call} {status}");
            }
        }
        for name in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(
                parameters.iter().any(|parameter| parameter["name"] == name && parameter["in"] == "path"),
                "{call}: {name}"
            );
        }
    }
}

#[test]
fn every_answer_of_a_recorded_call_tells_of_its_receipt() {
    for (method, path, operation) in operations() {
        let recorded = calls().any(|(call, rpc)| rpc.is_some() && call == format!("{method} {path}"));
        for (status, response) in operation["responses"].as_object().unwrap() {
            let told = !response["headers"]["X-Audit-Id"].is_null();
            assert_eq!(told, recorded && status.starts_with('2'), "{method} {path} {status}");
        }
    }
}

#[test]
fn every_call_of_a_locker_is_found_under_its_tag_with_every_refusal() {
    let lockers: Vec<_> = operations().into_iter().filter(|(_, path, _)| path.contains("/lockers")).collect();
    assert_eq!(lockers.len(), 17);
    for (method, path, operation) in lockers {
        let call = format!("{method} {path}");
        assert_eq!(operation["tags"], serde_json::json!(["Lockers"]), "{call}");
        let responses = operation["responses"].as_object().unwrap();
        let mut refusals = vec!["401", "403"];
        refusals.extend(path.contains("{id}").then_some("404"));
        refusals
            .extend((operation["requestBody"].is_object() || method == "GET" && !path.contains('{')).then_some("400"));
        let guarded =
            operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "If-Match"));
        refusals.extend(guarded.then_some("412"));
        for status in refusals {
            assert!(responses.contains_key(status), "{call}: {status}");
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Some(name) = body["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
            let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
            assert!(
                document["components"]["schemas"][name]["example"].is_object(),
                "{call}: {name} without an example"
            );
        }
    }
}

#[test]
fn the_document_is_openapi_3_1_without_dangling_references() {
    let text = openapi().to_json().unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["bearer", "client", "token"]);
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

/// Whoever changes the published interface sees and reviews the change: `INSTA_UPDATE=always cargo test -p coffre-gateway` writes it.
#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_snapshot!("openapi", openapi().to_pretty_json().unwrap());
}

#[test]
fn every_key_of_a_resource_is_documented_as_present() {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    let schemas = &document["components"]["schemas"];
    for name in [
        "Credential",
        "Attribute",
        "AttributeValue",
        "Permissions",
        "User_i64",
        "User_Id",
        "Role",
        "Entry",
        "Permission",
        "Locker",
        "LockerPermission",
        "DetailedLocker",
        "AssignedCredential",
        "Member",
        "Consumer",
        "Access",
        "UserAccess",
        "AccessPath",
        "MissingValues",
        "Holdings_i64",
        "Holdings_Id",
        "Holding_i64",
        "Holding_Id",
        "ApiAccess",
        "ApiKey",
        "Life",
        "Dashboard",
        "Operator",
        "VaultState",
        "Rotation",
        "KeySlot",
        "Checkpoint",
        "StreamHead",
        "ConsistencyProof",
        "InclusionProof",
        "Incident",
        "Incidents",
        "Cut",
    ] {
        // A schema that has all of another one lists its own part beside it.
        let parts: Vec<&Value> = match schemas[name]["allOf"].as_array() {
            Some(parts) => parts.iter().filter(|part| part["$ref"].is_null()).collect(),
            None => vec![&schemas[name]],
        };
        assert_eq!(parts.len(), 1, "{name}");
        let keys: BTreeSet<&str> = parts[0]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let present: BTreeSet<&str> =
            parts[0]["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        assert_eq!(keys, present, "{name}");
    }
}

#[tokio::test]
async fn the_documentation_needs_no_network() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for path in ["/docs", "/docs/"] {
        let answer = send_with(&gateway, "GET", path, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/docs/index.html")));
    }
    let page = send_with(&gateway, "GET", "/docs/index.html", &[], "").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html")));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    let start = send_with(&gateway, "GET", "/docs/swagger-initializer.js", &[], "").await;
    assert!(start.text.contains("/openapi.json"));
    assert_eq!(send_with(&gateway, "GET", "/docs/nothing.js", &[], "").await.status, 404);
    let without = upstream.gateway_with(crate::Config { docs: false, ..crate::Config::default() });
    assert_eq!(send_with(&without, "GET", "/docs", &[], "").await.status, 404);
}
