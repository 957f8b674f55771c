//! Receipts: the id of the audit's entry of a call, from the metadata of its answer to the header of ours.
//!
//! Every request has room for one, which goes along with its call; what leads to the services fills it, whatever the answer was, so that no
//! handler has to think of it.

use std::sync::{Arc, OnceLock};

use coffre_channel::{Answer, Channel, Request, ResponseFuture};
use http::{HeaderName, HeaderValue};
use tower::Service as _;

pub(crate) const X_AUDIT_ID: HeaderName = HeaderName::from_static("x-audit-id");

/// Room for the receipt of a request. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Receipt(Arc<OnceLock<HeaderValue>>);

impl Receipt {
    /// Returns the id of the entry; `None` where no call was made, or none was recorded.
    pub(crate) fn id(&self) -> Option<&HeaderValue> {
        self.0.get()
    }
}

/// Leads where a channel does, and takes the receipts of its answers.
pub(crate) fn receipted(channel: Channel) -> Channel {
    Channel::new(Receipts(channel))
}

struct Receipts(Channel);

impl Answer for Receipts {
    fn answer(&self, request: Request) -> ResponseFuture {
        let receipt = request.extensions().get::<Receipt>().cloned();
        let answering = self.0.clone().call(request);
        let Some(receipt) = receipt else { return answering };
        Box::pin(async move {
            let response = answering.await?;
            if let Some(id) = response.headers().get(X_AUDIT_ID) {
                // One request makes one call on its caller's behalf.
                let _ = receipt.0.set(id.clone());
            }
            Ok(response)
        })
    }
}
