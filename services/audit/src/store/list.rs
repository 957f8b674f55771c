//! Reading the log.

use std::collections::HashMap;

use async_trait::async_trait;
use coffre_audit_client::canonical;
use coffre_db::list::{Bound, Direction, Field, Index, Kind, Listing};
use coffre_db::{Connection, Result, Sql, dialect, list};
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::EventId;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::Store;
use crate::domain::entry::{Entry, Said};
use crate::domain::ports::ReadEntries;
use crate::domain::visibility::Visibility;

/// Entries that one search looks at where no index answers all of it, fewer where it compares each with much. It is a bound of work and not
/// of time: about a third of a second of one reader.
const SEARCH_ROWS: i64 = 200_000;
/// Counting stops here (contract, section 1).
const COUNT_LIMIT: i64 = 1_000_000;

pub(super) static ENTRIES: Listing = Listing::new("audit.entries", "entries e", "e.log_index", FIELDS)
    .ordered(&[("createdOn", Direction::Descending)])
    .counted_to(COUNT_LIMIT)
    .bounded(Bound {
        rows: SEARCH_ROWS,
        order: "createdOn",
        indexes: INDEXES,
        // Without gaps, whatever was cut off at its beginning.
        total: "SELECT COALESCE((SELECT MAX(log_index) FROM entries) - (SELECT MIN(log_index) FROM entries) + 1, 0) AS id",
        advice: "give a shorter time (createdOn with ge and lt), or what the entries have exactly (eq): id, requestId, objectId with \
objectType, clientAddress, userName, createdBy, event, or a status or an activityType that is not the usual one; another order than \
that of createdOn takes such a filter, too; a filter of more than four comparisons looks at fewer entries",
    });

/// The indexes of the migration, what leads to fewer rows first. The status and the words for the reads of values, which most entries are,
/// lead nowhere: there the time does.
const INDEXES: &[Index] = &[
    Index::few(&["id"]),
    Index::few(&["requestId"]),
    Index::ordered(&["objectId", "objectType"]),
    Index::few(&["objectId"]),
    Index::ordered(&["clientAddress"]),
    Index::ordered(&["userName"]),
    Index::ordered(&["createdBy"]).of_scope(),
    Index::ordered(&["event"]),
    Index::ordered(&["activityType"]),
    Index::ordered(&["status"]),
    Index::ordered(&[]),
];

const FIELDS: &[Field] = &[
    Field::new("id", "e.event_id", Kind::Uuid),
    Field::new("createdOn", "e.created_at", Kind::Time),
    Field::new("activityType", "e.activity", Kind::Enum(ACTIVITIES)).mostly(5),
    Field::new("event", "e.event", Kind::TextWithKey("e.event")).mostly_key("credential.value.read"),
    Field::new("eventDescription", "e.description", Kind::Text),
    Field::new("status", "e.status", Kind::Enum(&[("Successful", 1), ("Unsuccessful", 2), ("Unknown", 3)])).mostly(1),
    Field::new("source", "e.source", Kind::Enum(&[("API", 1), ("Console", 2), ("gRPC", 3), ("System", 4)])),
    Field::new("userName", "e.user_name_key", Kind::TextWithKey("e.user_name_key")),
    Field::new("createdBy", "e.user_id", Kind::Integer),
    Field::new("objectType", "e.object_type", Kind::TextWithKey("e.object_type")),
    Field::new("objectId", "e.object_id", Kind::TextWithKey("e.object_id")),
    Field::new("objectName", "e.object_name_key", Kind::TextWithKey("e.object_name_key")),
    Field::new("requestId", "e.request_id", Kind::TextWithKey("e.request_id")),
    Field::new("hostName", "e.host_name", Kind::TextWithKey("e.host_name")),
    Field::new("environmentName", "e.environment_name", Kind::TextWithKey("e.environment_name")),
    Field::new("clientAddress", "e.client_address", Kind::TextWithKey("e.client_address")),
    Field::new("detail", "e.detail", Kind::Text),
];

/// The documented words and their numbers in `event.proto`.
const ACTIVITIES: &[(&str, i64)] = &[
    ("LOGIN", 1),
    ("CLIENT_LOGIN", 2),
    ("LOGOUT", 3),
    ("ADD_CREDENTIAL", 4),
    ("READ_CREDENTIAL", 5),
    ("UPDATE_CREDENTIAL", 6),
    ("DELETE_CREDENTIAL", 7),
    ("UPDATE_CREDENTIAL_OWNERSHIP", 8),
    ("ADD_LOCKER", 9),
    ("READ_LOCKER", 10),
    ("UPDATE_LOCKER", 11),
    ("DELETE_LOCKER", 12),
    ("CONFIGURE_CREDENTIAL_VAULT", 13),
    ("CONNECT_CREDENTIAL_VAULT", 14),
    ("UNLOCK_CREDENTIAL_VAULT", 15),
    ("CV_SETTING", 16),
    ("CREATE_USER", 17),
    ("UPDATE_USER", 18),
    ("DELETE_USER", 19),
    ("ENABLE_USER", 20),
    ("DISABLE_USER", 21),
    ("ADD_ROLE", 22),
    ("UPDATE_ROLE", 23),
    ("DELETE_ROLE", 24),
    ("FIRST_ADMIN_SETTINGS", 25),
    ("CR_CONFIGURATIONS", 26),
    ("EDIT_SETTINGS", 27),
    ("MIGRATION_START", 28),
    ("MIGRATION_FINISH", 29),
    ("AUDIT_ERROR", 30),
    ("AUDIT_UNSET_ACTIVITY_TYPE", 31),
];

