//! A span that is under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::record::now;
use crate::tracer::Inner;
use crate::{Current, Key, Kind, Name, Record, TraceContext, Value, dice};

/// Something that is under way. It ends when it is dropped.
#[derive(Debug, Default)]
#[must_use]
pub struct Span(Option<Live>);

#[derive(Debug)]
struct Live {
    tracer: Arc<Inner>,
    context: TraceContext,
    /// Where the trace is recorded.
    recorded: Option<Box<Recorded>>,
}

#[derive(Debug)]
struct Recorded {
    began: Instant,
    record: Record,
}

impl Span {
    /// Returns one that is not there.
    pub const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn begin(
        tracer: &Arc<Inner>,
        parent: Option<TraceContext>,
        kind: Kind,
        name: impl FnOnce() -> Name,
    ) -> Self {
        let span_id = dice::number();
        let context = match parent {
            Some(parent) => TraceContext { span_id, ..parent },
            None => tracer.new_trace(span_id),
        };
        let recorded = context.sampled.then(|| {
            let record = Record {
                context,
                parent: parent.map(|parent| parent.span_id()),
                kind,
                name: name(),
                start: now(),
                took: Duration::ZERO,
                notes: Vec::with_capacity(6),
                failed: false,
            };
            Box::new(Recorded { began: Instant::now(), record })
        });
        Self(Some(Live { tracer: tracer.clone(), context, recorded }))
    }

    /// Returns which span it is; `None` where nothing is traced.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|live| live.context)
    }

    /// Says whether what is noted goes anywhere.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|live| live.recorded.is_some())
    }

    /// Returns what makes its children.
    #[must_use]
    pub fn current(&self) -> Option<Current> {
        self.0.as_ref().map(|live| Current::new(live.tracer.clone(), live.context))
    }

    /// Notes something.
    pub fn note(&mut self, key: Key, value: impl Into<Value>) {
        if let Some(record) = self.record() {
            record.notes.push((key, value.into()));
        }
    }

    /// Notes the request id.
    pub fn note_request(&mut self, id: &str) {
        if let Some(record) = self.record() {
            record.notes.push((Key::RequestId, Value::RequestId(id.into())));
        }
    }

    /// Says that it failed by a fault of ours.
    pub fn fail(&mut self) {
        if let Some(record) = self.record() {
            record.failed = true;
        }
    }

    fn record(&mut self) -> Option<&mut Record> {
        Some(&mut self.0.as_mut()?.recorded.as_mut()?.record)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(Live { tracer, recorded: Some(recorded), .. }) = self.0.take() {
            let Recorded { began, mut record } = *recorded;
            record.took = began.elapsed();
            tracer.finish(record);
        }
    }
}
