//! What the token endpoint and its neighbours refuse, in the words of RFC 6749.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use coffre_e2e::api::{Client, INTROSPECT, NewApiAccess, NewUser, REVOKE, Session, TOKEN, basic, form};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::http::{Http, HttpAnswer, HttpRequest};
use coffre_e2e::model::TokenGrant;
use serde_json::json;

rest_cases! {
    a_client_shows_who_it_is_in_one_way,
    a_parameter_is_there_once_and_in_the_body,
    what_is_no_form_is_refused,
    a_grant_that_is_not_known_is_refused,
    odd_client_secrets_are_taken_as_they_are,
    odd_passwords_are_taken_as_they_are,
    passwords_beyond_all_measure_are_refused,
    refresh_tokens_that_are_none_change_nothing,
    many_unknown_clients_take_no_room,
    other_methods_and_paths_are_refused,
    the_metadata_says_what_there_is,
}

struct Stage {
    client: Client,
    operator: Session,
    password: String,
}

async fn stage(case: &Case<'_>) -> Stage {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "bad input").await;
    let operator = case.basic("operator").await;
    let password = case.password_of(&operator);
    Stage { client, operator, password }
}

impl Stage {
    fn basic(&self) -> String {
        basic(&self.client.id, &self.client.secret)
    }

    /// The form that works.
    fn good(&self) -> String {
        form(&[("grant_type", "password"), ("username", &self.operator.username), ("password", &self.password)])
    }

    /// Panics where nothing works any more.
    async fn check(&self, case: &Case<'_>) -> TokenGrant {
        let request = case.api.http.post(TOKEN).header("authorization", &self.basic()).body(self.good());
        let grant = TokenGrant::from_json(&request.send().await.is(200));
        canary::remember_token(&grant.access_token);
        canary::remember_secret(grant.refresh());
        grant
    }
}

#[track_caller]
fn refused(what: &str, answer: &HttpAnswer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{what}: {text}");
    assert_eq!(answer.oauth_code(), code, "{what}: {text}");
    assert!(!canary::is_in(&answer.body), "{what}: a secret in the answer");
    assert!(answer.header("x-request-id").is_some(), "{what}: no request id");
}

async fn send(request: HttpRequest<'_>) -> HttpAnswer {
    request.header("content-type", "application/x-www-form-urlencoded").send().await
}

async fn a_client_shows_who_it_is_in_one_way(case: &Case<'_>) {
    let it = stage(case).await;
    let post = |path: &str| case.api.http.post(path);
    let own = form(&[("client_id", &it.client.id), ("client_secret", &it.client.secret)]);
    let only_id = form(&[("client_id", &it.client.id)]);
    let (good, shown) = (it.good(), it.basic());
    for path in [TOKEN, REVOKE, INTROSPECT] {
        // From an address of its own: failures count.
        let apart = Case::on(case.server, case.protocol).await.api;
        let post = |path: &str| apart.http.post(path);
        let good = if path == TOKEN { good.clone() } else { "token=x".to_owned() };
        let both = send(post(path).header("authorization", &shown).body(format!("{good}&{own}"))).await;
        refused("header and body", &both, 400, "request.invalid");
        let other = format!("{good}&client_id=another");
        let other = send(post(path).header("authorization", &shown).body(other)).await;
        refused("another id in the body", &other, 400, "request.invalid");
        let twice = post(path).header("authorization", &shown).header("authorization", &shown);
        refused("two headers", &send(twice.body(good.clone())).await, 400, "request.invalid");
        // The same id beside the header says nothing else.
        send(post(path).header("authorization", &shown).body(format!("{good}&{only_id}"))).await.is(200);
        let token = format!("Bearer {}", it.operator.token.as_deref().unwrap());
        for (what, header) in [
            ("a token", token.as_str()),
            ("no Base64", "Basic !"),
            ("nothing", "Basic "),
            ("no colon", &format!("Basic {}", basic("x", "").trim_end_matches(['6', '=']))),
            ("another scheme", "Digest username=\"x\""),
        ] {
            refused(
                what,
                &send(post(path).header("authorization", header).body(good.clone())).await,
                401,
                "oauth.invalid_client",
            );
        }
        refused("nobody", &send(post(path).body(good.clone())).await, 401, "oauth.invalid_client");
        let without_secret = send(post(path).body(format!("{good}&{only_id}"))).await;
        refused("no secret", &without_secret, 401, "oauth.invalid_client");
        let empty = send(post(path).header("authorization", &basic(&it.client.id, "")).body(good.clone())).await;
        refused("an empty secret", &empty, 401, "oauth.invalid_client");
    }
    // Cookies and other headers authenticate nobody; a token along with the client is not looked at.
    let cookie =
        post(TOKEN).header("cookie", &format!("client_id={}; client_secret={}", it.client.id, it.client.secret));
    refused("cookies", &send(cookie.body(good.clone())).await, 401, "oauth.invalid_client");
    send(post(TOKEN).header("x-authorization", "a.b.c").header("authorization", &shown).body(good)).await.is(200);
}

