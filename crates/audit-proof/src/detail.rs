//! What an entry's `detail` says: changes and further facts, as one JSON object.
//!
//! What it says of an event is part of [`WORDS`](crate::words::WORDS): the verifier computes it again.

use coffre_proto::audit::v1::{ActivityType, Event};
use serde_json::Value;

/// Renders the detail of an event; empty where there is nothing to tell.
#[must_use]
pub fn detail(event: &Event) -> String {
    let client_id = event.actor.as_ref().map_or("", |actor| actor.client_id.as_str());
    // From where somebody came in is what one wants to know of a sign-in; other entries have it in a field of their own alone.
    let address = if is_sign_in(event.activity_type()) { event.client_address.as_str() } else { "" };
    if event.changes.is_empty()
        && event.details.is_empty()
        && event.reason.is_empty()
        && client_id.is_empty()
        && address.is_empty()
        && event.occurrences <= 1
    {
        return String::new();
    }
    let mut out = String::from("{");
    if !event.changes.is_empty() {
        out.push_str("\"changes\":[");
        for (index, change) in event.changes.iter().enumerate() {
            out.push_str(if index == 0 { "{\"field\":" } else { ",{\"field\":" });
            out.push_str(&text(&change.field));
            out.push_str(",\"oldValue\":");
            out.push_str(&change.old_value.as_deref().map_or_else(|| "null".to_owned(), text));
            out.push_str(",\"newValue\":");
            out.push_str(&change.new_value.as_deref().map_or_else(|| "null".to_owned(), text));
            out.push('}');
        }
        out.push(']');
    }
    let mut facts: Vec<(&str, Vec<String>)> = Vec::new();
    if !event.reason.is_empty() {
        facts.push(("reason", vec![text(&event.reason)]));
    }
    if !client_id.is_empty() {
        facts.push(("clientId", vec![text(client_id)]));
    }
    if !address.is_empty() {
        facts.push(("clientAddress", vec![text(address)]));
    }
    if event.occurrences > 1 {
        facts.push(("occurrences", vec![event.occurrences.to_string()]));
    }
    // A name appears once: what is told several times is a list, and the names above are ours.
    let ours = facts.len();
    for detail in &event.details {
        match facts.iter_mut().position(|(key, _)| *key == detail.key) {
            Some(at) if at < ours => {}
            Some(at) => facts.get_mut(at).into_iter().for_each(|(_, values)| values.push(text(&detail.value))),
            None if detail.key == "changes" => {}
            None => facts.push((&detail.key, vec![text(&detail.value)])),
        }
    }
    for (key, values) in facts {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&text(key));
        out.push(':');
        match values.as_slice() {
            [value] => out.push_str(value),
            values => {
                out.push('[');
                out.push_str(&values.join(","));
                out.push(']');
            }
        }
    }
    out.push('}');
    out
}

const fn is_sign_in(activity: ActivityType) -> bool {
    matches!(activity, ActivityType::Login | ActivityType::ClientLogin | ActivityType::Logout)
}

/// A JSON text.
fn text(value: &str) -> String {
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use coffre_proto::audit::v1::{Change, Detail};
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_to_tell_is_empty() {
        assert_eq!(detail(&Event::default()), "");
    }

    #[test]
    fn a_sign_in_tells_from_where() {
        let of = |activity: ActivityType| {
            let address = "192.0.2.7".to_owned();
            detail(&Event { activity_type: activity.into(), client_address: address, ..Event::default() })
        };
        for activity in [ActivityType::Login, ActivityType::ClientLogin, ActivityType::Logout] {
            assert_eq!(of(activity), r#"{"clientAddress":"192.0.2.7"}"#);
        }
        assert_eq!(of(ActivityType::ReadCredential), "");
    }

    #[test]
    fn changes_and_facts_are_one_object() {
        let event = Event {
            changes: vec![Change { field: "name".into(), old_value: Some("a\n\"b".into()), new_value: None }],
            details: vec![
                Detail { key: "value".into(), value: "a".into() },
                Detail { key: "names".into(), value: "3".into() },
                Detail { key: "value".into(), value: "b".into() },
                Detail { key: "reason".into(), value: "not this one".into() },
            ],
            reason: "CREDENTIAL_NOT_FOUND".into(),
            ..Event::default()
        };
        let read: Value = serde_json::from_str(&detail(&event)).unwrap();
        let expected = json!({
            "changes": [{"field": "name", "oldValue": "a\n\"b", "newValue": null}],
            "names": "3",
            "value": ["a", "b"],
            "reason": "CREDENTIAL_NOT_FOUND"
        });
        assert_eq!(read, expected);
    }
}
