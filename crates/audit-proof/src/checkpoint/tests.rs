use coffre_secret::SecretBytes;
use proptest::prelude::*;

use super::*;

fn log(number: u8) -> (LogId, SigningKey) {
    let log_id = LogId::new([number; 16]);
    (log_id, SigningKey::from_seed(&log_id.origin(), &SecretBytes::new(vec![number; 32])).unwrap())
}

fn checkpoint(log_id: LogId) -> Checkpoint {
    let time = Timestamp::from_micros(1_795_320_000_123_456);
    Checkpoint { log_id, size: 1234, root: [1; 32], time, heads: heads_digest(&[]), cut: 512 }
}

#[test]
fn the_text_is_what_the_page_says() {
    let (log_id, key) = log(0xab);
    let text = "coffre.audit/abababababababababababababababab\n1234\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
                time 2026-11-22T04:00:00.123456Z\nheads ";
    let written = checkpoint(log_id).to_string();
    assert!(written.starts_with(text) && written.ends_with("=\ncut 512\n"), "{written}");
    assert!(!Checkpoint { cut: 0, ..checkpoint(log_id) }.to_string().contains("cut"));
    let note = checkpoint(log_id).sign(&key).unwrap();
    assert!(note.starts_with(&format!("{written}\n— coffre.audit/abababababababababababababababab ")));
    assert_eq!(Checkpoint::open(&note, key.verifier()), Ok(checkpoint(log_id)));
}

#[test]
fn another_log_and_another_key_are_told_apart() {
    let ((one, key), (two, other)) = (log(1), log(2));
    let note = checkpoint(one).sign(&key).unwrap();
    let refused = Refused::OtherLog { expected: two.origin(), found: one.origin() };
    assert_eq!(Checkpoint::open(&note, other.verifier()), Err(refused.clone()));
    assert_eq!(checkpoint(one).sign(&other), Err(refused));
    let new_key = SigningKey::from_seed(&one.origin(), &SecretBytes::new(vec![9; 32])).unwrap();
    let refused = Checkpoint::open(&note, new_key.verifier()).unwrap_err();
    assert!(matches!(refused, Refused::Note(note::Refused::OtherKey { .. })), "{refused}");
    // A log's name in a text that another log's key signed.
    let forged = other.sign(&checkpoint(one).to_string()).unwrap();
    assert!(Checkpoint::open(&forged, key.verifier()).is_err() && Checkpoint::open(&forged, other.verifier()).is_err());
}

#[test]
fn only_the_one_form_is_read() {
    let good = checkpoint(log(1).0).to_string();
    assert!(Checkpoint::parse(&good).is_ok());
    for (from, to) in [
        ("coffre.audit/01", "coffre.audit/0"),
        ("coffre.audit/", "coffre/"),
        ("1234\n", "01234\n"),
        ("1234\n", "+1234\n"),
        ("1234\n", "-1\n"),
        ("1234\n", "9223372036854775808\n"),
        ("1234\n", "511\n"),
        ("AQE=\n", "AQE\n"),
        ("AQE=\n", "AQF=\n"),
        ("time 2026-11-22T04:00:00.123456Z", "time 2026-11-22T05:00:00.123456+01:00"),
        ("00.123456Z", "00.123Z"),
        ("time ", "Time "),
        ("cut 512\n", "cut 0\n"),
        ("cut 512\n", "cut 512"),
        ("cut 512\n", "cut 512\nmore\n"),
        ("cut 512\n", "cat 512\n"),
        ("heads ", "heads  "),
        ("\n", "\r\n"),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good, "{from}");
        assert!(matches!(Checkpoint::parse(&wrong), Err(Refused::Form(_))), "{wrong}");
    }
    assert!(Checkpoint::parse("").is_err());
    assert!(LogId::from_origin("coffre.audit/ABABABABABABABABABABABABABABABAB").is_none());
}

#[test]
fn the_digest_of_heads_depends_on_everything_but_their_order() {
    let head = |number: u8| StreamHead {
        service: format!("service-{number}"),
        stream_id: [number; 16],
        sequence: i64::from(number),
        hash: [number; 32],
    };
    let digest = heads_digest(&[head(1), head(2)]);
    assert_eq!(digest, heads_digest(&[head(2), head(1)]));
    for other in [
        vec![head(1)],
        vec![],
        vec![head(1), StreamHead { service: "x".into(), ..head(2) }],
        vec![head(1), StreamHead { stream_id: [9; 16], ..head(2) }],
        vec![head(1), StreamHead { sequence: 9, ..head(2) }],
        vec![head(1), StreamHead { hash: [9; 32], ..head(2) }],
    ] {
        assert_ne!(digest, heads_digest(&other));
    }
}

proptest! {
    #[test]
    fn a_checkpoint_comes_back(id in any::<[u8; 16]>(), size in 0..i64::MAX as u64, root in any::<Hash>(), micros in 0..253_402_207_200_000_000_i64, heads in any::<Hash>(), cut in any::<u64>()) {
        let time = Timestamp::from_micros(micros);
        let checkpoint = Checkpoint { log_id: LogId::new(id), size, root, time, heads, cut: cut % (size + 1) };
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()), Ok(checkpoint));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "(coffre.audit/[0-9a-f]{32}\n)?[0-9a-zA-Z+/= \n—.:-]{0,200}") {
        let _ = Checkpoint::parse(&text);
        let _ = Checkpoint::open(&text, log(1).1.verifier());
    }
}
