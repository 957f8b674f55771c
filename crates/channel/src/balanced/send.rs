//! Sending a call, and sending it again.
//!
//! A call that changes something must not be done twice. So it is sent again only where the replica that had it surely did nothing:
//! - it never left this machine: there was no connection, or the connection was at its end before the call was written;
//! - the replica refused the stream (`REFUSED_STREAM`), or ended the connection before it (`GOAWAY` with an earlier last stream; RFC 9113,
//!   section 8.7).
//!
//! Everything else is told to the caller, who alone knows whether the call may be repeated.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use coffre_error::{Reason, Refusal};
use coffre_tls::Service;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version, request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;

use super::Shared;
use super::body::Arriving;
use super::link::Link;
use super::member::{Lease, Member, State};
use crate::carried::prepare;
use crate::timeouts::goes_on;
use crate::{Answer, Request, Response, ResponseFuture};

/// The way to the replicas of a service, or to one of them.
pub(super) struct Way {
    pub(super) shared: Arc<Shared>,
    pub(super) only: Option<Arc<Member>>,
}

impl Answer for Way {
    fn answer(&self, request: Request) -> ResponseFuture {
        let asking = Asking { shared: self.shared.clone(), only: self.only.clone() };
        Box::pin(async move { asking.answer(request).await.map_err(|refusal| Status::from(refusal).into()) })
    }
}

struct Asking {
    shared: Arc<Shared>,
    only: Option<Arc<Member>>,
}

impl Asking {
    async fn answer(self, request: Request) -> Result<Response, Refusal> {
        let service = self.shared.target.service;
        let (mut parts, body) = request.into_parts();
        let now = Instant::now();
        let until = prepare(&mut parts.headers, self.shared.pace.call, goes_on(parts.uri.path()), now);
        parts.uri = absolute(service, &parts.uri)?;
        parts.version = Version::HTTP_2;
        let sending = async {
            // Whole, so that it can be sent again; requests are one message.
            let body = body.collect().await.map_err(|status| Refusal::from_status(&status))?.to_bytes();
            self.send(parts, body).await
        };
        let (response, place) = match until {
            None => sending.await,
            Some(until) if until <= now => Err(late(service)),
            Some(until) => timeout_at(until, sending).await.unwrap_or_else(|_| Err(late(service))),
        }?;
        Ok(response.map(|body| Body::new(Arriving::new(body, service, until, place))))
    }

    async fn send(&self, parts: request::Parts, body: Bytes) -> Result<(http::Response<Incoming>, Lease), Refusal> {
        let service = self.shared.target.service;
        let most = self.shared.set.load().members.len() + 2;
        let mut tried: Vec<SocketAddr> = Vec::new();
        loop {
            let place = self.pick(&tried).await?;
            let request = http::Request::from_parts(parts.clone(), Full::new(body.clone()));
            let mut failed = match place.link.sender().try_send_request(request).await {
                Ok(response) => return Ok((response, place)),
                Err(failed) => failed,
            };
            let unsent = failed.take_message().is_some();
            let fault = failed.into_error();
            if !unsent && !is_refused(&fault) {
                tracing::debug!(service = %self.shared.target, address = %place.member.address, %fault, "a call broke");
                return Err(broken(service));
            }
            if !is_stream_refused(&fault) {
                place.member.give_up(&place.link, &self.shared);
            }
            tried.push(place.member.address);
            if tried.len() >= most {
                return Err(out_of_reach(service));
            }
        }
    }

    /// Finds a place for a call: at one that it was not at before, if there is one.
    async fn pick(&self, tried: &[SocketAddr]) -> Result<Lease, Refusal> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let set = self.shared.set.load_full();
            let members = self.only.as_ref().map_or(set.members.as_slice(), std::slice::from_ref);
            let (mut fresh, mut again, mut trying) = (Vec::new(), Vec::new(), false);
            for member in members {
                match &**member.state() {
                    State::Up(link) if link.is_open() => {
                        let places = if tried.contains(&member.address) { &mut again } else { &mut fresh };
                        places.push((member, link.clone()));
                    }
                    // Its keeper is about to see it.
                    State::Up(_) | State::Trying => trying = true,
                    State::Down(_) => {}
                }
            }
            if let Some(place) = self.choose(fresh) {
                return Ok(place);
            }
            if !trying && set.looked_up {
                return self.choose(again).ok_or_else(|| out_of_reach(self.shared.target.service));
            }
            if changed.changed().await.is_err() {
                return Err(out_of_reach(self.shared.target.service));
            }
        }
    }

    /// Takes two by lot, and of them the one with fewer calls.
    fn choose(&self, mut places: Vec<(&Arc<Member>, Arc<Link>)>) -> Option<Lease> {
        let count = places.len();
        let lot = mixed(self.shared.dice.fetch_add(1, Ordering::Relaxed));
        let first = usize::try_from(lot >> 32).unwrap_or(0).checked_rem(count)?;
        let step = usize::try_from(lot & 0xffff_ffff).unwrap_or(0).checked_rem(count - 1).map_or(0, |step| step + 1);
        let second = (first + step) % count;
        let calls = |index: usize| places.get(index).map(|(member, _)| member.in_flight.load(Ordering::Relaxed));
        let chosen = if calls(second) < calls(first) { second } else { first };
        let (member, link) = places.swap_remove(chosen);
        Some(Lease::new(member.clone(), link))
    }
}

/// Spreads a counter over all numbers (SplitMix64).
fn mixed(count: u64) -> u64 {
    let mut z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// HTTP/2 wants to know for whom a request is.
fn absolute(service: Service, uri: &Uri) -> Result<Uri, Refusal> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(Authority::from_static(service.as_str()));
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|fault| Refusal::internal(&fault))
}

/// Says whether the replica surely did nothing with the call.
fn is_refused(fault: &hyper::Error) -> bool {
    is_stream_refused(fault) || h2_fault(fault).is_some_and(|fault| fault.is_remote() && fault.is_go_away())
}

fn is_stream_refused(fault: &hyper::Error) -> bool {
    h2_fault(fault).is_some_and(|fault| {
        fault.is_remote() && fault.is_reset() && fault.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

fn h2_fault(fault: &hyper::Error) -> Option<&h2::Error> {
    let mut source = fault.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

pub(super) fn late(service: Service) -> Refusal {
    Refusal::new(
        Reason::RequestTimeout,
        format!("the service {service} did not answer before the call's deadline; repeat it"),
    )
    .retry_after(Duration::from_secs(1))
}

pub(super) fn broken(service: Service) -> Refusal {
    Refusal::new(
        Reason::ServiceUnavailable,
        format!(
            "the connection to the service {service} broke before it had answered, and whether it did what was asked is not known; look before you repeat the call"
        ),
    )
}

fn out_of_reach(service: Service) -> Refusal {
    Refusal::new(
        Reason::ServiceUnavailable,
        format!("the service {service} cannot be reached; nothing was done, repeat the call a little later"),
    )
    .retry_after(Duration::from_secs(1))
}
