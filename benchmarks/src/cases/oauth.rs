//! Programs that renew their tokens: each refresh uses up the refresh token before it.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::USER_PASSWORD;
use crate::cases::{Bench, Served, at};
use crate::http::{self, Client};
use crate::load::Work;
use crate::report::Figure;

const CLIENT: &str = "measured";
const OPERATOR: &str = "operator";

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let engine = served.engine;
    let mut admin = served.admin()?;
    let access = json!({ "clientId": CLIENT, "passwordGrant": true });
    let made = admin.make("/v1/apiaccess", &access).context("making the API access")?;
    let secret = made.get("clientSecret").and_then(Value::as_str).context("the API access has no secret")?;
    admin.add_user(OPERATOR, None)?;
    let mut client = Client::connect(served.coffre.address)?;
    // One a connection: a program renews its token when it has used the one before.
    let families = (0..bench.options.connections)
        .map(|_| {
            let body =
                format!("grant_type=password&username={OPERATOR}&password={}", USER_PASSWORD.replace(' ', "%20"));
            let answer = client.call(&http::form("/oauth/token", CLIENT, secret, &body))?.json(200)?;
            let token = answer.get("refresh_token").and_then(Value::as_str).context("there is no refresh token")?;
            Ok(token.to_owned())
        })
        .collect::<Result<Vec<String>>>()?;
    let work = Refreshes { free: (0..families.len()).collect(), families, secret: secret.to_owned() };
    let series = bench.rounds("OAuth refresh", engine, &mut [served.contender("Coffre", Box::new(work))])?;
    bench.report.figure("OAuth refresh", engine, Figure::of(at(&series, 0)?.per_second()), "a second", "≥ 3 000");
    Ok(())
}

/// Families of refresh tokens, each with the one that is good now.
struct Refreshes {
    families: Vec<String>,
    /// Those of which no refresh is under way.
    free: Vec<usize>,
    secret: String,
}

impl Work for Refreshes {
    fn next(&mut self) -> Option<usize> {
        self.free.pop()
    }

    fn render(&self, number: usize, out: &mut Vec<u8>) {
        if let Some(token) = self.families.get(number) {
            let body = format!("grant_type=refresh_token&refresh_token={token}");
            out.extend_from_slice(&http::form("/oauth/token", CLIENT, &self.secret, &body));
        }
    }

    fn check(&mut self, number: usize, status: u16, body: &[u8]) -> bool {
        self.free.push(number);
        let Some(token) = self.families.get_mut(number) else { return false };
        match next_token(body) {
            Some(next) if status == 200 && next != *token => {
                *token = next;
                true
            }
            _ => false,
        }
    }
}

/// The refresh token of an answer.
fn next_token(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    Some(answer.get("refresh_token")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_goes_on_with_what_it_was_given() {
        let mut work = Refreshes { families: vec!["first".to_owned()], free: vec![0], secret: "s".to_owned() };
        assert_eq!(work.next(), Some(0));
        assert_eq!(work.next(), None, "its refresh is under way");
        assert!(work.check(0, 200, br#"{"refresh_token":"second"}"#));
        assert_eq!(work.next(), Some(0));
        let mut out = Vec::new();
        work.render(0, &mut out);
        assert!(out.ends_with(b"grant_type=refresh_token&refresh_token=second"));
        assert!(!work.check(0, 200, br#"{"refresh_token":"second"}"#), "the same again is no success");
        assert!(!work.check(0, 400, br#"{"error":"invalid_grant"}"#));
    }
}
