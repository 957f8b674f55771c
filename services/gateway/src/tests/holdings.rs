//! What a user holds, and who gets it.

use coffre_error::{Reason, Refusal};
use coffre_proto::auth::v1::{
    Holding, ListUserHoldingsRequest, ListUserHoldingsResponse, TransferUserHoldingsRequest,
    TransferUserHoldingsResponse,
};
use serde_json::json;

use super::{Upstream, assert_forms_refused, send};

const TRANSFERS: [&str; 2] =
    ["/v1/usermanagement/users/8/holdings/transfer", "/v2/usermanagement/users/8/holdings/transfer"];

#[tokio::test]
async fn holdings_have_numbers_under_v1_and_strings_under_v2() {
    let upstream = Upstream::default();
    let holding = |id, name: &str| Holding { id, name: name.into() };
    let reply = ListUserHoldingsResponse {
        credentials: vec![holding(12, "SharePoint Login")],
        credential_count: 1200,
        lockers: vec![holding(2, "SharePoint Locker")],
        locker_count: 1,
    };
    upstream.reply("UserService/ListUserHoldings", &reply);
    let gateway = upstream.gateway();
    for (path, credential, locker) in [
        ("/v1/usermanagement/users/8/holdings", json!(12), json!(2)),
        ("/v2/usermanagement/users/8/holdings", json!("12"), json!("2")),
    ] {
        let expected = json!({
            "credentials": [{"id": credential, "name": "SharePoint Login"}], "credentialCount": 1200,
            "lockers": [{"id": locker, "name": "SharePoint Locker"}], "lockerCount": 1
        });
        assert_eq!(send(&gateway, "GET", path, "").await.outcome(), (200, expected), "{path}");
        assert_eq!(upstream.asked::<ListUserHoldingsRequest>().id, 8);
    }
}

#[tokio::test]
async fn all_is_handed_over_in_one_request() {
    let upstream = Upstream::default();
    let reply = TransferUserHoldingsResponse { credential_count: 12, locker_count: 3 };
    upstream.reply("UserService/TransferUserHoldings", &reply);
    let gateway = upstream.gateway();
    for path in TRANSFERS {
        for body in [r#"{"userId":9}"#, r#"{"userId":"9"}"#, r#"{"userId":9,"id":8,"x":1}"#] {
            let answer = send(&gateway, "POST", path, body).await;
            assert_eq!(answer.outcome(), (200, json!({"credentialCount": 12, "lockerCount": 3})), "{path} {body}");
            let asked: TransferUserHoldingsRequest = upstream.asked();
            assert_eq!((asked.id, asked.recipient_id), (8, 9), "{path} {body}");
        }
        let forms = [
            ("{}", "userId"),
            (r#"{"userId":null}"#, "userId"),
            (r#"{"userId":"ellie"}"#, "userId"),
            (r#"{"userId":0}"#, "userId"),
            (r#"{"userId":9,"id":7}"#, "id"),
            ("[]", ""),
            ("", ""),
        ];
        assert_forms_refused(&upstream, "POST", path, &forms).await;
    }
}

#[tokio::test]
async fn a_refused_recipient_is_named_as_in_the_body() {
    let upstream = Upstream::default();
    upstream.refuse("UserService/TransferUserHoldings", Refusal::invalid("recipient_id", "is the same user"));
    let answer = send(&upstream.gateway(), "POST", TRANSFERS[0], r#"{"userId":8}"#).await;
    answer.assert_refused(400, "request.invalid", "");
    assert_eq!(answer.json()["message"], "userId: is the same user");
}

#[tokio::test]
async fn a_user_who_still_holds_something_is_409_with_the_list() {
    let upstream = Upstream::default();
    let message = "the user still owns credential 12 (SharePoint Login) and is the last owner of locker 2";
    upstream.refuse("UserService/DeleteUser", Refusal::new(Reason::UserHoldsObjects, message).with("lockers", "2"));
    let answer = send(&upstream.gateway(), "DELETE", "/v1/usermanagement/users/8", "").await;
    answer.assert_refused(409, "user.holds_objects", "");
    assert_eq!(answer.json()["message"], message);
    assert_eq!(answer.json()["details"], json!([{"key": "lockers", "value": "2"}]));
}
