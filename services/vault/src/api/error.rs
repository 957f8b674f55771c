//! How the vault's refusals read to callers. No `_` arm: a new reason must choose its words.

use std::time::Duration;

use coffre_crypto::slot::SlotKind;
use coffre_error::{Reason, Refusal};
use coffre_types::Permission;
use tonic::Status;

use crate::domain::error::VaultError;
use crate::domain::keys::slot_word;
use crate::domain::policy::Action;

const DATABASE: &str = "the vault's database";
const SOON: Duration = Duration::from_secs(1);
const SEALED: Duration = Duration::from_secs(10);

pub(super) fn status(error: VaultError) -> Status {
    refusal(error).into()
}

pub(super) fn refusal(error: VaultError) -> Refusal {
    use VaultError as E;
    match error {
        E::Invalid { field, description } => Refusal::invalid(field, description),
        E::CredentialNotFound => {
            Refusal::new(Reason::CredentialNotFound, "there is no such credential, or none that you may see")
        }
        E::CredentialNameTaken => Refusal::new(
            Reason::CredentialNameTaken,
            "another credential has this name; names differ by more than case and Unicode form: choose another",
        ),
        E::CredentialVersionConflict => Refusal::new(
            Reason::CredentialVersionConflict,
            "the credential was changed meanwhile: read it again and repeat the change with its version",
        ),
        E::PreconditionFailed => Refusal::new(
            Reason::RequestPreconditionFailed,
            "If-Match does not match the present version: read it again and repeat with its ETag",
        ),
        E::CredentialInLocker(locker) => Refusal::new(
            Reason::CredentialInLocker,
            format!(
                "locker {locker} holds the credential: take it out first (DELETE …/lockers/{locker}/credentials/{{id}})"
            ),
        )
        .with("locker_id", locker.to_string()),
        E::CredentialNotInLocker { locker, holder } => {
            let place = holder.map_or_else(|| "no locker holds it".to_owned(), |holder| format!("locker {holder} does"));
            Refusal::new(
                Reason::CredentialNotInLocker,
                format!("locker {locker} does not hold this credential: {place}"),
            )
        }
        E::LockerNotFound(locker) => Refusal::new(
            Reason::LockerNotFound,
            format!("there is no locker {locker}, or none that you may see"),
        ),
        E::LockerNotPermitted(locker) => Refusal::new(
            Reason::LockerNotPermitted,
            format!(
                "you see locker {locker} but may put nothing into it: an own, manage or participate member of the locker may, with \
                 credentials of its own; an owner of the locker can make you one"
            ),
        ),
        E::LockerBeingDeleted(locker) => Refusal::new(
            Reason::LockerBeingDeleted,
            format!("locker {locker} is being deleted and takes nothing any more: choose another one"),
        ),
        E::LockerUnavailable | E::SharesNotAsked | E::EntryOvertaken => Refusal::new(
            Reason::ServiceUnavailable,
            "the service that knows lockers does not answer, and your rights may hang on a locker; nothing was done: repeat the call",
        )
        .retry_after(SOON),
        E::AuditUnavailable => Refusal::new(
            Reason::ServiceUnavailable,
            "the service that keeps the audit log does not answer: repeat the call",
        )
        .retry_after(SOON),
        E::NotPermitted(action) => Refusal::new(Reason::CredentialNotPermitted, not_permitted(action)),
        E::PermissionRequired(permission) => coffre_rpc::missing(permission),
        E::SelfGrant => Refusal::new(
            Reason::AuthzSelfGrant,
            "\"Administer all lockers\" changes owners but never to oneself; ask the owner or another administrator",
        ),
        E::OwnerUnknown(user) => Refusal::new(
            Reason::CredentialOwnerUnknown,
            format!("user {user} does not exist or is being deleted: choose another owner"),
        ),
        E::OwnerImmutable(owner) => Refusal::invalid(
            "owner_id",
            format!(
                "an update does not change the owner: use PUT …/credentials/{{id}}/owner/{owner} (TransferCredential)"
            ),
        ),
        E::LockerImmutable(locker) => Refusal::invalid(
            "locker_id",
            format!("an update does not move a credential: use PUT …/lockers/{locker}/credentials/{{id}}"),
        ),
        E::AttributeNotFound(id) => {
            Refusal::new(Reason::AttributeNotFound, format!("the credential has no attribute {id}"))
        }
        E::AttributeVersionConflict(id) => Refusal::new(
            Reason::AttributeVersionConflict,
            format!("attribute {id} was changed meanwhile: read the credential again and repeat with its version"),
        ),
        E::AttributeNameTaken(name) => Refusal::new(
            Reason::AttributeNameTaken,
            format!("two attributes would have the name \"{name}\"; names differ by more than case and Unicode form"),
        ),
        E::AttributeHasValues(id) => Refusal::new(
            Reason::AttributeHasValues,
            format!(
                "userProvided of attribute {id} cannot change while it has values: delete them first, or add another attribute"
            ),
        ),
        E::ValueNotFound => {
            Refusal::new(Reason::ValueNotFound, "the credential has no such value, or none that you may see")
        }
        E::ValueExists { attribute, value } => {
            let id = value.map_or_else(|| "{valueId}".to_owned(), |value| value.to_string());
            Refusal::new(
                Reason::ValueExists,
                format!(
                    "attribute {attribute} has its value already; nothing was stored: change it with PUT …/attributevalues/{id}"
                ),
            )
        }
        E::ValueVersionConflict => Refusal::new(
            Reason::ValueVersionConflict,
            "the value was changed meanwhile: read it again and repeat the change with its version",
        ),
        E::ValueCorrupt(id) => {
            tracing::error!(
                value_id = id.get(),
                "a stored value does not open at its place: it was moved, rolled back or damaged"
            );
            Refusal::new(Reason::ValueCorrupt, "a stored value does not open; the log and the audit name it")
        }
        E::Sealed => Refusal::new(
            Reason::VaultSealed,
            "the vault is sealed: values cannot be read or written until it is opened",
        )
        .retry_after(SEALED),
        E::KeyWrong => Refusal::new(
            Reason::VaultKeyWrong,
            "the key is none that opens this vault: it is mistyped, of another vault, or was replaced",
        ),
        E::KeyFileWrong => Refusal::new(
            Reason::VaultKeyWrong,
            "the key file of the server is not the one of this vault: put it back, or send the recovery key",
        ),
        E::KeyFileUnusable(why) => Refusal::new(
            Reason::VaultModeConflict,
            format!("the server's key file cannot be used, so nothing was changed ({why}): put it right and repeat the call"),
        ),
        E::KeyThrottled(wait) => Refusal::new(
            Reason::VaultKeyThrottled,
            "you tried too many wrong keys; this one was not looked at: repeat the call later",
        )
        .retry_after(wait.max(SOON)),
        E::KeyWeak { setting } => {
            let words = if setting {
                "the new master key has fewer than 16 characters: choose a longer one; the server takes shorter ones only where its \
                 settings say so"
            } else {
                "the new master key has fewer than 6 characters: choose a longer one"
            };
            Refusal::new(Reason::VaultKeyWeak, words).violation("private_key", "is too short")
        }
        E::KeyDamaged => {
            tracing::error!("the slot of a key in the vault's database is damaged (table key_slots)");
            Refusal::new(
                Reason::VaultKeyDamaged,
                "the slot of this key is damaged in the database (table key_slots), so nobody can say whether the key is right: open the \
                 vault with another key, then replace this one; or restore the table from a backup",
            )
        }
        E::KeptSlotDamaged(kind) => {
            tracing::error!(slot = slot_word(kind), "a slot in the vault's database is damaged or was not made by this vault");
            Refusal::new(Reason::VaultKeyDamaged, kept_slot_damaged(kind))
        }
        E::TermsDamaged(damaged) => {
            tracing::error!("{damaged}");
            Refusal::new(
                Reason::VaultKeyDamaged,
                format!(
                    "{damaged}, and no key replaces it: restore the table from a backup that was made since the last change of a key; while \
                     the vault is open, a new recovery key or master key writes all data keys anew"
                ),
            )
        }
        E::KeysRolledBack(rolled_back) => {
            Refusal::new(Reason::VaultKeyDamaged, format!("nothing was done: {rolled_back}"))
        }
        E::SealNotStored { full } => Refusal::new(
            Reason::StoreUnavailable,
            format!(
                "the vault is closed in this process and stays so, but {DATABASE} {}: the seal is not stored, so other replicas do not know \
                 of it yet, and this process forgets it if it ends before; it is tried again until it is stored: {}, restart nothing before, \
                 and seal each other replica, too",
                if full { "has a full disk" } else { "cannot be written" },
                if full { "make room" } else { "bring the database back" },
            ),
        )
        .retry_after(SOON),
        E::KeysChanged => Refusal::new(
            Reason::VaultKeysChanged,
            "somebody else changed the keys or the seal at the same time; nothing was done: look at them and repeat the call",
        ),
        E::PeerNotVault => Refusal::new(
            Reason::AuthzPermissionRequired,
            "only a replica of the vault gets the root key: the certificate of the caller names another service, or none",
        ),
        E::PeerUnproven => Refusal::new(
            Reason::VaultKeyWrong,
            "whoever asks does not read the keys of this vault: it belongs to another vault, or somebody changed the database between two looks",
        ),
        E::PeersBusy => Refusal::new(
            Reason::RequestOverloaded,
            "other replicas are being given the root key: ask another one, or again a little later",
        )
        .retry_after(SOON),
        E::ModeConflict(words) => Refusal::new(Reason::VaultModeConflict, words),
        E::TransportKeyUnknown => Refusal::new(
            Reason::TransportKeyUnknown,
            "the encryption key is none of ours, or no longer accepted: get it again from …/keys/transport/public",
        ),
        E::TransportValueUnreadable(field) => Refusal::new(
            Reason::TransportValueUnreadable,
            format!("{field} is not base64 of RSA-OAEP (SHA-256, MGF1 with SHA-256) under the encryption key"),
        )
        .violation(field, "does not decrypt"),
        E::TransportValueTooLong(field) => Refusal::new(
            Reason::TransportValueTooLong,
            format!(
                "{field} is longer than one block: encrypt at most 318 bytes, or send the value in plain text over TLS"
            ),
        )
        .violation(field, "is too long for the transport key"),
        E::TransportKeyPending => {
            Refusal::new(Reason::TransportKeyPending, "the first transport key is still being made; repeat the call")
                .retry_after(SOON)
        }
        E::List(error) => coffre_rpc::list_refused(error, DATABASE),
        E::StillHolds(holdings) => Refusal::new(
            Reason::UserHoldsObjects,
            format!("the user owns {} credentials: hold it before it is deleted, and release it afterwards", holdings.total),
        ),
        E::UserNotFound(user) => Refusal::new(Reason::UserNotFound, format!("there is no user {user}")),
        E::TooManyPeople => Refusal::new(
            Reason::ListTooLarge,
            "more than 10 000 users stand to this credential: ask about one of them (userId)",
        ),
        E::AuthUnavailable => {
            Refusal::new(Reason::AuthUnavailable, "the service that knows users does not answer; repeat the call")
                .retry_after(SOON)
        }
        E::Store(error) => coffre_rpc::store_refused(error, DATABASE),
        E::Crypto(error) => Refusal::internal(&error),
    }
}

