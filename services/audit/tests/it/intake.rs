//! What the intake takes, and what it does not.

use std::time::Duration;

use coffre_audit_client::chain::GENESIS;
use coffre_proto::audit::internal::v1::append_segments_response::Disposition::{Forged, Gap, Stored};
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{
    AppendSegmentsRequest, RefusedRequest, ReportHeadsRequest, ReportRefusalsRequest, StreamHead,
};
use coffre_proto::audit::v1::{Outcome, Source};
use coffre_proto::error::v1::ErrorReason;
use coffre_test_support::on_each_engine;
use prost::Message as _;

use crate::house::{self, Stream, ids};

const INCIDENTS: &str = "SELECT count(*) AS id FROM incidents";

on_each_engine! {
    async fn segments_are_stored_in_the_order_of_arrival(db: TestDb) {
        let house = house::open(&db).await;
        let (mut one, mut two) = (Stream::new(), Stream::new());
        let segments = [one.segment(2), two.segment(1), one.segment(3), two.segment(1)];
        assert_eq!(house.append(&segments[..2]).await, [Stored, Stored]);
        assert_eq!(house.append(&segments[2..]).await, [Stored, Stored]);
        assert_eq!(house.log().await, ids(&segments));
        assert_eq!(house.number(INCIDENTS).await, 0);
    }

    async fn what_comes_twice_is_acknowledged_twice_and_stored_once(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let segments = [stream.segment(2), stream.segment(2)];
        assert_eq!(house.append(&[segments[0].clone(), segments[0].clone(), segments[1].clone()]).await, [Stored; 3]);
        assert_eq!(house.append(&segments).await, [Stored, Stored]);
        assert_eq!(house.log().await, ids(&segments));
    }

    async fn a_gap_is_named_until_it_is_closed(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let segments = [stream.segment(1), stream.segment(2), stream.segment(1)];
        assert_eq!(house.append(&[segments[0].clone(), segments[2].clone()]).await, [Stored, Gap]);
        assert_eq!(house.log().await, ids(&segments[..1]));
        assert_eq!(house.append(&segments).await, [Stored, Stored, Stored]);
        assert_eq!(house.log().await, ids(&segments));
        assert_eq!(house.number("SELECT first_sequence AS id FROM incidents WHERE kind = 'gap'").await, 2);
        assert_eq!(house.number("SELECT last_sequence AS id FROM incidents WHERE kind = 'gap'").await, 3);
    }

    async fn a_stream_goes_on_over_a_gap_that_stays_and_takes_what_comes_late(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let segments = [stream.segment(1), stream.segment(2), stream.segment(1), stream.segment(1)];
        assert_eq!(house.append(&[segments[0].clone(), segments[2].clone()]).await, [Stored, Gap]);
        house.clock.advance(Duration::from_secs(31));
        assert_eq!(house.append(&segments[2..]).await, [Stored, Stored]);
        assert_eq!(house.number(INCIDENTS).await, 1, "the gap is on record");
        assert_eq!(house.append(&segments[1..2]).await, [Stored]);
        let expected = [ids(&segments[..1]), ids(&segments[2..]), ids(&segments[1..2])].concat();
        assert_eq!(house.log().await, expected);
    }

    async fn forged_segments_are_recorded_and_kept_out(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let first = stream.segment(1);
        let mut mac = stream.segment(1);
        let mut chain = mac.clone();
        let mut inside = mac.clone();
        let good = mac.clone();
        mac.mac[0] ^= 1;
        chain.previous_hash = GENESIS.to_vec();
        inside.events[0] = house::event().encode_to_vec();
        let mut other = Stream::new();
        let honest = other.segment(1);
        let answer = house.append(&[first.clone(), mac, chain, inside, honest.clone(), good.clone()]).await;
        assert_eq!(answer, [Stored, Forged, Forged, Forged, Stored, Stored]);
        assert_eq!(house.log().await, ids(&[first, honest, good]));
        assert_eq!(house.number("SELECT count(*) AS id FROM incidents WHERE kind = 'forged'").await, 1, "one place");
    }

    async fn a_second_history_of_a_stream_is_forged(db: TestDb) {
        let house = house::open(&db).await;
        let mut stream = Stream::new();
        let first = stream.segment(2);
        assert_eq!(house.append(std::slice::from_ref(&first)).await, [Stored]);
        // Somebody with the key and an old state of the stream.
        let mut cut = stream.segment(1);
        cut.first_sequence = 2;
        let answer = house.append(&[cut]).await;
        assert_eq!(answer, [Forged]);
        assert_eq!(house.log().await, ids(&[first]));
    }

    async fn bytes_that_are_no_event_are_kept_out(db: TestDb) {
        let house = house::open(&db).await;
        let segment = Stream::new().segment_of(vec![b"no event".to_vec()]);
        assert_eq!(house.append(&[segment]).await, [Forged]);
        assert!(house.log().await.is_empty());
    }

    async fn an_event_of_two_streams_is_stored_once(db: TestDb) {
        let house = house::open(&db).await;
        let event = house::event().encode_to_vec();
        let one = Stream::new().segment_of(vec![event.clone()]);
        let two = Stream::new().segment_of(vec![event, house::event().encode_to_vec()]);
        assert_eq!(house.append(&[one.clone(), two.clone()]).await, [Stored, Stored]);
        assert_eq!(house.log().await, [ids(&[one]), ids(&[two])[1..].to_vec()].concat());
    }

    async fn heads_are_kept_and_a_repeated_report_costs_no_commit(db: TestDb) {
        let house = house::open(&db).await;
        let mut client = IntakeServiceClient::new(house.intake.clone());
        let mut stream = Stream::new();
        let segment = stream.segment(3);
        let head = StreamHead {
            stream_id: segment.stream_id.clone(),
            last_sequence: 3,
            head_hash: segment.head_hash.clone(),
            closed: false,
        };
        let request = ReportHeadsRequest { service: "vault".into(), heads: vec![head] };
        client.report_heads(request.clone()).await.unwrap();
        let commits = house.database.stats().write().commits();
        client.report_heads(request).await.unwrap();
        assert_eq!(house.database.stats().write().commits(), commits);
        assert_eq!(house.number("SELECT reported_sequence AS id FROM streams").await, 3);
        assert_eq!(house.append(&[segment]).await, [Stored], "the report does not move the stream");
        assert_eq!(house.number("SELECT next_sequence AS id FROM streams").await, 4);
        assert_eq!(house.number("SELECT reported_sequence AS id FROM streams").await, 3);
        let broken = StreamHead { stream_id: vec![1], last_sequence: 0, head_hash: Vec::new(), closed: false };
        let request = ReportHeadsRequest { service: "vault".into(), heads: vec![broken] };
        assert_eq!(client.report_heads(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    async fn what_a_service_says_of_anothers_stream_counts_for_nothing(db: TestDb) {
        let house = house::open(&db).await;
        let mut client = IntakeServiceClient::new(house.intake.clone());
        let segment = Stream::new().segment(3);
        let head = |last_sequence, closed| StreamHead {
            stream_id: segment.stream_id.clone(),
            last_sequence,
            head_hash: segment.head_hash.clone(),
            closed,
        };
        let report = |service: &str, head| ReportHeadsRequest { service: service.into(), heads: vec![head] };
        client.report_heads(report("vault", head(3, false))).await.unwrap();
        client.report_heads(report("locker", head(1, true))).await.unwrap();
        assert_eq!(house.number("SELECT reported_sequence AS id FROM streams").await, 3);
        assert_eq!(house.number("SELECT count(*) AS id FROM streams WHERE closed OR service <> 'vault'").await, 0);
        client.report_heads(report("vault", head(3, true))).await.unwrap();
        assert_eq!(house.number("SELECT count(*) AS id FROM streams WHERE closed").await, 1);
    }

    async fn too_much_at_once_is_refused(db: TestDb) {
        let house = house::open(&db).await;
        let mut client = IntakeServiceClient::new(house.intake.clone());
        let heads = (0..257_u16).map(|number| StreamHead {
            stream_id: [number.to_be_bytes(); 8].concat(),
            last_sequence: 1,
            head_hash: vec![1; 32],
            closed: false,
        });
        let request = ReportHeadsRequest { service: "vault".into(), heads: heads.collect() };
        assert_eq!(client.report_heads(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);
        let segments = vec![Stream::new().segment(1); 1025];
        let request = AppendSegmentsRequest { service: "vault".into(), segments };
        assert_eq!(client.append_segments(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);
        assert_eq!(house.number("SELECT count(*) AS id FROM streams").await, 0);
    }

    async fn two_replicas_that_take_the_same_segments_store_them_once(db: TestDb) {
        let (one, two) = (house::open(&db).await, house::replica(&db).await);
        let mut stream = Stream::new();
        let mut mine = [Stream::new(), Stream::new()];
        let mut all = Vec::new();
        for _ in 0..20 {
            let shared = stream.segment(3);
            let own = [mine[0].segment(2), mine[1].segment(2)];
            let for_one = [shared.clone(), own[0].clone()];
            let for_two = [shared.clone(), own[1].clone()];
            let (first, second) = tokio::join!(one.append(&for_one), two.append(&for_two));
            assert_eq!((first, second), (vec![Stored, Stored], vec![Stored, Stored]));
            all.extend([shared, own[0].clone(), own[1].clone()]);
        }
        let mut expected = ids(&all);
        let mut found = one.log().await;
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    async fn what_the_gateway_refused_is_recorded_one_by_one_up_to_the_quota_then_counted(db: TestDb) {
        let house = house::open(&db).await;
        let refused = |address: &str, number: i64| RefusedRequest {
            time_us: house::NOW.micros() - number,
            method: "GET /v2/credentialvault/credentials/{id}".into(),
            reason: ErrorReason::RequestMalformed.into(),
            client_address: address.into(),
            request_id: format!("r{number}"),
            trace_id: vec![7; 16],
            occurrences: 1,
        };
        let flood = (0..100).map(|number| refused("192.0.2.1", number));
        let rest = [refused("192.0.2.2", 100), RefusedRequest { occurrences: 12, ..RefusedRequest::default() }];
        let refusals: Vec<RefusedRequest> = flood.chain(rest).collect();
        let mut client = IntakeServiceClient::new(house.intake.clone());
        client.report_refusals(ReportRefusalsRequest { refusals }).await.unwrap();
        assert_eq!(house.number("SELECT count(*) AS id FROM outbox_segments").await, 1, "one commit");
        house.outbox.flush(Duration::ZERO).await;
        let events = house.waiting().await;
        assert_eq!(events.len(), 60 + 1 + 1 + 1);
        let first = &events[0];
        assert_eq!((first.service.as_str(), first.event.as_str()), ("gateway", "request.refused"));
        assert_eq!((first.outcome(), first.source()), (Outcome::Unsuccessful, Source::Api));
        assert_eq!((first.method.as_str(), first.reason.as_str()), ("GET /v2/credentialvault/credentials/{id}", "REQUEST_MALFORMED"));
        assert_eq!((first.client_address.as_str(), first.request_id.as_str()), ("192.0.2.1", "r0"));
        assert_eq!((first.time_us, first.trace_id.len()), (house::NOW.micros(), 16));
        assert_eq!((first.details[0].key.as_str(), &first.details[0].value), ("route", &first.method));
        assert_eq!(events[60].client_address, "192.0.2.2", "each address has its own quota");
        assert_eq!((events[61].occurrences, events[61].reason.as_str()), (12, ""));
        assert_eq!((events[62].event.as_str(), events[62].occurrences), ("call.unknown_caller.counted", 40));
    }
}
