//! The program itself: `coffre dev` as it starts, runs and stops; `coffre serve` as it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, NewAttribute, NewValue, Protocol, UserChange};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use serde_json::json;

/// Runs `coffre` until it ends by itself, and returns its exit code and what it said.
fn output_of(home: &Home, arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = if arguments[0] == "dev" { home.command(arguments) } else { home.operator(arguments) };
    command.envs(settings.iter().copied());
    said(command)
}

/// Ends a command that should have ended by itself, and returns its exit code and what it said.
pub(crate) fn said(mut command: Command) -> (Option<i32>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn dev_says_where_it_is_and_how_to_try_it() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::new(engine);
        let server = home.start();
        let said = fs::read_to_string(&server.out).unwrap();
        for part in [
            server.http.to_string(),
            server.grpc.to_string(),
            "/docs".to_owned(),
            "curl".to_owned(),
            "grpcurl".to_owned(),
            "admin".to_owned(),
        ] {
            assert!(said.contains(&part), "it does not say {part}: {said}");
        }
        assert!(!server.said().contains(&home.admin_password), "a given password is not printed");
        server.stop();
    });
}

#[test]
fn dev_without_a_password_makes_one_and_shows_it_once() {
    run_apart(Engine::Sqlite, async |engine| {
        let mut home = Home::new(engine);
        home.admin_password = String::new();
        let home = home.without("COFFRE_ADMIN_PASSWORD");
        let server = home.start();
        let said = fs::read_to_string(&server.out).unwrap();
        // The word that signs in is the password.
        let http = Http::new(server.http);
        let mut password = None;
        let words: Vec<&str> = said
            .split(|sign: char| sign.is_whitespace() || sign == '"' || sign == '\'')
            .filter(|word| word.len() >= 12)
            .collect();
        for word in
            words.into_iter().filter(|word| word.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-'))
        {
            let answer =
                http.post("/v1/authentication").json(&json!({"username": "admin", "password": word})).send().await;
            if answer.status == 200 {
                password = Some(word.to_owned());
                break;
            }
        }
        let password = password.unwrap_or_else(|| panic!("no password in: {said}"));
        assert_eq!(said.matches(&password).count(), 1, "once: {said}");
        assert!(!fs::read_to_string(&server.log).unwrap().contains(&password), "not in the log");
        server.stop();
        let again = home.start();
        assert!(!again.said().contains(&password), "not at the second start");
        http_of(&again)
            .post("/v1/authentication")
            .json(&json!({"username": "admin", "password": password}))
            .send()
            .await
            .is(200);
        again.stop();
    });
}

fn http_of(server: &coffre_e2e::server::Server) -> Http {
    Http::new(server.http)
}

#[test]
fn what_was_written_is_there_after_a_clean_stop() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let home = Home::new(engine);
            let server = home.start();
            let (id, secret, token, owner) = {
                let case = Case::on(&server, Protocol::Rest).await;
                let owner = case.basic("owner").await;
                let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
                let secret = case.secret("kept");
                owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
                case.settle().await;
                (created.id, secret, owner.token.clone().unwrap(), owner)
            };
            let begun = Instant::now();
            assert!(server.stop().success(), "it stops with 0: {}", server.said());
            assert!(begun.elapsed() < Duration::from_secs(10), "it stops soon: {:?}", begun.elapsed());
            let server = home.start();
            // The session goes on: a restart ends nothing.
            let caller =
                coffre_e2e::api::Session { api: Api::new(&server, Protocol::Rest), token: Some(token), ..owner };
            assert_eq!(caller.list_values(id).await.ok()[0].value, secret);
            assert!(server.stop().success());
        });
    }
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::new(engine);
        let server = home.start();
        let said = home.try_start().expect_err("two processes share their data");
        assert!(
            said.contains("another") || said.contains("already") || said.contains("in use by"),
            "a clear sentence: {said}"
        );
        assert!(!said.contains("panicked"), "{said}");
        Http::new(server.http).get("/healthz").send().await.is(200);
        server.kill();
        // A lock of a process that was killed does not hold.
        home.start().stop();
    });
}

fn check_private(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o777;
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, expected, "{}: {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            check_private(&entry.unwrap().path());
        }
    }
}

#[test]
fn data_and_keys_are_for_the_owner_alone() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::new(engine);
        let server = home.start();
        let case = Case::on(&server, Protocol::Rest).await;
        case.basic("writer").await;
        let data = home.folder.join("data");
        check_private(&data);
        assert!(data.join("keys").is_dir(), "the keys are in a folder of their own");
        server.stop();
        check_private(&data);
    });
}

