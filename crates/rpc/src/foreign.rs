//! Refusals that the gRPC library makes before a handler is asked, said in our words: with a reason, and without its inner texts.

use coffre_channel::Response;
use coffre_error::{Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How the codec begins where the bytes are no message (`prost`, `error.rs`); `tonic-prost` answers it with INTERNAL.
const UNREADABLE: &str = "failed to decode Protobuf message";

/// Replaces a refusal that is not ours.
pub(crate) fn in_our_words(response: Response) -> Response {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.get_details_error_info().is_none() => {
            Status::from(refusal(&status)).into_http()
        }
        _ => response,
    }
}

fn refusal(status: &Status) -> Refusal {
    match status.code() {
        Code::OutOfRange => Refusal::new(Reason::RequestTooLarge, "the message is larger than the limit; send less"),
        Code::Internal if status.message().starts_with(UNREADABLE) => {
            Refusal::new(Reason::RequestMalformed, "the message could not be read; compare it with the descriptors")
        }
        _ => Refusal::from_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason_of(status: Status) -> Reason {
        let response = in_our_words(status.into_http());
        Refusal::from_status(&Status::from_header_map(response.headers()).unwrap()).reason()
    }

    #[test]
    fn what_the_library_refuses_has_a_reason_of_ours() {
        let unreadable = Status::new(Code::Internal, "failed to decode Protobuf message: invalid varint");
        assert_eq!(reason_of(unreadable), Reason::RequestMalformed);
        assert_eq!(reason_of(Status::out_of_range("found 9 bytes, the limit is: 4")), Reason::RequestTooLarge);
        assert_eq!(reason_of(Status::new(Code::Internal, "something else")), Reason::Internal);
    }

    #[test]
    fn our_own_refusals_stay_as_they_are() {
        let ours = Refusal::new(Reason::CredentialNotFound, "there is no such credential");
        let response = in_our_words(Status::from(ours.clone()).into_http());
        assert_eq!(Refusal::from_status(&Status::from_header_map(response.headers()).unwrap()), ours);
    }
}