#[derive(QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = BigInt)]
    log_index: i64,
    #[diesel(sql_type = Binary)]
    canonical: Vec<u8>,
    #[diesel(sql_type = Binary)]
    leaf_hash: Vec<u8>,
}

/// What is read of an entry `e`. What it says to people is made of the event: the columns are for searching, and prove nothing.
pub(super) const SELECTED: &str = "SELECT e.log_index, e.canonical, e.leaf_hash";
const FROM: &str = " FROM entries e WHERE ";

impl Row {
    pub(super) fn log_index(&self) -> i64 {
        self.log_index
    }

    /// About how much the entry takes in an answer.
    pub(super) fn bytes(&self) -> usize {
        3 * self.canonical.len()
    }
}

impl TryFrom<Row> for Entry {
    type Error = coffre_db::Error;

    fn try_from(row: Row) -> Result<Self> {
        let unreadable = || coffre_db::Error::Bug(format!("the entry at {} is no event", row.log_index));
        let event = canonical::decode(&row.canonical).ok_or_else(unreadable)?;
        let Row { log_index, canonical, leaf_hash } = row;
        Ok(Self { log_index, said: Said::of(&event), event, canonical, leaf_hash })
    }
}

pub(super) fn scope(visibility: Visibility) -> Sql {
    match visibility.only() {
        Some(user_id) => Sql::new("e.user_id = ").bind(user_id.get()),
        None => Sql::empty(),
    }
}

#[async_trait]
impl ReadEntries for Store {
    async fn list(&self, query: Query, visibility: Visibility) -> Result<(Vec<Entry>, PageInfo), list::Error> {
        self.list_within(SEARCH_ROWS, &query, visibility).await
    }

    async fn get(&self, id: EventId, visibility: Visibility) -> Result<Entry> {
        self.database
            .read(move |conn| {
                let mut query =
                    Sql::new(SELECTED).push(FROM).push("e.event_id = ").bind(id.uuid().as_bytes().as_slice());
                if visibility.only().is_some() {
                    query = query.push(" AND ").join(scope(visibility));
                }
                query.get_result::<Row>(conn)?.try_into()
            })
            .await
    }
}

impl Store {
    /// Lists what is found among so many entries.
    pub(super) async fn list_within(
        &self,
        rows: i64,
        query: &Query,
        visibility: Visibility,
    ) -> Result<(Vec<Entry>, PageInfo), list::Error> {
        let plan = ENTRIES.looking_at(rows).plan(query, &self.tokens)?;
        let searches = self.searches.clone();
        let place = searches.acquire_owned().await.map_err(|_| list::Error::Store(coffre_db::Error::Unavailable))?;
        self.database
            .read(move |conn| {
                // Until the search has ended, though whoever asked may have gone.
                let _place = &place;
                let page = plan.run(conn, scope(visibility))?;
                Ok((load(conn, &page.ids)?, page.info()))
            })
            .await
    }
}

/// Loads entries in the order of their positions in the page.
fn load(conn: &mut Connection, ids: &[i64]) -> Result<Vec<Entry>> {
    let rows: Vec<Row> = dialect::in_chunks(ids, |ids| {
        Sql::new(SELECTED).push(FROM).push("e.log_index IN (").binds(ids.iter().copied()).push(")").load(conn)
    })?;
    let mut rows: HashMap<i64, Row> = rows.into_iter().map(|row| (row.log_index, row)).collect();
    ids.iter().filter_map(|id| rows.remove(id)).map(Entry::try_from).collect()
}

#[cfg(test)]
mod tests {
    use coffre_proto::audit::v1::{ActivityType, Outcome};

    use super::*;

    #[test]
    fn every_activity_has_its_word() {
        for (word, number) in ACTIVITIES {
            let activity = ActivityType::try_from(i32::try_from(*number).unwrap()).unwrap();
            assert_eq!(activity.as_str_name(), format!("ACTIVITY_TYPE_{word}"));
        }
        assert!(ActivityType::try_from(i32::try_from(ACTIVITIES.len()).unwrap() + 1).is_err());
        assert_eq!(i32::from(Outcome::Unknown), 3);
    }
}
