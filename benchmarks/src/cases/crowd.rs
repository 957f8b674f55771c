//! Very many credentials and lockers of somebody else, as SQL for the databases themselves: over REST they would take an hour.
//!
//! They are what the services would have stored, but for values: nobody reads these. Their ids lie above those that the services give.

/// The ids of the crowd begin here, and those of its second half at twice that.
const FIRST_ID: i64 = 100_000_000;
/// Rows of one statement: a writer of the server waits no longer than for these.
const STEP: i64 = 20_000;

/// What is loaded.
pub(super) struct Crowd {
    pub(super) credentials: i64,
    pub(super) lockers: i64,
    /// The id of the user to whom all of it belongs.
    pub(super) owner: i64,
}

/// Before or after the callers' own: by name, by time and by id.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Before,
    After,
}

/// Statements for the database of one service.
pub(crate) struct Load {
    pub(crate) service: &'static str,
    pub(crate) statements: Vec<String>,
}

impl Crowd {
    /// Returns the statements of one half.
    pub(super) fn of(&self, half: Half) -> [Load; 2] {
        let (name, time, first) = match half {
            Half::Before => ("crowd", 1_600_000_000_000_000_i64, FIRST_ID),
            Half::After => ("xcrowd", 2_000_000_000_000_000, 2 * FIRST_ID),
        };
        let (credentials, lockers) = (self.credentials / 2, (self.lockers / 2).max(1));
        let owner = self.owner;
        let stamp = format!("{owner}, {time} + i, {owner}, {time} + i");
        let of_lockers = each(lockers, |rows| {
            vec![
                format!(
                    "{rows} INSERT INTO lockers (id, name, name_key, version, created_by, created_at, updated_by, updated_at)
                     SELECT {first} + i, '{name}-locker-' || i, '{name}-locker-' || i, 0, {stamp} FROM n"
                ),
                format!("{rows} INSERT INTO members (locker_id, user_id, own, manage) SELECT {first} + i, {owner}, TRUE, TRUE FROM n"),
                format!("{rows} INSERT INTO consumers (locker_id, role_id) SELECT {first} + i, {first} + i % 1000 FROM n"),
            ]
        });
        let of_credentials = each(credentials, |rows| {
            vec![
                format!(
                    "{rows} INSERT INTO credentials
                       (id, name, name_key, description, owner_id, locker_id, version, created_by, created_at, updated_by, updated_at)
                     SELECT {first} + i, '{name}-' || i, '{name}-' || i, 'made for measuring', {owner}, {first} + i % {lockers}, 1, {stamp} FROM n"
                ),
                format!(
                    "{rows} INSERT INTO attributes (id, credential_id, name, name_key, user_provided, masked, password,
                       version, created_by, created_at, updated_by, updated_at)
                     SELECT {first} + i, {first} + i, 'password', 'password', FALSE, FALSE, TRUE, 0, {stamp} FROM n"
                ),
            ]
        });
        [Load { service: "locker", statements: of_lockers }, Load { service: "vault", statements: of_credentials }]
    }
}

/// The statements for the numbers from 0 to below `count`, some at a time: `rows` is what gives them to a statement as `n (i)`.
fn each(count: i64, statements: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let mut all = Vec::new();
    let mut from = 0;
    while from < count {
        let to = (from + STEP).min(count);
        all.extend(statements(&format!(
            "WITH RECURSIVE n (i) AS (SELECT CAST({from} AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {to})"
        )));
        from = to;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_loaded_once() {
        let bounds = |count| {
            each(count, |rows| vec![rows.to_owned()])
                .iter()
                .map(|rows| {
                    rows.split(|character: char| !character.is_ascii_digit())
                        .filter(|part| part.len() > 1)
                        .map(ToOwned::to_owned)
                        .collect::<Vec<_>>()
                        .join("..")
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(bounds(45_000), ["20000", "20000..40000", "40000..45000"]);
        assert!(bounds(0).is_empty());
    }
}
