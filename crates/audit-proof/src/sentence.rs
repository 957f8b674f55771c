//! One English sentence an event, for people.
//!
//! It is built from the words of the event, so that a new event reads well without a change here: the last word of `credential.value.read`
//! is what was done, the words before are to what. Words that do not read well that way are in `SPECIAL`.

use std::fmt::Write as _;

use coffre_proto::audit::v1::{Event, Outcome};

/// What was done: the word in an event, what one tries to do, what one did.
const VERBS: &[(&str, &str, &str)] = &[
    ("create", "create", "created"),
    ("read", "read", "read"),
    ("list", "list", "listed"),
    ("update", "update", "updated"),
    ("delete", "delete", "deleted"),
    ("write", "write", "wrote"),
    ("set", "set", "set"),
    ("enable", "enable", "enabled"),
    ("disable", "disable", "disabled"),
    ("revoke", "revoke", "revoked"),
    ("refresh", "refresh", "refreshed"),
    ("validate", "validate", "validated"),
    ("check", "check", "checked"),
    ("change", "change", "changed"),
    ("rotate", "rotate", "rotated"),
    ("transfer", "transfer", "transferred"),
    ("assign", "assign", "assigned"),
    ("add", "add", "added"),
    ("remove", "remove", "removed"),
    ("store", "store", "stored"),
    ("seal", "seal", "sealed"),
    ("unseal", "unseal", "unsealed"),
    ("start", "start", "started"),
    ("stop", "stop", "stopped"),
    ("initialise", "initialise", "initialised"),
    ("initialize", "initialise", "initialised"),
    ("migrate", "migrate", "migrated"),
    ("issue", "issue", "issued"),
    ("open", "open", "opened"),
    ("end", "end", "ended"),
    ("release", "release", "released"),
    ("confirm", "confirm", "confirmed"),
];

/// Events whose words do not read as object and verb.
const SPECIAL: &[(&str, &str, &str)] = &[
    ("session.opened", "sign in", "signed in"),
    ("session.ended", "sign out", "signed out"),
    ("token.refreshed", "refresh a token", "refreshed a token"),
    ("token.validated", "validate a token", "validated a token"),
    ("oauth.token.issued", "obtain an OAuth token", "obtained an OAuth token"),
    ("oauth.token.refreshed", "renew an OAuth token", "renewed an OAuth token"),
    ("oauth.token.revoked", "revoke an OAuth token", "revoked an OAuth token"),
    ("oauth.token.introspected", "ask about an OAuth token", "asked about an OAuth token"),
    ("signing_keys.read", "read the public signing keys", "read the public signing keys"),
    ("dashboard.read", "read the dashboard", "read the dashboard"),
    ("audit.entry.listed", "list the audit", "listed the audit"),
    ("audit.entry.read", "read an audit entry", "read an audit entry"),
    ("audit.entry.streamed", "stream the audit", "opened a stream of the audit"),
    ("audit.entry.proved", "get the proof of an audit entry", "got the proof of an audit entry"),
    ("audit.checkpoint.read", "read a checkpoint of the audit", "read a checkpoint of the audit"),
    ("audit.checkpoint.created", "make a checkpoint of the audit", "made a checkpoint of the audit"),
    ("audit.consistency.proved", "get the proof that the audit continues", "got the proof that the audit continues"),
    ("audit.incident.found", "look after the audit", "found something wrong with the audit"),
    (
        "audit.stream.unclosed",
        "look after the audit",
        "found an end of the record of which nobody can say that it is the end",
    ),
    ("audit.incident.listed", "list the incidents of the audit", "listed the incidents of the audit"),
    ("audit.cut", "cut off old entries of the audit", "cut off old entries of the audit"),
    ("audit.cut.planned", "ask what a cut of the audit would remove", "asked what a cut of the audit would remove"),
    ("process.started", "start the server", "started the server"),
    ("process.stopped", "stop the server", "stopped the server"),
    ("backup.made", "make a backup", "made a backup"),
    ("restore.done", "restore a backup", "restored a backup"),
    ("migration.started", "migrate the databases", "began to migrate the databases"),
    ("migration.finished", "migrate the databases", "migrated the databases"),
    ("vault.value_seal.continued", "record further values of a change", "recorded further values of a change"),
    ("vault.value_seal.listed", "list the seals of stored values", "listed the seals of stored values"),
    ("installation.initialised", "make the first administrator", "made the first administrator"),
    ("vault.initialised", "make the vault's keys", "made the vault's keys"),
    ("vault.opened", "open the vault", "opened the vault"),
    ("vault.root_key.shared", "give the root key to another replica", "gave the root key to another replica"),
    ("vault.root_key.refused", "get the root key of the vault", "asked for the root key of the vault in vain"),
    ("vault.mode.read", "read the vault's mode", "read the vault's mode"),
    ("vault.status.read", "read whether the vault is open", "read whether the vault is open"),
    ("vault.transport_key.read", "read the transport key", "read the transport key"),
    ("vault.mode.changed", "change the vault's mode or its key", "changed the vault's mode or its key"),
    ("vault.key.applied", "open the vault with a key", "opened the vault with a key"),
    ("vault.key.drilled", "try whether a key opens the vault", "tried whether a key opens the vault"),
    ("vault.sealed", "seal the vault", "sealed the vault"),
    ("vault.unsealed", "unseal the vault", "unsealed the vault"),
    ("vault.rotation.started", "begin a re-encryption of the values", "began a re-encryption of the values"),
    ("vault.rotation.read", "read how far the re-encryption is", "read how far the re-encryption is"),
    ("vault.rotation.ended", "end the re-encryption of the values", "ended the re-encryption of the values"),
    ("vault.value.reencrypted", "re-encrypt values", "re-encrypted values"),
    ("vault.recovery_key.replaced", "replace the recovery key", "replaced the recovery key"),
    ("vault.slot.listed", "list which keys open the vault", "listed which keys open the vault"),
    ("request.refused", "make a request that reached no service", "made requests that reached no service"),
    ("call.unknown_caller.counted", "make calls beyond the quota", "made calls beyond the quota"),
];

