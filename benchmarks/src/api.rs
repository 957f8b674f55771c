//! Preparing data over REST, as any client would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::{self, Answer, Client};
use crate::load::{self, Plan};
use crate::work::Once;

/// The secret that every value holds: 64 bytes.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const USER_PASSWORD: &str = "a password for measuring";
const VAULT: &str = "/v2/credentialvault";
/// The lockers that the caller sees.
pub(crate) const LOCKERS: &str = "/v2/credentialvault/lockers";

/// Somebody signed in.
pub(crate) struct Api {
    address: SocketAddr,
    client: Client,
    pub(crate) token: String,
}

/// A credential with one attribute and one value.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) credential: String,
    pub(crate) value: String,
}

impl Stored {
    pub(crate) fn read_path(&self) -> String {
        format!("{VAULT}/credentials/{}/attributevalues", self.credential)
    }

    pub(crate) fn write_path(&self) -> String {
        format!("{VAULT}/credentials/{}/attributevalues/{}", self.credential, self.value)
    }
}

/// The list of everything that the caller sees.
pub(crate) fn list_path() -> String {
    format!("{VAULT}/credentials")
}

/// The call that signs in.
pub(crate) fn sign_in_call(username: &str, password: &str) -> Vec<u8> {
    http::json("POST", "/v1/authentication", None, &json!({ "username": username, "password": password }))
}

/// The call that makes a fresh token.
pub(crate) fn refresh_call(token: &str) -> Vec<u8> {
    http::json("POST", "/v1/authentication/token", None, &json!({ "token": token }))
}

impl Api {
    pub(crate) fn sign_in(address: SocketAddr, username: &str, password: &str) -> Result<Self> {
        let mut client = Client::connect(address)?;
        let answer = client
            .call(&sign_in_call(username, password))?
            .json(200)
            .with_context(|| format!("signing in as {username}"))?;
        let token = text(&answer, "/token")?;
        Ok(Self { address, client, token })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        let request = http::get(path, Some(&self.token));
        self.send(&request)
    }