fn kept_slot_damaged(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Recovery => {
            "the slot of the recovery key is damaged in the database, or was not made by this vault; nothing was changed: make a new recovery \
             key first (POST …/keys/recovery, `coffre keys recovery new`)"
        }
        SlotKind::Manual | SlotKind::Express => {
            "the slot of the master key is damaged in the database, or was not made by this vault; nothing was changed: set a new master key \
             first, with the recovery key (PUT …/mode, `coffre keys mode manual --recovery`)"
        }
    }
}

fn not_permitted(action: Action) -> String {
    let all = Permission::ManageAllValues.display_name();
    let lockers = Permission::AdministerAllLockers.display_name();
    let who = match action {
        Action::See => "the owner, the members and consumers of its locker, or an administrator may see it".to_owned(),
        Action::Change => "only its owner may change it".to_owned(),
        Action::Delete => "only its owner may delete it".to_owned(),
        Action::Assign => "only its owner may put it into a locker".to_owned(),
        Action::Withdraw => {
            format!("its owner, an own or manage member of its locker, or the permission \"{lockers}\" may take it out")
        }
        Action::Transfer => format!("its owner or the permission \"{lockers}\" may give it to another owner"),
        Action::ReadStandard => {
            format!("its owner, a consumer of its locker or the permission \"{all}\" may read its values")
        }
        Action::WriteStandard => format!(
            "its owner, an own or manage member of its locker or the permission \"{all}\" may write its standard values"
        ),
        Action::ReadOwn | Action::WriteOwn => format!(
            "its owner, a consumer of its locker or the permission \"{all}\" may read and write values of their own"
        ),
        Action::ReadOther => format!("the permission \"{all}\" is needed to read another user's value"),
        Action::WriteOther => format!("the permission \"{all}\" is needed to write another user's value"),
        Action::Explain => format!(
            "its owner, an own or manage member of its locker, or the permission \"{lockers}\" may ask who may do what; \
             about yourself you may ask (userId)"
        ),
    };
    format!("you see this credential but may not do this: {who}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_an_action_names_a_right_that_allows_it() {
        for action in Action::ALL {
            let text = not_permitted(action);
            assert!(text.contains("may") && (text.contains("owner") || text.contains("permission")), "{text}");
        }
    }

    #[test]
    fn a_corrupt_value_tells_the_caller_nothing() {
        let refusal = refusal(VaultError::ValueCorrupt(coffre_types::ValueId::from_trusted(41)));
        assert_eq!(refusal.reason(), Reason::ValueCorrupt);
        assert!(!refusal.message().contains("41"));
    }
}
