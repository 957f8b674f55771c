//! Where spans begin, and where they wait when they are over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::{Kind, Name, Record, Span, TraceContext, dice};

/// Begins spans. Without anything behind it, which is the default, it begins none.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
pub(crate) struct Inner {
    /// Of 2^63, so many traces are recorded that nobody else decided on.
    share: u64,
    queue: mpsc::Sender<Record>,
    dropped: Arc<AtomicU64>,
}

/// Spans that are over, for whoever sends them somewhere.
#[derive(Debug)]
pub struct Finished {
    queue: mpsc::Receiver<Record>,
    dropped: Arc<AtomicU64>,
}

/// Makes a tracer that records a share of the traces that begin here, from 0 to 1, and keeps at most so many spans that wait.
#[must_use]
pub fn tracer(share: f64, room: usize) -> (Tracer, Finished) {
    let (sender, receiver) = mpsc::channel(room.max(1));
    let dropped = Arc::<AtomicU64>::default();
    let inner = Inner { share: of_all(share), queue: sender, dropped: dropped.clone() };
    (Tracer(Some(Arc::new(inner))), Finished { queue: receiver, dropped })
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of all numbers; the cast keeps within them"
)]
fn of_all(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

impl Tracer {
    /// Begins to answer a call, as part of the trace that it came with. Whether that one is recorded was decided where it began.
    pub fn serve(&self, parent: Option<TraceContext>, name: impl FnOnce() -> Name) -> Span {
        match &self.0 {
            Some(inner) => Span::begin(inner, parent, Kind::Server, name),
            None => Span::none(),
        }
    }

    /// Says whether anything is traced.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl Inner {
    pub(crate) fn new_trace(&self, span_id: u64) -> TraceContext {
        let (high, low) = (dice::number(), dice::number());
        TraceContext { trace_id: (u128::from(high) << 64) | u128::from(low), span_id, sampled: low >> 1 < self.share }
    }

    /// Never waits: what finds no room is gone.
    pub(crate) fn finish(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Finished {
    /// Takes what waits, at most so many. Waits for the first one; 0 where none can come any more.
    pub async fn take(&mut self, records: &mut Vec<Record>, most: usize) -> usize {
        self.queue.recv_many(records, most).await
    }

    /// Returns how many found no room, since it was asked last.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Takes no more, but for what waits.
    pub fn close(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, current, within};

    const OUTSIDE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    async fn all(mut finished: Finished) -> Vec<Record> {
        finished.close();
        let mut records = Vec::new();
        while finished.take(&mut records, 100).await > 0 {}
        records
    }

    #[tokio::test]
    async fn parts_belong_to_the_call_that_they_are_made_for_on_other_threads_too() {
        let (tracer, finished) = tracer(0.0, 100);
        let parent = TraceContext::parse(OUTSIDE);
        let mut span = tracer.serve(parent, || "call".into());
        span.note(Key::HttpStatus, 200);
        within(&span, async {
            let here = current().unwrap();
            std::thread::spawn(move || {
                here.enter(|| drop(current().unwrap().child(Kind::Client, || "statement".into())));
            })
            .join()
            .unwrap();
        })
        .await;
        assert!(current().is_none(), "nothing is left behind");
        drop(span);
        let records = all(finished).await;
        let [statement, call] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((call.name.as_str(), call.parent), ("call", Some(parent.unwrap().span_id())));
        assert_eq!(statement.parent, Some(call.context.span_id()));
        assert!(records.iter().all(|record| record.context.trace_id() == parent.unwrap().trace_id()));
        assert_ne!(call.context.span_id(), parent.unwrap().span_id());
    }

    #[tokio::test]
    async fn a_share_of_the_traces_is_recorded_and_what_others_decided_stays() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)] {
            let (tracer, finished) = tracer(share, 2000);
            for _ in 0..1000 {
                let span = tracer.serve(None, || "call".into());
                assert!(span.context().is_some(), "logs and audit name the trace all the same");
                within(&span, async { drop(current().unwrap().child(Kind::Client, || "part".into())) }).await;
            }
            let count = all(finished).await.len() / 2;
            assert!((least..=most).contains(&count), "{share}: {count}");
        }
        let (tracer, finished) = tracer(1.0, 10);
        drop(tracer.serve(TraceContext::parse(&OUTSIDE.replace("-01", "-00")), || "call".into()));
        assert!(all(finished).await.is_empty());
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_holds_up_nobody() {
        let (tracer, finished) = tracer(1.0, 2);
        for _ in 0..5 {
            drop(tracer.serve(None, || "call".into()));
        }
        assert_eq!((finished.dropped(), finished.dropped()), (3, 0));
        assert_eq!(all(finished).await.len(), 2);
    }

    #[tokio::test]
    async fn without_a_tracer_nothing_is_made() {
        let span = Tracer::default().serve(TraceContext::parse(OUTSIDE), || unreachable!("nobody asks for its name"));
        assert!(span.context().is_none());
        within(&span, async { assert!(current().is_none()) }).await;
    }

    #[test]
    fn of_a_path_that_is_none_of_ours_nothing_is_kept() {
        assert_eq!(Name::of_rpc("/coffre.vault.v1.KeyService/Seal").as_str(), "coffre.vault.v1.KeyService/Seal");
        for path in
            ["", "/", "/other.v1.S/M", "/coffre.v1.S/M?x=1", "/coffre.v1/\u{e9}", &format!("/coffre.{:0200}", 0)]
        {
            assert_eq!(Name::of_rpc(path).as_str(), "call", "{path}");
        }
    }
}
