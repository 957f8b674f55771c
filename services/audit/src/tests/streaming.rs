//! What a stream sends: everything once, in order, over reconnects and replicas, or a word about why not.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use coffre_audit_proof::proof::verify_inclusion;
use coffre_audit_proof::tree::{Hash, leaf_hash};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::StreamEntriesResponse;
use coffre_proto::query::v1::comparison::Operator;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter};
use coffre_test_support::on_each_engine;
use coffre_types::UserId;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::Notify;

use super::rig::{NOW, Rig, SOMEBODY, Writer, everything};
use crate::api::streaming::{Proofs, Reader};
use crate::domain::ports::ReadStretches as _;
use crate::domain::visibility::Visibility;

type Told = Result<StreamEntriesResponse, Refusal>;

fn reader(rig: &Rig, next: i64, until: Option<i64>) -> Reader {
    Reader {
        log: rig.store.clone(),
        appended: Arc::new(Notify::new()),
        filter: rig.store.filtered(None).unwrap(),
        visibility: everything(),
        next,
        until,
        canonical: false,
        proofs: None,
    }
}

async fn all(reader: Reader) -> Vec<StreamEntriesResponse> {
    reader.messages().map(Result::unwrap).collect().await
}

fn indices(messages: &[StreamEntriesResponse]) -> Vec<i64> {
    messages.iter().flat_map(|message| &message.entries).map(|entry| entry.log_index).collect()
}

/// Reads messages until so many entries came.
async fn next(stream: &mut Pin<&mut impl Stream<Item = Told>>, count: usize) -> Vec<StreamEntriesResponse> {
    let mut messages = Vec::new();
    while indices(&messages).len() < count {
        messages.push(stream.next().await.unwrap().unwrap());
    }
    messages
}

fn by_request(value: &str) -> Filter {
    let comparison = Comparison { operator: Operator::Equal.into(), field: "requestId".into(), value: value.into() };
    Filter { condition: Some(Condition::Comparison(comparison)) }
}

