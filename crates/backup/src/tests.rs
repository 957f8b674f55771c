//! What is written is what is read, and nothing else is.

use coffre_crypto::Key256;
use coffre_db::Bind;
use coffre_db::copy::{Column, Kind};
use coffre_secret::SecretBytes;

use crate::bytes::{put_bytes, put_number};
use crate::{Error, Head, Outside, Reader, Record, StoredSlot, Writer};

const SIGNATURE: &str = "signed by somebody";

fn key() -> Key256 {
    Key256::from_slice(&[7; 32]).unwrap()
}

fn head() -> Head {
    let slots = vec![StoredSlot::new("recovery", b"slot")];
    Head::new("00ff".to_owned(), "2026-11-22T21:00:00Z".to_owned(), "0.1.0", "sqlite", slots).with_key(b"sealed")
}

fn rows() -> Vec<Vec<Bind>> {
    vec![
        vec![1_i64.into(), "na\u{ef}ve".into(), b"\0\xff"[..].into(), true.into()],
        vec![i64::MIN.into(), Bind::Text(None), Bind::Bytes(None), Bind::Bool(None)],
        vec![Bind::Integer(None), "".into(), b""[..].into(), false.into()],
    ]
}

fn records() -> Vec<Record> {
    let column = |(name, kind): (&str, Kind)| Column { name: name.to_owned(), kind };
    let columns = [("id", Kind::Integer), ("name", Kind::Text), ("sealed", Kind::Bytes), ("held", Kind::Bool)];
    vec![
        Record::KeyFile { name: "auth.key".to_owned(), bytes: SecretBytes::new(b"planted-secret".to_vec()) },
        Record::Service { name: "vault".to_owned(), versions: vec!["1".to_owned(), "2".to_owned()] },
        Record::Table { name: "things".to_owned(), columns: columns.map(column).to_vec() },
        Record::Rows(rows()),
        Record::Rows(rows()),
        Record::Counter { table: "things".to_owned(), last: 12 },
    ]
}

fn written() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &head(), key()).unwrap();
    records().iter().for_each(|record| writer.put(record).unwrap());
    assert_eq!(writer.rows(), 6);
    writer.end().unwrap().signed(SIGNATURE).unwrap()
}

fn read(bytes: &[u8], key: Key256) -> Result<(Head, Vec<Record>), Error> {
    let (head, reader) = Reader::begin(bytes)?;
    let mut reader = reader.with_key(key);
    let mut all = Vec::new();
    while let Some(record) = reader.next_record()? {
        all.push(record);
    }
    Ok((head, all))
}

#[test]
fn what_is_read_is_what_was_written() {
    let (head_read, all) = read(&written(), key()).unwrap();
    assert_eq!(head_read, head());
    let bytes = |records: &[Record]| records.iter().map(Record::to_bytes).collect::<Vec<_>>();
    assert_eq!(bytes(&all[..6]), bytes(&records()));
    assert!(matches!(all[..], [.., Record::End { rows: 6 }]));
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let whole = written();
    for length in 0..whole.len() {
        let refused = [read(&whole[..length], key()).unwrap_err(), Outside::read(&whole[..length]).unwrap_err()];
        let told = refused.iter().all(|refused| matches!(refused, Error::Truncated(_) | Error::Foreign));
        assert!(told, "{length}: {refused:?}");
    }
}

#[test]
fn a_file_in_which_one_bit_was_changed_is_refused() {
    let whole = written();
    let signed = Outside::read(&whole[..]).unwrap().signed;
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        let is_in_signature = place >= whole.len() - SIGNATURE.len();
        assert!(is_in_signature || read(&changed, key()).is_err(), "byte {place}");
        let same = Outside::read(&changed[..]).is_ok_and(|of| of.signed == signed && of.signature == SIGNATURE);
        assert!(!same, "byte {place}");
    }
    assert!(matches!(read(&[&whole[..], b"x"].concat(), key()), Err(Error::Changed(_))));
}