async fn a_parameter_is_there_once_and_in_the_body(case: &Case<'_>) {
    let it = stage(case).await;
    let post = |path: &str| case.api.http.post(path).header("authorization", &it.basic());
    let good = it.good();
    for again in [
        "grant_type=password",
        "username=x",
        "password=x",
        "grant%5Ftype=refresh_token",
        "pass%77ord=x",
        &form(&[("username", &it.operator.username)]),
        &form(&[("password", &it.password)]),
    ] {
        let answer = send(post(TOKEN).body(format!("{good}&{again}"))).await;
        refused(again, &answer, 400, "request.invalid");
    }
    for again in ["scope=public-api&scope=public-api", "scope=&scope=public-api"] {
        refused(again, &send(post(TOKEN).body(format!("{good}&{again}"))).await, 400, "request.invalid");
    }
    for path in [REVOKE, INTROSPECT] {
        for body in ["token=x&token=x", "token=x&token=y", "", "token=", "token_type_hint=access_token"] {
            refused(body, &send(post(path).body(body)).await, 400, "request.invalid");
        }
    }
    // What is missing is named; what stands in the query is not read, because queries end in logs.
    for body in [
        String::new(),
        "grant_type=".to_owned(),
        "grant_type=password".to_owned(),
        form(&[("grant_type", "password"), ("username", &it.operator.username)]),
        form(&[("grant_type", "password"), ("password", &it.password)]),
        form(&[("grant_type", "password"), ("username", &it.operator.username), ("password", "")]),
        "grant_type=refresh_token".to_owned(),
        "grant_type=refresh_token&refresh_token=".to_owned(),
    ] {
        refused(&body, &send(post(TOKEN).body(body.clone())).await, 400, "request.invalid");
    }
    let query = case.api.http.post(format!("{TOKEN}?{good}")).header("authorization", &it.basic());
    refused("in the query", &send(query).await, 400, "request.invalid");
    // Unknown ones are ignored (RFC 6749, section 3.2), also twice.
    send(post(TOKEN).body(format!("{good}&nonce=1&nonce=2&audience=x"))).await.is(200);
}

async fn what_is_no_form_is_refused(case: &Case<'_>) {
    let it = stage(case).await;
    let body = json!({"grant_type": "password", "username": it.operator.username, "password": it.password,
                      "client_id": it.client.id, "client_secret": it.client.secret});
    for path in [TOKEN, REVOKE, INTROSPECT] {
        let post = || case.api.http.post(path).header("authorization", &it.basic());
        refused("JSON", &post().json(&body).send().await, 400, "request.invalid");
        refused("JSON that says it is a form", &send(post().body(body.to_string())).await, 400, "request.invalid");
        refused("a list", &send(post().body("[]")).await, 400, "request.invalid");
        let multipart = post().header("content-type", "multipart/form-data; boundary=x").body("--x--");
        refused("multipart", &multipart.send().await, 400, "request.invalid");
        for odd in ["%00", "%FF%FE", "=&=&=", "&&&&", "\u{0}\u{1}\u{2}"] {
            refused(odd, &send(post().body(odd)).await, 400, "request.invalid");
        }
    }
    let unnamed = case.api.http.post(TOKEN).header("authorization", &it.basic()).body(it.good()).send().await;
    unnamed.is(200);
}

