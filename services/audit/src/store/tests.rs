//! Reading the log: filters, orders, pages, and who sees what, on both engines.

use std::sync::Arc;

use coffre_audit_client::{ActivityType, Outcome, Site, Source, StreamKey};
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
    store_of(db, events()).await
}

async fn store_of(db: &TestDb, events: Vec<Event>) -> Store {
    let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "audit");
    migrate(&options, SQLITE, POSTGRES).unwrap();
    let database = Database::open(options, || Box::new(NoJournal)).unwrap();
    let clock = Arc::new(coffre_types::SystemClock);
    let site = Site { service: "audit", host_name: String::new(), environment_name: String::new(), clock };
    let store = Store::new(database, PageTokens::new(&[5; 32]), Arc::new(site));
    let key = StreamKey::new(&vec![1; 32].into());
    let (stream, genesis) = ([8; 16], coffre_audit_client::chain::GENESIS);
    let events: Vec<Vec<u8>> = events.iter().map(Event::encode_to_vec).collect();
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

    async fn whatever_a_text_holds_is_found_as_it_is(db: TestDb) {
        use Operator::{Equal, NotEqual, Substring};
        let long = format!("{}\u{fb03} the end", "long ".repeat(13_000));
        let names = ["a\nline\r\n\u{7}bell", "\u{202e}gnp.exe\u{200f}", "100%_off!", "100 percent off", "=HYPERLINK(\"x\")", &long];
        let mut events = events();
        for (event, name) in events.iter_mut().zip(names) {
            event.object = Some(Object { r#type: "credential".into(), id: "7".into(), name: name.into() });
            event.changes = vec![Change { field: "name".into(), old_value: Some(name.into()), new_value: None }];
        }
        let store = store_of(&db, events).await;
        for (field, operator, value, expected) in [
            ("objectName", Equal, names[0], vec![9]),
            ("objectName", Substring, "line\r\n\u{7}", vec![9]),
            ("eventDescription", Substring, "a\nline", vec![9]),
            ("objectName", Substring, "\u{202e}GNP", vec![0]),
            ("eventDescription", Substring, "\u{202e}GNP", vec![0]),
            ("objectName", Substring, "0%_", vec![1]),
            ("detail", Substring, "0%_off!", vec![1]),
            ("objectName", Substring, "___", vec![]),
            ("eventDescription", Substring, "%%%", vec![]),
            ("objectName", Equal, "=hyperlink(\"X\")", vec![3]),
            ("objectName", Substring, " the END", vec![4]),
            ("eventDescription", Substring, " the END", vec![4]),
            ("objectName", NotEqual, "x", vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ] {
            assert_eq!(filtered(&store, field, operator, value).await, expected, "{field} {operator:?} {value:?}");
        }
        for wrong in ["a\0b", &"x".repeat(1001), &long] {
            for field in ["objectName", "eventDescription", "requestId"] {
                let query = Query { filter: Some(compare(field, Equal, wrong)), ..Query::default() };
                assert!(matches!(store.list(query, everything()).await, Err(Error::Invalid { part: "filter", .. })));
            }
        }
    }

    async fn an_event_with_a_text_that_is_too_long_for_an_index_is_kept(db: TestDb) {
        // Nothing that a database could compress.
        let long: String = (0..13_000_u32).map(|n| format!("{:x}é", n.wrapping_mul(2_654_435_761))).collect();
        let mut events = events();
        events[5] = Event {
            event: long.clone(),
            actor: Some(Actor { user_id: 1, user_name: long.clone(), ..Actor::default() }),
            object: Some(Object { r#type: long.clone(), id: long.clone(), name: long.clone() }),
            request_id: long.clone(),
            client_address: long.clone(),
            ..events[5].clone()
        };
        let store = store_of(&db, events.clone()).await;
        let entry = store.get(EventId::new(Uuid::from_u128(5)), everything()).await.unwrap();
        assert_eq!(entry.event, events[5]);
        assert_eq!(days(&store, Query::default(), everything()).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    async fn an_event_from_a_clock_that_is_off_stands_where_its_clock_says(db: TestDb) {
        const HOUR: i64 = DAY / 24;
        let mut events = events();
        // The fourth to arrive is of the second day, from a clock an hour ahead; the fifth, from one an hour behind.
        events[3].time_us += HOUR;
        events[4].time_us -= HOUR;
        let store = store_of(&db, events).await;
        let hours = async |query: Query| {
            let (entries, page) = store.list(query, everything()).await.unwrap();
            let hours = entries.iter().map(|entry| (entry.event.time_us - START) / HOUR).collect::<Vec<_>>();
            (hours, page.next_page_token)
        };
        let mut query = Query { page_size: 4, ..Query::default() };
        let mut found = Vec::new();
        for _ in 0..3 {
            let (hours, next) = hours(query.clone()).await;
            found.extend(hours);
            query.page_token = next;
        }
        assert_eq!(found, [216, 192, 168, 144, 120, 96, 71, 49, 24, 0]);
        let before = Timestamp::from_micros(START + 3 * DAY).to_rfc3339_millis();
        let filter = Some(compare("createdOn", Operator::Less, &before));
        assert_eq!(hours(Query { filter, ..Query::default() }).await.0, [71, 49, 24, 0]);
    }

    async fn a_search_that_no_index_answers_looks_at_so_many_entries_and_says_so(db: TestDb) {
        let store = store(&db).await;
        let find = async |filter: Filter| {
            let query = Query { filter: Some(filter), page_size: 1, count: true, ..Query::default() };
            store.list_within(4, &query, everything()).await
        };
        let (found, page) = find(compare("eventDescription", Operator::Substring, "login 8")).await.unwrap();
        assert_eq!(found[0].log_index, 9, "among the newest");
        assert_eq!((page.total_size, page.filtered_size), (Some(10), None));
        let wide = find(compare("eventDescription", Operator::Substring, "login 2")).await.unwrap_err();
        assert!(matches!(wide, Error::TooWide { rows: 4, .. }));
        for word in ["4 rows", "createdOn", "objectId with objectType", "userName", "requestId"] {
            assert!(wide.to_string().contains(word), "{wide}");
        }
        // What an index leads to is found wherever it is.
        for (field, value, expected) in [
            ("id", Uuid::from_u128(1).to_string(), 0),
            ("requestId", "REQ-0".to_owned(), 0),
            ("objectId", "11".to_owned(), 1),
            ("createdBy", "1".to_owned(), 8),
            ("userName", "zoë".to_owned(), 8),
            ("event", "credential.update".to_owned(), 9),
            ("activityType", "UPDATE_CREDENTIAL".to_owned(), 9),
            ("status", "Unsuccessful".to_owned(), 7),
            ("clientAddress", "192.0.2.7".to_owned(), 9),
        ] {
            let (found, _) = find(compare(field, Operator::Equal, &value)).await.unwrap();
            assert_eq!((found[0].event.time_us - START) / DAY, expected, "{field}");
        }
        // One's own, however many others have.
        let query = Query { filter: Some(compare("detail", Operator::Substring, "färb")), ..Query::default() };
        let mine = Visibility::own(UserId::from_trusted(2));
        assert!(matches!(store.list_within(4, &query, mine).await, Err(Error::TooWide { .. })));
        assert_eq!(store.list_within(5, &query, mine).await.unwrap().0.len(), 1);
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
        assert!(entry.said.description.starts_with("User \"bob\" updated credential \"Login 3\n"));
        assert_eq!(entry.said.detail, r#"{"changes":[{"field":"description","oldValue":null,"newValue":"Färbung"}]}"#);
    }
}
