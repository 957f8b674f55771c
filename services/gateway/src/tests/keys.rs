//! The vault's mode and keys.

use coffre_error::{Reason, Refusal};
use coffre_proto::vault::v1::key_slot::Kind;
use coffre_proto::vault::v1::{
    ApplyMasterKeyRequest, ApplyMasterKeyResponse, DrillKeyRequest, DrillKeyResponse, GetRotationResponse, KeySlot,
    ListKeySlotsResponse, Mode, ReplaceRecoveryKeyRequest, ReplaceRecoveryKeyResponse, Rotation, SetModeRequest,
    SetModeResponse, StartRotationResponse,
};
use prost_types::Timestamp;
use serde_json::json;

use super::{Upstream, assert_forms_refused, send};

const MODE: &str = "/v2/credentialvault/mode";
const KEY: &str = "/v2/credentialvault/keys/private";
const ROTATION: &str = "/v2/credentialvault/keys/rotation";
const RECOVERY: &str = "/v2/credentialvault/keys/recovery";
const DRILL: &str = "/v2/credentialvault/keys/drill";

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 187_000_000 })
}

#[tokio::test]
async fn a_mode_is_named_and_its_key_spelled_as_the_documents_print_them() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (name, mode) in [
        ("Express", Mode::Express),
        ("express", Mode::Express),
        ("Manual", Mode::Manual),
        ("MANUAL", Mode::Manual),
        ("Manuel", Mode::Manual),
        ("manuel", Mode::Manual),
    ] {
        for key in ["privatekey", "privateKey", "PrivateKey", "key"] {
            let body = format!(r#"{{"name":"{name}","{key}":"0123456789abcdef"}}"#);
            let answer = send(&gateway, "PUT", MODE, &body).await;
            answer.assert_empty(204, &body);
            assert_eq!(answer.header("warning"), None, "{body}");
            let private_key = "0123456789abcdef".to_owned();
            let expected = SetModeRequest { mode: mode.into(), private_key, ..SetModeRequest::default() };
            assert_eq!(upstream.asked::<SetModeRequest>(), expected, "{body}");
        }
    }
    let body = r#"{"name":"Manual","key":"new","currentKey":"old","recoveryKey":"written down"}"#;
    send(&gateway, "PUT", "/v1/credentialvault/mode/", body).await.assert_empty(204, body);
    let expected = SetModeRequest {
        mode: Mode::Manual.into(),
        private_key: "new".into(),
        current_key: "old".into(),
        recovery_key: "written down".into(),
    };
    assert_eq!(upstream.asked::<SetModeRequest>(), expected);
    send(&gateway, "PUT", MODE, r#"{"name":"Express","privateKey":null}"#).await.assert_empty(204, "no key");
    assert_eq!(upstream.asked::<SetModeRequest>().private_key, "");
}

#[tokio::test]
async fn a_short_master_key_is_answered_with_a_warning() {
    let upstream = Upstream::default();
    upstream.reply("KeyService/SetMode", &SetModeResponse { key_is_short: true });
    let answer = send(&upstream.gateway(), "PUT", MODE, r#"{"name":"Manual","privatekey":"secret"}"#).await;
    answer.assert_empty(204, "short");
    let warning = answer.header("warning").unwrap();
    assert!(warning.starts_with("199 coffre \"") && warning.contains("16 characters"), "{warning}");
}

#[tokio::test]
async fn other_forms_are_refused_by_their_path() {
    let upstream = Upstream::default();
    let forms = [
        ("{}", "name"),
        (r#"{"name":null,"key":"k"}"#, "name"),
        (r#"{"name":7}"#, "name"),
        (r#"{"name":""}"#, "name"),
        (r#"{"name":"Automatic"}"#, "name"),
        (r#"{"name":"Manual","key":123456}"#, "privateKey"),
        (r#"{"name":"Manual","key":"a","privatekey":"a"}"#, "privateKey"),
        (r#"{"name":"Manual","currentKey":[]}"#, "currentKey"),
        (r#"{"name":"Manual","recoveryKey":{}}"#, "recoveryKey"),
    ];
    assert_forms_refused(&upstream, "PUT", MODE, &forms).await;
    for (method, path) in [("PUT", KEY), ("POST", DRILL)] {
        let forms = [
            (r#"{"privateKey":1}"#, "privateKey"),
            (r#"{"privateKey":"a","PRIVATEKEY":"b"}"#, "privateKey"),
            (r#"{"recoveryKey":true}"#, "recoveryKey"),
        ];
        assert_forms_refused(&upstream, method, path, &forms).await;
        for body in ["", "[]", "\"key\""] {
            send(&upstream.gateway(), method, path, body).await.assert_refused(400, "request.invalid", body);
        }
    }
    assert_forms_refused(&upstream, "POST", RECOVERY, &[(r#"{"currentKey":1}"#, "currentKey")]).await;
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn the_master_key_or_the_recovery_key_opens_the_vault() {
    let upstream = Upstream::default();
    upstream.reply("KeyService/ApplyMasterKey", &ApplyMasterKeyResponse { applied: true });
    let gateway = upstream.gateway();
    for (body, private_key, recovery_key) in [
        (r#"{"privateKey":"k"}"#, "k", ""),
        (r#"{"privatekey":"k"}"#, "k", ""),
        (r#"{"Key":"k"}"#, "k", ""),
        (r#"{"recoveryKey":"r"}"#, "", "r"),
        (r#"{"recoverykey":"r","privateKey":null}"#, "", "r"),
        // Which of them counts, or none, is the vault's to say.
        (r#"{"privateKey":"k","recoveryKey":"r"}"#, "k", "r"),
        ("{}", "", ""),
    ] {
        let answer = send(&gateway, "PUT", KEY, body).await;
        assert_eq!(answer.outcome(), (200, json!({"applied": true})), "{body}");
        let expected = ApplyMasterKeyRequest { private_key: private_key.into(), recovery_key: recovery_key.into() };
        assert_eq!(upstream.asked::<ApplyMasterKeyRequest>(), expected, "{body}");
    }
}

#[tokio::test]
async fn refusals_of_keys_say_which_field_without_the_key() {
    let upstream = Upstream::default();
    for (reason, status, code) in [
        (Reason::VaultKeyWrong, 403, "vault.key_wrong"),
        (Reason::VaultKeyThrottled, 429, "vault.key_throttled"),
        (Reason::VaultKeyDamaged, 500, "vault.key_damaged"),
        (Reason::VaultModeConflict, 409, "vault.mode_conflict"),
        (Reason::VaultKeysChanged, 409, "vault.keys_changed"),
        (Reason::VaultSealed, 503, "vault.sealed"),
        (Reason::AuthRecentSignInRequired, 403, "auth.recent_sign_in_required"),
    ] {
        upstream.refuse_for("KeyService/ApplyMasterKey", reason);
        let answer = send(&upstream.gateway(), "PUT", KEY, r#"{"privateKey":"planted"}"#).await;
        answer.assert_refused(status, code, code);
        assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{code}");
        assert!(!answer.text.contains("planted"), "{code}");
    }
    upstream.refuse("KeyService/ApplyMasterKey", Refusal::invalid("recovery_key", "the third group is misspelled"));
    let answer = send(&upstream.gateway(), "PUT", KEY, r#"{"recoveryKey":"planted"}"#).await;
    assert_eq!(answer.json()["message"], "recoveryKey: the third group is misspelled");
    upstream.refuse("KeyService/SetMode", Refusal::new(Reason::VaultKeyWeak, "use 6 characters or more"));
    let answer = send(&upstream.gateway(), "PUT", MODE, r#"{"name":"Manual","key":"abc"}"#).await;
    answer.assert_refused(400, "vault.key_weak", "short");
}

#[tokio::test]
async fn a_rotation_begins_and_tells_how_far_it_is() {
    let upstream = Upstream::default();
    let rotation = Rotation {
        running: true,
        done_count: 37_560,
        total_count: 100_000,
        rate: 5200.5,
        seconds_left: Some(12),
        start_time: time(1_530_697_249),
        end_time: None,
        term: 2,
    };
    let mut expected = json!({
        "running": true, "done": 37560, "total": 100_000, "percent": 37.5, "perSecond": 5200.5, "secondsLeft": 12,
        "startedOn": "2018-07-04T09:40:49.187Z", "endedOn": null, "term": 2
    });
    upstream.reply("KeyService/StartRotation", &StartRotationResponse { rotation: Some(rotation) });
    let gateway = upstream.gateway();
    for body in ["", "{}"] {
        assert_eq!(send(&gateway, "POST", ROTATION, body).await.outcome(), (202, expected.clone()), "{body}");
    }
    let ended = Rotation {
        running: false,
        done_count: 100_000,
        rate: 0.0,
        seconds_left: None,
        end_time: time(1_530_697_260),
        ..rotation
    };
    upstream.reply("KeyService/GetRotation", &GetRotationResponse { rotation: Some(ended) });
    expected["running"] = false.into();
    expected["done"] = 100_000.into();
    expected["percent"] = 100.0.into();
    expected["perSecond"] = 0.0.into();
    expected["secondsLeft"] = json!(null);
    expected["endedOn"] = "2018-07-04T09:41:00.187Z".into();
    assert_eq!(send(&gateway, "GET", ROTATION, "").await.outcome(), (200, expected));
}

#[tokio::test]
async fn sealing_answers_nothing_and_unsealing_that_it_is_open() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    send(&gateway, "POST", "/v2/credentialvault/keys/seal", "").await.assert_empty(204, "sealed");
    assert_eq!(upstream.last().method, "KeyService/SealVault");
    let answer = send(&gateway, "POST", "/v2/credentialvault/keys/unseal", "{}").await;
    assert_eq!(answer.outcome(), (200, json!({"applied": true})));
    assert_eq!(upstream.last().method, "KeyService/UnsealVault");
    upstream.refuse_for("KeyService/UnsealVault", Reason::VaultModeConflict);
    let answer = send(&gateway, "POST", "/v2/credentialvault/keys/unseal", "").await;
    answer.assert_refused(409, "vault.mode_conflict", "Manual");
}

#[tokio::test]
async fn a_new_recovery_key_is_shown_once() {
    let upstream = Upstream::default();
    let reply = ReplaceRecoveryKeyResponse { recovery_key: "ABCDE-FGHIJ".into() };
    upstream.reply("KeyService/ReplaceRecoveryKey", &reply);
    let gateway = upstream.gateway();
    for (body, current_key) in
        [("", ""), ("{}", ""), (r#"{"currentKey":null}"#, ""), (r#"{"currentKey":"old"}"#, "old")]
    {
        let answer = send(&gateway, "POST", RECOVERY, body).await;
        assert_eq!(answer.outcome(), (200, json!({"recoveryKey": "ABCDE-FGHIJ"})), "{body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(upstream.asked::<ReplaceRecoveryKeyRequest>().current_key, current_key, "{body}");
    }
}

#[tokio::test]
async fn slots_and_drills_name_kinds_of_keys() {
    let upstream = Upstream::default();
    let slots = [(Kind::Express, "express"), (Kind::Manual, "manual"), (Kind::Recovery, "recovery")];
    let reply = slots.map(|(kind, _)| KeySlot { kind: kind.into(), create_time: time(1_530_697_249) });
    upstream.reply("KeyService/ListKeySlots", &ListKeySlotsResponse { slots: reply.to_vec() });
    let gateway = upstream.gateway();
    let expected = slots.map(|(_, name)| json!({"kind": name, "createdOn": "2018-07-04T09:40:49.187Z"}));
    let answer = send(&gateway, "GET", "/v2/credentialvault/keys/slots", "").await;
    assert_eq!(answer.outcome(), (200, json!({"list": expected})));
    upstream.reply("KeyService/DrillKey", &DrillKeyResponse { kind: Kind::Recovery.into() });
    let answer = send(&gateway, "POST", DRILL, r#"{"recoveryKey":"r"}"#).await;
    assert_eq!(answer.outcome(), (200, json!({"kind": "recovery"})));
    let expected = DrillKeyRequest { private_key: String::new(), recovery_key: "r".into() };
    assert_eq!(upstream.asked::<DrillKeyRequest>(), expected);
}
