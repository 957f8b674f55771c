use super::*;

// The example of Go's golang.org/x/mod/sumdb/note.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_SIGNATURE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &SecretBytes::new(vec![7; 32])).unwrap()
}

#[test]
fn the_example_of_go_comes_out_byte_for_byte() {
    let seed = STANDARD.decode(GO_SEED).unwrap().split_off(1);
    let signing = SigningKey::from_seed("PeterNeumann", &SecretBytes::new(seed)).unwrap();
    assert_eq!(signing.verifier().to_string(), GO_KEY);
    assert_eq!(signing.sign(GO_TEXT).unwrap(), format!("{GO_TEXT}\n{GO_SIGNATURE}"));

    let verifier: VerifierKey = GO_KEY.parse().unwrap();
    let note = Note::parse(&format!("{GO_TEXT}\n{GO_SIGNATURE}")).unwrap();
    assert_eq!(note.verify(&verifier), Ok(GO_TEXT));
    assert!("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse::<VerifierKey>().is_ok());
}

#[test]
fn a_changed_text_or_signature_does_not_verify() {
    let signing = key("log");
    let note = signing.sign("one\n\ntwo\n").unwrap();
    assert_eq!(Note::parse(&note).unwrap().verify(signing.verifier()), Ok("one\n\ntwo\n"));
    for wrong in [note.replace("two", "three"), note.replace("one", "One"), note.replace("\n\ntwo", "\ntwo")] {
        assert_eq!(
            Note::parse(&wrong).unwrap().verify(signing.verifier()),
            Err(Refused::Changed(signing.verifier().id()))
        );
    }
    let (text, signature) = note.split_once(SIGNATURE).unwrap();
    let mut bytes = STANDARD.decode(signature.trim().strip_prefix("log ").unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = format!("{text}{SIGNATURE}log {}\n", STANDARD.encode(&bytes));
    assert!(matches!(Note::parse(&forged).unwrap().verify(signing.verifier()), Err(Refused::Changed(_))));
    bytes.truncate(20);
    let short = format!("{text}{SIGNATURE}log {}\n", STANDARD.encode(&bytes));
    assert!(matches!(Note::parse(&short).unwrap().verify(signing.verifier()), Err(Refused::Changed(_))));
}

#[test]
fn another_key_is_named() {
    let note = key("log").sign("text\n").unwrap();
    let other = SigningKey::from_seed("log", &SecretBytes::new(vec![8; 32])).unwrap();
    let refused = Note::parse(&note).unwrap().verify(other.verifier()).unwrap_err();
    assert!(matches!(&refused, Refused::OtherKey { key, found } if *key == other.verifier().id() && *found != *key));
    // The same bytes under another name are another key.
    assert!(matches!(Note::parse(&note).unwrap().verify(key("gol").verifier()), Err(Refused::OtherKey { .. })));
}

#[test]
fn signatures_of_others_do_not_disturb() {
    let (one, two) = (key("one"), key("two"));
    let (note, second) = (one.sign("text\n").unwrap(), two.sign("text\n").unwrap());
    let both = format!("{note}{}", second.split_once("\n\n").unwrap().1);
    for verifier in [one.verifier(), two.verifier()] {
        assert_eq!(Note::parse(&both).unwrap().verify(verifier), Ok("text\n"));
    }
    let many = format!("{note}{}", second.split_once("\n\n").unwrap().1.repeat(100));
    assert!(matches!(Note::parse(&many), Err(Refused::Form(_))));
}

#[test]
fn what_is_no_note_says_what_it_lacks() {
    let note = key("log").sign("text\n").unwrap();
    for (wrong, lacks) in [
        (String::new(), "empty line"),
        ("text\n".to_owned(), "empty line"),
        (note.trim_end().to_owned(), "does not end"),
        (note.replace('—', "-"), "no signature"),
        (note.replace("— log", "— l+g"), "no signature"),
        (format!("{note}x\n"), "no signature"),
        ("text\n\n".to_owned(), "does not end"),
        (format!("\t{note}"), "control"),
        (note.replace("— log ", "— log !"), "no signature"),
        ("text\n\n— log AAAA\n".to_owned(), "no signature"),
    ] {
        let refused = Note::parse(&wrong).unwrap_err().to_string();
        assert!(refused.contains(lacks), "{wrong:?}: {refused}");
    }
    for text in ["", "no end", "tab\t\n", "cr\r\n"] {
        assert!(key("log").sign(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        let refused = SigningKey::from_seed(name, &SecretBytes::new(vec![7; 32]));
        assert_eq!(refused.err(), Some(NotAKey::Name), "{name:?}");
    }
    assert_eq!(SigningKey::from_seed("log", &SecretBytes::new(vec![7; 31])).err(), Some(NotAKey::Seed));
    let text = key("log").verifier().to_string();
    assert_eq!(text.parse::<VerifierKey>().as_ref(), Ok(key("log").verifier()));
    let hash = text.split('+').nth(1).unwrap();
    for wrong in [
        "log".to_owned(),
        "log+00000000".to_owned(),
        text.replace(hash, "00000000"),
        text.replace("log", "gol"),
        text.replace("+A", "+B"),
        format!("{text}="),
        text[..text.len() - 4].to_owned(),
    ] {
        assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
    }
}

#[test]
fn debug_shows_no_seed() {
    let shown = format!("{:?}", key("log"));
    assert_eq!(shown, format!("SigningKey of {}", key("log").verifier().id()));
}