/// Events of a part of something: the object follows.
const PARTS: &[(&str, &str, &str)] = &[
    ("locker.member.listed", "list the members of", "listed the members of"),
    ("locker.member.set", "set a member of", "set a member of"),
    ("locker.member.removed", "remove a member from", "removed a member from"),
    ("locker.consumer.listed", "list the consumers of", "listed the consumers of"),
    ("locker.consumer.added", "add a consumer to", "added a consumer to"),
    ("locker.consumer.removed", "remove a consumer from", "removed a consumer from"),
    ("locker.credential.listed", "list the credentials in", "listed the credentials in"),
    ("credential.withdrawn", "withdraw", "withdrew"),
    ("api_access.confirmation.withdrawn", "take back the confirmation of", "took back the confirmation of"),
    ("credential.access.explained", "explain the access to", "explained the access to"),
    ("credential.missing.listed", "list the missing values of", "listed the missing values of"),
    ("user.holdings.listed", "list the holdings of", "listed the holdings of"),
    ("user.holdings.transferred", "hand over the holdings of", "handed over the holdings of"),
];

/// Builds the sentence.
#[must_use]
pub fn sentence(event: &Event) -> String {
    let (try_to, did) = words(event);
    let mut out = String::with_capacity(96);
    subject(&mut out, event);
    let done = match event.outcome() {
        Outcome::Successful => write!(out, " {did}"),
        Outcome::Unsuccessful if event.occurrences > 1 => write!(out, " {did} ({} calls)", event.occurrences),
        Outcome::Unsuccessful if event.reason.is_empty() => write!(out, " tried to {try_to} and was refused"),
        Outcome::Unsuccessful => write!(out, " tried to {try_to} and was refused ({})", event.reason),
        Outcome::Unknown | Outcome::Unspecified => write!(out, " tried to {try_to}; the outcome is not known"),
    };
    // Writing to a String does not fail.
    debug_assert!(done.is_ok());
    out
}

fn subject(out: &mut String, event: &Event) {
    let actor = event.actor.as_ref();
    let name = actor.map_or("", |actor| actor.user_name.as_str());
    let client = actor.map_or("", |actor| actor.client_id.as_str());
    let written = match (name.is_empty(), client.is_empty()) {
        (false, true) => write!(out, "User \"{name}\""),
        (false, false) => write!(out, "User \"{name}\" through API client \"{client}\""),
        (true, false) => write!(out, "API client \"{client}\""),
        // The gateway acts for others only.
        (true, true) if event.service == "gateway" => write!(out, "An unknown caller"),
        (true, true) if event.method.is_empty() && event.client_address.is_empty() => write!(out, "The system"),
        (true, true) => write!(out, "An unknown caller"),
    };
    debug_assert!(written.is_ok());
}

