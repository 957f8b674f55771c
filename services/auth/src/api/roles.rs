//! `coffre.auth.v1.RoleService`.

use coffre_proto::auth::v1::role_service_server::RoleService;
use coffre_proto::auth::v1::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, DeleteRoleResponse, GetRoleRequest, GetRoleResponse,
    ListPermissionsRequest, ListPermissionsResponse, ListRolesRequest, ListRolesResponse, UpdateRoleRequest,
    UpdateRoleResponse,
};
use coffre_rpc::CallContext;
use coffre_types::Permission;
use tonic::{Request, Response, Status};

use super::{Roles, convert, error};
use crate::domain::{policy, roles};

#[tonic::async_trait]
impl RoleService for Roles {
    async fn create_role(&self, request: Request<CreateRoleRequest>) -> Result<Response<CreateRoleResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let draft = convert::role_draft(request.into_inner()).map_err(error::of_invalid)?;
        let role = self.0.create_role(permit, draft, call.record()).await.map_err(error::of_role)?;
        Ok(Response::new(CreateRoleResponse { role: Some(convert::to_role(role)) }))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<GetRoleResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let id = convert::role_id(request.into_inner().id).map_err(error::of_invalid)?;
        let role = self.0.role(permit, id, call.record()).await.map_err(error::of_role)?;
        Ok(Response::new(GetRoleResponse { role: Some(convert::to_role(role)) }))
    }

    async fn list_roles(&self, request: Request<ListRolesRequest>) -> Result<Response<ListRolesResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::list_users(call.caller()?).map_err(error::of_denied)?;
        let query = request.into_inner().query.unwrap_or_default();
        let plan = roles::listing(permit).plan(&query, &self.0.page_tokens).map_err(error::of_list)?;
        let (found, page) = self.0.roles(permit, plan).await.map_err(error::of_list)?;
        let shown = permit.shown();
        Ok(Response::new(ListRolesResponse {
            roles: found.into_iter().map(|role| convert::to_shown_role(role, shown)).collect(),
            page: Some(page.info()),
        }))
    }

    async fn update_role(&self, request: Request<UpdateRoleRequest>) -> Result<Response<UpdateRoleResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let request = request.into_inner();
        let id = convert::role_id(request.id).map_err(error::of_invalid)?;
        let patch = convert::role_patch(request).map_err(error::of_invalid)?;
        let (role, changed) = self.0.update_role(permit, id, patch, call.record()).await.map_err(error::of_role)?;
        Ok(Response::new(UpdateRoleResponse { role: Some(convert::to_role(role)), changed }))
    }

    async fn delete_role(&self, request: Request<DeleteRoleRequest>) -> Result<Response<DeleteRoleResponse>, Status> {
        let call = CallContext::of(&request)?;
        let permit = policy::manage_users(call.caller()?).map_err(error::of_denied)?;
        let DeleteRoleRequest { id, etag } = request.into_inner();
        let id = convert::role_id(id).map_err(error::of_invalid)?;
        let etag = convert::etag(etag).map_err(error::of_invalid)?;
        self.0.delete_role(permit, id, etag, call.record()).await.map_err(error::of_role)?;
        Ok(Response::new(DeleteRoleResponse {}))
    }

    async fn list_permissions(
        &self,
        _: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let permissions = Permission::ALL.into_iter().map(convert::to_permission).collect();
        Ok(Response::new(ListPermissionsResponse { permissions }))
    }
}