async fn a_grant_that_is_not_known_is_refused(case: &Case<'_>) {
    let it = stage(case).await;
    for grant in [
        "authorization_code",
        "implicit",
        "PASSWORD",
        "password ",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "admin' --",
    ] {
        let body = form(&[("grant_type", grant), ("username", &it.operator.username), ("password", &it.password)]);
        let answer = send(case.api.http.post(TOKEN).header("authorization", &it.basic()).body(body)).await;
        refused(grant, &answer, 400, "oauth.unsupported_grant_type");
    }
    it.check(case).await;
}

/// Texts that HTTP Basic, forms and hashes trip over; the last two differ behind 72 bytes, where bcrypt stops to look.
fn odd_texts(case: &Case<'_>) -> Vec<String> {
    let long = case.secret(&"0123456789".repeat(20));
    vec![
        case.secret(":colons::at:the:end:"),
        case.secret("%41 %zz 100% %"),
        case.secret("a+b c++"),
        case.secret("  spaces  within  "),
        case.secret("&=?#/\\\"'<>;"),
        long[..72].to_owned(),
        long[..200].to_owned(),
        format!("{}X", &long[..199]),
    ]
}

async fn odd_client_secrets_are_taken_as_they_are(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("operator").await;
    let password = case.password_of(&operator);
    let ask = async |client: &Client, shown: &str| {
        // From an address of its own: failures count.
        let apart = Case::on(case.server, case.protocol).await.api;
        let fields = [("grant_type", "password"), ("username", operator.username.as_str()), ("password", &password)];
        let body = form(&[("client_id", client.id.as_str()), ("client_secret", shown)]);
        let by_body = send(apart.http.post(TOKEN).body(format!("{}&{body}", form(&fields)))).await;
        let raw = apart.http.post(TOKEN).header("authorization", &basic(&client.id, shown));
        let raw = send(raw.body(form(&fields))).await;
        let encoded = [client.id.as_str(), shown].map(|text| form(&[(text, "")]).trim_end_matches('=').to_owned());
        let encoded = apart.http.post(TOKEN).header("authorization", &basic(&encoded[0], &encoded[1]));
        let encoded = send(encoded.body(form(&fields))).await;
        [by_body.status, raw.status, encoded.status]
    };
    let texts = odd_texts(case);
    for (index, secret) in texts.iter().enumerate() {
        let new = NewApiAccess {
            client_id: case.unique(&format!("odd + % {index}")),
            client_secret: Some(secret.clone()),
            password_grant: Some(true),
            ..NewApiAccess::default()
        };
        let (_, client) = admin.create_api_access(&new).await.ok();
        assert_eq!(ask(&client, secret).await, [200; 3], "{secret}");
        // In the body a secret counts exactly as it stands.
        for near in [&secret[..secret.len() - 1], &format!("{secret} "), &secret.to_uppercase()] {
            assert_eq!(ask(&client, near).await[0], 401, "{near} instead of {secret}");
        }
        if secret.len() == 200 {
            assert_eq!(ask(&client, &texts[texts.len() - 1 - usize::from(index + 1 == texts.len())]).await, [401; 3]);
        }
    }
    // What no secret can be: not ASCII, NUL, longer than any.
    let (_, client) = case.access(&admin, "plain").await;
    for odd in ["\u{20ac}\u{e9}", "x\u{0}y", &"x".repeat(2000)] {
        let statuses = ask(&client, odd).await;
        assert!(statuses.iter().all(|status| matches!(status, 400 | 401)), "{statuses:?}");
    }
}

