//! A look at the rows of a block names each that is not what it was, by its bytes, its hash or its columns.

use coffre_audit_proof::tree::{Hash, over};
use coffre_audit_proof::words::WORDS;
use coffre_proto::audit::v1::{Actor, Event, Object};
use prost::Message as _;

use crate::domain::check::{Finding, Leaf, Outdated, Seen, look};
use crate::domain::entry::NewEntry;

fn rows(first: i64, count: i64) -> Vec<Leaf> {
    (first..first + count).map(|log_index| leaf(log_index, event(log_index))).collect()
}

fn event(log_index: i64) -> Event {
    let mut id = vec![0; 16];
    id[8..].copy_from_slice(&log_index.to_be_bytes());
    Event {
        id,
        time_us: log_index,
        event: "credential.read".into(),
        actor: Some(Actor { user_id: 7, user_name: "Bob".into(), ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: "4".into(), name: "Login".into() }),
        ..Event::default()
    }
}

fn leaf(log_index: i64, event: Event) -> Leaf {
    let NewEntry { canonical, leaf_hash, event_id, columns, said } = NewEntry::read(event.encode_to_vec()).unwrap();
    let (leaf_hash, event_id) = (leaf_hash.to_vec(), event_id.to_vec());
    Leaf { log_index, canonical, leaf_hash, event_id, columns, said, words: WORDS.into() }
}

fn above(rows: &[Leaf]) -> Hash {
    over(&rows.iter().map(|row| row.leaf_hash.clone().try_into().unwrap()).collect::<Vec<Hash>>())
}

fn named(first: i64, expected: i64, rows: &[Leaf], above: Option<&Hash>) -> Vec<Finding> {
    let Seen { findings, outdated } = look(first, expected, rows, above);
    assert_eq!(outdated, []);
    findings
}

/// An entry of another content, in its place, with its hash.
fn rewritten(log_index: i64) -> Leaf {
    leaf(log_index, Event { reason: "OTHER".into(), ..event(log_index) })
}

#[test]
fn a_whole_block_has_nothing_to_tell() {
    let good = rows(512, 256);
    assert_eq!(named(512, 256, &good, Some(&above(&good))), []);
    assert_eq!(named(0, 7, &rows(0, 7), None), [], "nothing stands above an incomplete one");
}

#[test]
fn what_was_changed_removed_or_put_in_is_named() {
    let node = above(&rows(512, 256));
    let mut changed = rows(512, 256);
    changed[3].canonical.push(b'!');
    assert_eq!(named(512, 256, &changed, Some(&node)), [Finding::one(515)]);
    let mut removed = rows(512, 256);
    removed.remove(9);
    assert_eq!(named(512, 256, &removed, Some(&node)), [Finding::one(521)]);
    assert_eq!(named(0, 3, &rows(0, 5), None), [Finding::one(3), Finding::one(4)], "rows beyond the end");
}

#[test]
fn what_was_hashed_anew_or_put_in_another_order_is_found() {
    let node = above(&rows(512, 256));
    let whole = [Finding { first: 512, last: 767 }];
    let mut changed = rows(512, 256);
    changed[3] = rewritten(515);
    assert_eq!(named(512, 256, &changed, Some(&node)), whole);
    let mut moved = rows(512, 256);
    moved.swap(1, 2);
    (moved[1].log_index, moved[2].log_index) = (513, 514);
    assert_eq!(named(512, 256, &moved, Some(&node)), whole);
    assert_eq!(named(512, 256, &rows(512, 256), None), whole, "the node is gone");
}

#[test]
fn a_column_that_is_not_what_the_event_says_is_named_and_hides_nothing_else() {
    let changes: [fn(&mut Leaf); 17] = [
        |row| row.event_id[0] ^= 1,
        |row| row.columns.created_at -= 1,
        |row| row.columns.activity += 1,
        |row| row.columns.event.push('x'),
        |row| row.columns.status += 1,
        |row| row.columns.source += 1,
        |row| row.columns.user_id += 1,
        |row| row.columns.user_name_key.push('x'),
        |row| row.columns.object_type.push('x'),
        |row| row.columns.object_id.push('7'),
        |row| row.columns.object_name_key.clear(),
        |row| row.columns.request_id.push('x'),
        |row| row.columns.host_name.push('x'),
        |row| row.columns.environment_name.push('x'),
        |row| row.columns.client_address.push('x'),
        |row| row.said.description = "nothing happened".into(),
        |row| row.said.detail = "{}".into(),
    ];
    for (place, change) in changes.iter().enumerate() {
        let mut changed = rows(0, 5);
        change(&mut changed[2]);
        assert_eq!(named(0, 5, &changed, None), [Finding::one(2)], "{place}");
    }
    let node = above(&rows(0, 256));
    let mut changed = rows(0, 256);
    changed[3] = rewritten(3);
    changed[9].columns.user_id = 0;
    assert_eq!(named(0, 256, &changed, Some(&node)), [Finding::one(9), Finding { first: 0, last: 255 }]);
}

#[test]
fn what_is_in_other_words_is_said_anew_and_nothing_was_changed() {
    let mut other = rows(0, 5);
    let said = other[1].said.clone();
    (other[1].words, other[1].said.description) = (0, "Bob looked at a login".into());
    (other[2].words, other[2].said.detail) = (i64::from(WORDS) + 1, "{}".into());
    other[3].words = 0;
    let outdated = [1, 2].map(|log_index| Outdated { log_index, said: said.clone() });
    assert_eq!(look(0, 5, &other, None), Seen { findings: Vec::new(), outdated: outdated.to_vec() });
    // Only words change from version to version.
    other[1].columns.user_id += 1;
    assert_eq!(look(0, 5, &other, None).findings, [Finding::one(1)]);
}
