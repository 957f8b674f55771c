//! The load generator: one thread, many connections, no allocation a call. It shares its cores with the server that it measures, so a
//! call costs it one `write`, one `read` and its share of an `epoll_wait`; its own CPU time is reported beside every figure.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::http::{Head, HeadParser};
use crate::process;

/// How long answers may be outstanding after the last call.
const DRAIN: Duration = Duration::from_secs(30);
/// Latencies are kept from 1 µs to 10 min with three digits.
const LONGEST_MICROS: u64 = 600_000_000;

/// What is called, and what is a good answer.
pub(crate) trait Work {
    /// Number of the next call; None where nothing is left to do.
    fn next(&mut self) -> Option<usize>;
    /// Appends the bytes of a call.
    fn render(&self, number: usize, out: &mut Vec<u8>);
    /// Whether the answer is as it should be.
    fn check(&mut self, number: usize, status: u16, body: &[u8]) -> bool;
}

/// How the load is put on.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Calls that begin in this time are not counted.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Calls a second in the open loop; None is the closed loop.
    pub(crate) rate: Option<u32>,
    /// The processes whose CPU time is counted.
    pub(crate) processes: Vec<u32>,
    /// Whether the CPU time of every PostgreSQL that this program started is counted too.
    pub(crate) database: bool,
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Good answers.
    pub(crate) answers: u64,
    /// Answers that were not as they should be.
    pub(crate) failures: u64,
    /// The first of these.
    pub(crate) first_failure: Option<String>,
    pub(crate) elapsed: Duration,
    /// In µs.
    pub(crate) latency: Histogram<u64>,
    /// Of the processes in the plan.
    pub(crate) server_cpu: Duration,
    /// Of PostgreSQL, where the plan asks for it.
    pub(crate) database_cpu: Duration,
    /// Of this thread.
    pub(crate) own_cpu: Duration,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// CPU time of the server for one answer, in µs.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.micros_a_call(self.server_cpu)
    }

    /// CPU time of the database for one answer, in µs.
    pub(crate) fn database_micros(&self) -> f64 {
        self.micros_a_call(self.database_cpu)
    }

    fn micros_a_call(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / (self.answers + self.failures).max(1) as f64
    }

    /// Which part of one core this generator used.
    pub(crate) fn own_share(&self) -> f64 {
        self.own_cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Adds what came out at another time.
    pub(crate) fn join(&mut self, other: Self) -> Result<()> {
        self.answers += other.answers;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.elapsed += other.elapsed;
        self.latency.add(other.latency)?;
        self.server_cpu += other.server_cpu;
        self.database_cpu += other.database_cpu;
        self.own_cpu += other.own_cpu;
        Ok(())
    }

    pub(crate) fn latency_millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Puts the load on until the time is over or nothing is left to do.
pub(crate) fn run(plan: &Plan, work: &mut dyn Work) -> Result<Outcome> {
    Generator::new(plan, work)?.run()
}

/// One connection, with at most one call under way.
struct Line {
    stream: TcpStream,
    number: usize,
    begun: Instant,
    counted: bool,
    out: Vec<u8>,
    written: usize,
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
}

struct Generator<'w> {
    plan: Plan,
    work: &'w mut dyn Work,
    poll: Poll,
    lines: Vec<Line>,
    idle: Vec<usize>,
    parser: HeadParser,
    measured_from: Instant,
    until: Instant,
    /// When the next call of the open loop is due, and whether one was due while no connection was free.
    due: Instant,
    starved: bool,
    outcome: Outcome,
}