async fn odd_passwords_are_taken_as_they_are(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let (_, client) = case.access(&admin, "odd passwords").await;
    let role = case.role("operators", &[permission::CONNECT_TO_API]).await;
    let mut texts = odd_texts(case);
    texts.push(case.secret("\u{20ac} \u{e9} \u{65e5}\u{672c} \u{1f511}"));
    for (index, password) in texts.iter().enumerate() {
        let username = case.unique(&format!("odd:%+ {index}"));
        let new =
            NewUser { username: username.clone(), password: password.clone(), roles: vec![role], ..NewUser::default() };
        case.admin.create_user(&new).await.ok();
        let ask = async |password: &str| {
            let body = form(&[("grant_type", "password"), ("username", &username), ("password", password)]);
            let request = case.api.http.post(TOKEN).header("authorization", &basic(&client.id, &client.secret));
            send(request.body(body)).await
        };
        ask(password).await.is(200);
        let near: String = password.chars().take(password.chars().count() - 1).collect();
        refused(password, &ask(&near).await, 400, "oauth.invalid_grant");
        refused(password, &ask(&format!("{password} ")).await, 400, "oauth.invalid_grant");
        case.anonymous().open(&username, password).await;
    }
    // NUL ends no password: it is in none.
    let body = format!("grant_type=password&username=x&password={}%00x", case.secret("before"));
    let request = case.api.http.post(TOKEN).header("authorization", &basic(&client.id, &client.secret));
    refused("NUL", &send(request.body(body)).await, 400, "request.invalid");
}

async fn passwords_beyond_all_measure_are_refused(case: &Case<'_>) {
    let it = stage(case).await;
    let ask = async |length: usize| {
        let body = format!("grant_type=password&username=x&password={}", "x".repeat(length));
        send(case.api.http.post(TOKEN).header("authorization", &it.basic()).body(body)).await
    };
    refused("a byte too long", &ask(1025).await, 400, "request.invalid");
    refused("a mebibyte", &ask(1024 * 1024).await, 413, "request.too_large");
    let sign_in = case.api.http.post("/v1/authentication");
    let sign_in =
        sign_in.json(&json!({"username": it.operator.username, "password": "x".repeat(1024 * 1024)})).send().await;
    assert!(matches!(sign_in.status, 400 | 413), "{}", sign_in.status);
    let secret = send(case.api.http.post(TOKEN).header("authorization", &basic("x", &"x".repeat(16 * 1024)))).await;
    assert!(matches!(secret.status, 400 | 401 | 431), "{}", secret.status);
    it.check(case).await;
}

async fn refresh_tokens_that_are_none_change_nothing(case: &Case<'_>) {
    let it = stage(case).await;
    let (grant, other) = (it.check(case).await, it.check(case).await);
    let ask = async |token: &str| {
        let body = form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        send(case.api.http.post(TOKEN).header("authorization", &it.basic()).body(body)).await
    };
    let token = grant.refresh();
    let prefix = "coffre_rt_";
    let payload = |token: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&token[prefix.len()..]).unwrap()
    };
    let written = |bytes: &[u8]| {
        use base64::Engine as _;
        format!("{prefix}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    };
    // With a checksum that is right for what was put together: only the server's key can tell.
    let checked = |bytes: &[u8]| {
        let body = &bytes[..bytes.len() - 4];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[prefix.as_bytes(), body].concat());
        written(&[body, &digest.as_ref()[..4]].concat())
    };
    let bytes = payload(token);
    assert_eq!(checked(&bytes), token, "the form of a refresh token is another one");
    let mut forged = Vec::new();
    for at in [0, 15, 16, 23, 24, bytes.len() - 5] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        forged.push(written(&changed));
        forged.push(checked(&changed));
    }
    // The family of another with the proof of this one.
    forged.push(checked(&[&payload(other.refresh())[..16], &bytes[16..]].concat()));
    for odd in [
        "x",
        prefix,
        "coffre_rt_AAAA",
        "a.b.c",
        "\u{20ac}",
        "' OR 1=1 --",
        &token[..token.len() - 1],
        &format!("{token}A"),
    ] {
        forged.push(odd.to_owned());
    }
    forged.push(token.to_uppercase());
    forged.push(grant.access_token.clone());
    for forged in forged {
        refused(&forged, &ask(&forged).await, 400, "oauth.invalid_grant");
    }
    refused("too long", &ask(&"x".repeat(9000)).await, 400, "request.invalid");
    // Neither family noticed.
    let next = TokenGrant::from_json(&ask(token).await.is(200));
    canary::remember_secret(next.refresh());
    ask(next.refresh()).await.is(200);
    ask(other.refresh()).await.is(200);
}

