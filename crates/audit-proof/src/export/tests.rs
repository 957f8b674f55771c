use coffre_proto::audit::v1::{Actor, Event, Object};
use prost::Message as _;

use super::*;

fn entry(index: i64, name: &str) -> v1::Entry {
    let event = Event {
        id: vec![1; 16],
        time_us: 1_795_320_000_123_456,
        event: "credential.value.read".into(),
        activity_type: 5,
        outcome: 1,
        source: 3,
        actor: Some(Actor { user_id: 7, user_name: name.into(), ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: "12".into(), name: name.into() }),
        ..Event::default()
    };
    let canonical = event.encode_to_vec();
    v1::Entry {
        log_index: index,
        description: "what the server says".into(),
        leaf_hash: leaf_hash(&canonical).to_vec(),
        canonical,
        event: Some(Event::default()),
        ..v1::Entry::default()
    }
}

#[test]
fn an_entry_shows_the_words_of_rest_and_comes_back() {
    let line = Entry::of(&entry(12, "bob")).unwrap();
    let json = serde_json::to_value(&line).unwrap();
    for (field, value) in [
        ("logIndex", "12"),
        ("id", "01010101-0101-0101-0101-010101010101"),
        ("createdOn", "2026-11-22T04:00:00.123Z"),
        ("activityType", "READ_CREDENTIAL"),
        ("status", "Successful"),
        ("source", "gRPC"),
        ("userName", "bob"),
        ("createdBy", "7"),
        ("objectType", "credential"),
        ("eventDescription", "User \"bob\" read the value of credential \"bob\""),
    ] {
        assert_eq!(json[field], value, "{field}");
    }
    assert!(json.get("proof").is_none());
    assert_eq!(serde_json::from_value::<Entry>(json).unwrap(), line);
    assert_eq!(line.misleads(&canonical::parse(&entry(12, "bob").canonical).unwrap(), true), None);
    assert!(Entry::of(&v1::Entry { canonical: Vec::new(), ..entry(12, "bob") }).is_none());
}

#[test]
fn a_line_of_hostile_names_is_one_line() {
    let name = "a\n{\"kind\":\"end\"}\r\u{2028}\u{202e}\u{0}\"\\".repeat(2000);
    let line = Entry::of(&entry(0, &name)).unwrap();
    let (mut lines, _) = Lines::begin(Header::default()).unwrap();
    let text = lines.entry(&line).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), line);
}

#[test]
fn every_complete_block_is_named_and_the_end() {
    let (mut lines, first) = Lines::begin(Header { verifier_key: "k".into(), ..Header::default() }).unwrap();
    assert!(first.starts_with("{\"kind\":\"export\",\"version\":1,") && first.ends_with("}\n"), "{first}");
    let mut text = String::new();
    for index in 0..600 {
        text.push_str(&lines.entry(&Entry::of(&entry(index, "bob")).unwrap()).unwrap());
    }
    assert_eq!(lines.next_index(), Some(600));
    let blocks: Vec<&str> = text.lines().filter(|line| line.contains("block")).collect();
    assert_eq!(blocks.len(), 2);
    assert!(blocks[1].starts_with("{\"kind\":\"block\",\"index\":\"1\",\"hash\":\""), "{}", blocks[1]);
    assert_eq!(lines.end().unwrap(), "{\"kind\":\"end\",\"entries\":\"600\"}\n");
}

#[test]
fn an_export_that_is_gone_on_with_is_the_same() {
    let write = |lines: &mut Lines, indexes: std::ops::Range<i64>| -> String {
        indexes.map(|index| lines.entry(&Entry::of(&entry(index, "bob")).unwrap()).unwrap()).collect()
    };
    let (mut whole, _) = Lines::begin(Header::default()).unwrap();
    let expected = write(&mut whole, 0..600) + &whole.end().unwrap();
    let (mut first, _) = Lines::begin(Header::default()).unwrap();
    let mut text = write(&mut first, 0..300);
    let mut second = Lines::resumed(first.tree().cloned(), 300);
    text.push_str(&(write(&mut second, 300..600) + &second.end().unwrap()));
    assert_eq!(text, expected);
}

#[test]
fn hashes_that_are_no_tree_begin_no_export() {
    assert!(Lines::begin(Header { from_index: 3, before: vec![hash_text(&[1; 32])], ..Header::default() }).is_err());
    let picked = Header { filter: Some("userName = bob".into()), ..Header::default() };
    assert_eq!(Lines::begin(picked).unwrap().0.next_index(), None);
}

#[test]
fn no_table_calculates_what_somebody_typed() {
    for (name, shown) in [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("  =1", "'  =1"),
        ("\r=1", "\"'\r=1\""),
        ("a=1", "a=1"),
        ("a,b", "\"a,b\""),
        ("a\"b", "\"a\"\"b\""),
        ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
        ("a\nb", "\"a\nb\""),
    ] {
        let row = csv_row(&Entry { user_name: name.to_owned(), ..Entry::of(&entry(3, "bob")).unwrap() });
        assert!(row.contains(&format!(",gRPC,{shown},7,credential,")), "{name:?}: {row}");
        assert!(row.starts_with("3,01010101-") && row.ends_with("=\r\n"));
    }
    let plain = csv_row(&Entry::of(&entry(3, "bob")).unwrap());
    assert_eq!(plain.matches(',').count(), CSV_HEADER.matches(',').count());
}
