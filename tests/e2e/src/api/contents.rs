//! Credentials in lockers: in, out, who reaches them, who has stored nothing yet.

use coffre_proto::vault::v1;
use http::Method;

use super::lockers::LOCKERS;
use super::vault::CREDENTIALS;
use super::{Answer, Protocol, Session, rest};
use crate::model::{Access, Credential, MissingValues, Page, Query, text};
use crate::operation;

/// Whoever puts a credential into a locker is told whom he trusts with what (security.md 3.2).
fn says_whom_it_trusts(notice: &str) {
    assert!(notice.contains("trust") && notice.contains("standard values"), "the notice: {notice:?}");
}

impl Session {
    /// Puts a credential into a locker.
    pub async fn assign(&self, locker_id: i64, credential_id: i64) -> Answer<Credential> {
        self.assign_if(locker_id, credential_id, None).await
    }

    pub async fn assign_if(&self, locker_id: i64, credential_id: i64, etag: Option<&str>) -> Answer<Credential> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::PUT, format!("{LOCKERS}/{locker_id}/credentials/{credential_id}"));
                self.rest(operation::ASSIGN_CREDENTIAL, request.if_match(etag)).await.map(|answer| {
                    let json = answer.is(200);
                    says_whom_it_trusts(&text(&json, "notice"));
                    Credential::from_json(&json)
                })
            }
            Protocol::Grpc => {
                let etag = etag.unwrap_or_default().to_owned();
                let request = v1::AssignCredentialRequest { credential_id, locker_id, etag };
                self.grpc(operation::ASSIGN_CREDENTIAL, request).await.map(|answer: v1::AssignCredentialResponse| {
                    says_whom_it_trusts(&answer.notice);
                    Credential::from_proto(answer.credential.unwrap())
                })
            }
        }
    }

    /// Takes a credential out of a locker.
    pub async fn withdraw(&self, locker_id: i64, credential_id: i64) -> Answer<()> {
        self.withdraw_if(locker_id, credential_id, None).await
    }

    pub async fn withdraw_if(&self, locker_id: i64, credential_id: i64, etag: Option<&str>) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{LOCKERS}/{locker_id}/credentials/{credential_id}"));
                self.rest(operation::WITHDRAW_CREDENTIAL, request.if_match(etag)).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let etag = etag.unwrap_or_default().to_owned();
                let request = v1::WithdrawCredentialRequest { credential_id, locker_id, etag };
                self.grpc(operation::WITHDRAW_CREDENTIAL, request).await.map(|_: v1::WithdrawCredentialResponse| ())
            }
        }
    }

    /// L14 as documented.
    pub async fn list_contents(&self, locker_id: i64) -> Answer<Vec<Credential>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("{LOCKERS}/{locker_id}/credentials"));
                self.rest(operation::LIST_LOCKER_CREDENTIALS, request).await.map(|answer| {
                    answer.is(200)["list"].as_array().unwrap().iter().map(Credential::from_json).collect()
                })
            }
            Protocol::Grpc => self.query_contents(locker_id, &Query::default()).await.map(|page| page.items),
        }
    }

    /// A page of what a locker holds; only gRPC has it.
    pub async fn query_contents(&self, locker_id: i64, query: &Query) -> Answer<Page<Credential>> {
        let request = v1::ListLockerCredentialsRequest { locker_id, query: Some(query.proto()) };
        self.grpc(operation::LIST_LOCKER_CREDENTIALS, request).await.map(|answer: v1::ListLockerCredentialsResponse| {
            Page::from_proto(answer.credentials.into_iter().map(Credential::from_proto).collect(), answer.page)
        })
    }

    /// Who may do what with a credential, or what one user may.
    pub async fn explain(&self, credential_id: i64, user_id: Option<i64>) -> Answer<Access> {
        match self.api.protocol {
            Protocol::Rest => {
                let query = user_id.map(|id| format!("?userId={id}")).unwrap_or_default();
                let request = rest(Method::GET, format!("{CREDENTIALS}/{credential_id}/access{query}"));
                self.rest(operation::EXPLAIN_ACCESS, request).await.map(|answer| Access::from_json(&answer.is(200)))
            }
            Protocol::Grpc => self
                .grpc(operation::EXPLAIN_ACCESS, v1::ExplainAccessRequest { credential_id, user_id })
                .await
                .map(Access::from_proto),
        }
    }

    /// Who has not stored every value that everybody provides for himself.
    pub async fn missing_values(&self, credential_id: i64) -> Answer<Vec<MissingValues>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("{CREDENTIALS}/{credential_id}/missingvalues"));
                self.rest(operation::LIST_MISSING_VALUES, request).await.map(|answer| {
                    answer.is(200)["list"].as_array().unwrap().iter().map(MissingValues::from_json).collect()
                })
            }
            Protocol::Grpc => {
                let request = v1::ListMissingValuesRequest { credential_id };
                self.grpc(operation::LIST_MISSING_VALUES, request).await.map(|answer: v1::ListMissingValuesResponse| {
                    answer.users.into_iter().map(MissingValues::from_proto).collect()
                })
            }
        }
    }
}
