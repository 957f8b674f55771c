//! Who the client is that asks.
//!
//! The time of an answer depends on what was sent and on nothing that is stored: a secret of the form that we generate is compared by its
//! keyed hash, whatever the client is and whether it exists; any other costs one Argon2id, against what is stored or against what nothing
//! matches. Failures count like those of a sign-in, in places of their own for either form (`super::throttle`).
//!
//! What came by HTTP Basic can be read in two ways. RFC 6749 section 2.3.1 wants id and secret encoded like a form, and many a client sends
//! them as they are; both count.

use coffre_audit_client::CallRecord;
use coffre_db::Connection;
use coffre_secret::SecretText;
use coffre_types::{ApiAccessId, ApiSecretId, NameKey, Timestamp};
use percent_encoding::percent_decode_str;

use super::api_access::{ApiAccess, ApiSecret};
use super::confirmations::is_confirmed;
use super::error::Fault;
use super::oauth_error::OAuthError;
use super::secret_text::ClientSecretText;
use super::throttle::{self, AddressKey, BucketKey, Counted, Shown, address_key};
use super::{Auth, ClientAddress};
use crate::secrets::ConfirmationMacs;
use crate::store::api_accesses;

/// What a client shows.
pub(crate) struct ShownClient {
    pub(crate) id: String,
    pub(crate) secret: SecretText,
    /// It came by HTTP Basic.
    pub(crate) basic: bool,
}

/// One way to read what a client shows: an id, and the secrets that it may have meant.
struct Reading {
    id: NameKey,
    secrets: Vec<SecretText>,
}

impl ShownClient {
    fn readings(self) -> Vec<Reading> {
        let decoded = self.basic.then(|| decode(&self.id).zip(decode(self.secret.expose()))).flatten();
        let (id, secret) = (NameKey::of(&self.id), self.secret);
        let second = decoded.map(|(id, secret)| (NameKey::of(&id), SecretText::new(secret)));
        match second.filter(|(other, text)| *other != id || text.expose() != secret.expose()) {
            None => vec![Reading { id, secrets: vec![secret] }],
            Some((other, text)) if other == id => vec![Reading { id, secrets: vec![secret, text] }],
            Some((other, text)) => {
                vec![Reading { id, secrets: vec![secret] }, Reading { id: other, secrets: vec![text] }]
            }
        }
    }
}

/// Decodes a value of a form; `None` where it is none.
fn decode(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A client that has shown its secret.
#[derive(Clone)]
pub(crate) struct Client {
    /// As it was when the call began. Whoever makes something of it looks again ([`Self::again`]).
    pub(crate) access: ApiAccess,
    /// The secret that it showed.
    pub(crate) secret: ApiSecretId,
}

impl Client {
    /// Reads the client again; `None` where it or its secret has ended meanwhile.
    pub(crate) fn again(&self, conn: &mut Connection, now: Timestamp) -> Result<Option<ApiAccess>, coffre_db::Error> {
        let found = api_accesses::find(conn, self.access.id, now)?;
        Ok(found.filter(|access| {
            let lives = !access.disabled && access.epoch == self.access.epoch;
            lives && access.secrets.iter().any(|secret| secret.id == self.secret)
        }))
    }

    /// Returns the secret that it showed, where the operator of the access, as it was read, has confirmed it.
    pub(super) fn confirmed<'a>(&self, macs: &ConfirmationMacs, access: &'a ApiAccess) -> Option<&'a ApiSecret> {
        let shown = access.secrets.iter().find(|secret| secret.id == self.secret);
        shown.filter(|secret| is_confirmed(macs, access, secret))
    }
}

/// What comparing a secret came to.
struct Compared {
    keys: [BucketKey; 3],
    /// There were failures before.
    failed_before: bool,
    access: Option<ApiAccess>,
    matched: Option<ApiSecretId>,
    /// An attempt that was counted before and is to be settled.
    counted: Option<Counted>,
}

