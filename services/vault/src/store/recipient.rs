//! For whom backups are sealed.

use coffre_db::Error;
use coffre_db::dialect::Insert;
use coffre_types::{TENANT, Timestamp};
use diesel::prelude::*;

use super::Tx;
use super::schema::backup_recipient;

/// The recipient, and what says that it stands beside the slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecipientRow {
    /// Its public key.
    pub public_key: Vec<u8>,
    /// A MAC over that and the slots.
    pub vouched: Vec<u8>,
}

impl Tx<'_> {
    /// Reads the recipient.
    ///
    /// # Errors
    /// What the database says.
    pub fn recipient(&mut self) -> Result<Option<RecipientRow>, Error> {
        let row = backup_recipient::table
            .select((backup_recipient::public_key, backup_recipient::vouched))
            .get_result::<(Vec<u8>, Vec<u8>)>(self.conn)
            .optional()?;
        Ok(row.map(|(public_key, vouched)| RecipientRow { public_key, vouched }))
    }

    /// Puts it in the place of the one that there is.
    ///
    /// # Errors
    /// What the database says.
    pub fn put_recipient(&mut self, row: &RecipientRow, now: Timestamp) -> Result<(), Error> {
        Insert::into("backup_recipient", &["id", "tenant_id", "public_key", "vouched", "updated_at"])
            .row([
                1_i64.into(),
                TENANT.get().into(),
                row.public_key.clone().into(),
                row.vouched.clone().into(),
                now.micros().into(),
            ])
            .or_update(&["id"], &["public_key", "vouched", "updated_at"])
            .execute(self.conn)?;
        Ok(())
    }
}
