//! Slots, terms, the seal state and transport keys.

use coffre_crypto::keyring::{Term, WrappedTerm};
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_db::Error;
use coffre_types::{TENANT, Timestamp};
use diesel::prelude::*;

use super::Tx;
use super::schema::{key_slots, seal_state, terms, transport_keys};

type Result<T> = std::result::Result<T, Error>;

/// Whether the vault is sealed on purpose, and how often that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealRow {
    /// Counts the changes.
    pub generation: i64,
    /// Sealed on purpose.
    pub sealed: bool,
}

/// A transport key, its private half sealed.
#[derive(Clone, Debug)]
pub struct TransportRow {
    /// The public key, as callers send it back.
    pub public_key: String,
    /// The sealed private half.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Tx<'_> {
    /// Reads the seal state; `None` before initialisation.
    ///
    /// # Errors
    /// What the database says.
    pub fn seal_state(&mut self) -> Result<Option<SealRow>> {
        let row = seal_state::table
            .select((seal_state::generation, seal_state::sealed))
            .get_result::<(i64, bool)>(self.conn)
            .optional()?;
        Ok(row.map(|(generation, sealed)| SealRow { generation, sealed }))
    }

    /// Writes the first seal state, slot and term.
    ///
    /// # Errors
    /// [`Error::Unique`] where the vault is initialised already.
    pub fn insert_keys(&mut self, slot: &Slot, kind: SlotKind, term: &WrappedTerm, now: Timestamp) -> Result<()> {
        diesel::insert_into(seal_state::table)
            .values((
                seal_state::id.eq(1_i64),
                seal_state::tenant_id.eq(TENANT.get()),
                seal_state::generation.eq(1_i64),
                seal_state::sealed.eq(false),
                seal_state::updated_at.eq(now.micros()),
            ))
            .execute(self.conn)?;
        diesel::insert_into(key_slots::table)
            .values((
                key_slots::tenant_id.eq(TENANT.get()),
                key_slots::kind.eq(i64::from(kind.number())),
                key_slots::slot.eq(slot.as_bytes()),
                key_slots::created_at.eq(now.micros()),
            ))
            .execute(self.conn)?;
        diesel::insert_into(terms::table)
            .values((
                terms::term.eq(i64::from(term.term.get())),
                terms::tenant_id.eq(TENANT.get()),
                terms::wrapped.eq(term.wrapped.as_slice()),
                terms::created_at.eq(now.micros()),
            ))
            .execute(self.conn)?;
        Ok(())
    }

    /// Loads the slot of a kind.
    ///
    /// # Errors
    /// What the database says.
    pub fn slot(&mut self, kind: SlotKind) -> Result<Option<Vec<u8>>> {
        Ok(key_slots::table
            .filter(key_slots::kind.eq(i64::from(kind.number())))
            .select(key_slots::slot)
            .get_result::<Vec<u8>>(self.conn)
            .optional()?)
    }

    /// Loads every term.
    ///
    /// # Errors
    /// What the database says.
    pub fn terms(&mut self) -> Result<Vec<WrappedTerm>> {
        let rows =
            terms::table.order(terms::term).select((terms::term, terms::wrapped)).load::<(i64, Vec<u8>)>(self.conn)?;
        rows.into_iter()
            .map(|(term, wrapped)| {
                let term = u32::try_from(term).map_err(|_| Error::Bug("a term out of range".to_owned()))?;
                Ok(WrappedTerm { term: Term::new(term), wrapped })
            })
            .collect()
    }

    /// Loads the transport keys made since a time, the newest first.
    ///
    /// # Errors
    /// What the database says.
    pub fn transport_keys(&mut self, since: Timestamp) -> Result<Vec<TransportRow>> {
        let rows = transport_keys::table
            .filter(transport_keys::created_at.ge(since.micros()))
            .order((transport_keys::created_at.desc(), transport_keys::id.desc()))
            .select((transport_keys::public_key, transport_keys::sealed, transport_keys::created_at))
            .load::<(String, Vec<u8>, i64)>(self.conn)?;
        let row =
            |(public_key, sealed, at)| TransportRow { public_key, sealed, created_at: Timestamp::from_micros(at) };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Adds a transport key, unless one was made since a time, and forgets those older than another.
    ///
    /// # Errors
    /// What the database says.
    pub fn add_transport_key(
        &mut self,
        new: &TransportRow,
        fresh_since: Timestamp,
        old_before: Timestamp,
    ) -> Result<bool> {
        diesel::delete(transport_keys::table.filter(transport_keys::created_at.lt(old_before.micros())))
            .execute(self.conn)?;
        if !self.transport_keys(fresh_since)?.is_empty() {
            return Ok(false);
        }
        diesel::insert_into(transport_keys::table)
            .values((
                transport_keys::tenant_id.eq(TENANT.get()),
                transport_keys::public_key.eq(new.public_key.as_str()),
                transport_keys::sealed.eq(new.sealed.as_slice()),
                transport_keys::created_at.eq(new.created_at.micros()),
            ))
            .execute(self.conn)?;
        Ok(true)
    }
}
