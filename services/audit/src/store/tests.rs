//! Reading the log: filters, orders, pages, and who sees what, on both engines.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, Outcome, Source, StreamKey};
use coffre_db::list::{Error, PageTokens};
use coffre_db::{Database, DatabaseUrl, NoJournal, Options, migrate};
use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::v1::{Actor, Change, Event, Object};
use coffre_proto::query::v1::comparison::Operator;
use coffre_proto::query::v1::sort_key::Direction;
use coffre_proto::query::v1::{Comparison, Filter, Query, SortKey, filter};
use coffre_test_support::{TestDb, on_each_engine};
use coffre_types::{Caller, EventId, Permission, PermissionSet, SessionId, Timestamp, TokenKind, UserId};
use prost::Message as _;
use uuid::Uuid;

use super::{POSTGRES, SQLITE, Store};
use crate::domain::intake::{Arrival, Disposition};
use crate::domain::ports::{ReadEntries, WriteLog};
use crate::domain::visibility::Visibility;

const DAY: i64 = 86_400_000_000;
const START: i64 = 1_800_000_000_000_000;

const FIELDS: &[&str] = &[
    "id",
    "createdOn",
    "activityType",
    "event",
    "eventDescription",
    "status",
    "source",
    "userName",
    "createdBy",
    "objectType",
    "objectId",
    "objectName",
    "requestId",
    "hostName",
    "environmentName",
    "clientAddress",
    "detail",
];

