//! How entries and checkpoints look: a text for people, JSON as REST has it for programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_audit_proof::words;
use coffre_proto::audit::v1::incident::Kind;
use coffre_proto::audit::v1::{Checkpoint, Entry, Event, Incident, Outcome};
use serde_json::{Value, json};

use super::super::shown::Shown;
use super::plain::{line, plain, plain_json, shortened, table};
use super::times::Zone;

/// How wide the columns of a list are that grows while it is shown.
const WIDTHS: [usize; 5] = [23, 30, 16, 30, 40];
/// The longest cell of a list.
const CELL: usize = 48;

/// The first line of a list.
pub(crate) fn headings(zone: &Zone) -> [String; 6] {
    let time = format!("TIME ({})", zone.name());
    [time, "RESULT".into(), "USER".into(), "EVENT".into(), "OBJECT".into(), "ADDRESS".into()]
}

fn result(event: &Event) -> String {
    match event.outcome() {
        Outcome::Successful => "ok".to_owned(),
        Outcome::Unsuccessful if event.reason.is_empty() => "failed".to_owned(),
        Outcome::Unsuccessful => event.reason.clone(),
        Outcome::Unknown | Outcome::Unspecified => "unknown".to_owned(),
    }
}

fn object(event: &Event) -> String {
    let object = event.object.clone().unwrap_or_default();
    let mut parts = vec![object.r#type];
    if !object.id.is_empty() {
        parts.push(object.id);
    }
    if !object.name.is_empty() {
        parts.push(format!("\"{}\"", object.name));
    }
    parts.join(" ")
}

fn user(event: &Event) -> String {
    let actor = event.actor.clone().unwrap_or_default();
    match (actor.user_name.is_empty(), actor.client_id.is_empty()) {
        (true, true) => "-".to_owned(),
        (false, true) => actor.user_name,
        (true, false) => format!("via {}", actor.client_id),
        (false, false) => format!("{} via {}", actor.user_name, actor.client_id),
    }
}

/// An entry in one row.
pub(crate) fn row(entry: &Entry, zone: &Zone) -> Vec<String> {
    let event = entry.event.clone().unwrap_or_default();
    let cells = [result(&event), user(&event), event.event.clone(), object(&event), event.client_address];
    let cells = cells.into_iter().map(|cell| shortened(&plain(&cell), CELL));
    [zone.show(entry.create_time)].into_iter().chain(cells).collect()
}

/// A list of entries.
pub(crate) fn list(entries: &[Entry], zone: &Zone, total: Option<i64>, more: bool) -> Shown {
    let headings = headings(zone);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, zone)).collect();
    let mut text = if rows.is_empty() { "no entries".to_owned() } else { table(&headings, &rows) };
    if more {
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        text.push_str(&format!("\n{}{of} entries; --limit shows more, --until what is older", rows.len()));
    }
    let list: Vec<Value> = entries.iter().map(entry_json).collect();
    Shown { text, json: json!({"list": list, "total": total}) }
}

/// The first line of what is followed.
pub(crate) fn heading(zone: &Zone) -> String {
    let headings = headings(zone).to_vec();
    line(&headings, &widths())
}

/// An entry in one line of what is followed, where nobody knows how long the others will be.
pub(crate) fn followed(entry: &Entry, zone: &Zone) -> String {
    line(&row(entry, zone), &widths())
}

fn widths() -> Vec<usize> {
    WIDTHS.into_iter().chain([0]).collect()
}

/// An entry in JSON, on one line that may be shown on a terminal.
pub(crate) fn entry_line(entry: &Entry) -> String {
    plain_json(&entry_json(entry).to_string())
}

