//! Ids: plain decimals from 1 to 2^63 - 1.

use coffre_e2e::case::Case;
use serde_json::json;

use super::{CREDENTIALS, Untouched, refused};

rest_cases! {
    odd_ids_in_paths_are_refused,
    odd_ids_in_queries_are_refused,
    odd_ids_in_bodies_are_refused,
    ids_of_other_resources_are_not_there,
}

const ODD: [&str; 18] = [
    "abc",
    "-1",
    "0",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    "01",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "%201",
    "1%20",
    "1%00",
    "%D9%A1",
    "1,2",
    "null",
    "NaN",
];

async fn odd_ids_in_paths_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    for odd in ODD {
        let credential = format!("{CREDENTIALS}/{odd}");
        let value = format!("{CREDENTIALS}/{}/attributevalues/{odd}", it.credential.id);
        let http = &case.api.http;
        let requests = [
            http.get(&*credential),
            http.put(&*credential).json(&json!({"description": "x"})),
            http.delete(&*credential),
            http.get(format!("{credential}/attributevalues")),
            http.put(&*value).json(&json!({"value": case.secret("x")})),
            http.delete(&*value),
            http.delete(format!("{CREDENTIALS}/{}/attributes/{odd}", it.credential.id)),
            http.put(format!("{CREDENTIALS}/{}/owner/{odd}", it.credential.id)),
        ];
        for request in requests {
            let what = format!("{request:?}").chars().take(200).collect::<String>();
            let answer = request.token(it.token()).send().await;
            refused(&what, &answer, 400, "request.invalid");
        }
        for path in [format!("/v1/usermanagement/users/{odd}"), format!("/v1/usermanagement/roles/{odd}")] {
            let answer = http.get(path).token(case.admin.token.as_deref().unwrap()).send().await;
            refused(odd, &answer, 400, "request.invalid");
        }
    }
    let answer = case.api.http.get(format!("{CREDENTIALS}/9223372036854775807")).token(it.token()).send().await;
    refused("2^63 - 1", &answer, 404, "credential.not_found");
    it.check().await;
}

async fn odd_ids_in_queries_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    for odd in ODD.into_iter().filter(|odd| !odd.starts_with('+')) {
        for key in ["credentialAttributeId", "userId"] {
            let path = format!("{CREDENTIALS}/{}/attributevalues?{key}={odd}", it.credential.id);
            let answer = case.api.http.get(path).token(it.token()).send().await;
            refused(&format!("{key}={odd}"), &answer, 400, "request.invalid");
        }
    }
    for odd in ["consumed=maybe", "consumed=1", "name=%FF"] {
        let answer = case.api.http.get(format!("{CREDENTIALS}?{odd}")).token(it.token()).send().await;
        refused(odd, &answer, 400, "request.invalid");
    }
}

async fn odd_ids_in_bodies_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let path = format!("{CREDENTIALS}/{}/attributevalues", it.credential.id);
    let odd = [
        r#""abc""#,
        "-1",
        r#""-1""#,
        "0",
        "1.5",
        "1e30",
        "9223372036854775808",
        r#""9223372036854775808""#,
        "true",
        "{}",
        "[]",
        r#""""#,
        r#"" 1""#,
    ];
    for id in odd {
        let body = format!("[{{\"credentialAttributeId\":{id},\"value\":\"x\"}}]");
        let answer = case.api.http.post(&*path).token(it.token()).body(body.clone()).send().await;
        refused(&body, &answer, 400, "request.invalid");
        let body = format!("{{\"attributes\":[{{\"id\":{id},\"description\":\"x\"}}]}}");
        let answer = case
            .api
            .http
            .put(format!("{CREDENTIALS}/{}", it.credential.id))
            .token(it.token())
            .body(body.clone())
            .send()
            .await;
        refused(&body, &answer, 400, "request.invalid");
    }
    it.check().await;
}

async fn ids_of_other_resources_are_not_there(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let other =
        it.owner.create_credential(&case.unique("other"), &[coffre_e2e::api::NewAttribute::standard("a")]).await.ok();
    let token = it.token();
    let http = &case.api.http;
    let path = format!("{CREDENTIALS}/{}/attributevalues/{}", other.id, it.value.id);
    refused("a value of another credential", &http.delete(&*path).token(token).send().await, 404, "value.not_found");
    let change = json!({"value": case.secret("x")});
    refused(
        "a value of another credential",
        &http.put(&*path).token(token).json(&change).send().await,
        404,
        "value.not_found",
    );
    let path = format!("{CREDENTIALS}/{}/attributes/{}", other.id, it.credential.attributes[0].id);
    refused(
        "an attribute of another credential",
        &http.delete(path).token(token).send().await,
        404,
        "attribute.not_found",
    );
    let path = format!("{CREDENTIALS}/{}/owner/9223372036854775807", other.id);
    refused("an owner who is nobody", &http.put(path).token(token).send().await, 404, "credential.owner_unknown");
    it.owner.delete_credential(other.id, None).await.ok();
    it.check().await;
}
