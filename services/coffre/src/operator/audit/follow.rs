//! Printing entries as they come.

use std::io::Write;
use std::time::Duration;

use coffre_proto::query::v1::Filter;
use coffre_types::{Clock as _, SystemClock, Timestamp};

use super::super::fault::Fault;
use super::super::session::Session;
use super::stream::Entries;
use super::times::Zone;
use super::{print, shown};

/// How long after the moment to which it is followed entries of before may still come.
const LATE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 2000 });

/// Prints what comes until somebody stops it, or the moment is past and what is of before it was printed.
pub(crate) async fn for_ever(
    session: &mut Session,
    filter: Option<Filter>,
    from: Option<i64>,
    until: Option<Timestamp>,
    zone: &Zone,
    out: &mut impl Write,
    as_json: bool,
) -> Result<(), Fault> {
    let now = SystemClock.now();
    let is_past = until.is_some_and(|until| until <= now);
    let mut entries = Entries::new(filter, from, !is_past);
    let mut moment = std::pin::pin!(async move {
        match until.filter(|_| !is_past) {
            Some(until) => tokio::time::sleep(until.since(now) + LATE).await,
            None => std::future::pending().await,
        }
    });
    let mut is_last = is_past;
    if !as_json {
        print(out, &shown::heading(zone))?;
    }
    let stopped = tokio::signal::ctrl_c();
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let message = tokio::select! {
            message = entries.next(session) => message.map_err(|fault| misplaced(fault, from))?,
            () = &mut moment, if !is_last => {
                entries.follow_no_longer();
                is_last = true;
                continue;
            }
            // The session is ended before the process is.
            _ = &mut stopped => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        for entry in &message.entries {
            print(out, &if as_json { shown::entry_line(entry) } else { shown::followed(entry, zone) })?;
        }
    }
}

/// Says what to do where the log ends before the position that was given, or before the one to which it was followed.
fn misplaced(fault: Fault, from: Option<i64>) -> Fault {
    let Some(size) = fault.beyond().map(ToOwned::to_owned) else { return fault };
    let given = from.map_or(String::new(), |from| format!("--from {from} is not there. "));
    fault.and(&format!("{given}Say --from {size}, or a position before it, or leave --from out"))
}
