//! Operators: users as the token endpoint sees them.

use coffre_db::{Connection, Error, Sql};
use coffre_types::{Permission, UserId};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::grants::Operator;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Bool)]
    disabled: bool,
    #[diesel(sql_type = Bool)]
    password_change_required: bool,
    #[diesel(sql_type = Bool)]
    connects: bool,
}

/// Reads all that decides whether a user may connect to the API, in one statement.
pub(crate) fn find(conn: &mut Connection, id: UserId) -> Result<Option<Operator>, Error> {
    let row: Option<Row> = Sql::new(
        "SELECT u.username, u.epoch, u.disabled, u.password_change_required, EXISTS (SELECT 1 FROM user_roles ur \
         JOIN role_permissions p ON p.role_id = ur.role_id WHERE ur.user_id = u.id AND p.permission_id = ",
    )
    .bind(Permission::ConnectToApi.id())
    .push(") AS connects FROM users u WHERE u.deleted_at IS NULL AND u.id = ")
    .bind(id.get())
    .cached()
    .load(conn)?
    .into_iter()
    .next();
    Ok(row.map(|row| Operator {
        id,
        username: row.username,
        epoch: row.epoch,
        refused: match (row.disabled, row.password_change_required, row.connects) {
            (true, _, _) => Some("disabled"),
            (false, true, _) => Some("password change pending"),
            (false, false, false) => Some("may not connect to the API"),
            (false, false, true) => None,
        },
    }))
}
