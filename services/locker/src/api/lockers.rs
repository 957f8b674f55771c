//! `coffre.locker.v1.LockerService`.

use std::sync::Arc;

use coffre_proto::locker::v1::locker_service_server::LockerService;
use coffre_proto::locker::v1::{
    AddConsumerRequest, AddConsumerResponse, CreateLockerRequest, CreateLockerResponse, DeleteLockerRequest,
    DeleteLockerResponse, GetLockerRequest, GetLockerResponse, ListConsumersRequest, ListConsumersResponse,
    ListLockersRequest, ListLockersResponse, ListMembersRequest, ListMembersResponse, RemoveConsumerRequest,
    RemoveConsumerResponse, RemoveMemberRequest, RemoveMemberResponse, SetMemberRequest, SetMemberResponse,
    UpdateLockerRequest, UpdateLockerResponse,
};
use coffre_types::RoleId;
use tonic::{Request, Response, Status};

use super::error::status;
use super::{convert, enter};
use crate::lockers::Lockers;

/// Answers the calls on lockers.
pub(crate) struct LockerHandler(pub(crate) Arc<Lockers>);

#[tonic::async_trait]
impl LockerService for LockerHandler {
    async fn create_locker(
        &self,
        request: Request<CreateLockerRequest>,
    ) -> Result<Response<CreateLockerResponse>, Status> {
        let (call, message) = enter(request)?;
        let new = convert::new_locker(message).map_err(status)?;
        let view = self.0.create(call, new).await.map_err(status)?;
        Ok(Response::new(CreateLockerResponse { locker: Some(convert::locker(view)) }))
    }

    async fn get_locker(&self, request: Request<GetLockerRequest>) -> Result<Response<GetLockerResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("id", message.id).map_err(status)?;
        let view = self.0.locker(call, id).await.map_err(status)?;
        Ok(Response::new(GetLockerResponse { locker: Some(convert::locker(view)) }))
    }

    async fn list_lockers(
        &self,
        request: Request<ListLockersRequest>,
    ) -> Result<Response<ListLockersResponse>, Status> {
        let (call, message) = enter(request)?;
        let query = convert::locker_query(message, &self.0.tokens).map_err(status)?;
        let (views, page) = self.0.list(call, query).await.map_err(status)?;
        let lockers = views.into_iter().map(convert::locker).collect();
        Ok(Response::new(ListLockersResponse { lockers, page: Some(page) }))
    }

    async fn update_locker(
        &self,
        request: Request<UpdateLockerRequest>,
    ) -> Result<Response<UpdateLockerResponse>, Status> {
        let (call, message) = enter(request)?;
        let patch = convert::locker_patch(message).map_err(status)?;
        let (view, changed) = self.0.update(call, patch).await.map_err(status)?;
        Ok(Response::new(UpdateLockerResponse { locker: Some(convert::locker(view)), changed }))
    }

    async fn delete_locker(
        &self,
        request: Request<DeleteLockerRequest>,
    ) -> Result<Response<DeleteLockerResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("id", message.id).map_err(status)?;
        let etag = convert::etag(message.etag).map_err(status)?;
        self.0.delete(call, id, etag).await.map_err(status)?;
        Ok(Response::new(DeleteLockerResponse {}))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let members = self.0.members(call, id).await.map_err(status)?;
        let members = members.into_iter().map(convert::member_to_proto).collect();
        Ok(Response::new(ListMembersResponse { members }))
    }

    async fn set_member(&self, request: Request<SetMemberRequest>) -> Result<Response<SetMemberResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let member = convert::member(message.member).map_err(status)?;
        self.0.set_member(call, id, member).await.map_err(status)?;
        Ok(Response::new(SetMemberResponse {}))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let user = convert::user_id("user_id", message.user_id).map_err(status)?;
        self.0.remove_member(call, id, user).await.map_err(status)?;
        Ok(Response::new(RemoveMemberResponse {}))
    }

    async fn list_consumers(
        &self,
        request: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let roles = self.0.consumers(call, id).await.map_err(status)?;
        Ok(Response::new(ListConsumersResponse { role_ids: roles.into_iter().map(RoleId::get).collect() }))
    }

    async fn add_consumer(
        &self,
        request: Request<AddConsumerRequest>,
    ) -> Result<Response<AddConsumerResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let role = convert::role_id("role_id", message.role_id).map_err(status)?;
        self.0.add_consumer(call, id, role).await.map_err(status)?;
        Ok(Response::new(AddConsumerResponse {}))
    }

    async fn remove_consumer(
        &self,
        request: Request<RemoveConsumerRequest>,
    ) -> Result<Response<RemoveConsumerResponse>, Status> {
        let (call, message) = enter(request)?;
        let id = convert::locker_id("locker_id", message.locker_id).map_err(status)?;
        let role = convert::role_id("role_id", message.role_id).map_err(status)?;
        self.0.remove_consumer(call, id, role).await.map_err(status)?;
        Ok(Response::new(RemoveConsumerResponse {}))
    }
}
