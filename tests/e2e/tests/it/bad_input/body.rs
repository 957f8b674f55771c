//! Bodies.

use std::time::{Duration, Instant};

use coffre_e2e::case::Case;
use coffre_e2e::raw;
use serde_json::{Value, json};

use super::{CREDENTIALS, Untouched, refused};

rest_cases! {
    malformed_json_is_refused,
    wrong_types_are_refused,
    missing_keys_are_refused_and_unknown_ones_ignored,
    duplicate_keys_are_refused,
    deep_nesting_is_refused,
    large_bodies_are_refused,
    a_slow_body_times_out,
    the_content_type_does_not_matter_the_encoding_does,
    a_body_on_a_get_is_ignored,
    the_id_in_a_body_is_that_of_the_path,
}

async fn malformed_json_is_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let secret = case.secret("in a broken body");
    let bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"}".to_vec(),
        b"{\"name\":}".to_vec(),
        b"{\"name\" \"x\"}".to_vec(),
        b"{name: \"x\"}".to_vec(),
        b"{'name': 'x'}".to_vec(),
        b"{\"name\": \"x\",}".to_vec(),
        b"{\"name\": \"x\"} {}".to_vec(),
        b"{\"name\": \"x\"} trailing".to_vec(),
        b"{\"name\": \"x".to_vec(),
        b"{\"name\": \"\\ud800\"}".to_vec(),
        b"{\"name\": \"\\x41\"}".to_vec(),
        b"{\"name\": \"\xff\xfe\"}".to_vec(),
        b"{\"name\": \"line\nbreak\"}".to_vec(),
        b"{\"name\": NaN}".to_vec(),
        b"{\"name\": 01}".to_vec(),
        b"nul".to_vec(),
        b"\0".to_vec(),
        b"<xml/>".to_vec(),
        format!("{{\"name\": \"{secret}\", \"attributes\": [").into_bytes(),
    ];
    for body in bodies {
        let what = String::from_utf8_lossy(&body).into_owned();
        for path in [
            CREDENTIALS.to_owned(),
            format!("{CREDENTIALS}/list"),
            format!("{CREDENTIALS}/{}/attributevalues", it.credential.id),
        ] {
            let answer = case.api.http.post(path).token(it.token()).body(body.clone()).send().await;
            refused(&what, &answer, 400, "request.malformed");
        }
        let answer = case.api.http.post("/v1/authentication").body(body).send().await;
        refused(&what, &answer, 400, "request.malformed");
    }
    it.check().await;
}

