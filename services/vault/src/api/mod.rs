//! The gRPC side: one file a service, conversions, refusals, and the row of every RPC.

mod access;
mod attribute_values;
mod contents;
mod convert;
mod credentials;
mod dashboard;
mod error;
mod explain;
mod holdings;
mod keys;
mod peers;
mod value_seals;

pub use access::{INTERNAL_RPCS, RPCS};
pub(crate) use attribute_values::AttributeValues;
pub(crate) use contents::Contents;
pub(crate) use credentials::Credentials;
pub(crate) use dashboard::Dashboards;
pub(crate) use holdings::Holdings;
pub(crate) use keys::Keys;
pub(crate) use peers::Replicas;
pub(crate) use value_seals::ValueSeals;

use coffre_error::Refusal;
use coffre_rpc::CallContext;
use tonic::Request;

use crate::vault::Call;

/// Takes a request apart: who calls, and the message.
fn enter<T>(request: Request<T>) -> Result<(Call, T), Refusal> {
    let context = CallContext::of(&request)?;
    let call = Call { caller: context.caller()?.clone(), record: context.record().clone() };
    Ok((call, request.into_inner()))
}
