//! Reading the audit.

use coffre_proto::audit::v1;
use http::Method;

use super::{Answer, Protocol, Session, rest};
use crate::model::{Entry, Page, Query};
use crate::operation;

impl Session {
    pub async fn query_entries(&self, query: &Query) -> Answer<Page<Entry>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/audit/messages/list").json(query.json());
                self.rest(operation::LIST_ENTRIES, request)
                    .await
                    .map(|answer| Page::from_json(&answer.is(200), Entry::from_json))
            }
            Protocol::Grpc => {
                let request = v1::ListEntriesRequest { query: Some(query.proto()) };
                self.grpc(operation::LIST_ENTRIES, request).await.map(|answer: v1::ListEntriesResponse| {
                    Page::from_proto(answer.entries.into_iter().map(Entry::from_proto).collect(), answer.page)
                })
            }
        }
    }

    pub async fn get_entry(&self, id: &str) -> Answer<Entry> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_ENTRY, rest(Method::GET, format!("/v1/audit/messages/{id}")))
                .await
                .map(|answer| Entry::from_json(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::GET_ENTRY, v1::GetEntryRequest { id: id.to_owned() })
                .await
                .map(|answer: v1::GetEntryResponse| Entry::from_proto(answer.entry.unwrap())),
        }
    }
}