/// An entry as REST has it, with the facts that lists leave out there.
pub(crate) fn entry_json(entry: &Entry) -> Value {
    let event = entry.event.clone().unwrap_or_default();
    let (actor, object) = (event.actor.clone().unwrap_or_default(), event.object.clone().unwrap_or_default());
    json!({
        "id": entry.id,
        "logIndex": entry.log_index.to_string(),
        "createdOn": entry.create_time.map(|time| coffre_types::Timestamp::from_proto(time).to_rfc3339_millis()),
        "activityType": words::activity(event.activity_type()),
        "event": event.event,
        "eventDescription": entry.description,
        "status": words::status(event.outcome()),
        "reason": event.reason,
        "source": words::source(event.source()),
        "userName": actor.user_name,
        "createdBy": actor.user_id.to_string(),
        "clientId": actor.client_id,
        "objectType": object.r#type,
        "objectId": object.id,
        "objectName": object.name,
        "detail": entry.detail,
        "clientAddress": event.client_address,
        "service": event.service,
        "method": event.method,
        "hostName": event.host_name,
        "environmentName": event.environment_name,
        "requestId": event.request_id,
        "traceId": hex(&event.trace_id),
        "leafHash": STANDARD.encode(&entry.leaf_hash),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One entry with all that it holds.
pub(crate) fn entry(entry: &Entry, zone: &Zone) -> Shown {
    let event = entry.event.clone().unwrap_or_default();
    let actor = event.actor.clone().unwrap_or_default();
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push((name.to_owned(), value));
        }
    };
    add("id", entry.id.clone());
    add("position", entry.log_index.to_string());
    add("time", format!("{} ({})", zone.show(entry.create_time), zone.name()));
    add("what", entry.description.clone());
    add("event", event.event.clone());
    add("activity", words::activity(event.activity_type()).to_owned());
    add("result", result(&event));
    add("user", user(&event));
    add("user id", if actor.user_id > 0 { actor.user_id.to_string() } else { String::new() });
    add("session", hex(&actor.session_id));
    add("unknown name", hex(&actor.unknown_name_hash));
    add("object", object(&event));
    add("address", event.client_address.clone());
    add("source", words::source(event.source()).to_owned());
    add("call", event.method.clone());
    add("request", event.request_id.clone());
    add("trace", hex(&event.trace_id));
    add("service", event.service.clone());
    add("host", event.host_name.clone());
    add("environment", event.environment_name.clone());
    add("alike calls", if event.occurrences > 1 { event.occurrences.to_string() } else { String::new() });
    for change in &event.changes {
        let side = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("\"{value}\""))
        };
        add(&format!("changed {}", change.field), format!("{} → {}", side(&change.old_value), side(&change.new_value)));
    }
    for detail in &event.details {
        add(&detail.key, detail.value.clone());
    }
    for seal in &event.value_seals {
        add("value seal", format!("value {} version {}", seal.value_id, seal.version));
    }
    add("leaf hash", hex(&entry.leaf_hash));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let text = lines.iter().map(|(name, value)| format!("{:<width$}  {}", plain(name), plain(value)));
    Shown { text: text.collect::<Vec<_>>().join("\n"), json: entry_json(entry) }
}

/// A checkpoint: its signed note, as a verifier reads it.
pub(crate) fn checkpoint(checkpoint: &Checkpoint) -> Shown {
    let moment = |time: Option<prost_types::Timestamp>| {
        time.map(|time| coffre_types::Timestamp::from_proto(time).to_rfc3339_millis())
    };
    let json = json!({
        "size": checkpoint.size.to_string(),
        "createdOn": moment(checkpoint.create_time),
        "witnessedOn": moment(checkpoint.witness_time),
        "note": checkpoint.note,
    });
    // The lines of a note are its own; nothing else in it may move the cursor.
    let note: Vec<String> = checkpoint.note.lines().map(plain).collect();
    Shown { text: note.join("\n"), json }
}

/// What was found wrong.
pub(crate) fn incidents(incidents: &[Incident], total: i64, zone: &Zone) -> Shown {
    let time = format!("FOUND ({})", zone.name());
    let headings = [time.as_str(), "WHAT", "WHERE", "FIRST", "LAST"];
    let kind = |incident: &Incident| match incident.kind() {
        Kind::Gap => ("gap", "events never came"),
        Kind::Forged => ("forged", "events that no holder of the key wrote"),
        Kind::RolledBack => ("rolledBack", "the log is not the one that a witness saw"),
        Kind::Changed => ("changed", "entries are not what they were"),
        Kind::Checkpoint => ("checkpoint", "a checkpoint of this size is not what was signed"),
        Kind::Unspecified => ("unknown", "of a kind that this program does not know"),
    };
    let row = |incident: &Incident| {
        let place = if incident.service.is_empty() {
            "log".to_owned()
        } else {
            format!("{} {}", plain(&incident.service), hex(&incident.stream_id))
        };
        vec![
            zone.show(incident.find_time),
            kind(incident).1.to_owned(),
            place,
            incident.first.to_string(),
            incident.last.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = incidents.iter().map(row).collect();
    let mut text = if rows.is_empty() { "nothing was found wrong".to_owned() } else { table(&headings, &rows) };
    if total > i64::try_from(rows.len()).unwrap_or(i64::MAX) {
        text.push_str(&format!("\n{} of {total}; --limit shows more", rows.len()));
    }
    let list: Vec<Value> = incidents
        .iter()
        .map(|incident| {
            let found = incident.find_time.map(|time| coffre_types::Timestamp::from_proto(time).to_rfc3339_millis());
            json!({
                "kind": kind(incident).0, "foundOn": found, "service": incident.service, "streamId": hex(&incident.stream_id),
                "first": incident.first.to_string(), "last": incident.last.to_string(),
            })
        })
        .collect();
    Shown { text, json: json!({"total": total, "list": list}) }
}
