//! Section 4 of the contract.

use coffre_proto::auth::v1::{
    CreateRoleRequest, CreateRoleResponse, CreateUserRequest, CreateUserResponse, DeleteRoleRequest, DeleteUserRequest,
    GetRoleResponse, GetUserResponse, ListPermissionsResponse, ListRolesResponse, ListUsersRequest, ListUsersResponse,
    Permission, Role, RoleIds, RoleSummary, UpdateRoleRequest, UpdateRoleResponse, UpdateUserRequest,
    UpdateUserResponse, User,
};
use coffre_proto::query::v1::PageInfo;
use prost_types::Timestamp;
use serde_json::json;

use super::{Upstream, assert_forms_refused, send};

fn user() -> User {
    let time = Some(Timestamp { seconds: 1_530_697_249, nanos: 0 });
    let roles = vec![RoleSummary { id: 2, name: "AAE_Basic".into() }];
    User {
        id: 8,
        username: "ellie".into(),
        roles,
        version: 3,
        creator_id: 1,
        create_time: time,
        update_time: time,
        ..User::default()
    }
}

fn role() -> Role {
    let time = Some(Timestamp { seconds: 1_530_697_249, nanos: 0 });
    let permissions = vec![Permission { id: 1, action: "a".into(), resource_type: "r".into(), name: "n".into() }];
    Role {
        id: 14,
        name: "Bots".into(),
        permissions,
        version: 2,
        creator_id: 1,
        create_time: time,
        update_time: time,
        user_count: 3,
        ..Role::default()
    }
}

#[tokio::test]
async fn ids_are_numbers_under_v1_and_strings_under_v2() {
    let upstream = Upstream::default();
    upstream.reply("UserService/GetUser", &GetUserResponse { user: Some(user()) });
    let gateway = upstream.gateway();
    let answer = send(&gateway, "GET", "/v1/usermanagement/users/8", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("\"3\"")));
    let body = answer.json();
    assert_eq!(
        (&body["id"], &body["version"], &body["principalId"], &body["createdBy"]),
        (&json!(8), &json!(3), &json!(8), &json!(1))
    );
    assert_eq!(body["roles"], json!([{"id": 2, "name": "AAE_Basic"}]));
    let body = send(&gateway, "GET", "/v2/usermanagement/users/8", "").await.json();
    assert_eq!(
        (&body["id"], &body["version"], &body["principalId"], &body["createdBy"]),
        (&json!("8"), &json!("3"), &json!("8"), &json!("1"))
    );
    assert_eq!(body["roles"], json!([{"id": "2", "name": "AAE_Basic"}]));
}

#[tokio::test]
async fn users_are_listed_plainly_or_by_page() {
    let upstream = Upstream::default();
    let page = PageInfo { total_size: Some(2), filtered_size: Some(1), ..PageInfo::default() };
    upstream.reply("UserService/ListUsers", &ListUsersResponse { users: vec![user()], page: Some(page) });
    let gateway = upstream.gateway();
    let body = send(&gateway, "GET", "/v1/usermanagement/users", "").await.json();
    assert_eq!((body["list"][0]["id"].clone(), body.get("page")), (json!(8), None));
    let filter = r#"{"filter":{"operator":"eq","field":"username","value":"ellie"}}"#;
    for (path, id) in [("/v1/usermanagement/users/list", json!(8)), ("/v2/usermanagement/users/list", json!("8"))] {
        let body = send(&gateway, "POST", path, filter).await.json();
        assert_eq!((&body["list"][0]["id"], &body["page"]), (&id, &json!({"offset": 0, "total": 2, "totalFilter": 1})));
        assert!(upstream.asked::<ListUsersRequest>().query.unwrap().filter.is_some());
    }
}

#[tokio::test]
async fn whoever_may_only_choose_users_and_roles_sees_id_and_name() {
    let upstream = Upstream::default();
    let brief = User { id: 8, username: "ellie".into(), ..User::default() };
    upstream.reply("UserService/ListUsers", &ListUsersResponse { users: vec![brief], page: None });
    let brief = Role { id: 14, name: "Bots".into(), ..Role::default() };
    upstream.reply("RoleService/ListRoles", &ListRolesResponse { roles: vec![brief], page: None });
    let gateway = upstream.gateway();
    let users = send(&gateway, "GET", "/v1/usermanagement/users", "").await.json();
    assert_eq!(users, json!({"list": [{"id": 8, "username": "ellie"}]}));
    assert_eq!(send(&gateway, "GET", "/v1/usermanagement/roles", "").await.json(), json!([{"id": 14, "name": "Bots"}]));
}

