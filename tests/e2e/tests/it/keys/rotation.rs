//! Re-encryption under a new term (contract, section 5; security.md 5.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue, Session, ValueChange};
use coffre_e2e::case::Case;
use coffre_e2e::model::{Entry, Filter, Query};
use coffre_e2e::tables;

use super::own::{Kept, Own, entry_of, keeper, rotated};

vault_cases! {
    values_go_under_a_new_term_while_people_work,
    a_rotation_goes_on_after_a_seal_and_a_kill,
}

/// Credentials with fifty values each, and what is in them.
pub(crate) async fn many(case: &Case<'_>, owner: &Session, credentials: usize) -> BTreeMap<i64, Vec<String>> {
    let attributes: Vec<NewAttribute> = (0..50).map(|index| NewAttribute::standard(&format!("a{index}"))).collect();
    let mut held = BTreeMap::new();
    for index in 0..credentials {
        let created = owner.create_credential(&case.unique(&format!("many {index}")), &attributes).await.ok();
        let texts: Vec<String> = (0..50).map(|value| case.secret(&format!("{index} {value}"))).collect();
        let new = created.attributes.iter().zip(&texts);
        let new: Vec<NewValue> = new.map(|(attribute, text)| NewValue::new(attribute.id, &**text)).collect();
        owner.create_values(created.id, &new).await.ok();
        held.insert(created.id, texts);
    }
    held
}

/// Panics where one of them is not what was written.
pub(crate) async fn all_there(owner: &Session, held: &BTreeMap<i64, Vec<String>>) {
    for (id, texts) in held {
        let values = owner.list_values(*id).await.ok();
        let found: Vec<&String> = values.iter().map(|value| &value.value).collect();
        assert_eq!(found, texts.iter().collect::<Vec<_>>());
    }
}

/// The terms under which values lie, and those that there are.
fn terms(own: &Own) -> (Vec<i64>, Vec<i64>) {
    let read = |query| tables::ids(&own.home, "vault", query).into_iter().collect();
    (read("SELECT DISTINCT term AS id FROM attribute_values"), read("SELECT term AS id FROM terms"))
}

async fn values_go_under_a_new_term_while_people_work(own: &mut Own) {
    let case = own.case().await;
    let (keeper, owner, kept) = (keeper(&case).await, case.basic("many").await, Kept::new(&case).await);
    let held = many(&case, &owner, 12).await;
    rotated(&keeper).await;
    let before = keeper.rotation().await.ok();
    assert!(before.total >= 600, "{before:?}");

    let answer = keeper.start_rotation().await.event("vault.rotation.started");
    let id = answer.request_id.clone();
    let begun = answer.ok();
    assert_eq!((begun.term, begun.running, begun.is_begun), (before.term + 1, true, true), "{begun:?}");
    // Reading and writing go on, and what is written now is under the new term.
    let (mut seen, mut value, started) = (vec![begun], kept.value.clone(), Instant::now());
    let writer = kept.owner(&case);
    loop {
        let change = ValueChange { value: case.secret(&format!("round {}", seen.len())), ..ValueChange::default() };
        value = writer.update_value(kept.credential.id, value.id, &change).await.ok();
        assert_eq!(writer.list_values(kept.credential.id).await.ok(), std::slice::from_ref(&value));
        let rotation = keeper.rotation().await.ok();
        let ended = !rotation.running;
        seen.push(rotation);
        if ended {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it does not end: {:?}", seen.last());
    }
    all_there(&owner, &held).await;
    let done: Vec<i64> = seen.iter().map(|rotation| rotation.done).collect();
    assert!(done.is_sorted(), "progress goes back: {done:?}");
    assert!(seen.iter().any(|rotation| rotation.rate > 0.0), "the rate is told: {seen:?}");
    let last = seen.pop().unwrap();
    assert_eq!((last.done, last.total, last.term), (before.total, before.total, before.term + 1), "{last:?}");
    assert!(last.is_ended);
    // What nothing uses is destroyed.
    assert_eq!(terms(own), (vec![last.term], vec![last.term]));

    let entry = entry_of(&case, &id).await;
    assert!(entry.detail.contains(&last.term.to_string()), "{entry:?}");
    let of_term = [format!("\"term\":\"{}\"", last.term), format!("term={}", last.term)];
    let told = async |event: &str| -> Vec<Entry> {
        let page = case.admin.query_entries(&Query::filter(Filter::new("event", "eq", event))).await.ok();
        let is_ours = |entry: &Entry| of_term.iter().any(|term| entry.detail.contains(term));
        page.items.into_iter().filter(is_ours).collect()
    };
    let begun = Instant::now();
    while told("vault.rotation.ended").await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the end is not in the audit");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let batches = told("vault.value.reencrypted").await;
    assert!(batches.len() >= 3, "each batch has its entry: {batches:#?}");
    assert!(batches.iter().all(|entry| entry.source == "System" && entry.status == "Successful"), "{batches:#?}");
    case.settle().await;
}

async fn a_rotation_goes_on_after_a_seal_and_a_kill(own: &mut Own) {
    let (owner, held) = {
        let case = own.case().await;
        let (keeper, owner) = (keeper(&case).await, case.basic("many").await);
        let held = many(&case, &owner, 8).await;
        keeper.start_rotation().await.ok();
        keeper.seal_vault().await.ok();
        let sealed = keeper.rotation().await.ok();
        assert!(sealed.running, "{sealed:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let still = keeper.rotation().await.ok();
        assert_eq!((still.done, still.running), (sealed.done, true), "sealed, and it goes on");
        keeper.unseal_vault().await.ok();
        case.settle().await;
        (owner, held)
    };
    own.server.kill();
    own.server = own.home.start();
    let case = own.case().await;
    let keeper = keeper(&case).await;
    let owner = Session { api: case.api.clone(), ..owner };
    all_there(&owner, &held).await;
    let ended = rotated(&keeper).await;
    assert!(ended.is_ended, "{ended:?}");
    all_there(&owner, &held).await;
    // A second one begins while the first is under way: all go to the newest term.
    let first = keeper.start_rotation().await.ok();
    let second = keeper.start_rotation().await.ok();
    assert_eq!(second.term, first.term + 1);
    let ended = rotated(&keeper).await;
    assert_eq!(ended.term, second.term);
    assert_eq!(terms(own), (vec![ended.term], vec![ended.term]));
    all_there(&owner, &held).await;
    case.settle().await;
}