impl<'w> Generator<'w> {
    fn new(plan: &Plan, work: &'w mut dyn Work) -> Result<Self> {
        let poll = Poll::new()?;
        let mut lines = Vec::with_capacity(plan.connections);
        let now = Instant::now();
        for number in 0..plan.connections {
            // Connecting blocks, so that no call waits for its connection.
            let stream = std::net::TcpStream::connect(plan.address)
                .with_context(|| format!("no connection to {}", plan.address))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            lines.push(Line {
                stream,
                number: 0,
                begun: now,
                counted: false,
                out: Vec::with_capacity(2048),
                written: 0,
                buffer: vec![0; 8 * 1024],
                filled: 0,
                head: None,
            });
        }
        let begin = Instant::now();
        let measured_from = begin + plan.warm_up;
        Ok(Self {
            idle: (0..lines.len()).rev().collect(),
            plan: plan.clone(),
            work,
            poll,
            lines,
            parser: HeadParser::new(),
            measured_from,
            until: measured_from + plan.measured,
            due: begin,
            starved: false,
            outcome: Outcome {
                answers: 0,
                failures: 0,
                first_failure: None,
                elapsed: Duration::ZERO,
                latency: Histogram::new_with_max(LONGEST_MICROS, 3)?,
                server_cpu: Duration::ZERO,
                database_cpu: Duration::ZERO,
                own_cpu: Duration::ZERO,
            },
        })
    }

