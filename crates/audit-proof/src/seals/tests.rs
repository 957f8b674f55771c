use coffre_proto::audit::v1::ValueSeal;

use super::*;

fn seals(all: &[(i64, i64, u8)]) -> LastSeals {
    let mut seals = LastSeals::default();
    for (value_id, version, mac) in all {
        let seal = ValueSeal { value_id: *value_id, version: *version, mac: vec![*mac; 32] };
        seals.take(&Event { value_seals: vec![seal], ..Event::default() });
    }
    seals
}

#[test]
fn a_value_that_was_put_back_changed_or_written_past_the_record_is_named() {
    let mut seals = seals(&[(7, 0, 1), (7, 1, 2), (8, 0, 3)]);
    assert_eq!(seals.len(), 2);
    assert_eq!(seals.compare(7, 1, &[2; 32]), None);
    for (version, mac, kind) in [
        (0, vec![1; 32], "rolledBack"),
        (1, vec![1; 32], "changed"),
        (1, vec![3; 32], "changed"),
        (1, vec![], "unreadable"),
        (2, vec![2; 32], "notRecorded"),
    ] {
        assert_eq!(seals.compare(7, version, &mac).unwrap().kind(), kind);
    }
    assert_eq!(seals.compare(9, 0, &[1; 32]).unwrap().kind(), "notRecorded");
}

#[test]
fn a_later_version_counts_whichever_arrives_first() {
    assert_eq!(seals(&[(7, 5, 1), (7, 4, 2)]).compare(7, 5, &[1; 32]), None);
    assert!(seals(&[(7, 5, 1), (7, 4, 2)]).compare(7, 4, &[2; 32]).is_some());
}

#[test]
fn a_re_encryption_may_overtake_the_write_of_its_version() {
    for order in [[(7, 4, 1), (7, 5, 2), (7, 5, 3)], [(7, 4, 1), (7, 5, 3), (7, 5, 2)]] {
        assert_eq!(seals(&order).compare(7, 5, &[3; 32]), None);
        assert!(seals(&order).compare(7, 5, &[1; 32]).is_some());
    }
    // Only the last two: what an earlier re-encryption left is gone.
    let mut seals = seals(&[(7, 5, 1), (7, 5, 2), (7, 5, 3)]);
    assert!(seals.compare(7, 5, &[1; 32]).is_some());
}

/// An event with a seal; without a MAC where the value was deleted.
fn event(value_id: i64, version: i64, mac: &[u8], outcome: Outcome) -> Event {
    let seal = ValueSeal { value_id, version, mac: mac.to_vec() };
    Event { value_seals: vec![seal], outcome: outcome.into(), ..Event::default() }
}

#[test]
fn a_deleted_value_that_is_stored_again_and_one_that_nobody_deleted_are_named() {
    let written = |id| event(id, 0, &[1; 32], Outcome::Successful);
    let deleted = event(7, 0, &[], Outcome::Successful);
    // The deletion may arrive before the write.
    for order in [[written(7), deleted.clone()], [deleted, written(7)]] {
        let mut seals = LastSeals::default();
        order.iter().for_each(|event| seals.take(event));
        [8, 9].iter().for_each(|id| seals.take(&written(*id)));
        assert_eq!((seals.len(), seals.compare(8, 0, &[1; 32])), (2, None));
        let missing: Vec<_> = seals.missing().collect();
        assert_eq!(missing, [(9, ValueFinding::Removed { value_id: 9, version: 0 })]);
        assert_eq!((seals.absent(7), seals.absent(9).unwrap().kind()), (None, "removed"));
        assert_eq!(seals.compare(7, 0, &[1; 32]), Some(ValueFinding::Revived { value_id: 7, version: 0 }));
    }
}

#[test]
fn a_change_that_may_not_have_been_made_counts_only_where_its_own_entry_is_there() {
    let mut seals = seals(&[(7, 0, 1)]);
    seals.take(&event(7, 1, &[2; 32], Outcome::Unknown));
    seals.take(&event(7, 0, &[], Outcome::Unknown));
    seals.take(&event(8, 0, &[3; 32], Outcome::Unknown));
    assert_eq!((seals.compare(7, 0, &[1; 32]), seals.missing().count()), (None, 0));
    seals.take(&event(7, 1, &[2; 32], Outcome::Successful));
    assert_eq!(seals.compare(7, 1, &[2; 32]), None);
}

#[test]
fn what_is_younger_than_the_values_since_a_cut_did_not_go_with_it() {
    let mut seals = seals(&[(7, 3, 1), (900, 2, 1)]);
    let created = |value_id: i64| {
        let seal = ValueSeal { value_id, version: 0, mac: vec![1; 32] };
        Event { event: "credential.value.created".into(), value_seals: vec![seal], ..Event::default() }
    };
    assert!(seals.may_be_cut_off(5) && seals.may_be_cut_off(5000), "none was created since: all may be older");
    assert!(!seals.may_be_cut_off(7), "there is a seal of it");
    (2000..2256).rev().for_each(|value_id| seals.take(&created(value_id)));
    assert!(seals.may_be_cut_off(5) && seals.may_be_cut_off(1999));
    assert!(!seals.may_be_cut_off(2256));
    (2500..2600).for_each(|value_id| seals.take(&created(value_id)));
    assert!(!seals.may_be_cut_off(2256), "later ones move nothing");
}
