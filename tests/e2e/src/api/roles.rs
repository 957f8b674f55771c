//! Administration of roles.

use coffre_proto::auth::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::{Answer, Protocol, Session, rest};
use crate::model::{Page, Permission, Query, Role};
use crate::operation;

/// A role to create; permissions by their number.
#[derive(Clone, Debug, Default)]
pub struct NewRole {
    pub name: String,
    pub description: Option<String>,
    pub permissions: Vec<i64>,
}

/// What changes of a role.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub permissions: Option<Vec<i64>>,
}

fn references(ids: &[i64]) -> v1::PermissionReferences {
    v1::PermissionReferences {
        items: ids.iter().map(|id| v1::PermissionReference { id: *id, ..Default::default() }).collect(),
    }
}

fn id_list(ids: &[i64]) -> Json {
    ids.iter().map(|id| json!({"id": id})).collect()
}

impl Session {
    pub async fn create_role(&self, new: &NewRole) -> Answer<Role> {
        match self.api.protocol {
            Protocol::Rest => {
                let body =
                    json!({"name": new.name, "description": new.description, "permissions": id_list(&new.permissions)});
                let request = rest(Method::POST, "/v1/usermanagement/roles").json(body);
                self.rest(operation::CREATE_ROLE, request).await.map(|answer| Role::from_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let request = v1::CreateRoleRequest {
                    name: new.name.clone(),
                    description: new.description.clone(),
                    permissions: Some(references(&new.permissions)),
                };
                self.grpc(operation::CREATE_ROLE, request)
                    .await
                    .map(|answer: v1::CreateRoleResponse| Role::from_proto(answer.role.unwrap()))
            }
        }
        .about_new(&new.name)
    }

    pub async fn get_role(&self, id: i64) -> Answer<Role> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("/v1/usermanagement/roles/{id}"));
                self.rest(operation::GET_ROLE, request).await.map(|answer| Role::from_json(&answer.is(200)))
            }
            Protocol::Grpc => self
                .grpc(operation::GET_ROLE, v1::GetRoleRequest { id })
                .await
                .map(|answer: v1::GetRoleResponse| Role::from_proto(answer.role.unwrap())),
        }
    }

    /// Lists roles; only ids and names, because holders of *Manage my lockers* see no more.
    pub async fn query_roles(&self, query: &Query) -> Answer<Page<(i64, String)>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/usermanagement/roles/list").json(query.json());
                self.rest(operation::LIST_ROLES, request).await.map(|answer| {
                    Page::from_json(&answer.is(200), |json| {
                        (json["id"].as_i64().unwrap(), json["name"].as_str().unwrap().to_owned())
                    })
                })
            }
            Protocol::Grpc => {
                let request = v1::ListRolesRequest { query: Some(query.proto()) };
                self.grpc(operation::LIST_ROLES, request).await.map(|answer: v1::ListRolesResponse| {
                    Page::from_proto(answer.roles.into_iter().map(|role| (role.id, role.name)).collect(), answer.page)
                })
            }
        }
    }

    pub async fn update_role(&self, id: i64, change: &RoleChange) -> Answer<Role> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                let mut put = |key: &str, value: Option<Json>| {
                    if let Some(value) = value {
                        body[key] = value;
                    }
                };
                put("version", change.version.map(|version| json!(version)));
                put("name", change.name.as_ref().map(|text| json!(text)));
                put("description", change.description.as_ref().map(|text| json!(text)));
                put("permissions", change.permissions.as_deref().map(id_list));
                let request = rest(Method::PUT, format!("/v1/usermanagement/roles/{id}"))
                    .json(body)
                    .if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_ROLE, request).await.map(|answer| Role::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateRoleRequest {
                    id,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                    name: change.name.clone(),
                    description: change.description.clone(),
                    permissions: change.permissions.as_deref().map(references),
                };
                self.grpc(operation::UPDATE_ROLE, request)
                    .await
                    .map(|answer: v1::UpdateRoleResponse| Role::from_proto(answer.role.unwrap()))
            }
        }
    }

    pub async fn delete_role(&self, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("/v1/usermanagement/roles/{id}"));
                self.rest(operation::DELETE_ROLE, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::DeleteRoleRequest { id, etag: String::new() };
                self.grpc(operation::DELETE_ROLE, request).await.map(|_: v1::DeleteRoleResponse| ())
            }
        }
    }

    pub async fn list_permissions(&self) -> Answer<Vec<Permission>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, "/v1/usermanagement/permissions");
                self.rest(operation::LIST_PERMISSIONS, request).await.map(|answer| {
                    let json = answer.is(200);
                    let list = json.as_array().or_else(|| json["list"].as_array()).unwrap();
                    list.iter().map(Permission::from_json).collect()
                })
            }
            Protocol::Grpc => self.grpc(operation::LIST_PERMISSIONS, v1::ListPermissionsRequest {}).await.map(
                |answer: v1::ListPermissionsResponse| {
                    let read = |one: v1::Permission| Permission {
                        id: one.id,
                        action: one.action,
                        resource_type: one.resource_type,
                    };
                    answer.permissions.into_iter().map(read).collect()
                },
            ),
        }
    }
}
