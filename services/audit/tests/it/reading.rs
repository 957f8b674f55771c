//! What other services read: the last entries about calls of one user, and the newest term of the vault.

use coffre_proto::audit::internal::v1::reading_service_client::ReadingServiceClient;
use coffre_proto::audit::internal::v1::{GetNewestTermRequest, ListOwnEntriesRequest};
use coffre_proto::audit::v1::{Actor, Detail, Event, Outcome};
use coffre_test_support::on_each_engine;
use coffre_types::EventId;
use prost::Message as _;
use tonic::Code;

use crate::house::{self, NOW, Stream, event};

/// An event of a user, that many seconds after the first.
fn of(user: i64, second: i64) -> Vec<u8> {
    let id = EventId::now_v7().uuid().as_bytes().to_vec();
    let actor = Some(Actor { user_id: user, user_name: format!("user{user}"), ..Actor::default() });
    Event { id, time_us: NOW.micros() + second * 1_000_000, actor, ..event() }.encode_to_vec()
}

on_each_engine! {
    async fn the_last_entries_of_a_user_come_newest_first(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        // Two hundred of user 3, as many of user 4 between them, and the oldest of user 3 arrives last.
        let events = (1..=200).flat_map(|second| [of(3, second), of(4, second)]).chain([of(3, 0)]).collect();
        house.append(&[stream.segment_of(events)]).await;
        let mut reading = ReadingServiceClient::new(house.intake.clone());
        let mut seconds = async |user_id, limit| {
            let answer = reading.list_own_entries(ListOwnEntriesRequest { user_id, limit }).await?.into_inner();
            Ok::<Vec<i64>, tonic::Status>(answer.entries.into_iter().map(|entry| {
                let event = entry.event.unwrap();
                assert_eq!(event.actor.unwrap().user_id, user_id);
                (event.time_us - NOW.micros()) / 1_000_000
            }).collect())
        };
        assert_eq!(seconds(3, 10).await.unwrap(), (191..=200).rev().collect::<Vec<_>>());
        assert_eq!(seconds(3, 5000).await.unwrap(), (101..=200).rev().collect::<Vec<_>>(), "at most a hundred");
        assert!(seconds(5, 10).await.unwrap().is_empty());
        for (user, limit) in [(0, 10), (-3, 10), (3, 0), (3, -1)] {
            assert_eq!(seconds(user, limit).await.unwrap_err().code(), Code::InvalidArgument);
        }
    }

    async fn the_newest_term_is_the_highest_that_the_vault_began(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let mut reading = ReadingServiceClient::new(house.intake.clone());
        for (told, outcome, term, expected) in [
            ("vault.opened", Outcome::Successful, "9", 0),
            ("vault.rotation.started", Outcome::Successful, "2", 2),
            // From Express to Express: no key changed.
            ("vault.mode.changed", Outcome::Successful, "", 2),
            ("vault.mode.changed", Outcome::Unsuccessful, "7", 2),
            ("vault.mode.changed", Outcome::Successful, "4", 4),
            ("vault.recovery_key.replaced", Outcome::Successful, "3", 4),
            ("vault.recovery_key.replaced", Outcome::Successful, "5", 5),
            ("vault.rotation.ended", Outcome::Successful, "5", 5),
            ("vault.rotation.ended", Outcome::Successful, "no number", 5),
        ] {
            let details = vec![Detail { key: "term".into(), value: term.into() }];
            let id = EventId::now_v7().uuid().as_bytes().to_vec();
            let event = Event { id, event: told.into(), outcome: outcome.into(), details, ..event() };
            house.append(&[stream.segment_of(vec![event.encode_to_vec()])]).await;
            let newest = reading.get_newest_term(GetNewestTermRequest {}).await.unwrap().into_inner().term;
            assert_eq!(newest, expected, "{told} {outcome:?} {term}");
        }
    }
}
