//! Values that are encrypted on their way (contract, section 5, T1; security.md 5.6).

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey, PublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_e2e::api::{NewAttribute, NewValue, ValueChange};
use coffre_e2e::case::Case;

/// What a documented client does with the key.
pub(crate) fn encrypt(public_key: &str, plain: &[u8]) -> String {
    let xml = String::from_utf8(STANDARD.decode(public_key).unwrap()).unwrap();
    let part = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}: {xml}"));
        STANDARD.decode(rest.split_once(&format!("</{name}>")).unwrap().0).unwrap()
    };
    assert!(xml.starts_with("<RSAKeyValue>") && xml.ends_with("</RSAKeyValue>"), "{xml}");
    let (n, e) = (part("Modulus"), part("Exponent"));
    assert_eq!(n.len(), 384, "RSA-3072");
    let key: PublicEncryptingKey = PublicKeyComponents { n: &n, e: &e }.try_into().unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut out = vec![0; key.ciphertext_size()];
    let sealed = key.encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut out, None).unwrap();
    STANDARD.encode(sealed)
}

/// The key; it is made in the background, so the first callers may be asked to wait.
pub(crate) async fn transport_key(case: &Case<'_>, caller: &coffre_e2e::api::Session) -> String {
    let begun = std::time::Instant::now();
    loop {
        let answer = caller.transport_key().await;
        if answer.code() != Some("transport.key_pending") {
            return answer.ok();
        }
        case.api.ledger.forget();
        assert!(begun.elapsed().as_secs() < 60, "the transport key is not ready after a minute");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

pub(crate) async fn a_value_encrypted_for_transport_is_stored_plain(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let key = transport_key(case, &owner).await;
    let created = owner.create_credential(&case.unique("sealed on its way"), &[NewAttribute::standard("a")]).await.ok();
    let (first, second) = (case.secret("first"), case.secret("second"));
    let values = [NewValue::new(created.attributes[0].id, encrypt(&key, first.as_bytes()))];
    let stored = owner.create_values_under(created.id, &values, Some(&key)).await.ok();
    assert_eq!(owner.list_values(created.id).await.ok()[0].value, first);
    let change = ValueChange {
        value: encrypt(&key, second.as_bytes()),
        encryption_key: Some(key.clone()),
        ..ValueChange::default()
    };
    owner.update_value(created.id, stored[0].id, &change).await.ok();
    assert_eq!(owner.list_values(created.id).await.ok()[0].value, second);
    // The longest that RSA-OAEP takes.
    let longest = "x".repeat(318);
    let change =
        ValueChange { value: encrypt(&key, longest.as_bytes()), encryption_key: Some(key), ..ValueChange::default() };
    owner.update_value(created.id, stored[0].id, &change).await.ok();
    assert_eq!(owner.list_values(created.id).await.ok()[0].value, longest);
    case.anonymous().transport_key().await.refused(401, "auth.token_required");
}

pub(crate) async fn an_unknown_transport_key_is_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    transport_key(case, &owner).await;
    let created = owner.create_credential(&case.unique("unknown key"), &[NewAttribute::standard("a")]).await.ok();
    let values = [NewValue::new(created.attributes[0].id, STANDARD.encode([0; 384]))];
    for key in ["x", "PFJTQUtleVZhbHVlPjwvUlNBS2V5VmFsdWU+"] {
        owner.create_values_under(created.id, &values, Some(key)).await.refused(400, "transport.key_unknown");
    }
    assert!(owner.list_values(created.id).await.ok().is_empty());
}

pub(crate) async fn an_unreadable_transport_value_is_refused(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let key = transport_key(case, &owner).await;
    let created = owner.create_credential(&case.unique("unreadable"), &[NewAttribute::standard("a")]).await.ok();
    let attribute = created.attributes[0].id;
    let mut broken = STANDARD.decode(encrypt(&key, b"x")).unwrap();
    broken[7] ^= 1;
    for value in
        [STANDARD.encode(&broken), STANDARD.encode([1; 10]), "not base64!".to_owned(), encrypt(&key, &[0xff, 0xfe])]
    {
        let answer = owner.create_values_under(created.id, &[NewValue::new(attribute, &*value)], Some(&key)).await;
        assert_eq!(answer.code(), Some("transport.value_unreadable"), "{value}: {answer:?}");
    }
    let long = [NewValue::new(attribute, STANDARD.encode([1; 1000]))];
    owner.create_values_under(created.id, &long, Some(&key)).await.refused(400, "transport.value_too_long");
    assert!(owner.list_values(created.id).await.ok().is_empty());
}
