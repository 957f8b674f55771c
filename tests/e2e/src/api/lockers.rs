//! Lockers, their members and consumers.

use coffre_proto::locker::v1;
use http::Method;
use serde_json::json;

use super::vault::set;
use super::{Answer, Protocol, Session, rest};
use crate::model::{Locker, Member, Page, Query, Right};
use crate::operation;

/// What changes of a locker.
#[derive(Clone, Debug, Default)]
pub struct LockerChange {
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
}

pub(super) const LOCKERS: &str = "/v2/credentialvault/lockers";

impl Session {
    pub async fn create_locker(&self, name: &str, description: Option<&str>) -> Answer<Locker> {
        match self.api.protocol {
            Protocol::Rest => {
                let body = json!({"name": name, "description": description});
                self.rest(operation::CREATE_LOCKER, rest(Method::POST, LOCKERS).json(body))
                    .await
                    .map(|answer| Locker::from_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let request =
                    v1::CreateLockerRequest { name: name.to_owned(), description: description.map(ToOwned::to_owned) };
                self.grpc(operation::CREATE_LOCKER, request)
                    .await
                    .map(|answer: v1::CreateLockerResponse| Locker::from_proto(answer.locker.unwrap()))
            }
        }
        .about_new(name)
    }

    pub async fn get_locker(&self, id: i64) -> Answer<Locker> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_LOCKER, rest(Method::GET, format!("{LOCKERS}/{id}")))
                .await
                .map(|answer| Locker::from_json(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::GET_LOCKER, v1::GetLockerRequest { id })
                .await
                .map(|answer: v1::GetLockerResponse| Locker::from_proto(answer.locker.unwrap())),
        }
    }

    /// L1 as documented.
    pub async fn list_lockers(&self, consumed: Option<bool>) -> Answer<Vec<Locker>> {
        match self.api.protocol {
            Protocol::Rest => {
                let query = consumed.map(|flag| format!("?consumed={flag}")).unwrap_or_default();
                self.rest(operation::LIST_LOCKERS, rest(Method::GET, format!("{LOCKERS}{query}")))
                    .await
                    .map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(Locker::from_json).collect())
            }
            Protocol::Grpc => {
                let request = v1::ListLockersRequest { query: Some(whole()), consumed, detailed: false };
                self.grpc(operation::LIST_LOCKERS, request)
                    .await
                    .map(|answer: v1::ListLockersResponse| answer.lockers.into_iter().map(Locker::from_proto).collect())
            }
        }
    }

    /// L3: with members and counts.
    pub async fn list_lockers_advanced(&self) -> Answer<Vec<Locker>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("{LOCKERS}/advanced"));
                self.rest(operation::LIST_LOCKERS, request)
                    .await
                    .map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(Locker::from_json).collect())
            }
            Protocol::Grpc => {
                let request = v1::ListLockersRequest { query: Some(whole()), consumed: None, detailed: true };
                self.grpc(operation::LIST_LOCKERS, request)
                    .await
                    .map(|answer: v1::ListLockersResponse| answer.lockers.into_iter().map(Locker::from_proto).collect())
            }
        }
    }

    pub async fn query_lockers(&self, query: &Query) -> Answer<Page<Locker>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("{LOCKERS}/list")).json(query.json());
                self.rest(operation::LIST_LOCKERS, request)
                    .await
                    .map(|answer| Page::from_json(&answer.is(200), Locker::from_json))
            }
            Protocol::Grpc => {
                let request = v1::ListLockersRequest { query: Some(query.proto()), consumed: None, detailed: true };
                self.grpc(operation::LIST_LOCKERS, request).await.map(|answer: v1::ListLockersResponse| {
                    Page::from_proto(answer.lockers.into_iter().map(Locker::from_proto).collect(), answer.page)
                })
            }
        }
    }

    pub async fn update_locker(&self, id: i64, change: &LockerChange) -> Answer<Locker> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                set(&mut body, "version", change.version);
                set(&mut body, "name", change.name.clone());
                set(&mut body, "description", change.description.clone());
                let request = rest(Method::PUT, format!("{LOCKERS}/{id}")).json(body).if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_LOCKER, request).await.map(|answer| Locker::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateLockerRequest {
                    id,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                    name: change.name.clone(),
                    description: change.description.clone(),
                };
                self.grpc(operation::UPDATE_LOCKER, request)
                    .await
                    .map(|answer: v1::UpdateLockerResponse| Locker::from_proto(answer.locker.unwrap()))
            }
        }
    }

    pub async fn delete_locker(&self, id: i64, etag: Option<&str>) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::DELETE_LOCKER, rest(Method::DELETE, format!("{LOCKERS}/{id}")).if_match(etag))
                .await
                .map(|answer| {
                    answer.is(204);
                }),
            Protocol::Grpc => {
                let request = v1::DeleteLockerRequest { id, etag: etag.unwrap_or_default().to_owned() };
                self.grpc(operation::DELETE_LOCKER, request).await.map(|_: v1::DeleteLockerResponse| ())
            }
        }
    }

    pub async fn list_members(&self, locker_id: i64) -> Answer<Vec<Member>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("{LOCKERS}/{locker_id}/members"));
                self.rest(operation::LIST_MEMBERS, request)
                    .await
                    .map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(Member::from_json).collect())
            }
            Protocol::Grpc => self
                .grpc(operation::LIST_MEMBERS, v1::ListMembersRequest { locker_id })
                .await
                .map(|answer: v1::ListMembersResponse| answer.members.into_iter().map(Member::from_proto).collect()),
        }
    }

    pub async fn set_member(&self, locker_id: i64, user_id: i64, rights: &[Right]) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let words: Vec<&str> = rights.iter().map(|right| right.word()).collect();
                let request = rest(Method::PUT, format!("{LOCKERS}/{locker_id}/members/{user_id}"))
                    .json(json!({"permissions": words}));
                self.rest(operation::SET_MEMBER, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let permissions = rights.iter().map(|right| right.proto()).collect();
                let request = v1::SetMemberRequest { locker_id, member: Some(v1::Member { user_id, permissions }) };
                self.grpc(operation::SET_MEMBER, request).await.map(|_: v1::SetMemberResponse| ())
            }
        }
    }

    pub async fn remove_member(&self, locker_id: i64, user_id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{LOCKERS}/{locker_id}/members/{user_id}"));
                self.rest(operation::REMOVE_MEMBER, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::RemoveMemberRequest { locker_id, user_id };
                self.grpc(operation::REMOVE_MEMBER, request).await.map(|_: v1::RemoveMemberResponse| ())
            }
        }
    }

    /// The ids of the roles that consume a locker.
    pub async fn list_consumers(&self, locker_id: i64) -> Answer<Vec<i64>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("{LOCKERS}/{locker_id}/consumers"));
                self.rest(operation::LIST_CONSUMERS, request).await.map(|answer| {
                    let json = answer.is(200);
                    json["list"].as_array().unwrap().iter().map(|role| crate::model::id(role, "id")).collect()
                })
            }
            Protocol::Grpc => self
                .grpc(operation::LIST_CONSUMERS, v1::ListConsumersRequest { locker_id })
                .await
                .map(|answer: v1::ListConsumersResponse| answer.role_ids),
        }
    }

    pub async fn add_consumer(&self, locker_id: i64, role_id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request =
                    rest(Method::PUT, format!("{LOCKERS}/{locker_id}/consumers")).json(json!({"id": role_id}));
                self.rest(operation::ADD_CONSUMER, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::AddConsumerRequest { locker_id, role_id };
                self.grpc(operation::ADD_CONSUMER, request).await.map(|_: v1::AddConsumerResponse| ())
            }
        }
    }

    pub async fn remove_consumer(&self, locker_id: i64, role_id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{LOCKERS}/{locker_id}/consumers/{role_id}"));
                self.rest(operation::REMOVE_CONSUMER, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::RemoveConsumerRequest { locker_id, role_id };
                self.grpc(operation::REMOVE_CONSUMER, request).await.map(|_: v1::RemoveConsumerResponse| ())
            }
        }
    }
}

fn whole() -> coffre_proto::query::v1::Query {
    Query::default().proto()
}