impl Compared {
    /// Says why nothing matched, for the audit alone.
    fn cause(&self) -> &'static str {
        match (&self.access, self.matched) {
            (None, _) => "unknown client",
            (Some(_), None) => "wrong secret",
            (Some(_), Some(_)) => "client disabled",
        }
    }
}

impl Auth {
    /// Returns the client, once it has shown who it is.
    pub(crate) async fn client(
        &self,
        shown: ShownClient,
        address: ClientAddress,
        record: &CallRecord,
    ) -> Result<Client, OAuthError> {
        let (address, mut failed) = (address_key(address), Vec::new());
        let readings = shown.readings();
        let found = self.find_and_name(&readings, record).await?;
        let _trying = self.crowd.enter(address).map_err(|_| OAuthError::Overloaded)?;
        for (reading, access) in readings.iter().zip(found) {
            let compared = match self.compared(reading, access, address).await {
                Ok(compared) => compared,
                Err(refused) => {
                    self.count_readings(failed).await?;
                    return Err(refused);
                }
            };
            match (&compared.access, compared.matched) {
                (Some(access), Some(secret)) if !access.disabled => {
                    let client = Client { access: access.clone(), secret };
                    self.settle_readings(compared, failed).await?;
                    record.client(client.access.client_id.as_str());
                    return Ok(client);
                }
                _ => failed.push(compared),
            }
        }
        for compared in &failed {
            record.detail("cause", compared.cause());
        }
        self.count_readings(failed).await?;
        Err(OAuthError::ClientInvalid)
    }

    /// Reads who each reading names, and says it in the record, whatever comes of it. What nobody is called is not written down: people paste
    /// secrets into the wrong field.
    async fn find_and_name(&self, readings: &[Reading], record: &CallRecord) -> Result<Vec<Option<ApiAccess>>, Fault> {
        let (ids, now): (Vec<NameKey>, _) = (readings.iter().map(|reading| reading.id.clone()).collect(), self.now());
        let find = move |conn: &mut Connection| {
            ids.iter()
                .map(|id| api_accesses::of_client(conn, id, now).map_err(Fault::from))
                .collect::<Result<Vec<_>, _>>()
        };
        let found = self.database.read(find).await?;
        for access in found.iter().flatten() {
            record.detail("client", access.named());
        }
        Ok(found)
    }

    /// Counts readings of which none was right.
    async fn count_readings(&self, failed: Vec<Compared>) -> Result<(), OAuthError> {
        let (rules, now) = (self.config.throttle, self.now());
        for Compared { keys, counted, .. } in failed {
            match counted {
                Some(counted) => self.count_failure(counted).await?,
                None => {
                    self.database.write(move |tx| throttle::count_failure(tx.conn(), &rules, &keys, now)).await?;
                }
            }
        }
        Ok(())
    }

    /// Settles the reading that was right. Those that were tried before it were no attempts.
    async fn settle_readings(&self, right: Compared, others: Vec<Compared>) -> Result<(), OAuthError> {
        let released: Vec<Counted> = others.into_iter().filter_map(|other| other.counted).collect();
        // The common case writes nothing: a generated secret, without a failure before it.
        if right.counted.is_none() && !right.failed_before && released.is_empty() {
            return Ok(());
        }
        let (rules, now) = (self.config.throttle, self.now());
        self.database
            .write(move |tx| {
                for counted in &released {
                    counted.release(tx.conn(), &rules, now)?;
                }
                match right.counted {
                    Some(counted) => counted.settle(tx.conn(), &rules, true, now),
                    None => throttle::forgive(tx.conn(), &rules, &right.keys, now),
                }
            })
            .await?;
        Ok(())
    }

