//! L13–L15, with the requests as the old document prints them.

use coffre_error::{Reason, Refusal};
use coffre_proto::vault::v1::{
    AssignCredentialRequest, AssignCredentialResponse, Credential, ListLockerCredentialsRequest,
    ListLockerCredentialsResponse, WithdrawCredentialRequest,
};
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, assert_unchanged, send, send_with};

const ASSIGNED: &str = "/v2/credentialvault/lockers/2/credentials/58";
const IF_MATCH: [(&str, &str); 2] = [("x-authorization", "the.token.x"), ("if-match", "\"7\"")];

fn stored() -> Credential {
    Credential { id: 58, name: "SharePoint".into(), locker_id: Some(2), version: 8, ..Credential::default() }
}

fn expected() -> Value {
    json!({
        "id": "58", "createdBy": "0", "createdOn": null, "updatedBy": "0", "updatedOn": null, "tenantId": "1", "version": "8",
        "name": "SharePoint", "description": null, "lockerId": "2", "ownerId": "0", "attributes": [], "completed": false,
        "permissions": {
            "canReadValues": false, "canWriteValues": false, "canUpdate": false, "canDelete": false, "canTransferOwnership": false,
            "canAssignLocker": false
        }
    })
}

const NOTICE: &str = "its owners and managers choose who reads the standard values: Société";

fn assigned(changed: bool) -> AssignCredentialResponse {
    AssignCredentialResponse { credential: Some(stored()), changed, notice: NOTICE.into() }
}

/// The credential, and whom its owner trusts from now on.
fn expected_assigned() -> Value {
    let mut expected = expected();
    expected["notice"] = json!(NOTICE);
    expected
}

#[tokio::test]
async fn a_credential_is_put_into_a_locker_with_or_without_a_body() {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/AssignCredential", &assigned(true));
    let gateway = upstream.gateway();
    for body in ["", "{}", "null", r#"{"id":58}"#, r#"{"id":"58","name":"SharePoint"}"#] {
        let answer = send(&gateway, "PUT", ASSIGNED, body).await;
        assert_eq!((answer.outcome(), answer.header("etag")), ((200, expected_assigned()), Some("\"8\"")), "{body}");
        let asked: AssignCredentialRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.locker_id, asked.etag.as_str()), (58, 2, ""), "{body}");
    }
    send_with(&gateway, "PUT", ASSIGNED, &IF_MATCH, "").await;
    assert_eq!(upstream.asked::<AssignCredentialRequest>().etag, "\"7\"");
    let forms = [(r#"{"id":59}"#, "id"), (r#"{"id":"x"}"#, "id"), ("[]", ""), ("58", "")];
    assert_forms_refused(&upstream, "PUT", ASSIGNED, &forms).await;
}

#[tokio::test]
async fn an_unchanged_put_is_304_only_with_the_documented_codes() {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/AssignCredential", &assigned(false));
    assert_unchanged(&upstream, ASSIGNED, &expected_assigned()).await;
}

#[tokio::test]
async fn a_credential_in_another_locker_is_409_and_the_locker_is_named() {
    let upstream = Upstream::default();
    let refusal =
        Refusal::new(Reason::CredentialInLocker, "it is in locker 3; take it out first").with("lockerId", "3");
    upstream.refuse("CredentialService/AssignCredential", refusal);
    let answer = send(&upstream.gateway(), "PUT", ASSIGNED, "").await;
    answer.assert_refused(409, "credential.in_locker", ASSIGNED);
    assert_eq!(answer.json()["details"], json!([{"key": "lockerId", "value": "3"}]));
}

#[tokio::test]
async fn the_contents_of_a_locker_are_listed_as_credentials() {
    let upstream = Upstream::default();
    let reply = ListLockerCredentialsResponse { credentials: vec![stored()], page: None };
    upstream.reply("CredentialService/ListLockerCredentials", &reply);
    let gateway = upstream.gateway();
    for path in ["/v2/credentialvault/lockers/2/credentials/", "/v2/credentialvault/lockers/2/credentials"] {
        assert_eq!(send(&gateway, "GET", path, "").await.outcome(), (200, json!({"list": [expected()]})), "{path}");
        let asked: ListLockerCredentialsRequest = upstream.asked();
        assert_eq!((asked.locker_id, asked.query.unwrap().whole), (2, true));
    }
}

#[tokio::test]
async fn a_credential_is_taken_out_of_the_locker_it_is_in() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    send_with(&gateway, "DELETE", ASSIGNED, &IF_MATCH, "").await.assert_empty(204, ASSIGNED);
    let asked: WithdrawCredentialRequest = upstream.asked();
    assert_eq!((asked.credential_id, asked.locker_id, asked.etag.as_str()), (58, 2, "\"7\""));
    upstream.refuse_for("CredentialService/WithdrawCredential", Reason::CredentialNotInLocker);
    send(&gateway, "DELETE", ASSIGNED, "").await.assert_refused(404, "credential.not_in_locker", ASSIGNED);
}
