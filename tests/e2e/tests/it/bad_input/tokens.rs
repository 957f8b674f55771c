//! Where a token may stand, and where not.

use coffre_e2e::case::Case;
use coffre_e2e::http::HttpRequest;

use super::{CREDENTIALS, refused};

rest_cases! {
    a_token_may_come_in_either_header,
    two_tokens_are_one_too_many,
    nothing_else_authenticates,
}

async fn a_token_may_come_in_either_header(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let token = owner.token.clone().unwrap();
    let get = || case.api.http.get(CREDENTIALS);
    let good: Vec<HttpRequest<'_>> = vec![
        get().header("x-authorization", &token),
        get().header("x-authorization", &format!("Bearer {token}")),
        get().header("x-authorization", &format!("bearer {token}")),
        get().header("authorization", &format!("Bearer {token}")),
        get().header("authorization", &format!("BEARER {token}")),
        get().header("x-authorization", &token).header("authorization", &format!("Bearer {token}")),
    ];
    for request in good {
        request.send().await.is(200);
    }
}

async fn two_tokens_are_one_too_many(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (token, other) = (owner.token.clone().unwrap(), case.admin.token.clone().unwrap());
    let get = || case.api.http.get(CREDENTIALS);
    for request in [
        get().header("x-authorization", &token).header("authorization", &format!("Bearer {other}")),
        get().header("x-authorization", &token).header("x-authorization", &other),
        get().header("x-authorization", &token).header("x-authorization", &token),
        get().header("authorization", &format!("Bearer {token}")).header("authorization", &format!("Bearer {token}")),
    ] {
        refused("two tokens", &request.send().await, 400, "auth.token_conflict");
    }
}

async fn nothing_else_authenticates(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let token = owner.token.clone().unwrap();
    let get = || case.api.http.get(CREDENTIALS);
    for request in [
        get(),
        get().header("cookie", &format!("token={token}; X-Authorization={token}")),
        case.api.http.get(format!("{CREDENTIALS}?token={token}&X-Authorization={token}&access_token={token}")),
        get().header("x-authorization", ""),
        get().header("authorization", ""),
        get().header("authorization", "Bearer "),
        get().header("authorization", "Bearer"),
        get().header("authorization", &token),
        get().header("authorization", &format!("Basic {token}")),
        get().header("x-authorization", &format!("Bearer Bearer {token}")),
        get().header("x-authorization", &format!("{token} {token}")),
        get().header("x-authorization", "admin"),
        get().header("x-coffre-user", "1"),
        get().header("x-coffre-source", "System"),
    ] {
        let what = format!("{request:?}").replace(&token, "<token>");
        let answer = request.send().await;
        assert_eq!(answer.status, 401, "{what}: {:?}", answer.body);
        assert!(
            matches!(answer.code().as_str(), "auth.token_required" | "auth.token_invalid"),
            "{what}: {}",
            answer.code()
        );
        assert!(!String::from_utf8_lossy(&answer.body).contains(&token), "a refusal repeats no token");
    }
}