on_each_engine! {
    async fn every_entry_comes_once_and_in_order_wherever_it_is_taken_up(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 700).await;
        let messages = all(reader(&rig, 0, Some(700))).await;
        assert_eq!(indices(&messages), (0..700).collect::<Vec<_>>());
        assert!(messages.len() > 1 && messages.iter().all(|message| message.everything && message.size == 700));
        // Each bookmark goes on where its message ended, on another replica, too.
        let elsewhere = rig.again(&db).await;
        for message in &messages {
            let rest = indices(&all(reader(&elsewhere, message.next_index, Some(700))).await);
            assert_eq!(rest, (message.next_index..700).collect::<Vec<_>>());
        }
        assert_eq!(messages.last().unwrap().next_index, 700);
        let end = all(reader(&rig, 700, Some(700))).await;
        assert_eq!((end.len(), end[0].next_index, indices(&end).len()), (1, 700, 0), "it says where it stands");
    }

    async fn the_canonical_form_is_what_the_leaf_hash_is_of(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 3).await;
        let messages = all(Reader { canonical: true, ..reader(&rig, 0, Some(3)) }).await;
        for (place, entry) in messages.iter().flat_map(|message| &message.entries).enumerate() {
            assert_eq!(leaf_hash(&entry.canonical).as_slice(), entry.leaf_hash);
            assert_eq!(entry.leaf_hash, writer.leaf(place));
        }
        let plain = all(reader(&rig, 0, Some(3))).await;
        assert!(plain.iter().flat_map(|message| &message.entries).all(|entry| entry.canonical.is_empty()));
    }

    async fn what_does_not_match_or_is_not_visible_moves_the_bookmark_alone(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 5000).await;
        let filter = rig.store.filtered(Some(&by_request("nobody's"))).unwrap();
        let filtered = all(Reader { filter, ..reader(&rig, 0, Some(5000)) }).await;
        assert!(indices(&filtered).is_empty() && filtered.iter().all(|message| !message.everything));
        assert_eq!(filtered.last().unwrap().next_index, 5000);
        let own = |user| Reader { visibility: Visibility::own(UserId::from_trusted(user)), ..reader(&rig, 4990, Some(5000)) };
        let (mine, theirs) = (all(own(SOMEBODY)).await, all(own(SOMEBODY + 1)).await);
        assert_eq!((indices(&mine).len(), indices(&theirs).len()), (10, 0));
        assert!(!mine[0].everything, "nobody knows what others have");
    }

    async fn entries_come_with_their_proofs_where_they_are_asked_for(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 700).await;
        let checkpoint = rig.checkpoint().await;
        writer.write(&rig, 50).await;
        let proofs = Proofs { prover: rig.prover.clone(), size: 700 };
        let messages = all(Reader { canonical: true, proofs: Some(proofs), ..reader(&rig, 3, Some(700)) }).await;
        assert_eq!(indices(&messages), (3..700).collect::<Vec<_>>());
        for entry in messages.iter().flat_map(|message| &message.entries) {
            let path: Vec<Hash> = entry.proof.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
            let (leaf, index) = (leaf_hash(&entry.canonical), entry.log_index.cast_unsigned());
            assert!(verify_inclusion(&leaf, index, 700, &path, &checkpoint.root), "{index}");
        }
        let plain = all(reader(&rig, 3, Some(700))).await;
        assert!(plain.iter().flat_map(|message| &message.entries).all(|entry| entry.proof.is_empty()));
    }

    async fn what_comes_is_followed_here_and_on_another_replica(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        let elsewhere = rig.again(&db).await;
        writer.write(&rig, 2).await;
        let mut here = pin!(reader(&rig, 1, None).messages());
        let mut there = pin!(reader(&elsewhere, 2, None).messages());
        assert_eq!(indices(&next(&mut here, 1).await), [1]);
        let first = there.next().await.unwrap().unwrap();
        assert_eq!((first.entries.len(), first.next_index, first.size), (0, 2, 2), "a bookmark at once");
        writer.write(&rig, 300).await;
        for stream in [&mut here as &mut (dyn Stream<Item = Told> + Unpin), &mut there] {
            let mut seen = Vec::new();
            while seen.len() < 300 {
                seen.extend(indices(&[stream.next().await.unwrap().unwrap()]));
            }
            assert_eq!(seen, (2..302).collect::<Vec<_>>());
        }
    }

    async fn a_bookmark_beyond_the_end_is_refused_and_never_waited_at(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 5).await;
        for until in [None, Some(5)] {
            let refused = pin!(reader(&rig, 6, until).messages()).next().await.unwrap().unwrap_err();
            assert_eq!((refused.reason(), refused.fact("size")), (Reason::RequestInvalid, Some("5")), "{until:?}");
            assert_eq!(refused.violations()[0].field, "from_index");
        }
    }

    async fn a_bookmark_whose_entries_are_cut_off_is_refused_and_never_skipped(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 600).await;
        rig.checkpoint().await;
        let mut begun = pin!(reader(&rig, 0, None).messages());
        begun.next().await.unwrap().unwrap();
        rig.clock.advance(Duration::from_secs(3600));
        rig.cutter.cut(&rig.call(), NOW.plus(Duration::from_secs(60))).await.unwrap();
        rig.cutter.sweep().await.unwrap();
        let ends = rig.store.ends().await.unwrap();
        assert_eq!((ends.first_kept, ends.begin(0)), (512, Ok(512)));
        let refused = begun.next().await.unwrap().unwrap_err();
        assert_eq!(refused.reason(), Reason::AuditCut, "a reader that was overtaken hears of it");
        assert_eq!(refused.fact("firstKept"), Some("512"));
        let rest = all(reader(&rig, 512, Some(601))).await;
        assert_eq!(indices(&rest), (512..601).collect::<Vec<_>>());
    }
}
