//! Every request that the document about the public API prints, sent by real `curl` as it is printed, with the host, the client, the operator and
//! the tokens of today.
//!
//! What had to be repaired:
//!
//! | printed | sent |
//! |---|---|
//! | the first two commands lack the `\` at the ends of their lines, all but the first; each line alone is no command | one command |
//! | the `\` that is there has blanks behind it, so a shell ends the command there | one command |
//! | `Basic cHVibGijLWFwaTo3RHU6SVo5cUJHFTUwRw==` is no text: it decodes to `publh`, a byte of no UTF-8, `-api:7Du:IZ9qBG` and a control sign (`public-api` begins with `cHVibGlj`) | the id and secret of today; the secret holds a colon, as the printed one does |
//! | `refresh_token=16567a5c-702c-41c0-9602-3f8e6136ba7`: a UUID without its last digit | the refresh token of today |
//! | "ID client: description of the client (must be unique)" | the client id; the description is a field of its own |

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_e2e::api::{NewApiAccess, NewAttribute, Protocol};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, run};
use coffre_e2e::server::Engine;
use serde_json::{Value, json};

use super::curl;

/// The commands as they are printed, each one line, but for what a reader is told to fill in.
const TOKEN: &str = "curl -X POST URL/oauth/token -H 'Authorization: Basic BASIC' \
    -H 'Content-Type: application/x-www-form-urlencoded' -H 'cache-control: no-cache' \
    -d 'grant_type=password&scope=public-api&username=USERNAME&password=PASSWORD'";
const REFRESH: &str = "curl -X POST URL/oauth/token -H 'Authorization: Basic BASIC' \
    -H 'Content-Type: application/x-www-form-urlencoded' -H 'cache-control: no-cache' \
    -d 'grant_type=refresh_token&scope=public-api&refresh_token=REFRESH'";
const DASHBOARD: &str = "curl -X GET URL/api/dashboard -H 'Authorization: Bearer BEARER' -H 'cache-control: no-cache'";

#[test]
fn every_printed_request_of_the_public_api_works_as_printed() {
    for engine in Engine::BOTH {
        run(engine, Protocol::Rest, replay);
    }
}

/// Has a shell run a command with its placeholders filled.
fn shell(command: &str, filled: &[(&str, &str)]) -> Value {
    let mut command = command.to_owned();
    for (placeholder, text) in filled {
        assert!(command.contains(placeholder), "{placeholder} is not in {command}");
        command = command.replace(placeholder, text);
    }
    let command = command.replacen("curl ", "curl --silent --show-error --fail-with-body --max-time 30 ", 1);
    let output = Command::new("sh").args(["-c", &command]).output().expect("the replay of the document needs a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {said} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn replay(case: &Case<'_>) {
    let admin = case.api_administrator().await;
    let operator = case.basic("my-operator-login").await;
    operator.create_credential(&case.unique("seen"), &[NewAttribute::standard("a")]).await.ok();
    let password = case.password_of(&operator);
    let username = operator.username.replace(' ', "%20");

    // « Créer un accès API »: a name that is unique, a secret (with a colon, as in the printed example), the fixed scope, two lives, two grants.
    let secret = case.secret("7Du:IZ9q BG%50G");
    let new = NewApiAccess {
        client_id: case.unique("public-api"),
        client_secret: Some(secret.clone()),
        scope: Some("public-api".to_owned()),
        access_token_minutes: Some(30),
        refresh_token_minutes: Some(60),
        password_grant: Some(true),
        refresh_grant: Some(true),
        ..NewApiAccess::default()
    };
    admin.create_api_access(&new).await.ok();
    let (url, words) = (case.server.url(), STANDARD.encode(format!("{}:{secret}", new.client_id)));

    // A. « Tester la connexion ».
    let filled = [("URL", url.as_str()), ("BASIC", &words), ("USERNAME", &username), ("PASSWORD", &password)];
    let token = shell(TOKEN, &filled);
    let keys: Vec<&str> = token.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["access_token", "expires_in", "refresh_token", "scope", "token_type"], "{token}");
    assert_eq!((&token["token_type"], &token["scope"]), (&json!("bearer"), &json!("public-api")));
    assert!(token["expires_in"].as_i64().is_some_and(|left| (1795..=1800).contains(&left)), "{token}");
    let (access, refresh) = (token["access_token"].as_str().unwrap(), token["refresh_token"].as_str().unwrap());
    canary::remember_token(access);
    canary::remember_secret(refresh);

    // B. « Effectuer un Token refresh ».
    let renewed = shell(REFRESH, &[("URL", url.as_str()), ("BASIC", &words), ("REFRESH", refresh)]);
    assert_ne!(renewed["access_token"], token["access_token"]);
    assert_ne!(renewed["refresh_token"], token["refresh_token"]);

    // C. « Exécuter une requête API », with both tokens.
    for bearer in [access, renewed["access_token"].as_str().unwrap()] {
        let dashboard = shell(DASHBOARD, &[("URL", url.as_str()), ("BEARER", bearer)]);
        let who = json!({"id": operator.id.to_string(), "username": operator.username});
        assert_eq!(dashboard["operator"], who, "{dashboard}");
        assert_eq!((&dashboard["credentials"], &dashboard["lockers"]), (&json!(1), &json!(0)));
        assert_eq!((&dashboard["missingValues"], &dashboard["vault"]), (&json!(1), &json!({"applied": true})));
        assert!(dashboard["audit"].is_array(), "{dashboard}");
    }

    // The values as they are printed are nobody's.
    let printed = ["-X", "POST", &format!("{url}/oauth/token"), "-H"].map(ToOwned::to_owned).to_vec();
    let ask = |authorization: &str, body: &str| {
        let mut words = printed.clone();
        words.extend([format!("Authorization: {authorization}"), "-d".to_owned(), body.to_owned()]);
        curl(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let body = "grant_type=password&scope=public-api&username=my-operator-login&password=my-operator-password";
    let (status, answer) = ask("Basic cHVibGijLWFwaTo3RHU6SVo5cUJHFTUwRw==", body);
    assert!(matches!(status, 400 | 401) && answer["error"].is_string(), "{answer}");
    let (status, answer) = ask(&format!("Basic {words}"), body);
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    let body = "grant_type=refresh_token&scope=public-api&refresh_token=16567a5c-702c-41c0-9602-3f8e6136ba7";
    let (status, answer) = ask(&format!("Basic {words}"), body);
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    let (status, answer) = curl(&[
        "-X",
        "GET",
        &format!("{url}/api/dashboard"),
        "-H",
        "Authorization: Bearer dcb00798-e844-40b9-9fcf-fbe0b0fe7b25",
    ]);
    assert_eq!((status, &answer["code"]), (401, &json!("auth.token_invalid")));
}