#[tokio::test]
async fn users_are_created_changed_and_deleted() {
    let upstream = Upstream::default();
    upstream.reply("UserService/CreateUser", &CreateUserResponse { user: Some(user()) });
    upstream.reply("UserService/UpdateUser", &UpdateUserResponse { user: Some(user()), changed: true });
    let gateway = upstream.gateway();
    let body = r#"{"username":"ellie","password":"p","firstName":"E","lastName":"B","email":"e@x","description":"d","disabled":true,"roles":[{"id":2},{"id":"3","name":"x"}]}"#;
    let answer = send(&gateway, "POST", "/v1/usermanagement/users", body).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, Some("/v1/usermanagement/users/8")));
    let asked: CreateUserRequest = upstream.asked();
    assert_eq!((asked.username.as_str(), asked.password.as_str(), asked.disabled), ("ellie", "p", true));
    assert_eq!(
        (asked.first_name.as_str(), asked.last_name.as_str(), asked.roles),
        ("E", "B", Some(RoleIds { ids: vec![2, 3] }))
    );

    assert_eq!(
        send(&gateway, "PUT", "/v1/usermanagement/users/8", r#"{"id":8,"version":3,"disabled":false,"roles":[]}"#)
            .await
            .status,
        200
    );
    let expected = UpdateUserRequest {
        id: 8,
        version: Some(3),
        disabled: Some(false),
        roles: Some(RoleIds::default()),
        ..UpdateUserRequest::default()
    };
    assert_eq!(upstream.asked::<UpdateUserRequest>(), expected);
    let forms = [
        (r#"{"id":9}"#, "id"),
        (r#"{"disabled":"no"}"#, "disabled"),
        (r#"{"roles":[{"name":"x"}]}"#, "roles[0].id"),
        (r#"{"roles":["x"]}"#, "roles[0]"),
        (r#"{"version":"-1"}"#, "version"),
    ];
    assert_forms_refused(&upstream, "PUT", "/v1/usermanagement/users/8", &forms).await;
    assert_eq!(send(&gateway, "DELETE", "/v1/usermanagement/users/8", "").await.status, 204);
    assert_eq!(upstream.asked::<DeleteUserRequest>().id, 8);
}

#[tokio::test]
async fn roles_are_a_bare_array_or_a_page() {
    let upstream = Upstream::default();
    upstream.reply("RoleService/ListRoles", &ListRolesResponse { roles: vec![role()], page: None });
    upstream.reply("RoleService/GetRole", &GetRoleResponse { role: Some(role()) });
    let gateway = upstream.gateway();
    let expected = json!({
        "id": 14, "createdBy": 1, "createdOn": "2018-07-04T09:40:49.000Z", "updatedBy": 0, "updatedOn": "2018-07-04T09:40:49.000Z",
        "tenantId": 1, "version": 2, "name": "Bots", "description": null,
        "permissions": [{"id": 1, "action": "a", "resourceType": "r", "name": "n"}], "countPrincipals": 3, "system": false
    });
    assert_eq!(send(&gateway, "GET", "/v1/usermanagement/roles", "").await.json(), json!([expected]));
    let body = send(&gateway, "POST", "/v1/usermanagement/roles/list", "{}").await.json();
    assert_eq!(body, json!({"page": {"offset": 0}, "list": [expected]}));
    assert_eq!(send(&gateway, "GET", "/v1/usermanagement/roles/14", "").await.json(), expected);
}

#[tokio::test]
async fn permissions_of_a_role_are_named_in_three_ways() {
    let upstream = Upstream::default();
    upstream.reply("RoleService/CreateRole", &CreateRoleResponse { role: Some(role()) });
    upstream.reply("RoleService/UpdateRole", &UpdateRoleResponse { role: Some(role()), changed: true });
    let gateway = upstream.gateway();
    let body = r#"{"name":"Bots","permissions":[{"id":"1"},{"name":"Manage my lockers"},{"action":"connect","resourceType":"api"}]}"#;
    let answer = send(&gateway, "POST", "/v1/usermanagement/roles", body).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (201, Some("\"2\"")));
    let items = upstream.asked::<CreateRoleRequest>().permissions.unwrap().items;
    assert_eq!((items[0].id, items[1].name.as_str()), (1, "Manage my lockers"));
    assert_eq!((items[2].action.as_str(), items[2].resource_type.as_str()), ("connect", "api"));
    assert_eq!(send(&gateway, "PUT", "/v1/usermanagement/roles/14", r#"{"name":"Robots"}"#).await.status, 200);
    let expected = UpdateRoleRequest { id: 14, name: Some("Robots".into()), ..UpdateRoleRequest::default() };
    assert_eq!(upstream.asked::<UpdateRoleRequest>(), expected);
    assert_eq!(send(&gateway, "DELETE", "/v1/usermanagement/roles/14", "").await.status, 204);
    assert_eq!(upstream.asked::<DeleteRoleRequest>().id, 14);
}

#[tokio::test]
async fn permissions_are_listed_with_their_names() {
    let upstream = Upstream::default();
    upstream.reply("RoleService/ListPermissions", &ListPermissionsResponse { permissions: role().permissions });
    let body = send(&upstream.gateway(), "GET", "/v1/usermanagement/permissions", "").await.json();
    assert_eq!(body, json!({"list": [{"id": 1, "action": "a", "resourceType": "r", "name": "n"}]}));
}