/// What one tries to do, and what one did.
fn words(event: &Event) -> (String, String) {
    if let Some((_, try_to, did)) = SPECIAL.iter().find(|(known, ..)| *known == event.event) {
        return ((*try_to).to_owned(), (*did).to_owned());
    }
    let part = PARTS.iter().find(|(known, ..)| event.object.is_some() && *known == event.event);
    if let Some((_, try_to, did)) = part {
        let about = about(event, "");
        return (format!("{try_to}{about}"), format!("{did}{about}"));
    }
    let (nouns, verb) = event.event.rsplit_once('.').unwrap_or(("", event.event.as_str()));
    let Some((_, present, past)) = VERBS.iter().find(|(known, _, past)| *known == verb || *past == verb) else {
        let about = format!("\"{}\"{}", event.event, about(event, ""));
        return (format!("call {about}"), format!("called {about}"));
    };
    let about = about(event, nouns);
    (format!("{present}{about}"), format!("{past}{about}"))
}

/// To what it was done: ` credential "SharePoint Login"`, ` the value of credential "SharePoint Login"`, ` the users`.
fn about(event: &Event, nouns: &str) -> String {
    let object = event.object.as_ref().filter(|object| !object.id.is_empty() || !object.name.is_empty());
    let nouns = nouns.replace(['.', '_'], " ").replace("api ", "API ");
    let Some(object) = object else {
        return match (nouns.is_empty(), event.event.ends_with(".list") || event.event.ends_with(".listed")) {
            (true, _) => String::new(),
            (false, true) if nouns.ends_with('s') => format!(" the {nouns}es"),
            (false, true) => format!(" the {nouns}s"),
            (false, false) if nouns.starts_with("API") => format!(" an {nouns}"),
            (false, false) => format!(" a {nouns}"),
        };
    };
    let kind = match object.r#type.as_str() {
        "apiAccess" => "API access".to_owned(),
        "apiKey" => "API key".to_owned(),
        other => other.replace('_', " "),
    };
    let part = nouns.strip_prefix(kind.as_str()).map_or(nouns.as_str(), str::trim_start);
    let of = if part.is_empty() { String::new() } else { format!(" the {part} of") };
    let name = if object.name.is_empty() { object.id.clone() } else { format!("\"{}\"", object.name) };
    format!("{of} {kind} {name}")
}

#[cfg(test)]
mod tests {
    use coffre_proto::audit::v1::{Actor, Change, Detail, Object};

    use super::*;
    use crate::detail::detail;
    use crate::tree::leaf_hash;
    use crate::words::WORDS;

