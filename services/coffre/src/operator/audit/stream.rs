//! A stream of entries that is taken up again where it broke, without a gap and without repeating anything.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use coffre_proto::audit::v1::{StreamEntriesRequest, StreamEntriesResponse};
use coffre_proto::query::v1::Filter;
use tonic::Streaming;

use super::super::fault::Fault;
use super::super::session::Session;

/// How long a server may be away: it may be restarting.
const AWAY: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile.
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// How often nothing at all may come before the connection counts as lost: the server gives a sign of life every 5 seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// A stream of entries.
pub(crate) struct Entries {
    request: StreamEntriesRequest,
    open: Option<Streaming<StreamEntriesResponse>>,
    /// Since when the server is away.
    away: Option<Instant>,
    /// When the token of the open stream was taken.
    opened: Instant,
}

impl Entries {
    /// Begins with what comes from now on, or at a position; goes on with what comes, or ends with what is there.
    pub(crate) fn new(filter: Option<Filter>, from: Option<i64>, follow: bool) -> Self {
        let request = StreamEntriesRequest {
            filter,
            from_index: from.unwrap_or(0),
            from_end: from.is_none(),
            follow,
            canonical: true,
            proof_size: 0,
        };
        Self { request, open: None, away: None, opened: Instant::now() }
    }

    /// The same with a proof of each entry against the checkpoint of this size, and not beyond.
    pub(crate) fn proved(mut self, size: i64) -> Self {
        self.request.proof_size = size;
        self
    }

    /// Waits for the next message; `None` at the end of what was there.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<StreamEntriesResponse>, Fault> {
        loop {
            let renewal = tokio::time::Instant::from_std(session.renew_at());
            let Some(open) = &mut self.open else {
                if let Err(fault) = self.reopen(session).await {
                    self.wait(fault).await?;
                }
                continue;
            };
            let message = tokio::select! {
                message = tokio::time::timeout(SILENCE, open.message()) => message,
                () = tokio::time::sleep_until(renewal) => {
                    session.keep().await?;
                    continue;
                }
            };
            match message {
                Ok(Ok(message)) => {
                    if let Some(message) = &message {
                        self.request.from_index = message.next_index;
                        self.request.from_end = false;
                    }
                    return Ok(message);
                }
                Ok(Err(status)) => {
                    self.open = None;
                    let fault = session.fault(&status);
                    // A stream lives as long as the token it was opened with, which was renewed meanwhile.
                    if !(fault.is_signed_out() && self.opened.elapsed() > ASKED_EVERY) {
                        self.wait(fault).await?;
                    }
                }
                Err(_) => self.open = None,
            }
        }
    }

    /// Opens it where the last message ended.
    async fn reopen(&mut self, session: &mut Session) -> Result<(), Fault> {
        session.keep().await?;
        let request = session.lasting_request(self.request.clone())?;
        let answer = session.audit().stream_entries(request).await.map_err(|status| session.fault(&status))?;
        (self.open, self.away, self.opened) = (Some(answer.into_inner()), None, Instant::now());
        Ok(())
    }

    /// Waits a little before it is tried again; gives up where that does not help.
    async fn wait(&mut self, fault: Fault) -> Result<(), Fault> {
        if self.away.is_none() && fault.is_passing() && std::io::stderr().is_terminal() {
            crate::say::wrong(format_args!("coffre: {fault}; waiting for it"));
        }
        let away = *self.away.get_or_insert_with(Instant::now);
        if !fault.is_passing() || away.elapsed() > AWAY {
            return Err(fault);
        }
        tokio::time::sleep(ASKED_EVERY).await;
        Ok(())
    }
}
