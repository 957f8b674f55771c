//! What is held, as a refusal names it.

use coffre_error::{Reason, Refusal};

use crate::domain::ports::{Held, Holdings};

/// What the names of things may take of a message, in bytes: a message travels in a header, and twice.
const MESSAGE_BYTES: usize = 1500;
/// What one name may take of it, in characters.
const NAME_CHARACTERS: usize = 40;

/// Refuses to delete a user who holds something.
pub(super) fn holds_objects(Holdings { credentials, lockers }: &Holdings) -> Refusal {
    let parts = [("credential", credentials), ("locker", lockers)];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(_, held)| held.total > 0)
        .map(|(kind, held)| format!("{}: {}", counted(held.total, kind), listed(kind, held, MESSAGE_BYTES / 2)))
        .collect();
    Refusal::new(
        Reason::UserHoldsObjects,
        format!(
            "the user still holds {}; hand them to somebody else (POST /v1/usermanagement/users/{{id}}/holdings/transfer) or delete them first",
            told.join(", and ")
        ),
    )
    .with("credentialCount", credentials.total.to_string())
    .with("credentials", ids(credentials))
    .with("lockerCount", lockers.total.to_string())
    .with("lockers", ids(lockers))
}

/// Refuses to delete a role that consumes lockers.
pub(super) fn consumes_lockers(lockers: &Held) -> Refusal {
    let (counted, named) = (counted(lockers.total, "locker"), listed("locker", lockers, MESSAGE_BYTES));
    Refusal::new(Reason::RoleInUse, format!("the role consumes {counted}: {named}; remove it from them first"))
        .with("lockerCount", lockers.total.to_string())
        .with("lockers", ids(lockers))
}

fn counted(count: i64, kind: &str) -> String {
    format!("{count} {kind}{}", if count == 1 { "" } else { "s" })
}

/// Names as many things as there is room for, and says how many more there are.
fn listed(kind: &str, held: &Held, room: usize) -> String {
    let mut text = String::new();
    let mut named = 0;
    for object in &held.first {
        let name: String = object.name.chars().take(NAME_CHARACTERS).collect();
        let cut = if name.len() < object.name.len() { "…" } else { "" };
        let item = format!("{kind} {} ({name}{cut})", object.id);
        if named > 0 && text.len() + item.len() > room {
            break;
        }
        if named > 0 {
            text.push_str(", ");
        }
        text.push_str(&item);
        named += 1;
    }
    if named < held.total {
        text.push_str(&format!(", and {} more", held.total - named));
    }
    text
}

fn ids(held: &Held) -> String {
    held.first.iter().take(100).map(|object| object.id.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ports::Object;

    #[test]
    fn whatever_is_held_is_listed_within_the_room_of_a_header() {
        let many = |count: i64| Held {
            total: count,
            first: (1..=count.min(100)).map(|id| Object { id, name: "𝔫".repeat(255) }).collect(),
        };
        let refusal = holds_objects(&Holdings { credentials: many(100_000), lockers: many(3) });
        let message = refusal.message();
        assert!(
            message.contains("100000 credentials: credential 1 (") && message.contains("3 lockers: locker 1 ("),
            "{message}"
        );
        assert!(message.contains(" more, and "), "{message}");
        assert_eq!(refusal.fact("credentials").unwrap().split(',').count(), 100);
        assert_eq!((refusal.fact("lockers"), refusal.fact("lockerCount")), (Some("1,2,3"), Some("3")));
        let facts: usize = refusal.facts().iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(message.len() + facts < 3000, "{} {facts}", message.len());

        let one = Holdings {
            credentials: Held { total: 1, first: vec![Object { id: 12, name: "Mail".into() }] },
            lockers: Held::default(),
        };
        let refusal = holds_objects(&one);
        assert!(refusal.message().contains("1 credential: credential 12 (Mail);"), "{}", refusal.message());
        assert!(!refusal.message().contains("lockers:"));
    }
}
