//! Entries as CSV (RFC 4180), for programs that make tables of it. A text that such a program would take for a formula is defused.

use std::borrow::Cow;

use super::Entry;

/// The first line, with its end.
pub const CSV_HEADER: &str = "logIndex,id,createdOn,activityType,event,eventDescription,status,source,userName,createdBy,objectType,objectId,\
objectName,detail,clientAddress,hostName,environmentName,requestId,leafHash\r\n";

/// Writes an entry in the order of [`CSV_HEADER`], with the line's end.
#[must_use]
pub fn csv_row(entry: &Entry) -> String {
    let log_index = entry.log_index.to_string();
    let fields = [
        &log_index,
        &entry.id,
        &entry.created_on,
        &entry.activity_type,
        &entry.event,
        &entry.event_description,
        &entry.status,
        &entry.source,
        &entry.user_name,
        &entry.created_by,
        &entry.object_type,
        &entry.object_id,
        &entry.object_name,
        &entry.detail,
        &entry.client_address,
        &entry.host_name,
        &entry.environment_name,
        &entry.request_id,
        &entry.leaf_hash,
    ];
    let mut row = fields.map(|field| quoted(&defused(field)).into_owned()).join(",");
    row.push_str("\r\n");
    row
}

/// Puts an apostrophe before what a table would calculate. Spaces before a formula do not hide it.
fn defused(field: &str) -> Cow<'_, str> {
    let calculated = field.starts_with(['\t', '\r', '\n']) || field.trim_start().starts_with(['=', '+', '-', '@']);
    if calculated { Cow::Owned(format!("'{field}")) } else { Cow::Borrowed(field) }
}

fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}
