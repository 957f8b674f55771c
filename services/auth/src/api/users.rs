//! `coffre.auth.v1.UserService`.

use coffre_proto::auth::v1::user_service_server::UserService;
use coffre_proto::auth::v1::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse, GetUserRequest, GetUserResponse,
    ListUserHoldingsRequest, ListUserHoldingsResponse, ListUsersRequest, ListUsersResponse,
    TransferUserHoldingsRequest, TransferUserHoldingsResponse, UpdateUserRequest, UpdateUserResponse,
};
use coffre_rpc::CallContext;
use tonic::{Request, Response, Status};

use super::{Users, convert, error};
use crate::domain::{policy, users};

#[tonic::async_trait]
impl UserService for Users {
    async fn create_user(&self, request: Request<CreateUserRequest>) -> Result<Response<CreateUserResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let draft = convert::user_draft(request.into_inner()).map_err(error::of_invalid)?;
        let user =
            self.0.create_user(permit, draft, call.client_address(), call.record()).await.map_err(error::of_user)?;
        Ok(Response::new(CreateUserResponse { user: Some(convert::to_user(user)) }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let id = convert::user_id(request.into_inner().id).map_err(error::of_invalid)?;
        let user = self.0.user(permit, id, call.record()).await.map_err(error::of_user)?;
        Ok(Response::new(GetUserResponse { user: Some(convert::to_user(user)) }))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::list_users(call.caller()?).map_err(error::of_denied)?;
        let query = request.into_inner().query.unwrap_or_default();
        let plan = users::listing(permit).plan(&query, &self.0.page_tokens).map_err(error::of_list)?;
        let (found, page) = self.0.users(permit, plan).await.map_err(error::of_list)?;
        let shown = permit.shown();
        Ok(Response::new(ListUsersResponse {
            users: found.into_iter().map(|user| convert::to_shown_user(user, shown)).collect(),
            page: Some(page.info()),
        }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<UpdateUserResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let request = request.into_inner();
        let id = convert::user_id(request.id).map_err(error::of_invalid)?;
        let patch = convert::user_patch(request).map_err(error::of_invalid)?;
        let (user, changed) = self
            .0
            .update_user(permit, id, patch, call.client_address(), call.record())
            .await
            .map_err(error::of_user)?;
        Ok(Response::new(UpdateUserResponse { user: Some(convert::to_user(user)), changed }))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Result<Response<DeleteUserResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let DeleteUserRequest { id, etag } = request.into_inner();
        let id = convert::user_id(id).map_err(error::of_invalid)?;
        let etag = convert::etag(etag).map_err(error::of_invalid)?;
        self.0.delete_user(permit, id, etag, call.record()).await.map_err(error::of_user)?;
        Ok(Response::new(DeleteUserResponse {}))
    }

    async fn list_user_holdings(
        &self,
        request: Request<ListUserHoldingsRequest>,
    ) -> Result<Response<ListUserHoldingsResponse>, Status> {
        let call = CallContext::of(&request)?;
        let id = convert::user_id(request.into_inner().id).map_err(error::of_invalid)?;
        // Whoever is refused it learns no name.
        call.record().object("user", id, "");
        let permit = policy::see_holdings(call.caller()?, id).map_err(error::of_denied)?;
        let holdings = self.0.holdings(permit, call.record()).await.map_err(error::of_user)?;
        Ok(Response::new(convert::to_holdings(holdings)))
    }

    async fn transfer_user_holdings(
        &self,
        request: Request<TransferUserHoldingsRequest>,
    ) -> Result<Response<TransferUserHoldingsResponse>, Status> {
        let call = CallContext::of(&request)?;
        let TransferUserHoldingsRequest { id, recipient_id } = request.into_inner();
        let from = convert::user_id(id).map_err(error::of_invalid)?;
        let to = convert::recipient_id(recipient_id).map_err(error::of_invalid)?;
        call.record().object("user", from, "");
        let permit = policy::give_holdings(call.caller()?, from, to)
            .inspect_err(|_| call.record().detail("recipient", to.to_string()))
            .map_err(error::of_cannot_give)?;
        let handed = self.0.transfer_holdings(permit, call.record()).await.map_err(error::of_user)?;
        Ok(Response::new(TransferUserHoldingsResponse {
            credential_count: handed.credentials,
            locker_count: handed.lockers,
        }))
    }
}
