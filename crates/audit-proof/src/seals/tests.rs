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
    let seals = seals(&[(7, 0, 1), (7, 1, 2), (8, 0, 3)]);
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
    let seals = seals(&[(7, 5, 1), (7, 5, 2), (7, 5, 3)]);
    assert!(seals.compare(7, 5, &[1; 32]).is_some());
}
