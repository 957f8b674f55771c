//! The stored values against their last seals in the record.

use std::time::Duration;

use coffre_audit_proof::seals::{LastSeals, ValueFinding};
use coffre_audit_proof::verify::Report;
use coffre_proto::vault::v1::{ListValueSealsRequest, ListValueSealsResponse, StoredValueSeal};

use super::super::super::fault::Fault;
use super::super::super::session::Session;
use super::super::export::Progress;
use super::super::stream::Entries;

/// How many values are asked for at once.
const PAGE: i32 = 10_000;
/// A value that is written or deleted meanwhile differs until its event arrives; it is looked at so often again.
const ROUNDS: u32 = 5;
/// How long to wait before.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });
/// More faults are counted and not kept.
const MAX_FINDINGS: usize = 1000;

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// How many values were compared.
    pub(super) compared: u64,
    /// How many were written before the log was cut, as far as can be told: their seals went with their entries.
    pub(super) cut_off: u64,
    /// What is wrong: the first of them.
    pub(super) findings: Vec<ValueFinding>,
    /// How many findings there are in all.
    pub(super) total: u64,
}

/// Compares all stored values with the record whose entries the seals were taken from.
pub(super) async fn compare(
    session: &mut Session,
    seals: &mut LastSeals,
    record: &Report,
    progress: &Progress,
) -> Result<Values, Fault> {
    let (next, was_cut) = (record.size, record.cut > 0);
    let (mut values, mut doubted, mut after) = (Values::default(), Vec::new(), 0);
    loop {
        let page = stored(session, after, PAGE).await?;
        for seal in &page.seals {
            after = after.max(seal.value_id);
            if was_cut && seals.may_be_cut_off(seal.value_id) {
                values.cut_off += 1;
                continue;
            }
            values.compared += 1;
            if let Some(finding) = seals.compare(seal.value_id, seal.version, &seal.mac) {
                values.total += 1;
                if doubted.len() < MAX_FINDINGS {
                    doubted.push((seal.value_id, finding));
                }
            }
        }
        progress.at(values.compared + values.cut_off, seals.len() as u64, values.compared + values.cut_off);
        if !page.more || page.seals.is_empty() {
            break;
        }
    }
    for (value_id, finding) in seals.missing() {
        values.total += 1;
        if doubted.len() < MAX_FINDINGS {
            doubted.push((value_id, finding));
        }
    }
    for _ in 0..ROUNDS {
        if doubted.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        // First the value, then the record: what was written in between is in the record only, and the next round tells.
        let mut again = Vec::new();
        for (value_id, _) in &doubted {
            again.push((*value_id, one(session, *value_id).await?));
        }
        catch_up(session, seals, next).await?;
        let before = doubted.len() as u64;
        doubted = again
            .into_iter()
            .filter_map(|(value_id, seal)| {
                let finding = match seal {
                    Some(seal) => seals.compare(value_id, seal.version, &seal.mac),
                    None => seals.absent(value_id),
                };
                finding.map(|finding| (value_id, finding))
            })
            .collect();
        values.total -= before - doubted.len() as u64;
    }
    doubted.sort_unstable_by_key(|(value_id, _)| *value_id);
    values.findings = doubted.into_iter().map(|(_, finding)| finding).collect();
    Ok(values)
}

async fn stored(session: &mut Session, after: i64, page_size: i32) -> Result<ListValueSealsResponse, Fault> {
    session.keep().await?;
    let request = session.request(ListValueSealsRequest { after_value_id: after, page_size })?;
    let answer = session.value_seals().list_value_seals(request).await;
    Ok(answer.map_err(|status| session.fault(&status))?.into_inner())
}

/// A stored value; `None` where it was deleted meanwhile.
async fn one(session: &mut Session, value_id: i64) -> Result<Option<StoredValueSeal>, Fault> {
    let page = stored(session, value_id - 1, 1).await?;
    Ok(page.seals.into_iter().find(|seal| seal.value_id == value_id))
}

/// Takes the seals of the entries from a position on.
async fn catch_up(session: &mut Session, seals: &mut LastSeals, from: u64) -> Result<(), Fault> {
    let mut entries = Entries::new(None, Some(i64::try_from(from).unwrap_or(i64::MAX)), false);
    while let Some(message) = entries.next(session).await? {
        for entry in &message.entries {
            if let Some(event) = coffre_audit_proof::canonical::decode(&entry.canonical) {
                seals.take(&event);
            }
        }
    }
    Ok(())
}
