//! The gRPC side: one file a service, conversions, refusals, and the row of every RPC.

mod access;
mod convert;
mod error;
mod holdings;
mod lockers;
mod sharing;

pub use access::{INTERNAL_RPCS, RPCS};
pub(crate) use holdings::HoldingsHandler;
pub(crate) use lockers::LockerHandler;
pub(crate) use sharing::SharingHandler;

use coffre_error::Refusal;
use coffre_rpc::CallContext;
use tonic::Request;

use crate::lockers::Call;

/// Takes a request apart: who calls, and the message.
fn enter<T>(request: Request<T>) -> Result<(Call, T), Refusal> {
    let context = CallContext::of(&request)?;
    let call = Call { caller: context.caller()?.clone(), record: context.record().clone() };
    Ok((call, request.into_inner()))
}
