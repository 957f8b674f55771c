//! Printing entries as they come.

use std::io::Write;

use coffre_proto::query::v1::Filter;

use super::super::fault::Fault;
use super::super::session::Session;
use super::stream::Entries;
use super::times::Zone;
use super::{print, shown};

/// Prints what comes until somebody stops it.
pub(crate) async fn for_ever(
    session: &mut Session,
    filter: Option<Filter>,
    from: Option<i64>,
    zone: &Zone,
    out: &mut impl Write,
    as_json: bool,
) -> Result<(), Fault> {
    let mut entries = Entries::new(filter, from, true);
    if !as_json {
        print(out, &shown::heading(zone))?;
    }
    let stopped = tokio::signal::ctrl_c();
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let message = tokio::select! {
            message = entries.next(session) => message?,
            // The session is ended before the process is.
            _ = &mut stopped => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        for entry in &message.entries {
            print(out, &if as_json { shown::entry_line(entry) } else { shown::followed(entry, zone) })?;
        }
    }
}
