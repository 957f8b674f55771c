//! The answer of a replica as it arrives.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coffre_tls::Service;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::member::Lease;
use super::send::{broken, late};

/// A body that holds its call's place until it has ended, and ends with the call's deadline.
pub(super) struct Arriving {
    body: Incoming,
    service: Service,
    deadline: Option<Pin<Box<Sleep>>>,
    place: Option<Lease>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, service: Service, until: Option<Instant>, place: Lease) -> Self {
        let deadline = until.map(|until| Box::pin(sleep_until(until)));
        Self { body, service, deadline, place: Some(place) }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(deadline) = self.deadline.as_mut()
        {
            ready!(deadline.as_mut().poll(cx));
            self.place = None;
            return Poll::Ready(Some(Err(late(self.service).into())));
        }
        let frame = ready!(polled);
        if !matches!(frame, Some(Ok(_))) {
            self.place = None;
        }
        let service = self.service;
        Poll::Ready(frame.map(|frame| frame.map_err(|_| broken(service).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
