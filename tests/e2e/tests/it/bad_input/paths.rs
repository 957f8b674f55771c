//! Paths and methods.

use coffre_e2e::case::Case;
use http::Method;

use super::{CREDENTIALS, Untouched, refused};

rest_cases! {
    encoded_dots_and_slashes_are_not_separators,
    repeated_slashes_collapse_and_a_last_one_is_ignored,
    unknown_paths_are_not_found,
    a_method_that_a_path_does_not_take_is_told_which_it_does,
}

async fn encoded_dots_and_slashes_are_not_separators(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let id = it.credential.id;
    for path in [
        "/v2/credentialvault/credentials/%2e%2e/mode".to_owned(),
        "/v2/credentialvault/credentials/../mode".to_owned(),
        "/v2/credentialvault/%2e%2e/credentialvault/credentials".to_owned(),
        "/v2/credentialvault/../credentialvault/credentials".to_owned(),
        "/v2/./credentialvault/credentials".to_owned(),
        "/v2%2fcredentialvault/credentials".to_owned(),
        "/v2/credentialvault%2Fcredentials".to_owned(),
        "/v2/credentialvault/credentials;x=1".to_owned(),
        "/v2;x/credentialvault/credentials".to_owned(),
        "/v2\\credentialvault\\credentials".to_owned(),
        "/v2/credentialvault/credentials%00".to_owned(),
        "/V2/credentialvault/credentials".to_owned(),
        "/v2/credentialvault/CREDENTIALS".to_owned(),
        "/%76%32/credentialvaul%74/credentialsx".to_owned(),
        format!("{CREDENTIALS}/{id}/username"),
        format!("{CREDENTIALS}/{id}/%2e%2e/{id}"),
    ] {
        let answer = case.api.http.get(&*path).token(it.token()).send().await;
        assert!(matches!(answer.status, 404 | 405), "{path}: {}", answer.status);
        refused(
            &path,
            &answer,
            answer.status,
            if answer.status == 404 { "route.not_found" } else { "route.method_not_allowed" },
        );
    }
    // Where an id stands, the rest is a bad id.
    for odd in ["%2e%2e", "..", "%2e", &format!("{id}%2f"), &format!("{id};x=1"), &format!("{id}%2f{id}"), "%252e"] {
        let answer = case.api.http.get(format!("{CREDENTIALS}/{odd}")).token(it.token()).send().await;
        refused(odd, &answer, 400, "request.invalid");
        let answer = case.api.http.delete(format!("{CREDENTIALS}/{odd}")).token(it.token()).send().await;
        refused(odd, &answer, 400, "request.invalid");
    }
    it.check().await;
}

async fn repeated_slashes_collapse_and_a_last_one_is_ignored(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let id = it.credential.id;
    for path in [
        format!("{CREDENTIALS}/"),
        "//v2//credentialvault///credentials//".to_owned(),
        "/v1/credentialvault/credentials".to_owned(),
        "/v1/credentialvault//credentials/".to_owned(),
        format!("/v2/credentialvault//credentials/{id}"),
        format!("{CREDENTIALS}/{id}/"),
        format!("/v2/credentialvault//credentials/{id}//attributevalues/"),
        format!("{CREDENTIALS}/{id}/attributevalues?"),
        format!("{CREDENTIALS}/{id}/?unknown=1&&=x"),
        "/healthz/".to_owned(),
    ] {
        case.api.http.get(&*path).token(it.token()).send().await.is(200);
    }
}

async fn unknown_paths_are_not_found(case: &Case<'_>) {
    let token = case.admin.token.as_deref().unwrap();
    for path in [
        "/",
        "/nowhere",
        "/v2",
        "/v2/credentialvault",
        "/v3/credentialvault/credentials",
        "/v2/credentialvault/credentials/1/2/3/4",
        "/favicon.ico",
    ] {
        let answer = case.api.http.get(path).token(token).send().await;
        refused(path, &answer, 404, "route.not_found");
        let answer = case.api.http.get(path).send().await;
        refused(path, &answer, 404, "route.not_found");
    }
}

async fn a_method_that_a_path_does_not_take_is_told_which_it_does(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let id = it.credential.id;
    for (path, wrong, takes) in [
        (CREDENTIALS.to_owned(), vec![Method::PUT, Method::DELETE, Method::PATCH], vec!["GET", "POST"]),
        (format!("{CREDENTIALS}/{id}"), vec![Method::POST, Method::PATCH], vec!["GET", "PUT", "DELETE"]),
        (format!("{CREDENTIALS}/list"), vec![Method::PATCH], vec!["POST"]),
        (format!("{CREDENTIALS}/{id}/attributevalues"), vec![Method::PUT, Method::DELETE], vec!["GET", "POST"]),
        (format!("{CREDENTIALS}/{id}/owner/{id}"), vec![Method::GET, Method::POST], vec!["PUT"]),
        ("/v1/authentication".to_owned(), vec![Method::PUT, Method::DELETE], vec!["POST"]),
        ("/healthz".to_owned(), vec![Method::POST], vec!["GET"]),
    ] {
        for method in wrong {
            let what = format!("{method} {path}");
            let answer = case.api.http.request(method, &*path).token(it.token()).send().await;
            refused(&what, &answer, 405, "route.method_not_allowed");
            let allow: Vec<&str> = answer
                .header("allow")
                .unwrap_or_else(|| panic!("{what}: no Allow"))
                .split(',')
                .map(str::trim)
                .collect();
            for method in &takes {
                assert!(allow.contains(method), "{what}: {allow:?}");
            }
        }
    }
    it.check().await;
}