async fn wrong_types_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let attributes = json!([{"name": "a"}]);
    let created = |name: Value, attributes: Value| json!({"name": name, "attributes": attributes});
    let bodies = [
        json!("text"),
        json!(5),
        json!([]),
        json!(true),
        created(json!(5), attributes.clone()),
        created(json!(true), attributes.clone()),
        created(json!(["x"]), attributes.clone()),
        created(json!({"x": 1}), attributes.clone()),
        created(json!(null), attributes.clone()),
        created(json!("x"), json!({})),
        created(json!("x"), json!("a")),
        created(json!("x"), json!(null)),
        created(json!("x"), json!(["a"])),
        created(json!("x"), json!([null])),
        created(json!("x"), json!([[]])),
        created(json!("x"), json!([{"name": 5}])),
        created(json!("x"), json!([{"name": "a", "userProvided": "yes"}])),
        created(json!("x"), json!([{"name": "a", "masked": 1}])),
        created(json!("x"), json!([{"name": "a", "description": {}}])),
        json!({"name": "x", "description": 5, "attributes": attributes}),
    ];
    for body in bodies {
        let answer = case.api.http.post(CREDENTIALS).token(it.token()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    let value = |value: Value| json!([{"credentialAttributeId": it.credential.attributes[1].id, "value": value}]);
    for body in [
        value(json!(5)),
        value(json!(null)),
        value(json!({})),
        value(json!(["x"])),
        json!("x"),
        json!([5]),
        json!({"list": 5}),
    ] {
        let path = format!("{CREDENTIALS}/{}/attributevalues", it.credential.id);
        let answer = case.api.http.post(path).token(it.token()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    for body in [
        json!({"version": "x"}),
        json!({"version": 1.5}),
        json!({"version": true}),
        json!({"version": -1}),
        json!({"attributes": 5}),
    ] {
        let path = format!("{CREDENTIALS}/{}", it.credential.id);
        let answer = case.api.http.put(path).token(it.token()).json(&body).send().await;
        assert_eq!(answer.status, if body["version"] == json!(-1) { answer.status } else { 400 }, "{body}");
        assert!(matches!(answer.status, 400 | 409), "{body}: {}", answer.status);
    }
    for body in [json!({"username": 5, "password": "x"}), json!({"username": "x", "password": []}), json!([])] {
        let answer = case.api.http.post("/v1/authentication").json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    it.check().await;
}

async fn missing_keys_are_refused_and_unknown_ones_ignored(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    for body in [
        json!({}),
        json!({"name": "x"}),
        json!({"attributes": [{"name": "a"}]}),
        json!({"name": "x", "attributes": []}),
        json!({"name": "x", "attributes": [{}]}),
    ] {
        let answer = case.api.http.post(CREDENTIALS).token(it.token()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    let empty = case.api.http.post(CREDENTIALS).token(it.token()).send().await;
    refused("no body", &empty, 400, "request.invalid");
    let values = format!("{CREDENTIALS}/{}/attributevalues", it.credential.id);
    for body in [json!([]), json!([{}]), json!([{"value": "x"}]), json!({})] {
        let answer = case.api.http.post(&*values).token(it.token()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    for body in [json!({}), json!({"username": "x"}), json!({"password": "x"})] {
        let answer = case.api.http.post("/v1/authentication").json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    it.check().await;
    let body = json!({"name": case.unique("known and unknown"), "attributes": [{"name": "a", "x": {"y": [1, null]}}], "unknown": {"a": [1]}});
    case.api.http.post(CREDENTIALS).token(it.token()).json(&body).send().await.is(201);
}

async fn duplicate_keys_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let (id, secret) = (it.credential.id, case.secret("twice"));
    let attribute = it.credential.attributes[1].id;
    let bodies = [
        (CREDENTIALS.to_owned(), r#"{"name":"a","name":"b","attributes":[{"name":"a"}]}"#.to_owned()),
        (CREDENTIALS.to_owned(), r#"{"name":"a","attributes":[{"name":"a","name":"b"}]}"#.to_owned()),
        (CREDENTIALS.to_owned(), r#"{"name":"a","attributes":[{"name":"a"}],"attributes":[]}"#.to_owned()),
        (CREDENTIALS.to_owned(), r#"{"name":"a","attributes":[{"name":"a"}],"unknown":1,"unknown":2}"#.to_owned()),
        (CREDENTIALS.to_owned(), r#"{"name":"a","n\u0061me":"b","attributes":[{"name":"a"}]}"#.to_owned()),
        (
            format!("{CREDENTIALS}/{id}/attributevalues"),
            format!(r#"[{{"credentialAttributeId":{attribute},"value":"{secret}","value":"{secret}2"}}]"#),
        ),
        (format!("{CREDENTIALS}/list"), r#"{"page":{"length":1,"length":2}}"#.to_owned()),
        ("/v1/authentication".to_owned(), r#"{"username":"admin","password":"a","password":"b"}"#.to_owned()),
    ];
    for (path, body) in bodies {
        let answer = case.api.http.post(path).token(it.token()).body(body.clone()).send().await;
        refused(&body, &answer, 400, "request.malformed");
    }
    // Two spellings of one key are the same key twice.
    for body in
        [r#"{"username":"a","Username":"b","password":"c"}"#, r#"{"username":"a","password":"b","PASSWORD":"c"}"#]
    {
        let answer = case.api.http.post("/v1/authentication").body(body).send().await;
        assert_eq!(answer.status, 400, "{body}: {:?}", answer.body);
        assert!(answer.code().starts_with("request."));
    }
    it.check().await;
}

async fn deep_nesting_is_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let depth = 100_000;
    let bodies = [
        "[".repeat(depth),
        format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
        format!(
            "{{\"name\":\"x\",\"attributes\":[{{\"name\":\"a\"}}],\"unknown\":{}{}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        ),
    ];
    for body in bodies {
        for path in [CREDENTIALS.to_owned(), format!("{CREDENTIALS}/list"), "/v1/authentication".to_owned()] {
            let begun = Instant::now();
            let answer = case.api.http.post(path).token(it.token()).body(body.clone()).send().await;
            refused(&format!("depth: {}…", &body[..20]), &answer, 400, "request.malformed");
            assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        }
    }
    // A filter nests a few levels, not hundreds.
    let mut filter = json!({"operator": "eq", "field": "name", "value": "x"});
    for _ in 0..40 {
        filter = json!({"operator": "not", "operands": [filter]});
    }
    let answer = case
        .api
        .http
        .post(format!("{CREDENTIALS}/list"))
        .token(it.token())
        .json(&json!({"filter": filter}))
        .send()
        .await;
    assert_eq!(answer.status, 400, "{:?}", answer.body);
    it.check().await;
}

async fn large_bodies_are_refused(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let large = "x".repeat(2 * 1024 * 1024);
    let body = json!({"name": "x", "description": large, "attributes": [{"name": "a"}]}).to_string();
    let answer = case.api.http.post(CREDENTIALS).token(it.token()).body(body).send().await;
    refused("2 MiB", &answer, 413, "request.too_large");
    let address = case.server.http;
    // The same without a length in advance.
    let token = it.token().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut request =
            format!("POST {CREDENTIALS} HTTP/1.1\r\nHost: {address}\r\nX-Authorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..32 {
            request.extend_from_slice(chunk.as_bytes());
        }
        request.extend_from_slice(b"0\r\n\r\n");
        raw::exchange(address, &request, Duration::from_secs(20))
    })
    .await
    .unwrap()
    .expect("an answer");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("request.too_large")), "{answer:?}");
    it.check().await;
}

async fn a_slow_body_times_out(case: &Case<'_>) {
    let (address, token) = (case.server.http, case.admin.token.clone().unwrap());
    let answer = tokio::task::spawn_blocking(move || {
        let request = format!("POST {CREDENTIALS} HTTP/1.1\r\nHost: {address}\r\nX-Authorization: {token}\r\nContent-Length: 1000\r\n\r\n{{");
        raw::exchange(address, request.as_bytes(), Duration::from_secs(40))
    })
    .await
    .unwrap()
    .expect("an answer, not a broken connection");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("request.timeout")), "{answer:?}");
    assert!(answer.took > Duration::from_secs(2), "a little patience is due: {:?}", answer.took);
}

async fn the_content_type_does_not_matter_the_encoding_does(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let token = owner.token.clone().unwrap();
    let body = |name: String| json!({"name": name, "attributes": [{"name": "a"}]}).to_string();
    for content_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "odd",
        "",
    ] {
        let name = case.unique(&format!("as {content_type}"));
        let request =
            case.api.http.post(CREDENTIALS).token(&token).header("content-type", content_type).body(body(name));
        request.send().await.is(201);
    }
    case.api.http.post(CREDENTIALS).token(&token).body(body(case.unique("as nothing"))).send().await.is(201);
    for encoding in ["gzip", "br", "deflate", "zstd", "odd"] {
        let request = case
            .api
            .http
            .post(CREDENTIALS)
            .token(&token)
            .header("content-encoding", encoding)
            .body(body(case.unique(encoding)));
        refused(encoding, &request.send().await, 415, "request.encoding_unsupported");
    }
    let request = case.api.http.post(CREDENTIALS).token(&token).header("content-encoding", "identity");
    request.body(body(case.unique("as it is"))).send().await.is(201);
    let answer = case.api.http.get(CREDENTIALS).token(&token).header("accept", "application/xml").send().await;
    answer.is(200);
    assert!(answer.header("content-type").unwrap().starts_with("application/json"), "always JSON");
}

async fn a_body_on_a_get_is_ignored(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    for body in ["{", "{}", "not json", "\0"] {
        let answer = case.api.http.get(CREDENTIALS).token(owner.token.as_deref().unwrap()).body(body).send().await;
        assert_eq!(answer.is(200)["list"], json!([]), "{body}");
    }
}

async fn the_id_in_a_body_is_that_of_the_path(case: &Case<'_>) {
    let it = Untouched::new(case).await;
    let path = format!("{CREDENTIALS}/{}", it.credential.id);
    for other in [json!(it.credential.id + 1), json!((it.credential.id + 1).to_string()), json!("x")] {
        let body = json!({"id": other, "description": "changed"});
        let answer = case.api.http.put(&*path).token(it.token()).json(&body).send().await;
        refused(&body.to_string(), &answer, 400, "request.invalid");
    }
    let value = format!("{path}/attributevalues/{}", it.value.id);
    let body = json!([{"id": it.value.id + 1, "value": case.secret("changed")}]);
    refused(
        "another value's id",
        &case.api.http.put(&*value).token(it.token()).json(&body).send().await,
        400,
        "request.invalid",
    );
    let body = json!([{"value": case.secret("one")}, {"value": case.secret("two")}]);
    refused(
        "an array of two",
        &case.api.http.put(&*value).token(it.token()).json(&body).send().await,
        400,
        "request.invalid",
    );
    let body = json!([{"value": case.secret("one"), "credentialAttributeId": it.credential.attributes[1].id}]);
    let answer = case.api.http.put(&*value).token(it.token()).json(&body).send().await;
    assert_eq!(answer.status, 400, "another attribute: {:?}", answer.body);
    it.check().await;
}
