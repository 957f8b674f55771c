//! A bounded queue from the callers to the threads of one kind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::{Semaphore, TryAcquireError};

use crate::Error;
use crate::stats::LaneStats;

enum Message<J> {
    Job(J, Instant),
    Stop,
}

/// The callers' end.
pub(crate) struct Lane<J> {
    sender: Sender<Message<J>>,
    room: Arc<Semaphore>,
    admission: Duration,
    stats: Arc<LaneStats>,
}

/// The threads' end; each thread has one.
pub(crate) struct Intake<J> {
    receiver: Receiver<Message<J>>,
    room: Arc<Semaphore>,
    stats: Arc<LaneStats>,
    stopped: bool,
}

/// What a thread finds in its queue.
pub(crate) enum Next<J> {
    Job(J),
    Nothing,
    Stop,
}

pub(crate) fn lane<J>(capacity: usize, admission: Duration, stats: Arc<LaneStats>) -> (Lane<J>, Intake<J>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let room = Arc::new(Semaphore::new(capacity.clamp(1, Semaphore::MAX_PERMITS)));
    let intake = Intake { receiver, room: Arc::clone(&room), stats: Arc::clone(&stats), stopped: false };
    (Lane { sender, room, admission, stats }, intake)
}

impl<J> Lane<J> {
    /// Queues a job. A full queue is waited for a little; no connection at all is not.
    pub(crate) async fn send(&self, job: J) -> Result<(), Error> {
        if self.stats.connected() == 0 {
            return Err(self.refuse());
        }
        let came = Instant::now();
        match self.room.try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::Closed) => return Err(self.refuse()),
            Err(TryAcquireError::NoPermits) => match tokio::time::timeout(self.admission, self.room.acquire()).await {
                Ok(Ok(place)) => place.forget(),
                Ok(Err(_)) | Err(_) => return Err(self.refuse()),
            },
        }
        LaneStats::add(&self.stats.queued, 1);
        self.sender.send(Message::Job(job, came)).map_err(|_| self.refuse())
    }

    fn refuse(&self) -> Error {
        LaneStats::add(&self.stats.refused, 1);
        Error::Unavailable
    }

    /// Takes no more, and tells the threads to end after what is queued.
    pub(crate) fn stop(&self, threads: usize) {
        self.room.close();
        for _ in 0..threads {
            // No thread listens: all have ended.
            let _ = self.sender.send(Message::Stop);
        }
    }
}

impl<J> Clone for Intake<J> {
    fn clone(&self) -> Self {
        Self {
            receiver: self.receiver.clone(),
            room: Arc::clone(&self.room),
            stats: Arc::clone(&self.stats),
            stopped: false,
        }
    }
}

impl<J> Intake<J> {
    /// Waits for a job.
    pub(crate) fn wait(&mut self) -> Next<J> {
        if self.stopped {
            return Next::Stop;
        }
        let message = self.receiver.recv();
        message.map_or(Next::Stop, |message| self.take(message))
    }

    /// Waits for a job, but not longer than that.
    pub(crate) fn wait_for(&mut self, limit: Duration) -> Next<J> {
        if self.stopped {
            return Next::Stop;
        }
        match self.receiver.recv_timeout(limit) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Stop,
        }
    }

    /// Takes what else is queued, until there are `limit`.
    pub(crate) fn drain(&mut self, jobs: &mut Vec<J>, limit: usize) {
        let before = jobs.len();
        let mut waited = Duration::ZERO;
        while jobs.len() < limit && !self.stopped {
            match self.receiver.try_recv() {
                Ok(Message::Job(job, came)) => {
                    waited += came.elapsed();
                    jobs.push(job);
                }
                Ok(Message::Stop) => self.stopped = true,
                Err(_) => break,
            }
        }
        self.took(jobs.len() - before, waited);
    }

    /// No caller holds the queue any more, or it was stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.stopped || self.room.is_closed()
    }

    fn take(&mut self, message: Message<J>) -> Next<J> {
        match message {
            Message::Job(job, came) => {
                self.took(1, came.elapsed());
                Next::Job(job)
            }
            Message::Stop => {
                self.stopped = true;
                Next::Stop
            }
        }
    }

    fn took(&self, jobs: usize, waited: Duration) {
        if jobs > 0 {
            self.stats.waited(waited);
            self.room.add_permits(jobs);
            self.stats.queued.fetch_sub(jobs as u64, Ordering::Relaxed);
            LaneStats::add(&self.stats.taken, jobs);
        }
    }
}
