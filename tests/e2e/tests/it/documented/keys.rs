//! Every request that the old document prints for the mode and the master key, sent by real `curl` as it is printed, on vaults of their own.
//!
//! What had to be repaired:
//!
//! | printed | sent |
//! |---|---|
//! | `"privatekey": "ABC123"` | as printed where short master keys are allowed (`coffre dev`, and `serve` by its setting), with a `Warning` in the answer |
//! | the table of parameters calls the key `key`, and the mode `Manuel` | both |
//! | nothing is said of the present key when the mode goes back to `Express` | with `privatekey`, the present one |
//! | the introduction signs in by `POST`, and gets lockers | the paths below it |

use coffre_e2e::case::{Case, permission, run_apart};
use coffre_e2e::server::{Engine, Home};
use serde_json::{Value, json};

use super::curl;

#[test]
fn every_printed_request_about_the_master_key_works_as_printed() {
    for engine in Engine::BOTH {
        run_apart(engine, replay);
    }
}

/// Sends requests as one who may.
async fn caller(case: &Case<'_>) -> impl Fn(&str, &str, Option<&str>) -> (u16, Value) + use<> {
    let user = case.holder("Ellie.Brown", &[permission::MANAGE_SETTINGS]).await;
    let (base, header) = (case.server.url(), format!("X-Authorization: {}", user.token.unwrap()));
    move |method, path, body| {
        let address = format!("{base}{path}");
        let mut words = vec!["-X", method, &address, "-H", &header, "-H", "Content-Type: application/json"];
        if let Some(body) = body {
            words.extend(["-d", body]);
        }
        curl(&words)
    }
}

async fn replay(engine: Engine) {
    let home = Home::new(engine);
    // In `dev` it is so without a word.
    let home = if engine == Engine::Postgres { home.with("COFFRE_VAULT__SHORT_MASTER_KEYS", "true") } else { home };
    let (mode, key) = ("/v2/credentialvault/mode", "/v2/credentialvault/keys/private");
    let manual = "{\n\n\"name\": \"Manual\",\n\n\"privatekey\": \"ABC123\"\n\n}";
    let apply = "{\n\n\"privateKey\": \"ABC123\"\n\n}";
    let server = home.start();
    {
        let case = Case::on(&server, coffre_e2e::api::Protocol::Rest).await;
        let call = caller(&case).await;
        assert_eq!(call("GET", mode, None), (200, json!({"name": "Express"})));
        assert_eq!(call("GET", key, None), (200, json!({"applied": true})));
        assert_eq!(call("PUT", mode, Some(manual)), (204, Value::Null));
        assert_eq!(call("GET", mode, None), (200, json!({"name": "Manual"})));
        // Applied twice it is applied.
        assert_eq!(call("PUT", key, Some(apply)), (200, json!({"applied": true})));
    }
    assert!(server.stop().success());
    let server = home.start();
    let case = Case::on(&server, coffre_e2e::api::Protocol::Rest).await;
    let call = caller(&case).await;
    assert_eq!(call("GET", key, None), (200, json!({"applied": false})), "after the restart it waits");
    let (status, wrong) = call("PUT", key, Some("{ \"privateKey\": \"ABC124\" }"));
    assert_eq!((status, &wrong["code"]), (403, &json!("vault.key_wrong")));
    assert_eq!(call("PUT", key, Some(apply)), (200, json!({"applied": true})));
    assert_eq!(call("GET", key, None), (200, json!({"applied": true})));
    // The words of the table of parameters; the key that is in force proves who asks.
    let manuel = r#"{ "name": "Manuel", "key": "XYZ789", "currentKey": "ABC123" }"#;
    assert_eq!(call("PUT", mode, Some(manuel)), (204, Value::Null));
    let express = r#"{ "name": "Express", "privatekey": "XYZ789" }"#;
    assert_eq!(call("PUT", mode, Some(express)), (204, Value::Null));
    assert_eq!(call("GET", mode, None), (200, json!({"name": "Express"})));
    // The table of status codes.
    let (status, conflict) = call("PUT", key, Some(apply));
    assert_eq!((status, &conflict["code"]), (409, &json!("vault.mode_conflict")));
    assert_eq!(call("PUT", mode, Some(r#"{ "name": "<mode>", "privatekey": "<CV Key>" }"#)).0, 400);
    assert_eq!(curl(&["-X", "PUT", &format!("{}{mode}", case.server.url()), "-d", manual]).0, 401);
    assert!(server.stop().success());
}