    fn run(mut self) -> Result<Outcome> {
        let mut events = Events::with_capacity(self.plan.connections.max(16));
        let mut meter: Option<Meter> = None;
        let mut stopped: Option<Instant> = None;
        let mut exhausted = !self.begin_calls(Instant::now())?;
        loop {
            let now = Instant::now();
            if meter.is_none() && now >= self.measured_from {
                meter = Some(Meter::begin(&self.plan));
            }
            let all_idle = self.idle.len() == self.lines.len();
            if stopped.is_none() && (now >= self.until || (exhausted && all_idle)) {
                stopped = Some(now);
                // A run that ended before its warm-up did is measured from its begin on.
                meter.get_or_insert_with(|| Meter::begin(&self.plan)).end(&mut self.outcome, &self.plan);
            }
            if let Some(stopped) = stopped {
                if all_idle {
                    return Ok(self.outcome);
                }
                if now > stopped + DRAIN {
                    bail!(
                        "{} calls were not answered within {} s",
                        self.lines.len() - self.idle.len(),
                        DRAIN.as_secs()
                    );
                }
            }
            let timeout = self.timeout(now, stopped.is_some());
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.serve(event.token().0, stopped.is_some())?;
            }
            if stopped.is_none() && !exhausted {
                exhausted = !self.begin_calls(Instant::now())?;
            }
        }
    }

    fn timeout(&self, now: Instant, stopped: bool) -> Duration {
        let longest = Duration::from_millis(50);
        if self.plan.rate.is_some() && !stopped && !self.idle.is_empty() {
            self.due.saturating_duration_since(now).min(longest)
        } else {
            longest
        }
    }

    /// Begins what may begin now; false where nothing is left to do.
    fn begin_calls(&mut self, now: Instant) -> Result<bool> {
        while self.plan.rate.is_none() || self.due <= now {
            let Some(index) = self.idle.pop() else {
                self.starved = true;
                return Ok(true);
            };
            // A call that had to wait for a connection counts from when it was due. One that is late because this thread slept does not:
            // the timer's grain is a millisecond, and it is not the server's.
            let begun = if self.plan.rate.is_some() && self.starved { self.due } else { now };
            if let Some(rate) = self.plan.rate {
                self.due += Duration::from_secs(1) / rate;
            }
            if !self.begin(index, begun)? {
                self.idle.push(index);
                return Ok(false);
            }
        }
        self.starved = false;
        Ok(true)
    }

    fn begin(&mut self, index: usize, begun: Instant) -> Result<bool> {
        let Some(number) = self.work.next() else { return Ok(false) };
        let Some(line) = self.lines.get_mut(index) else { bail!("no connection {index}") };
        line.number = number;
        line.begun = begun;
        line.counted = begun >= self.measured_from;
        line.out.clear();
        self.work.render(number, &mut line.out);
        line.written = 0;
        line.filled = 0;
        line.head = None;
        self.write(index)?;
        Ok(true)
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let Some(line) = self.lines.get_mut(index) else { return Ok(()) };
        while let Some(rest) = line.out.get(line.written..).filter(|rest| !rest.is_empty()) {
            match line.stream.write(rest) {
                Ok(count) => line.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().reregister(&mut line.stream, Token(index), both)?;
                    return Ok(());
                }
                Err(error) => return Err(error).context("a call could not be sent"),
            }
        }
        Ok(())
    }

    /// Something happened on a connection.
    fn serve(&mut self, index: usize, stopped: bool) -> Result<()> {
        if self.lines.get(index).is_some_and(|line| line.written < line.out.len()) {
            self.write(index)?;
        }
        if !self.receive(index)? {
            return Ok(());
        }
        let now = Instant::now();
        self.account(index, now);
        // The closed loop goes on at once, on the same connection.
        if stopped || now >= self.until || self.plan.rate.is_some() || !self.begin(index, now)? {
            self.idle.push(index);
        }
        Ok(())
    }

    /// Reads what is there; true once the answer is complete. Readiness is edge-triggered: a read that filled less than its room
    /// emptied the socket, and what comes later is announced again.
    fn receive(&mut self, index: usize) -> Result<bool> {
        let Some(line) = self.lines.get_mut(index) else { return Ok(false) };
        loop {
            let Some(room) = line.buffer.get_mut(line.filled..).filter(|room| !room.is_empty()) else {
                line.buffer.resize(line.buffer.len() * 2, 0);
                continue;
            };
            let count = match line.stream.read(room) {
                Ok(0) => bail!("the server closed a connection after {} answers", self.outcome.answers),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("an answer could not be read"),
            };
            line.filled += count;
            if line.head.is_none() {
                line.head = self.parser.parse(line.buffer.get(..line.filled).unwrap_or_default())?;
                if let Some(head) = line.head.filter(|head| head.total > line.buffer.len()) {
                    line.buffer.resize(head.total, 0);
                }
            }
            if line.head.is_some_and(|head| line.filled >= head.total) {
                return Ok(true);
            }
        }
    }

    fn account(&mut self, index: usize, now: Instant) {
        let Some(line) = self.lines.get(index) else { return };
        let Some(head) = line.head else { return };
        let body = line.buffer.get(head.body..head.total).unwrap_or_default();
        let good = line.filled == head.total && self.work.check(line.number, head.status, body);
        if !good && self.outcome.first_failure.is_none() {
            let body = String::from_utf8_lossy(body.get(..body.len().min(400)).unwrap_or_default());
            self.outcome.first_failure = Some(format!("{} {body}", head.status));
        }
        if !line.counted || now >= self.until {
            // A failure counts even where it falls outside the measured time: nothing may go wrong unseen.
            self.outcome.failures += u64::from(!good);
            return;
        }
        if good {
            self.outcome.answers += 1;
            let micros = now.saturating_duration_since(line.begun).as_micros();
            self.outcome.latency.saturating_record(u64::try_from(micros).unwrap_or(LONGEST_MICROS));
        } else {
            self.outcome.failures += 1;
        }
    }
}

/// CPU time and wall time between two moments.
struct Meter {
    begun: Instant,
    server: Duration,
    database: Duration,
    own: Duration,
}

impl Meter {
    fn begin(plan: &Plan) -> Self {
        Self {
            begun: Instant::now(),
            server: process::cpu_of_all(&plan.processes),
            database: database_cpu(plan),
            own: process::own_thread_cpu(),
        }
    }

    fn end(&self, outcome: &mut Outcome, plan: &Plan) {
        outcome.elapsed = self.begun.elapsed();
        outcome.server_cpu = process::cpu_of_all(&plan.processes).saturating_sub(self.server);
        outcome.database_cpu = database_cpu(plan).saturating_sub(self.database);
        outcome.own_cpu = process::own_thread_cpu().saturating_sub(self.own);
    }
}

/// Its processes come and go with the connections, so they are looked for each time.
fn database_cpu(plan: &Plan) -> Duration {
    if plan.database { process::cpu_of_all(&process::descendants("postgres")) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests;