#[test]
fn records_that_are_left_out_swapped_or_repeated_are_refused() {
    let whole = written();
    let begin = head().lines().unwrap().len();
    let mut frames = Vec::new();
    let (mut rest, end) = whole[begin..].split_at(whole.len() - begin - 8 - SIGNATURE.len());
    while !rest.is_empty() {
        let length = 4 + u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        frames.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    assert_eq!(frames.len(), 7);
    let with = |frames: &[Vec<u8>]| [&whole[..begin], &frames.concat(), end].concat();
    assert!(read(&with(&frames), key()).is_ok());
    for place in 0..frames.len() {
        let mut without = frames.clone();
        without.remove(place);
        assert!(read(&with(&without), key()).is_err(), "without {place}");
        let mut twice = frames.clone();
        twice.insert(place, frames[place].clone());
        assert!(read(&with(&twice), key()).is_err(), "twice {place}");
        if place > 0 {
            let mut swapped = frames.clone();
            swapped.swap(place, place - 1);
            assert!(read(&with(&swapped), key()).is_err(), "swapped {place}");
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    let other = Key256::from_slice(&[8; 32]).unwrap();
    assert!(matches!(read(&written(), other), Err(Error::Changed(_))));
}

#[test]
fn what_is_no_backup_or_of_a_newer_program_is_told() {
    for foreign in [&b""[..], b"\x1f\x8b", b"coffre-backup", b"coffre-backup one\n{}\n", &[b'x'; 100]] {
        assert!(matches!(read(foreign, key()), Err(Error::Foreign)), "{foreign:?}");
    }
    let newer = read(b"coffre-backup 2\n", key()).unwrap_err();
    assert!(matches!(newer, Error::Newer(2)) && newer.to_string().contains("newer"), "{newer}");
    assert!(matches!(read(b"coffre-backup 1\n{}\n", key()), Err(Error::Changed(_))));
}

#[test]
fn nothing_of_what_is_kept_can_be_read() {
    let whole = written();
    for planted in [&b"planted-secret"[..], b"auth.key", b"na\xc3\xafve", b"things"] {
        assert!(!whole.windows(planted.len()).any(|window| window == planted), "{planted:?}");
    }
}

#[test]
fn without_a_key_one_sees_the_signature_and_what_it_is_of() {
    let whole = written();
    let outside = Outside::read(&whole[..]).unwrap();
    let sum = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec();
    assert_eq!((outside.head, outside.signature.as_str()), (head(), SIGNATURE));
    assert_eq!(outside.signed[..], sum(&whole[..whole.len() - 8 - SIGNATURE.len()]));
    assert_eq!(outside.whole[..], sum(&whole));
    let mut writer = Writer::begin(Vec::new(), &head(), key()).unwrap();
    records().iter().for_each(|record| writer.put(record).unwrap());
    let unsigned = writer.end().unwrap();
    let told = unsigned.sum();
    let whole = unsigned.signed(SIGNATURE).unwrap();
    assert_eq!(told[..], sum(&whole[..whole.len() - 8 - SIGNATURE.len()]), "and it is what the writer says");
}

#[test]
fn rows_of_no_columns_are_refused_however_many_a_record_tells_of() {
    let mut many = vec![b'R'];
    put_number(&mut many, usize::MAX / 2);
    let mut no_columns = vec![b'T'];
    put_bytes(&mut no_columns, b"things");
    put_number(&mut no_columns, 0);
    let column = [Column { name: "id".to_owned(), kind: Kind::Integer }];
    for (bytes, columns) in [(&no_columns, &[][..]), (&many, &[]), (&many, &column)] {
        assert!(matches!(Record::from_bytes(bytes, columns), Err(Error::Changed(_))), "{bytes:?}");
    }
    let mut versions = vec![b'S'];
    put_bytes(&mut versions, b"vault");
    put_number(&mut versions, usize::MAX / 2);
    assert!(matches!(Record::from_bytes(&versions, &[]), Err(Error::Changed(_))));
}
