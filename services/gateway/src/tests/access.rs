//! Who may do what with a credential, and who has not stored a value yet.

use coffre_proto::vault::v1::{
    AccessPath, Action, ExplainAccessRequest, ExplainAccessResponse, ListMissingValuesRequest,
    ListMissingValuesResponse, MissingValues, Standing, UserAccess,
};
use serde_json::json;

use super::{Upstream, send};

const ACCESS: &str = "/v2/credentialvault/credentials/12/access";

fn numbers(actions: &[Action]) -> Vec<i32> {
    actions.iter().map(|action| (*action).into()).collect()
}

#[tokio::test]
async fn access_is_explained_user_by_user_and_path_by_path() {
    let upstream = Upstream::default();
    let owner = AccessPath {
        standing: Standing::Owner.into(),
        effective: true,
        actions: numbers(&[Action::See, Action::Assign]),
        ..AccessPath::default()
    };
    let consumer = AccessPath {
        standing: Standing::Consumer.into(),
        role_id: Some(14),
        role_name: "Bot runner".into(),
        missing_permission: "Manage my credentials and lockers".into(),
        ..AccessPath::default()
    };
    let owning = UserAccess {
        user_id: 7,
        username: "ellie".into(),
        disabled: false,
        actions: numbers(&[Action::See, Action::Assign]),
        paths: vec![owner],
    };
    let consuming =
        UserAccess { user_id: 8, username: "bot".into(), disabled: true, actions: Vec::new(), paths: vec![consumer] };
    let reply = ExplainAccessResponse {
        users: vec![owning, consuming],
        locker_id: Some(2),
        locker_name: "SharePoint Locker".into(),
    };
    upstream.reply("CredentialService/ExplainAccess", &reply);
    let gateway = upstream.gateway();
    let expected = json!({
        "credentialId": "12", "lockerId": "2", "lockerName": "SharePoint Locker",
        "list": [
            {
                "userId": "7", "username": "ellie", "disabled": false, "actions": ["see", "assign"],
                "through": [{
                    "standing": "owner", "roleId": null, "roleName": null, "effective": true, "missingPermission": null,
                    "actions": ["see", "assign"]
                }]
            },
            {
                "userId": "8", "username": "bot", "disabled": true, "actions": [],
                "through": [{
                    "standing": "consumer", "roleId": "14", "roleName": "Bot runner", "effective": false,
                    "missingPermission": "Manage my credentials and lockers", "actions": []
                }]
            }
        ]
    });
    for (query, user_id) in [("", None), ("?userId=8", Some(8)), ("?userId=%228%22", Some(8))] {
        assert_eq!(send(&gateway, "GET", &format!("{ACCESS}{query}"), "").await.outcome(), (200, expected.clone()));
        let asked: ExplainAccessRequest = upstream.asked();
        assert_eq!((asked.credential_id, asked.user_id), (12, user_id), "{query}");
    }
    for query in ["?userId=ellie", "?userId=-1", "?userId=1&userId=2"] {
        send(&gateway, "GET", &format!("{ACCESS}{query}"), "").await.assert_refused(400, "request.invalid", query);
    }
}

#[tokio::test]
async fn a_credential_outside_lockers_has_null_for_its_locker() {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/ExplainAccess", &ExplainAccessResponse::default());
    let answer = send(&upstream.gateway(), "GET", ACCESS, "").await;
    let expected = json!({"credentialId": "12", "lockerId": null, "lockerName": null, "list": []});
    assert_eq!(answer.outcome(), (200, expected));
}

#[tokio::test]
async fn every_action_and_standing_has_its_word() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let path = |standing: i32, actions: Vec<i32>| AccessPath { standing, actions, ..AccessPath::default() };
    let all = (1..).take_while(|number| Action::try_from(*number).is_ok()).collect::<Vec<_>>();
    let standings = (1..).take_while(|number| Standing::try_from(*number).is_ok());
    let paths = standings.map(|standing| path(standing, Vec::new())).collect();
    let user = UserAccess { actions: all, paths, ..UserAccess::default() };
    upstream.reply(
        "CredentialService/ExplainAccess",
        &ExplainAccessResponse { users: vec![user], ..ExplainAccessResponse::default() },
    );
    let body = send(&gateway, "GET", ACCESS, "").await.json();
    let actions = json!([
        "see",
        "change",
        "delete",
        "assign",
        "withdraw",
        "transfer",
        "readStandard",
        "writeStandard",
        "readOwn",
        "writeOwn",
        "readOther",
        "writeOther"
    ]);
    assert_eq!(body["list"][0]["actions"], actions);
    let through = body["list"][0]["through"].as_array().unwrap();
    let standings: Vec<_> = through.iter().map(|path| path["standing"].as_str().unwrap()).collect();
    let expected = ["owner", "manager", "participant", "consumer", "lockerAdministrator", "valueAdministrator"];
    assert_eq!(standings, expected);
    for strange in [path(0, vec![]), path(99, vec![]), path(1, vec![0]), path(1, vec![1, 99])] {
        let user = UserAccess { paths: vec![strange], ..UserAccess::default() };
        let reply = ExplainAccessResponse { users: vec![user], ..ExplainAccessResponse::default() };
        upstream.reply("CredentialService/ExplainAccess", &reply);
        send(&gateway, "GET", ACCESS, "").await.assert_refused(500, "internal", "what is unknown is never left out");
    }
}

#[tokio::test]
async fn who_has_not_stored_a_value_is_listed_with_the_attributes() {
    let upstream = Upstream::default();
    let missing = MissingValues { user_id: 8, username: "bot".into(), disabled: false, attribute_ids: vec![61, 63] };
    upstream.reply("CredentialService/ListMissingValues", &ListMissingValuesResponse { users: vec![missing] });
    let answer = send(&upstream.gateway(), "GET", "/v2/credentialvault/credentials/12/missingvalues", "").await;
    let expected =
        json!({"list": [{"userId": "8", "username": "bot", "disabled": false, "attributeIds": ["61", "63"]}]});
    assert_eq!(answer.outcome(), (200, expected));
    assert_eq!(upstream.asked::<ListMissingValuesRequest>().credential_id, 12);
}