    async fn compared(
        &self,
        Reading { id, secrets }: &Reading,
        access: Option<ApiAccess>,
        address: AddressKey,
    ) -> Result<Compared, OAuthError> {
        // Nobody may choose what begins like a generated one, so what reads as one in either way is one.
        let generated = secrets.iter().find_map(|secret| ClientSecretText::parse(secret.expose()));
        let shown = if generated.is_some() { Shown::GeneratedSecret(id) } else { Shown::ChosenSecret(id) };
        let rules = self.config.throttle;
        let keys = throttle::keys(&self.secrets, shown, address, rules.slots);
        let failed_before = self.hold_back(keys).await?.failed;
        if let Some(secret) = generated {
            let matched = self.generated_match(access.as_ref(), &secret);
            return Ok(Compared { keys, failed_before, access, matched, counted: None });
        }
        let mut first_turn = Some(self.turn(address).await?);
        let now = self.now();
        let begun = self.database.write(move |tx| throttle::begin(tx.conn(), &rules, &keys, now)).await?;
        let counted = Some(begun.map_err(|retry_after| OAuthError::Throttled { retry_after })?);
        // The id 0 is nobody's, as with passwords.
        let owner = access.as_ref().map_or(ApiAccessId::from_trusted(0), |access| access.id);
        let known = access.as_ref().map_or(&[][..], |access| &access.secrets);
        let hashes: Vec<&str> = known.iter().map(|secret| secret.hash.as_str()).collect();
        let mut matched = None;
        for secret in secrets {
            let turn = match first_turn.take() {
                Some(turn) => turn,
                None => self.turn(address).await?,
            };
            let keyed = self.secrets.keyed_client_secret(owner, secret.expose().as_bytes());
            let place = self.hasher.verify_any(&keyed, &hashes, turn).await.map_err(Fault::from)?;
            matched = place.and_then(|place| known.get(place)).map(|secret| secret.id);
            if matched.is_some() {
                break;
            }
        }
        Ok(Compared { keys, failed_before, access, matched, counted })
    }

    fn generated_match(&self, access: Option<&ApiAccess>, secret: &ClientSecretText) -> Option<ApiSecretId> {
        let id = access.map_or(ApiAccessId::from_trusted(0), |access| access.id);
        let hash = self.secrets.client_secret_hash(id, secret.secret());
        let known = access.map_or(&[][..], |access| &access.secrets);
        known
            .iter()
            .find(|stored| coffre_secret::equal(stored.hash.as_bytes(), hash.as_bytes()))
            .map(|stored| stored.id)
    }

    async fn turn(&self, address: AddressKey) -> Result<crate::hashing::HashTurn, OAuthError> {
        self.gate.turn(address).await.map_err(|_| OAuthError::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(id: &str, secret: &str, basic: bool) -> Vec<(String, Vec<String>)> {
        let shown = ShownClient { id: id.to_owned(), secret: SecretText::new(secret.to_owned()), basic };
        let texts = |secrets: Vec<SecretText>| secrets.into_iter().map(SecretText::into_exposed).collect();
        shown.readings().into_iter().map(|reading| (reading.id.into_string(), texts(reading.secrets))).collect()
    }

    fn reading(id: &str, secrets: &[&str]) -> (String, Vec<String>) {
        (id.to_owned(), secrets.iter().map(|secret| (*secret).to_owned()).collect())
    }

    #[test]
    fn what_came_by_http_basic_has_two_readings() {
        assert_eq!(readings("App", "a+b%2Bc", true), [reading("app", &["a+b%2Bc", "a b+c"])]);
        assert_eq!(readings("my%20app", "s", true), [reading("my%20app", &["s"]), reading("my app", &["s"])]);
    }

    #[test]
    fn what_reads_alike_in_both_ways_has_one() {
        assert_eq!(readings("app", "plain:secret", true), [reading("app", &["plain:secret"])]);
        assert_eq!(readings("app", "100%", true), [reading("app", &["100%"])], "no escape");
        assert_eq!(readings("app", "%ff%fe", true), [reading("app", &["%ff%fe"])], "no text");
    }

    #[test]
    fn what_came_in_the_body_has_one_reading() {
        assert_eq!(readings("app", "a+b%2Bc", false), [reading("app", &["a+b%2Bc"])]);
    }
}
