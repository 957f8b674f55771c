//! A stream of entries that is taken up again where it broke, without a gap and without repeating anything.

use std::time::{Duration, Instant};

use coffre_proto::audit::v1::{StreamEntriesRequest, StreamEntriesResponse};
use coffre_proto::query::v1::Filter;
use tonic::Streaming;

use super::super::fault::Fault;
use super::super::session::Session;

/// How long a server may be away: it may be restarting.
const AWAY: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile.
const ASKED_EVERY: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// How often nothing at all may come before the connection counts as lost: the server gives a sign of life every 5 seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// A stream of entries.
pub(crate) struct Entries {
    request: StreamEntriesRequest,
    open: Option<Streaming<StreamEntriesResponse>>,
    patience: Patience,
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
        Self { request, open: None, patience: Patience::default(), opened: Instant::now() }
    }

    /// The same with a proof of each entry against the checkpoint of this size, and not beyond.
    pub(crate) fn proved(mut self, size: i64) -> Self {
        self.request.proof_size = size;
        self
    }

    /// From here on only to the end of what is there. Nothing is lost: a message that nobody took is sent again.
    pub(crate) fn follow_no_longer(&mut self) {
        self.request.follow = false;
        self.open = None;
    }

    /// Waits for the next message; `None` at the end of what was there.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<StreamEntriesResponse>, Fault> {
        loop {
            let renewal = tokio::time::Instant::from_std(session.renew_at());
            let Some(open) = &mut self.open else {
                if let Err(fault) = self.reopen(session).await {
                    self.patience.wait(fault).await?;
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
                        self.patience.wait(fault).await?;
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
        self.patience = Patience::default();
        (self.open, self.opened) = (Some(answer.into_inner()), Instant::now());
        Ok(())
    }
}

/// Bears that the server is away, or has no place, for a while.
#[derive(Default)]
struct Patience {
    since: Option<Instant>,
}

impl Patience {
    /// Waits a little before it is tried again; gives up where that does not help.
    async fn wait(&mut self, fault: Fault) -> Result<(), Fault> {
        if let Some(notice) = self.notice(&fault) {
            // Logs of programs that call this one want to know it, too.
            crate::say::wrong(notice);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if !fault.is_passing() || since.elapsed() > AWAY {
            return Err(fault);
        }
        tokio::time::sleep(ASKED_EVERY).await;
        Ok(())
    }

    /// Says, once, what is waited for and for how long.
    fn notice(&self, fault: &Fault) -> Option<String> {
        let is_new = self.since.is_none() && fault.is_passing();
        is_new.then(|| format!("coffre: {fault}; waiting for it, {} s at most", AWAY.as_secs()))
    }
}

/// Asks again while the server is away or has no place.
pub(super) async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut patience = Patience::default();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(fault) => patience.wait(fault).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use coffre_error::{Reason, Refusal};

    use super::*;

    fn refused(reason: Reason) -> Fault {
        Fault::of(&Refusal::new(reason, "why").into(), "http://x")
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said_once_and_to_everybody() {
        let mut patience = Patience::default();
        let notice = patience.notice(&refused(Reason::RequestOverloaded));
        assert_eq!(notice.as_deref(), Some("coffre: why; waiting for it, 120 s at most"));
        patience.wait(refused(Reason::RequestOverloaded)).await.unwrap();
        assert_eq!(patience.notice(&refused(Reason::RequestOverloaded)), None);
        assert_eq!(Patience::default().notice(&refused(Reason::AuthTokenInvalid)), None, "that is not waited for");
    }

    #[tokio::test]
    async fn a_server_that_comes_back_answers_what_it_was_asked() {
        let mut asked = 0;
        let answer = patiently(async || {
            asked += 1;
            if asked < 3 { Err(refused(Reason::ServiceUnavailable)) } else { Ok(asked) }
        });
        assert_eq!(answer.await.unwrap(), 3);
        let refused = patiently(async || Err::<(), _>(refused(Reason::AuthTokenInvalid))).await.unwrap_err();
        assert!(refused.is_signed_out());
    }
}
