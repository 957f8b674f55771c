//! Administration of users.

use coffre_proto::auth::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::{Answer, Protocol, Session, rest};
use crate::model::{Page, Query, User};
use crate::operation;

/// A user to create.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub username: String,
    pub password: String,
    pub first_name: String,
    pub email: String,
    pub description: Option<String>,
    pub disabled: bool,
    pub roles: Vec<i64>,
}

/// What changes of a user.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub first_name: Option<String>,
    pub description: Option<String>,
    pub disabled: Option<bool>,
    pub roles: Option<Vec<i64>>,
}

fn role_list(roles: &[i64]) -> Json {
    roles.iter().map(|id| json!({"id": id})).collect()
}

impl Session {
    pub async fn create_user(&self, new: &NewUser) -> Answer<User> {
        match self.api.protocol {
            Protocol::Rest => {
                let body = json!({
                    "username": new.username, "password": new.password, "firstName": new.first_name, "email": new.email,
                    "description": new.description, "disabled": new.disabled, "roles": role_list(&new.roles),
                });
                let request = rest(Method::POST, "/v1/usermanagement/users").json(body);
                self.rest(operation::CREATE_USER, request).await.map(|answer| User::from_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let request = v1::CreateUserRequest {
                    username: new.username.clone(),
                    password: new.password.clone(),
                    first_name: new.first_name.clone(),
                    email: new.email.clone(),
                    description: new.description.clone(),
                    disabled: new.disabled,
                    roles: Some(v1::RoleIds { ids: new.roles.clone() }),
                    ..Default::default()
                };
                self.grpc(operation::CREATE_USER, request)
                    .await
                    .map(|answer: v1::CreateUserResponse| User::from_proto(answer.user.unwrap()))
            }
        }
        .about_new(&new.username)
    }

    pub async fn get_user(&self, id: i64) -> Answer<User> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, format!("/v1/usermanagement/users/{id}"));
                self.rest(operation::GET_USER, request).await.map(|answer| User::from_json(&answer.is(200)))
            }
            Protocol::Grpc => self
                .grpc(operation::GET_USER, v1::GetUserRequest { id })
                .await
                .map(|answer: v1::GetUserResponse| User::from_proto(answer.user.unwrap())),
        }
    }

    /// Lists users; only ids and names, because holders of *Manage my lockers* see no more.
    pub async fn query_users(&self, query: &Query) -> Answer<Page<(i64, String)>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/usermanagement/users/list").json(query.json());
                self.rest(operation::LIST_USERS, request).await.map(|answer| {
                    Page::from_json(&answer.is(200), |json| {
                        (json["id"].as_i64().unwrap(), json["username"].as_str().unwrap().to_owned())
                    })
                })
            }
            Protocol::Grpc => {
                let request = v1::ListUsersRequest { query: Some(query.proto()) };
                self.grpc(operation::LIST_USERS, request).await.map(|answer: v1::ListUsersResponse| {
                    Page::from_proto(
                        answer.users.into_iter().map(|user| (user.id, user.username)).collect(),
                        answer.page,
                    )
                })
            }
        }
    }

    pub async fn update_user(&self, id: i64, change: &UserChange) -> Answer<User> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                let mut put = |key: &str, value: Option<Json>| {
                    if let Some(value) = value {
                        body[key] = value;
                    }
                };
                put("version", change.version.map(|version| json!(version)));
                put("username", change.username.as_ref().map(|text| json!(text)));
                put("password", change.password.as_ref().map(|text| json!(text)));
                put("firstName", change.first_name.as_ref().map(|text| json!(text)));
                put("description", change.description.as_ref().map(|text| json!(text)));
                put("disabled", change.disabled.map(|flag| json!(flag)));
                put("roles", change.roles.as_deref().map(role_list));
                let request = rest(Method::PUT, format!("/v1/usermanagement/users/{id}"))
                    .json(body)
                    .if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_USER, request).await.map(|answer| User::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateUserRequest {
                    id,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                    username: change.username.clone(),
                    password: change.password.clone(),
                    first_name: change.first_name.clone(),
                    description: change.description.clone(),
                    disabled: change.disabled,
                    roles: change.roles.clone().map(|ids| v1::RoleIds { ids }),
                    ..Default::default()
                };
                self.grpc(operation::UPDATE_USER, request)
                    .await
                    .map(|answer: v1::UpdateUserResponse| User::from_proto(answer.user.unwrap()))
            }
        }
    }

    pub async fn delete_user(&self, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("/v1/usermanagement/users/{id}"));
                self.rest(operation::DELETE_USER, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::DeleteUserRequest { id, etag: String::new() };
                self.grpc(operation::DELETE_USER, request).await.map(|_: v1::DeleteUserResponse| ())
            }
        }
    }
}
