//! What a caller sees at a glance.

use coffre_error::Reason;
use coffre_proto::audit::v1::Entry;
use coffre_proto::vault::v1::GetDashboardResponse;
use serde_json::{Value, json};

use super::{Upstream, send, send_with};

const PATH: &str = "/api/dashboard";
const METHOD: &str = "DashboardService/GetDashboard";

#[tokio::test]
async fn the_view_of_a_caller_is_one_call() {
    let upstream = Upstream::default();
    let entry = Entry { id: "e".into(), log_index: 6, ..Entry::default() };
    let view = GetDashboardResponse {
        user_id: 8,
        username: "bot".into(),
        credential_count: 12,
        locker_count: 3,
        missing_value_count: 2,
        vault_open: true,
        entries: vec![entry],
    };
    upstream.reply(METHOD, &view);
    let headers = [("authorization", "Bearer dcb00798-e844-40b9-9fcf-fbe0b0fe7b25"), ("cache-control", "no-cache")];
    let answer = send_with(&upstream.gateway(), "GET", PATH, &headers, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut body = answer.json();
    let entries = body.as_object_mut().unwrap().remove("audit").unwrap();
    let expected = json!({
        "operator": {"id": "8", "username": "bot"}, "credentials": 12, "lockers": 3, "missingValues": 2, "vault": {"applied": true}
    });
    assert_eq!(body, expected);
    assert_eq!(entries.as_array().map(Vec::len), Some(1));
    assert_eq!((&entries[0]["id"], &entries[0]["logIndex"]), (&json!("e"), &json!("6")), "as in the audit");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_caller_without_anything_sees_that() {
    let upstream = Upstream::default();
    upstream.reply(METHOD, &GetDashboardResponse { user_id: 8, ..GetDashboardResponse::default() });
    let body = send(&upstream.gateway(), "GET", PATH, "").await.json();
    assert_eq!((&body["audit"], &body["vault"]["applied"]), (&json!([]), &Value::Bool(false)));
    upstream.refuse_for(METHOD, Reason::ServiceUnavailable);
    send(&upstream.gateway(), "GET", PATH, "").await.assert_refused(503, "service.unavailable", "");
}