#[test]
fn dev_answers_only_under_names_of_this_machine() {
    run_apart(Engine::Sqlite, async |engine| {
        let server = coffre_e2e::server::Server::shared(engine);
        for (host, good) in [
            (format!("localhost:{}", server.http.port()), true),
            (format!("127.0.0.1:{}", server.http.port()), true),
            ("evil.example".to_owned(), false),
            ("localhost.evil.example".to_owned(), false),
            ("127.0.0.1.evil.example:80".to_owned(), false),
            ("169.254.169.254".to_owned(), false),
        ] {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = coffre_e2e::raw::exchange(server.http, request.as_bytes(), Duration::from_secs(5)).unwrap();
            assert_eq!(answer.status == 200, good, "{host}: {answer:?}");
            assert!(good || (400..500).contains(&answer.status), "{host}: {answer:?}");
        }
    });
}

#[test]
fn dev_listens_on_the_loopback_alone() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::new(engine);
        for setting in ["COFFRE_HTTP_ADDR", "COFFRE_GRPC_ADDR", "COFFRE_MANAGEMENT_ADDR"] {
            let (code, said) =
                output_of(&home, &["dev"], &[("COFFRE_HTTP_ADDR", "127.0.0.1:1"), (setting, "0.0.0.0:0")]);
            assert!(code.is_some_and(|code| code != 0), "{setting}: {code:?} {said}");
            assert!(said.contains("this machine"), "{setting}: {said}");
        }
    });
}

#[test]
fn unknown_and_wrong_settings_are_named() {
    run_apart(Engine::Sqlite, async |engine| {
        let home = Home::new(engine);
        let (code, said) = output_of(&home, &["dev"], &[("COFFRE_HTTP_ADR", "127.0.0.1:1"), ("COFFRE_LOG", "info")]);
        assert!(code.is_some_and(|code| code != 0) && said.contains("COFFRE_HTTP_ADR"), "{code:?} {said}");
        let (code, said) = output_of(&home, &["dev"], &[("COFFRE_STATUS_CODES", "odd")]);
        assert!(code.is_some_and(|code| code != 0) && said.contains("status_codes"), "{code:?} {said}");
    });
}

#[test]
fn serve_refuses_a_store_that_was_not_initialised() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let home = Home::bare(engine);
            let (code, said) = output_of(&home, &["serve", "all"], &[]);
            assert!(code.is_some_and(|code| code != 0), "{engine:?}: {code:?} {said}");
            assert!(said.contains("coffre init") || said.contains("coffre migrate"), "it says what to do: {said}");
            assert!(!said.contains("panicked"), "{said}");
        });
    }
}

#[test]
fn init_works_once() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let home = Home::bare(engine);
            home.initialise();
            let (code, said) = output_of(&home, &["init"], &[]);
            assert!(code.is_some_and(|code| code != 0), "{engine:?}: a second init must not succeed: {said}");
            assert!(said.contains("already"), "{said}");
            let (code, said) = output_of(&home, &["migrate"], &[]);
            assert_eq!(code, Some(0), "migrating again changes nothing: {said}");
        });
    }
}

#[test]
fn serve_takes_no_database_password_from_the_environment() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::bare(engine).without("COFFRE_DATABASE_URL_FILE");
        let (code, said) =
            output_of(&home, &["serve", "all"], &[("COFFRE_DATABASE_URL", "postgres://coffre:hunter22@127.0.0.1:1/x")]);
        assert!(code.is_some_and(|code| code != 0) && said.contains("DATABASE_URL_FILE"), "{said}");
        assert!(!said.contains("hunter22"), "the password is not repeated: {said}");
    });
}

#[test]
fn the_management_port_tells_health_and_metrics() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let server = coffre_e2e::server::Server::shared(engine);
            let http = Http::new(server.management);
            assert_eq!(http.get("/livez").send().await.status, 200);
            assert_eq!(http.get("/readyz").send().await.status, 200);
            let metrics = http.get("/metrics").send().await;
            assert_eq!(metrics.status, 200);
            let text = String::from_utf8_lossy(&metrics.body).into_owned();
            assert!(text.contains("# TYPE coffre_"), "{text}");
            assert_eq!(Http::new(server.http).get("/metrics").send().await.status, 404, "not on the public port");
            let home = &server.home;
            let healthy = home
                .command(&["healthcheck"])
                .env("COFFRE_MANAGEMENT_ADDR", server.management.to_string())
                .output()
                .unwrap();
            assert!(healthy.status.success(), "{healthy:?}");
            let nobody = home.command(&["healthcheck"]).env("COFFRE_MANAGEMENT_ADDR", "127.0.0.1:1").output().unwrap();
            assert!(!nobody.status.success());
        });
    }
}

