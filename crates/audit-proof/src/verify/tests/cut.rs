//! A log whose beginning was cut off, or removed by somebody who says so.

use coffre_proto::audit::v1::{Change, Outcome};

use super::*;

#[test]
fn a_cut_log_is_judged_from_what_stands_before_it() {
    let mut log = Log::new(SIZE);
    log.entries[600] = cut_event(512, Outcome::Successful);
    let leaves = log.leaves();
    let cut_export = |from: u64, cut: u64, before: Frontier| {
        let checkpoint = log.checkpoint(SIZE, cut).sign(&log.key()).unwrap();
        let header = Header { checkpoint, ..log.header() }.after(&before);
        let (mut lines, first) = Lines::begin(header).unwrap();
        let mut all = vec![first];
        all.extend((from..SIZE).map(|index| lines.entry(&log.line(index)).unwrap()));
        all.push(lines.end().unwrap());
        all
    };
    let before = proof::before(512, SIZE, &naive::path(512, &leaves)).unwrap();
    let witness = log.witness(SEEN);
    let report = check(&log, &cut_export(512, 512, before.clone()), Some(&witness));
    assert_eq!((report.verdict(), report.cut, report.entries), (Verdict::Whole, 512, SIZE - 512), "{report:?}");
    // What stands before is part of the root.
    let mut roots = before.roots().to_vec();
    roots[0][0] ^= 1;
    let wrong = Frontier::new(512, roots).unwrap();
    assert_eq!(kinds(&check(&log, &cut_export(512, 512, wrong), Some(&witness))), ["changed"]);
    // A cut that the checkpoint does not name.
    let report = check(&log, &cut_export(512, 256, before), Some(&witness));
    assert_eq!(report.findings, [Finding::Removed { first: 256, last: 511 }, Finding::CutUntold { cut: 256 }]);
}

#[test]
fn a_beginning_that_was_removed_without_an_entry_of_the_cut_is_damage() {
    let told = |entries: &[(usize, Vec<u8>)], cut: u64| {
        let mut log = Log::new(SIZE);
        entries.iter().for_each(|(index, entry)| log.entries[*index].clone_from(entry));
        let before = proof::before(512, SIZE, &naive::path(512, &log.leaves())).unwrap();
        let checkpoint = log.checkpoint(SIZE, cut);
        let mut walk = Walk::new(
            before,
            checkpoint,
            Some(Witness::read(log.witness(SEEN).as_bytes(), log.key().verifier()).unwrap()),
        );
        (512..SIZE).for_each(|index| drop(walk.entry(index, None, &log.entries[index as usize])));
        walk.finish(true, false, log.key().verifier())
    };
    let done = |cut: u64| cut_event(cut, Outcome::Successful);
    assert_eq!(told(&[(600, done(512))], 512).verdict(), Verdict::Whole);
    assert_eq!(told(&[(600, done(256)), (650, done(512))], 512).verdict(), Verdict::Whole, "one cut after the other");
    for entries in
        [vec![], vec![(600, done(256))], vec![(100, done(512))], vec![(600, cut_event(512, Outcome::Unsuccessful))]]
    {
        let report = told(&entries, 512);
        assert_eq!(
            (report.verdict(), &report.findings[..]),
            (Verdict::Damaged, &[Finding::CutUntold { cut: 512 }][..])
        );
    }
}

fn cut_event(first_kept: u64, outcome: Outcome) -> Vec<u8> {
    let change =
        Change { field: "firstKept".into(), old_value: Some("0".into()), new_value: Some(first_kept.to_string()) };
    let event = Event {
        id: vec![3; 16],
        event: "audit.cut".into(),
        outcome: outcome.into(),
        changes: vec![change],
        ..Event::default()
    };
    event.encode_to_vec()
}
