//! What an entry's `detail` says: changes and further facts, as one JSON object.

use coffre_proto::audit::v1::Event;
use serde_json::{Map, Value, json};

/// Renders the detail of an event; empty where there is nothing to tell.
pub(crate) fn detail(event: &Event) -> String {
    let client_id = event.actor.as_ref().map_or("", |actor| actor.client_id.as_str());
    if event.changes.is_empty()
        && event.details.is_empty()
        && event.reason.is_empty()
        && client_id.is_empty()
        && event.occurrences <= 1
    {
        return String::new();
    }
    let mut facts = Map::new();
    // What handlers say comes first: the words below are ours and win.
    for detail in &event.details {
        facts.insert(detail.key.clone(), Value::from(detail.value.as_str()));
    }
    if !event.changes.is_empty() {
        let changes = event
            .changes
            .iter()
            .map(|change| json!({"field": change.field, "oldValue": change.old_value, "newValue": change.new_value}));
        facts.insert("changes".to_owned(), changes.collect());
    }
    if !event.reason.is_empty() {
        facts.insert("reason".to_owned(), Value::from(event.reason.as_str()));
    }
    if !client_id.is_empty() {
        facts.insert("clientId".to_owned(), Value::from(client_id));
    }
    if event.occurrences > 1 {
        facts.insert("occurrences".to_owned(), Value::from(event.occurrences));
    }
    Value::Object(facts).to_string()
}

#[cfg(test)]
mod tests {
    use coffre_proto::audit::v1::{Change, Detail};

    use super::*;

    #[test]
    fn nothing_to_tell_is_empty() {
        assert_eq!(detail(&Event::default()), "");
    }

    #[test]
    fn changes_and_facts_are_one_object() {
        let event = Event {
            changes: vec![Change { field: "name".into(), old_value: Some("a\n\"b".into()), new_value: None }],
            details: vec![Detail { key: "names".into(), value: "3".into() }],
            reason: "CREDENTIAL_NOT_FOUND".into(),
            ..Event::default()
        };
        let read: Value = serde_json::from_str(&detail(&event)).unwrap();
        let expected = json!({
            "changes": [{"field": "name", "oldValue": "a\n\"b", "newValue": null}],
            "names": "3",
            "reason": "CREDENTIAL_NOT_FOUND"
        });
        assert_eq!(read, expected);
    }
}