    /// The server closes a connection that was idle during a measurement; then there is a new one.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Answer> {
        if let Ok(answer) = self.client.call(request) {
            return Ok(answer);
        }
        self.client = Client::connect(self.address)?;
        self.client.call(request)
    }

    /// Makes a user who may have credentials and lockers of his own, and nothing else, with a further role where one is named; his id.
    pub(crate) fn add_user(&mut self, username: &str, further: Option<&str>) -> Result<String> {
        let roles = self.get("/v1/usermanagement/roles")?.json(200)?;
        let role = roles
            .as_array()
            .into_iter()
            .flatten()
            .find(|role| role.get("name").and_then(Value::as_str) == Some("AAE_Basic"));
        let mut roles = vec![text(role.context("there is no role AAE_Basic")?, "/id")?];
        roles.extend(further.map(ToOwned::to_owned));
        let roles: Vec<Value> = roles.into_iter().map(|id| json!({ "id": id })).collect();
        let user = json!({ "username": username, "password": USER_PASSWORD, "roles": roles });
        let made =
            self.make("/v1/usermanagement/users", &user).with_context(|| format!("making the user {username}"))?;
        text(&made, "/id")
    }

    /// Makes a role without permissions, whose users may consume lockers; its id.
    pub(crate) fn add_role(&mut self, name: &str) -> Result<String> {
        let role = json!({ "name": name, "description": "made for measuring", "permissions": [] });
        let made = self.make("/v1/usermanagement/roles", &role).with_context(|| format!("making the role {name}"))?;
        text(&made, "/id")
    }

    /// Makes a locker, puts credentials into it and has a role consume it.
    pub(crate) fn add_locker(&mut self, name: &str, credentials: &[Stored], role: &str) -> Result<()> {
        let locker = json!({ "name": name, "description": "made for measuring" });
        let made = self.make(LOCKERS, &locker).with_context(|| format!("making the locker {name}"))?;
        let path = format!("{LOCKERS}/{}", text(&made, "/id")?);
        for one in credentials {
            let path = format!("{path}/credentials/{}", one.credential);
            self.send(&http::json("PUT", &path, Some(&self.token), &json!({})))?.json(200)?;
        }
        let consumer = http::json("PUT", &format!("{path}/consumers"), Some(&self.token), &json!({ "id": role }));
        let answer = self.send(&consumer)?;
        if answer.status != 204 {
            bail!("the locker {name} takes no consumer: {}", String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }

    /// Makes something and returns what it became.
    pub(crate) fn make(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = http::json("POST", path, Some(&self.token), body);
        self.send(&request)?.json(201)
    }

    /// Makes so many credentials with one attribute each, without values; the bodies of the answers.
    pub(crate) fn add_credentials(&self, prefix: &str, count: usize) -> Result<Vec<Value>> {
        let path = list_path();
        let render = |number: usize| {
            let body = json!({
                "name": format!("{prefix}-{number:07}"),
                "description": "made for measuring",
                "attributes": [{ "name": "password", "description": "the secret", "passwordFlag": true }],
            });
            http::json("POST", &path, Some(&self.token), &body)
        };
        self.bulk(&format!("{count} credentials"), count, render)
    }

    /// Makes so many credentials with one value each.
    pub(crate) fn add_values(&self, prefix: &str, count: usize) -> Result<Vec<Stored>> {
        let credentials = self.add_credentials(prefix, count)?;
        let ids: Vec<(String, String)> = credentials
            .iter()
            .map(|one| Ok((text(one, "/id")?, text(one, "/attributes/0/id")?)))
            .collect::<Result<_>>()?;
        let render = |number: usize| {
            let (credential, attribute) =
                ids.get(number).map_or(("", ""), |(credential, attribute)| (credential, attribute));
            let path = format!("{VAULT}/credentials/{credential}/attributevalues");
            http::json(
                "POST",
                &path,
                Some(&self.token),
                &json!([{ "credentialAttributeId": attribute, "value": SECRET }]),
            )
        };
        let values = self.bulk(&format!("{count} values"), count, render)?;
        ids.into_iter()
            .zip(values)
            .map(|((credential, _), value)| Ok(Stored { credential, value: text(&value, "/0/id")? }))
            .collect()
    }

    /// Makes credentials with so many values each, all of them with the same secret; their paths to read them.
    pub(crate) fn add_full_credentials(&self, prefix: &str, count: usize, values: usize) -> Result<Vec<String>> {
        let attributes: Vec<Value> =
            (0..values).map(|number| json!({ "name": format!("a{number:02}"), "passwordFlag": true })).collect();
        let path = list_path();
        let credentials = self.bulk(&format!("{count} credentials with {values} attributes"), count, |number| {
            let body = json!({ "name": format!("{prefix}-{number:07}"), "attributes": attributes });
            http::json("POST", &path, Some(&self.token), &body)
        })?;
        let paths =
            credentials.iter().map(|one| Ok(format!("{VAULT}/credentials/{}/attributevalues", text(one, "/id")?)));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        self.bulk(&format!("{} values", count * values), count, |number| {
            let ids = credentials.get(number).and_then(|one| one.pointer("/attributes")).and_then(Value::as_array);
            let body: Vec<Value> = ids
                .into_iter()
                .flatten()
                .map(|attribute| json!({ "credentialAttributeId": attribute.get("id"), "value": SECRET }))
                .collect();
            http::json("POST", paths.get(number).map_or("", String::as_str), Some(&self.token), &Value::Array(body))
        })?;
        Ok(paths)
    }

    /// Every call once, over many connections; the bodies of the answers in the order of the calls.
    fn bulk(&self, what: &str, count: usize, render: impl Fn(usize) -> Vec<u8>) -> Result<Vec<Value>> {
        let mut bodies = vec![Value::Null; count];
        let keep = |number: usize, body: &[u8]| match (bodies.get_mut(number), serde_json::from_slice(body)) {
            (Some(place), Ok(value)) => {
                *place = value;
                true
            }
            _ => false,
        };
        let plan = Plan {
            address: self.address,
            connections: 64.min(count.max(1)),
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(24 * 3600),
            rate: None,
            processes: Vec::new(),
            database: false,
        };
        let outcome = load::run(&plan, &mut Once::new(count, 201, render, keep))?;
        if outcome.failures > 0 {
            bail!(
                "{} of {what} could not be made; the first: {}",
                outcome.failures,
                outcome.first_failure.unwrap_or_default()
            );
        }
        eprintln!("made {what}, {:.0} a second", outcome.per_second());
        Ok(bodies)
    }
}

/// A text or number of the answer.
fn text(answer: &Value, pointer: &str) -> Result<String> {
    match answer.pointer(pointer) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => bail!("the answer has no {pointer}: {answer}"),
    }
}