/// What the server holds in memory, in MiB.
fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn many_unknown_clients_take_no_room(case: &Case<'_>) {
    let it = stage(case).await;
    let before = resident_mib(case.server.pid);
    let address = case.server.http;
    let mut tasks = Vec::new();
    for _ in 0..40 {
        // Each from an address of its own: one that fails often is delayed.
        let bytes = uuid::Uuid::new_v4().into_bytes();
        let from = Ipv4Addr::new(127, bytes[0], bytes[1], bytes[2].clamp(2, 250));
        let http = Http::from_address(address, cfg!(target_os = "linux").then_some(IpAddr::V4(from)));
        tasks.push(tokio::spawn(async move {
            for index in 0..15 {
                let id = format!("nobody {}", uuid::Uuid::new_v4());
                let secret = if index == 0 { "a chosen secret that is wrong" } else { "coffre_cs_AAAAAAAA" };
                let request = http.post(TOKEN).header("authorization", &basic(&id, secret));
                let body = "grant_type=client_credentials";
                let answer = send(request.body(body)).await;
                refused(&id, &answer, 401, "oauth.invalid_client");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let after = resident_mib(case.server.pid);
    // Other cases run on this server as well; six hundred clients would not show, a leak for each would.
    assert!(after < before + 256, "{before} MiB before, {after} MiB after");
    it.check(case).await;
}

async fn other_methods_and_paths_are_refused(case: &Case<'_>) {
    for path in [TOKEN, REVOKE, INTROSPECT] {
        for method in [http::Method::GET, http::Method::PUT, http::Method::DELETE, http::Method::PATCH] {
            let answer = case.api.http.request(method, path).send().await;
            assert_eq!(answer.status, 405, "{path}: {answer:?}");
            assert_eq!(answer.json()["error"], "invalid_request", "{path}");
        }
    }
    let answer = case.api.http.post("/oauth/authorize").send().await;
    assert_eq!((answer.status, &answer.json()["error"]), (404, &json!("invalid_request")));
}

async fn the_metadata_says_what_there_is(case: &Case<'_>) {
    let metadata = case.api.http.get("/.well-known/oauth-authorization-server").send().await.is(200);
    let issuer = metadata["issuer"].as_str().unwrap();
    assert_eq!(metadata["token_endpoint"], format!("{issuer}{TOKEN}"));
    assert_eq!(metadata["revocation_endpoint"], format!("{issuer}{REVOKE}"));
    assert_eq!(metadata["introspection_endpoint"], format!("{issuer}{INTROSPECT}"));
    assert_eq!(metadata["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    assert_eq!(metadata["grant_types_supported"], json!(["password", "refresh_token", "client_credentials"]));
    assert_eq!(metadata["scopes_supported"], json!(["public-api"]));
    // Whoever chooses the host of a request does not choose where clients send their secrets.
    let request =
        case.api.http.get("/.well-known/oauth-authorization-server").header("x-forwarded-host", "evil.example");
    assert_eq!(request.send().await.is(200), metadata);
}