fn caller(user: i64, permissions: &[Permission]) -> Caller {
    Caller {
        user_id: UserId::from_trusted(user),
        username: Arc::from("somebody"),
        session_id: SessionId::new(Uuid::nil()),
        roles: Arc::from([]),
        permissions: permissions.iter().copied().collect::<PermissionSet>(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    }
}

fn everything() -> Visibility {
    Visibility::of(&caller(99, &[Permission::ViewAllAudit]))
}

/// Ten events, a day apart; the last one arrives first.
fn events() -> Vec<Event> {
    let event = |number: i64| Event {
        id: Uuid::from_u128(u128::from(number.cast_unsigned()) + 1).as_bytes().to_vec(),
        time_us: START + number * DAY,
        service: "vault".into(),
        method: "coffre.vault.v1.CredentialService/GetCredential".into(),
        event: if number % 2 == 0 { "credential.read" } else { "credential.update" }.into(),
        activity_type: if number % 2 == 0 { ActivityType::ReadCredential } else { ActivityType::UpdateCredential }
            .into(),
        outcome: if number == 7 { Outcome::Unsuccessful } else { Outcome::Successful }.into(),
        reason: if number == 7 { "CREDENTIAL_NOT_FOUND" } else { "" }.into(),
        source: if number < 5 { Source::Api } else { Source::Grpc }.into(),
        actor: Some(Actor {
            user_id: 1 + number % 2,
            user_name: ["Zoë", "bob"][usize::try_from(number % 2).unwrap()].into(),
            ..Actor::default()
        }),
        object: Some(Object {
            r#type: "credential".into(),
            id: (10 + number).to_string(),
            name: format!("Login {number}\n\u{202e}=1+1"),
        }),
        changes: if number == 3 {
            vec![Change { field: "description".into(), old_value: None, new_value: Some("Färbung".into()) }]
        } else {
            Vec::new()
        },
        request_id: format!("Req-{number}"),
        client_address: "192.0.2.7".into(),
        host_name: "host-a".into(),
        environment_name: "test".into(),
        ..Event::default()
    };
    std::iter::once(9).chain(0..9).map(event).collect()
}

async fn store(db: &TestDb) -> Store {
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
    migrate(&options, SQLITE, POSTGRES).unwrap();
    let database = Database::open(options, || Box::new(NoJournal)).unwrap();
    let store = Store::new(database, PageTokens::new(&[5; 32]));
    let key = StreamKey::new(&vec![1; 32].into());
    let (stream, genesis) = ([8; 16], coffre_audit_client::chain::GENESIS);
    let events: Vec<Vec<u8>> = events().iter().map(Event::encode_to_vec).collect();
    let head = (1..)
        .zip(&events)
        .fold(genesis, |head, (number, event)| coffre_audit_client::chain::next_hash(&stream, number, &head, event));
    let segment = Segment {
        stream_id: stream.to_vec(),
        first_sequence: 1,
        previous_hash: genesis.to_vec(),
        head_hash: head.to_vec(),
        mac: key.segment_mac(&stream, 1, i64::try_from(events.len()).unwrap(), &genesis, &head).to_vec(),
        events,
    };
    let arrivals = vec![Arrival::check(&key, segment)];
    let stored = store.append("vault".into(), arrivals, Timestamp::from_micros(START)).await.unwrap();
    assert_eq!(stored, [Disposition::Stored]);
    store
}

fn compare(field: &str, operator: Operator, value: &str) -> Filter {
    let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
    Filter { condition: Some(filter::Condition::Comparison(comparison)) }
}

/// The days of the entries of an answer.
async fn days(store: &Store, query: Query, visibility: Visibility) -> Vec<i64> {
    let (entries, _) = store.list(query, visibility).await.unwrap();
    entries.iter().map(|entry| (entry.event.time_us - START) / DAY).collect()
}

async fn filtered(store: &Store, field: &str, operator: Operator, value: &str) -> Vec<i64> {
    let query = Query { filter: Some(compare(field, operator, value)), ..Query::default() };
    days(store, query, everything()).await
}

on_each_engine! {
    async fn the_newest_come_first(db: TestDb) {
        let store = store(&db).await;
        assert_eq!(days(&store, Query::default(), everything()).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    async fn every_field_filters(db: TestDb) {
        use Operator::{Equal, Greater, Less, LessOrEqual, NotEqual, Substring};
        let store = store(&db).await;
        let id = Uuid::from_u128(4).to_string();
        let day = |number: i64| Timestamp::from_micros(START + number * DAY).to_rfc3339_millis();
        let evens = vec![8, 6, 4, 2, 0];
        for (field, operator, value, expected) in [
            ("id", Equal, id.as_str(), vec![3]),
            ("createdOn", Less, day(2).as_str(), vec![1, 0]),
            ("createdOn", LessOrEqual, day(2).as_str(), vec![2, 1, 0]),
            ("createdOn", Equal, day(2).as_str(), vec![2]),
            ("activityType", Equal, "READ_CREDENTIAL", evens.clone()),
            ("event", Equal, "Credential.Read", evens.clone()),
            ("event", Substring, "l.upd", vec![9, 7, 5, 3, 1]),
            ("eventDescription", Substring, "\"bob\" TRIED TO UPDATE", vec![7]),
            ("status", Equal, "unsuccessful", vec![7]),
            ("status", NotEqual, "Successful", vec![7]),
            ("source", Equal, "gRPC", vec![9, 8, 7, 6, 5]),
            ("userName", Equal, "ZOE\u{308}", evens.clone()),
            ("userName", Equal, "zoe", vec![]),
            ("createdBy", Equal, "1", evens),
            ("createdBy", Greater, "1", vec![9, 7, 5, 3, 1]),
            ("objectType", Equal, "credential", vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
            ("objectId", Equal, "14", vec![4]),
            ("objectName", Substring, "LOGIN 4", vec![4]),
            ("requestId", Equal, "req-4", vec![4]),
            ("hostName", Equal, "host-b", vec![]),
            ("environmentName", Equal, "Test", vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
            ("clientAddress", Equal, "192.0.2.8", vec![]),
            ("detail", Substring, "färb", vec![3]),
            ("detail", Substring, "FÄRB", vec![3]),
        ] {
            assert_eq!(filtered(&store, field, operator, value).await, expected, "{field} {operator:?} {value}");
        }
    }

    async fn every_field_but_the_id_orders(db: TestDb) {
        let store = store(&db).await;
        for field in FIELDS {
            for direction in [Direction::Ascending, Direction::Descending] {
                let order_by = vec![SortKey { field: (*field).to_owned(), direction: direction.into() }];
                let answer = store.list(Query { order_by, ..Query::default() }, everything()).await;
                match *field {
                    "id" => assert!(matches!(answer, Err(Error::Invalid { .. }))),
                    _ => assert_eq!(answer.unwrap().0.len(), 10, "{field}"),
                }
            }
        }
    }

    async fn pages_neither_lose_nor_repeat_and_counts_are_exact(db: TestDb) {
        let store = store(&db).await;
        let mut query = Query {
            filter: Some(compare("createdBy", Operator::Equal, "2")),
            page_size: 2,
            count: true,
            ..Query::default()
        };
        let mut found = Vec::new();
        loop {
            let (entries, page) = store.list(query.clone(), everything()).await.unwrap();
            assert_eq!((page.total_size, page.filtered_size), (Some(10), Some(5)));
            found.extend(entries.iter().map(|entry| (entry.event.time_us - START) / DAY));
            if page.next_page_token.is_empty() {
                break;
            }
            query.page_token = page.next_page_token;
        }
        assert_eq!(found, [9, 7, 5, 3, 1]);
        query.filter = None;
        query.page_token = "forged".into();
        assert!(matches!(store.list(query.clone(), everything()).await, Err(Error::TokenInvalid)));
        query.filter = Some(compare("password", Operator::Equal, "x"));
        assert!(matches!(store.list(query, everything()).await, Err(Error::FieldUnknown { .. })));
    }

    async fn without_the_permission_one_sees_the_entries_of_ones_own_calls(db: TestDb) {
        let store = store(&db).await;
        let mine = Visibility::of(&caller(2, &[Permission::ManageUsers]));
        assert_eq!(days(&store, Query::default(), mine).await, [9, 7, 5, 3, 1]);
        let (_, page) = store.list(Query { count: true, ..Query::default() }, mine).await.unwrap();
        assert_eq!(page.total_size, Some(5));
        // The name is not what makes an entry one's own.
        let filter = compare("userName", Operator::Equal, "Zoë");
        let not = Query { filter: Some(filter), ..Query::default() };
        assert!(days(&store, not, mine).await.is_empty());
        let (others, own) = (EventId::new(Uuid::from_u128(1)), EventId::new(Uuid::from_u128(2)));
        assert_eq!(store.get(own, mine).await.unwrap().event.time_us, START + DAY);
        assert_eq!(store.get(others, mine).await.unwrap_err(), coffre_db::Error::NotFound);
        assert_eq!(store.get(others, everything()).await.unwrap().event.time_us, START);
        let nobody = EventId::new(Uuid::from_u128(500));
        assert_eq!(store.get(nobody, everything()).await.unwrap_err(), coffre_db::Error::NotFound);
    }

    async fn ones_own_entries_are_ones_own_whatever_else_one_may_see(db: TestDb) {
        let store = store(&db).await;
        let two = Query { page_size: 2, ..Query::default() };
        assert_eq!(days(&store, two.clone(), Visibility::own(UserId::from_trusted(2))).await, [9, 7]);
        assert_eq!(days(&store, two.clone(), Visibility::own(UserId::from_trusted(1))).await, [8, 6]);
        assert!(days(&store, two, Visibility::own(UserId::from_trusted(99))).await.is_empty());
    }

    async fn an_entry_is_read_as_it_was_written(db: TestDb) {
        let store = store(&db).await;
        let entry = store.get(EventId::new(Uuid::from_u128(4)), everything()).await.unwrap();
        assert_eq!(entry.event, events()[4]);
        assert_eq!(entry.log_index, 4);
        assert_eq!(entry.leaf_hash, coffre_audit_client::chain::leaf_hash(&events()[4].encode_to_vec()));
        assert!(entry.description.starts_with("User \"bob\" updated credential \"Login 3\n"));
        assert_eq!(entry.detail, r#"{"changes":[{"field":"description","oldValue":null,"newValue":"Färbung"}]}"#);
    }
}