#[test]
fn the_last_administrator_stays() {
    for engine in Engine::BOTH {
        run_apart(engine, async |engine| {
            let server = Home::new(engine).start();
            for protocol in Protocol::BOTH {
                let case = Case::on(&server, protocol).await;
                let admin = case.admin.id;
                case.admin.delete_user(admin).await.refused(409, "user.last_administrator");
                let off = UserChange { disabled: Some(true), ..UserChange::default() };
                case.admin.update_user(admin, &off).await.refused(409, "user.last_administrator");
                let strip = UserChange { roles: Some(Vec::new()), ..UserChange::default() };
                case.admin.update_user(admin, &strip).await.refused(409, "user.last_administrator");
                // With a second one the first may go, and then the second stays.
                let role = case.system_role("AAE_Admin").await;
                let second = case.user("second", &[role]).await;
                case.admin.update_user(second.id, &off).await.ok();
                case.admin.update_user(admin, &strip).await.refused(409, "user.last_administrator");
                case.admin.delete_user(second.id).await.ok();
                case.settle().await;
            }
        });
    }
}

#[test]
fn a_reset_password_must_be_changed_first_in_serve() {
    run_apart(Engine::Postgres, async |engine| {
        let case_server = coffre_e2e::server::Server::shared(engine);
        for protocol in Protocol::BOTH {
            let case = Case::on(case_server, protocol).await;
            let user = case.basic("reset").await;
            let reset = coffre_e2e::canary::password("reset by the administrator");
            let change = UserChange { password: Some(reset.clone()), ..UserChange::default() };
            case.recent_admin().await.update_user(user.id, &change).await.ok();
            crate::cases::within_a_second("the sessions end", async || {
                user.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
            })
            .await;
            let back = case.anonymous().open(&user.username, &reset).await;
            back.list_credentials(&Default::default()).await.refused(403, "auth.password_change_required");
            let own = coffre_e2e::canary::password("chosen by the user");
            back.change_password(&reset, &own).await.ok();
            crate::cases::within_a_second("the way is free", async || {
                back.list_credentials(&Default::default()).await.outcome.is_ok()
            })
            .await;
            case.settle().await;
        }
    });
}

#[test]
fn an_expired_token_is_refused() {
    run_apart(Engine::Sqlite, async |engine| {
        let server = Home::new(engine).with("COFFRE_AUTH__TOKEN_LIFE_SECONDS", "60").start();
        let case = Case::on(&server, Protocol::Rest).await;
        let user = case.basic("expiring").await;
        let signed_in = Instant::now();
        let grpc = coffre_e2e::api::Session { api: Api::new(&server, Protocol::Grpc), ..user.clone() };
        user.list_credentials(&Default::default()).await.ok();
        loop {
            let code = user.list_credentials(&Default::default()).await.code().map(ToOwned::to_owned);
            if let Some(code) = code {
                assert_eq!(code, "auth.token_invalid");
                break;
            }
            assert!(
                signed_in.elapsed() < Duration::from_secs(70),
                "a token of 60 s is taken after {:?}",
                signed_in.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(
            signed_in.elapsed() > Duration::from_secs(50),
            "a token of 60 s is refused after {:?}",
            signed_in.elapsed()
        );
        grpc.list_credentials(&Default::default()).await.refused(401, "auth.token_invalid");
        assert!(!case.anonymous().validate(user.token.as_deref().unwrap()).await.ok());
        case.anonymous().refresh(user.token.as_deref().unwrap()).await.refused(401, "auth.token_invalid");
    });
}

#[test]
fn the_public_url_is_the_issuer_of_tokens_of_introspection_and_of_the_metadata() {
    const URL: &str = "https://vault.example.org/coffre";
    run_apart(Engine::Sqlite, async |engine| {
        // However it is spelled, it is told in one way.
        let server = Home::new(engine).with("COFFRE_PUBLIC_URL", &format!("{URL}/")).start();
        for protocol in Protocol::BOTH {
            let case = Case::on(&server, protocol).await;
            let operator = case.basic("operator").await;
            let (_, client) = case.access(&case.api_administrator().await, "client").await;
            let grant = case.grant(&client, &operator).await;
            for token in [operator.token.as_deref().unwrap(), &grant.access_token] {
                assert_eq!(crate::cases::oauth::claims(token)["iss"], URL, "{protocol:?}");
            }
            let told = case.anonymous().introspect(&client, &grant.access_token).await.ok();
            assert_eq!((told.active, told.issuer.as_str()), (true, URL), "{protocol:?}");
            operator.with_token(&grant.access_token).dashboard().await.ok();
            case.settle().await;
        }
        let metadata = http_of(&server).get("/.well-known/oauth-authorization-server").send().await.is(200);
        assert_eq!(metadata["issuer"], URL);
        assert!(server.stop().success());
    });
}
