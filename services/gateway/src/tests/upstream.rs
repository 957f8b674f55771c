//! Services that keep what they were asked and answer what a test tells them to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, BytesMut};
use coffre_channel::{Answer, Channel, Request, Response, ResponseFuture};
use coffre_error::{Reason, Refusal};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message;
use tokio::sync::Notify;
use tonic::Status;
use tonic::body::Body;

use crate::{Channels, Clients, Config, Gateway, router};

/// All services behind a gateway.
#[derive(Clone, Default)]
pub(crate) struct Upstream(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    replies: HashMap<&'static str, Reply>,
    calls: Vec<Call>,
    receipt: Option<&'static str>,
    gate: Option<Arc<Notify>>,
}

#[derive(Clone)]
enum Reply {
    Messages(Vec<Vec<u8>>),
    Refusal(Box<Status>),
    TransportFault,
    Panic,
}

/// A call that a service got.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) metadata: HeaderMap,
    message: Vec<u8>,
}

impl Call {
    /// Reads the message.
    pub(crate) fn message<M: Message + Default>(&self) -> M {
        M::decode(self.message.as_slice()).unwrap()
    }
}

impl Upstream {
    /// From now on the method answers this; the method goes without its package, `KeyService/GetMode`.
    pub(crate) fn reply(&self, method: &'static str, message: &impl Message) -> &Self {
        self.reply_all(method, std::slice::from_ref(message))
    }

    /// From now on the method answers these, one after the other.
    pub(crate) fn reply_all(&self, method: &'static str, messages: &[impl Message]) -> &Self {
        self.set(method, Reply::Messages(messages.iter().map(Message::encode_to_vec).collect()))
    }

    /// From now on every answer names this entry of the audit.
    pub(crate) fn receipt(&self, id: &'static str) -> &Self {
        self.0.lock().unwrap().receipt = Some(id);
        self
    }

    /// From now on the method refuses.
    pub(crate) fn refuse(&self, method: &'static str, status: impl Into<Status>) -> &Self {
        self.set(method, Reply::Refusal(Box::new(status.into())))
    }

    /// From now on the method refuses for this reason.
    pub(crate) fn refuse_for(&self, method: &'static str, reason: Reason) -> &Self {
        self.refuse(method, Refusal::new(reason, "what was wrong and what to do"))
    }

    /// From now on the service of this method cannot be reached.
    pub(crate) fn unreachable(&self, method: &'static str) -> &Self {
        self.set(method, Reply::TransportFault)
    }

    /// From now on the call panics inside the gateway.
    pub(crate) fn panics(&self, method: &'static str) -> &Self {
        self.set(method, Reply::Panic)
    }

    /// Until the returned gate is opened, calls wait.
    pub(crate) fn hold(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        self.0.lock().unwrap().gate = Some(gate.clone());
        gate
    }

    fn set(&self, method: &'static str, reply: Reply) -> &Self {
        self.0.lock().unwrap().replies.insert(method, reply);
        self
    }

    /// Returns the last call.
    pub(crate) fn last(&self) -> Call {
        self.0.lock().unwrap().calls.last().cloned().expect("no service was called")
    }

    /// Returns the last message.
    pub(crate) fn asked<M: Message + Default>(&self) -> M {
        self.last().message()
    }

    /// Returns how many calls the services got.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls.len()
    }

    /// Builds a gateway over these services.
    pub(crate) fn gateway(&self) -> Gateway {
        self.gateway_with(Config::default())
    }

    /// Builds a gateway over these services with settings.
    pub(crate) fn gateway_with(&self, config: Config) -> Gateway {
        let channel = self.channel();
        let channels = Channels {
            auth: channel.clone(),
            vault: channel.clone(),
            locker: channel.clone(),
            audit: channel.clone(),
            intake: channel,
        };
        router(Clients::new(channels), config)
    }

    /// Leads to these services.
    pub(crate) fn channel(&self) -> Channel {
        Channel::new(self.clone())
    }
}

impl Answer for Upstream {
    fn answer(&self, request: Request) -> ResponseFuture {
        let script = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            let path = parts.uri.path().to_owned();
            // `/coffre.vault.v1.KeyService/GetMode` is `KeyService/GetMode` here; a message has five bytes before it.
            let method = path.rsplit_once('.').unwrap().1.to_owned();
            let call = Call { method: method.clone(), metadata: parts.headers, message: bytes[5..].to_vec() };
            let (reply, gate, receipt) = {
                let mut script = script.lock().unwrap();
                script.calls.push(call);
                (script.replies.get(method.as_str()).cloned(), script.gate.clone(), script.receipt)
            };
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let mut response = match reply.unwrap_or_else(|| Reply::Messages(vec![Vec::new()])) {
                Reply::Messages(messages) => framed(&messages),
                Reply::Refusal(status) => status.into_http(),
                Reply::TransportFault => return Err("tcp connect error 10.0.0.7".into()),
                Reply::Panic => panic!("planted"),
            };
            if let Some(id) = receipt {
                response.headers_mut().insert("x-audit-id", HeaderValue::from_static(id));
            }
            Ok(response)
        })
    }
}

/// Puts messages into the frame of gRPC and ends them well.
fn framed(messages: &[Vec<u8>]) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = messages.iter().map(|message| {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(message);
        http_body::Frame::data(frame.freeze())
    });
    let frames: Vec<_> = frames.chain([http_body::Frame::trailers(trailers)]).map(Ok::<_, Status>).collect();
    let mut response = Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
