//! What somebody holds, and handing all of it over.

use coffre_proto::auth::v1;
use http::Method;
use serde_json::json;

use super::{Answer, Protocol, Session, rest};
use crate::model::{Holdings, number};
use crate::operation;

impl Session {
    pub async fn holdings(&self, id: i64) -> Answer<Holdings> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("/v1/usermanagement/users/{id}/holdings"));
                self.rest(operation::LIST_HOLDINGS, request).await.map(|answer| Holdings::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                self.grpc(operation::LIST_HOLDINGS, v1::ListUserHoldingsRequest { id }).await.map(Holdings::from_proto)
            }
        }
    }

    /// Hands everything over; how many credentials and lockers were given.
    pub async fn hand_over(&self, id: i64, recipient_id: i64) -> Answer<(i64, i64)> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("/v1/usermanagement/users/{id}/holdings/transfer"))
                    .json(json!({"userId": recipient_id}));
                self.rest(operation::TRANSFER_HOLDINGS, request).await.map(|answer| {
                    let json = answer.is(200);
                    (number(&json, "credentialCount"), number(&json, "lockerCount"))
                })
            }
            Protocol::Grpc => {
                let request = v1::TransferUserHoldingsRequest { id, recipient_id };
                self.grpc(operation::TRANSFER_HOLDINGS, request)
                    .await
                    .map(|answer: v1::TransferUserHoldingsResponse| (answer.credential_count, answer.locker_count))
            }
        }
    }
}