    fn event(word: &str, object: Option<(&str, &str, &str)>) -> Event {
        Event {
            event: word.into(),
            outcome: Outcome::Successful.into(),
            method: "coffre.x/Y".into(),
            actor: Some(Actor { user_id: 1, user_name: "admin".into(), ..Actor::default() }),
            object: object.map(|(kind, id, name)| Object { r#type: kind.into(), id: id.into(), name: name.into() }),
            ..Event::default()
        }
    }

    #[test]
    fn events_read_as_sentences() {
        let login = Some(("credential", "12", "SharePoint Login"));
        let locker = Some(("locker", "3", "Finance"));
        let monitor = Some(("apiAccess", "4", "monitor"));
        for (word, object, expected) in [
            ("credential.created", login, "User \"admin\" created credential \"SharePoint Login\""),
            ("credential.value.read", login, "User \"admin\" read the value of credential \"SharePoint Login\""),
            ("credential.read", Some(("credential", "12", "")), "User \"admin\" read credential 12"),
            ("credential.listed", Some(("credential", "", "")), "User \"admin\" listed the credentials"),
            ("locker.created", locker, "User \"admin\" created locker \"Finance\""),
            ("locker.listed", None, "User \"admin\" listed the lockers"),
            ("locker.member.set", locker, "User \"admin\" set a member of locker \"Finance\""),
            ("locker.consumer.listed", locker, "User \"admin\" listed the consumers of locker \"Finance\""),
            ("locker.consumer.added", locker, "User \"admin\" added a consumer to locker \"Finance\""),
            ("credential.withdrawn", login, "User \"admin\" withdrew credential \"SharePoint Login\""),
            ("locker.member.set", None, "User \"admin\" set a locker member"),
            (
                "user.holdings.transferred",
                Some(("user", "7", "bob")),
                "User \"admin\" handed over the holdings of user \"bob\"",
            ),
            ("user.listed", None, "User \"admin\" listed the users"),
            ("user.created", None, "User \"admin\" created a user"),
            (
                "user.password.changed",
                Some(("user", "7", "bob")),
                "User \"admin\" changed the password of user \"bob\"",
            ),
            ("session.opened", Some(("user", "7", "bob")), "User \"admin\" signed in"),
            ("vault.sealed", Some(("vault", "", "")), "User \"admin\" sealed the vault"),
            ("token.refreshed", None, "User \"admin\" refreshed a token"),
            ("oauth.token.issued", Some(("session", "x", "bob")), "User \"admin\" obtained an OAuth token"),
            ("api_access.created", monitor, "User \"admin\" created API access \"monitor\""),
            ("api_access.created", None, "User \"admin\" created an API access"),
            ("api_access.listed", None, "User \"admin\" listed the API accesses"),
            ("api_access.secret.rotated", monitor, "User \"admin\" rotated the secret of API access \"monitor\""),
            (
                "api_access.confirmation.withdrawn",
                monitor,
                "User \"admin\" took back the confirmation of API access \"monitor\"",
            ),
            ("api_key.deleted", Some(("apiKey", "7", "nightly")), "User \"admin\" deleted API key \"nightly\""),
            ("api_key.listed", None, "User \"admin\" listed the API keys"),
            ("something.odd", login, "User \"admin\" called \"something.odd\" credential \"SharePoint Login\""),
        ] {
            assert_eq!(sentence(&event(word, object)), expected);
        }
    }

    #[test]
    fn every_event_of_the_page_has_words() {
        let page = include_str!("../../../docs/audit-events.md");
        let column = |line: &'static str| line.strip_prefix('|')?.split('|').nth(1)?.split('`').nth(1);
        let listed: Vec<&str> = page.lines().filter_map(column).filter(|word| word.contains('.')).collect();
        assert!(listed.len() > 60 && listed.contains(&"vault.key.drilled"), "{listed:?}");
        let without = |word: &&&str| sentence(&event(word, Some(("thing", "1", "")))).contains("called");
        assert_eq!(listed.iter().find(without), None);
    }

    #[test]
    fn refusals_name_their_reason() {
        let mut refused = event("credential.delete", Some(("credential", "12", "")));
        refused.outcome = Outcome::Unsuccessful.into();
        refused.reason = "CREDENTIAL_IN_LOCKER".into();
        refused.actor = None;
        let expected = "An unknown caller tried to delete credential 12 and was refused (CREDENTIAL_IN_LOCKER)";
        assert_eq!(sentence(&refused), expected);
    }

    #[test]
    fn what_the_gateway_refused_was_done_by_an_unknown_caller() {
        let mut refused = Event { service: "gateway".into(), ..event("request.refused", None) };
        refused.outcome = Outcome::Unsuccessful.into();
        refused.reason = "REQUEST_MALFORMED".into();
        refused.actor = None;
        let expected =
            "An unknown caller tried to make a request that reached no service and was refused (REQUEST_MALFORMED)";
        assert_eq!(sentence(&refused), expected);
        refused.occurrences = 12;
        refused.method.clear();
        assert_eq!(sentence(&refused), "An unknown caller made requests that reached no service (12 calls)");
    }

    #[test]
    fn whoever_changes_what_is_said_raises_its_version() {
        let mut said = format!("{VERBS:?}{SPECIAL:?}{PARTS:?}");
        for word in ["credential.created", "vault.sealed", "locker.member.set", "user.listed", "odd", ""] {
            for object in [None, Some(("credential", "12", "Login")), Some(("credential", "12", ""))] {
                for (outcome, reason, occurrences) in
                    [(1, "", 0), (2, "", 0), (2, "DENIED", 0), (2, "DENIED", 3), (3, "", 0)]
                {
                    let event = Event { outcome, reason: reason.into(), occurrences, ..event(word, object) };
                    let nobody = Event { actor: None, method: String::new(), ..event.clone() };
                    for event in [event, nobody] {
                        let change = Change { field: "name".into(), old_value: None, new_value: Some("a\"\n".into()) };
                        let fact = Detail { key: "value".into(), value: "1".into() };
                        let more = Event { changes: vec![change], details: vec![fact.clone(), fact], ..event.clone() };
                        said = [said, sentence(&event), detail(&event), detail(&more)].join("\n");
                    }
                }
            }
        }
        let digest = hex::encode(leaf_hash(said.as_bytes()));
        assert_eq!(
            (WORDS, digest.as_str()),
            (1, "7d52f9c935e054f26080dad6dcb3ef583cd93ed27a0d0ce4a69455d929814fb6"),
            "raise WORDS, and write the digest of now here"
        );
    }

    #[test]
    fn there_is_always_a_sentence() {
        assert!(!sentence(&Event::default()).is_empty());
    }
}
