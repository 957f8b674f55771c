//! The span that a task, or a thread of the store, works for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::record::now;
use crate::tracer::Inner;
use crate::{Key, Kind, Name, Record, Span, TraceContext, Value, dice};

tokio::task_local! {
    static CURRENT: Option<Current>;
}

/// Answers for a span: what is made meanwhile in this task is part of it.
pub fn within<F: Future>(span: &Span, answering: F) -> impl Future<Output = F::Output> + use<F> {
    CURRENT.scope(span.current(), answering)
}

/// Returns the span that this task works for; `None` where nothing is traced.
#[must_use]
pub fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// The span that something is part of; it goes to other threads.
#[derive(Clone, Debug)]
pub struct Current {
    tracer: Arc<Inner>,
    context: TraceContext,
}

impl Current {
    pub(crate) const fn new(tracer: Arc<Inner>, context: TraceContext) -> Self {
        Self { tracer, context }
    }

    /// Returns which span it is.
    #[must_use]
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// Says whether children go anywhere.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.context.sampled
    }

    /// Begins a part of it; none where the trace is not recorded.
    pub fn child(&self, kind: Kind, name: impl FnOnce() -> Name) -> Span {
        match self.context.sampled {
            true => Span::begin(&self.tracer, Some(self.context), kind, name),
            false => Span::none(),
        }
    }

    /// Adds a part of it that is over.
    pub fn add(&self, kind: Kind, name: Name, took: Duration, notes: &[(Key, Value)]) {
        if self.context.sampled {
            let context = TraceContext { span_id: dice::number(), ..self.context };
            let now = now();
            self.tracer.finish(Record {
                context,
                parent: Some(self.context.span_id()),
                kind,
                name,
                start: now.checked_sub(took).unwrap_or(now),
                took,
                notes: notes.to_vec(),
                failed: false,
            });
        }
    }

    /// Does something for it, on a thread that is no task.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(Some(self.clone()), work)
    }
}
