//! What a record keeps, and in which bytes.

use coffre_proto::audit::v1::Event;
use coffre_types::FixedClock;
use proptest::prelude::*;

use super::*;
use crate::canonical;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn record() -> CallRecord {
    let site = Site {
        service: "vault",
        host_name: "host-a".into(),
        environment_name: "test".into(),
        clock: Arc::new(FixedClock::new(NOW)),
    };
    let origin = Origin {
        site: Arc::new(site),
        method: "/coffre.vault.v1.CredentialService/GetCredential",
        request_id: Arc::from("req-1"),
        trace_id: Some([7; 16]),
        client_address: Some("::ffff:192.0.2.7".parse().unwrap()),
        source: Source::Api,
    };
    CallRecord::new(origin, "credential.read", ActivityType::ReadCredential)
}

fn read(record: &CallRecord, outcome: Outcome) -> Event {
    canonical::parse(record.entry(outcome, None, NOW).bytes()).expect("canonical bytes")
}

#[test]
fn an_entry_holds_what_the_record_was_told() {
    let record = record();
    record.actor(UserId::from_trusted(300), "admin", None);
    record.client("robot");
    record.object("credential", 12, "SharePoint Login");
    record.change("name", Some("a".into()), None);
    record.change("same", Some("a".into()), Some("a".into()));
    record.detail("values", "3");
    record.value_seal(ValueId::from_trusted(5), Version::FIRST, [9; 32]);
    let event = read(&record, Outcome::Successful);
    assert_eq!(event.id, record.id().uuid().as_bytes());
    assert_eq!(record.id().uuid().get_version_num(), 7);
    assert_eq!(event.time_us, NOW.micros());
    assert_eq!(event.method, "coffre.vault.v1.CredentialService/GetCredential");
    assert_eq!(event.client_address, "192.0.2.7");
    assert_eq!(event.trace_id, [7; 16]);
    assert_eq!(event.actor.unwrap().client_id, "robot");
    assert_eq!(event.object.unwrap().id, "12");
    assert_eq!(event.changes.len(), 1);
    assert_eq!(event.value_seals.len(), 1);
}

#[test]
fn a_large_deletion_names_every_value_in_events_of_bounded_size() {
    let record = record();
    record.actor(UserId::from_trusted(300), "admin", None);
    record.object("credential", 12, "Login");
    let last = i64::try_from(2 * MAX_SEALS).unwrap() + 1;
    (1..=last).for_each(|id| record.value_deleted(ValueId::from_trusted(id), Version::from_trusted(3)));
    let events: Vec<Event> =
        record.entries(NOW).iter().map(|entry| canonical::parse(entry.bytes()).expect("canonical bytes")).collect();
    let sizes: Vec<usize> = events.iter().map(|event| event.value_seals.len()).collect();
    assert_eq!(sizes, [MAX_SEALS, MAX_SEALS, 1]);
    let seals = events.iter().flat_map(|event| &event.value_seals);
    assert!(seals.clone().map(|seal| seal.value_id).eq(1..=last));
    assert!(seals.clone().all(|seal| seal.version == 3 && seal.mac.is_empty()));
    let [first, further @ ..] = events.as_slice() else { panic!() };
    assert_eq!(
        (first.event.as_str(), first.id.as_slice()),
        ("credential.read", record.id().uuid().as_bytes().as_slice())
    );
    for event in further {
        assert_eq!((event.event.as_str(), event.outcome()), (SEALS_CONTINUED, Outcome::Successful));
        assert_eq!((&event.actor, &event.object, &event.request_id), (&first.actor, &first.object, &first.request_id));
        assert_eq!(
            (event.details[0].key.as_str(), event.details[0].value.as_str()),
            ("continues", record.id().to_string().as_str())
        );
        assert!(event.id != first.id && event.salt != first.salt);
    }
    assert_eq!(record.entries(NOW).len(), 1, "what fits is one event");
}

#[test]
fn what_was_refused_changed_nothing() {
    let record = record();
    record.change("name", Some("a".into()), Some("b".into()));
    record.value_seal(ValueId::from_trusted(5), Version::FIRST, [9; 32]);
    let entry = record.entry(Outcome::Unsuccessful, Some(Reason::CredentialNotFound), NOW);
    let event = canonical::parse(entry.bytes()).unwrap();
    assert_eq!(event.reason, "CREDENTIAL_NOT_FOUND");
    assert!(event.changes.is_empty() && event.value_seals.is_empty());
}

#[test]
fn facts_are_bounded_and_what_is_left_out_is_counted() {
    let record = record();
    record.detail("long", "é".repeat(1001));
    record.detail("fits", "é".repeat(1000));
    for number in 0..250 {
        record.change("field", None, Some(number.to_string()));
    }
    let event = read(&record, Outcome::Successful);
    assert_eq!(event.details[0].value, format!("{}…", "é".repeat(999)));
    assert_eq!(event.details[1].value, "é".repeat(1000));
    assert_eq!(event.changes.len(), MAX_FACTS);
    assert_eq!((event.details[2].key.as_str(), event.details[2].value.as_str()), ("leftOut", "50"));
    for _ in 0..200 {
        record.detail("long", "é".repeat(1000));
    }
    assert!(record.entry(Outcome::Successful, None, NOW).bytes().len() < MAX_FACTS_BYTES + 4096);
    record.clear_changes();
    assert!(read(&record, Outcome::Successful).details.is_empty());
}

#[test]
fn no_two_records_share_an_id_or_a_salt() {
    let (one, two) = (record(), record());
    assert_ne!(one.id(), two.id());
    assert_ne!(one.salt, two.salt);
}

proptest! {
    #[test]
    fn the_hand_written_bytes_are_canonical(
        user in 1..i64::MAX, name in ".*", client in proptest::option::of(".*"), object in ".*", text in ".*", count in 0_usize..5,
    ) {
        let record = record();
        record.actor(UserId::from_trusted(user), name.as_str(), Some(SessionId::from_bytes(&[3; 16]).unwrap()));
        if let Some(client) = client {
            record.client(client.as_str());
        }
        record.object("credential", &object, text.clone());
        for _ in 0..count {
            record.change("field", Some(text.clone()), Some(String::new()));
            record.detail("key", text.clone());
            record.value_seal(ValueId::from_trusted(user), Version::FIRST, [9; 32]);
        }
        let event = read(&record, Outcome::Unknown);
        prop_assert_eq!(event.details.len(), count);
    }
}
