//! Slots, terms, the seal state, wrong keys and transport keys.

use coffre_crypto::keyring::{Term, WrappedTerm};
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_db::Error;
use coffre_db::dialect::Insert;
use coffre_types::{TENANT, Timestamp, UserId};
use diesel::prelude::*;

use super::Tx;
use super::schema::{key_attempts, key_slots, seal_state, terms, transport_keys};
use crate::domain::attempts::{Attempts, FORGOTTEN_AFTER};

type Result<T> = std::result::Result<T, Error>;

/// Whether the vault is sealed on purpose, and how often that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealRow {
    /// Counts the changes.
    pub generation: i64,
    /// Sealed on purpose.
    pub sealed: bool,
    /// When that last changed.
    pub since: Timestamp,
}

/// A slot as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotRow {
    /// Who holds its key.
    pub kind: SlotKind,
    /// The slot.
    pub bytes: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
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
            .select((seal_state::generation, seal_state::sealed, seal_state::updated_at))
            .get_result::<(i64, bool, i64)>(self.conn)
            .optional()?;
        let row = row.map(|(generation, sealed, at)| SealRow { generation, sealed, since: Timestamp::from_micros(at) });
        Ok(row)
    }

    /// Raises the generation by one where it is still this, and says whether it was.
    ///
    /// # Errors
    /// What the database says.
    pub fn raise_generation(&mut self, from: i64, sealed: bool, now: Timestamp) -> Result<bool> {
        let raised = diesel::update(seal_state::table.filter(seal_state::generation.eq(from)))
            .set((
                seal_state::generation.eq(from.saturating_add(1)),
                seal_state::sealed.eq(sealed),
                seal_state::updated_at.eq(now.micros()),
            ))
            .execute(self.conn)?;
        Ok(raised == 1)
    }

    /// Writes the first seal state, slots and term.
    ///
    /// # Errors
    /// [`Error::Unique`] where the vault is initialised already.
    pub fn insert_keys(&mut self, slots: &[Slot], term: &WrappedTerm, now: Timestamp) -> Result<()> {
        diesel::insert_into(seal_state::table)
            .values((
                seal_state::id.eq(1_i64),
                seal_state::tenant_id.eq(TENANT.get()),
                seal_state::generation.eq(1_i64),
                seal_state::sealed.eq(false),
                seal_state::updated_at.eq(now.micros()),
            ))
            .execute(self.conn)?;
        for slot in slots {
            self.insert_slot(slot, now)?;
        }
        self.insert_term(term, now)
    }

    fn insert_slot(&mut self, slot: &Slot, created_at: Timestamp) -> Result<()> {
        diesel::insert_into(key_slots::table)
            .values((
                key_slots::tenant_id.eq(TENANT.get()),
                key_slots::kind.eq(i64::from(slot.kind().number())),
                key_slots::slot.eq(slot.as_bytes()),
                key_slots::created_at.eq(created_at.micros()),
            ))
            .execute(self.conn)?;
        Ok(())
    }

    /// Adds a term.
    ///
    /// # Errors
    /// [`Error::Unique`] where it is there.
    pub fn insert_term(&mut self, term: &WrappedTerm, now: Timestamp) -> Result<()> {
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

    /// Puts slots in the place of all that there are.
    ///
    /// # Errors
    /// What the database says.
    pub fn replace_slots(&mut self, slots: &[(Slot, Timestamp)]) -> Result<()> {
        diesel::delete(key_slots::table).execute(self.conn)?;
        slots.iter().try_for_each(|(slot, created_at)| self.insert_slot(slot, *created_at))
    }

    /// Puts terms that were wrapped anew in the place of those that there are, and adds those that are new.
    ///
    /// # Errors
    /// What the database says.
    pub fn replace_terms(&mut self, wrapped: &[WrappedTerm], now: Timestamp) -> Result<()> {
        for term in wrapped {
            let replaced = diesel::update(terms::table.filter(terms::term.eq(i64::from(term.term.get()))))
                .set(terms::wrapped.eq(term.wrapped.as_slice()))
                .execute(self.conn)?;
            if replaced == 0 {
                self.insert_term(term, now)?;
            }
        }
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

    /// Loads every slot.
    ///
    /// # Errors
    /// What the database says; `Bug` for a kind that there is not.
    pub fn slots(&mut self) -> Result<Vec<SlotRow>> {
        let rows = key_slots::table
            .order(key_slots::kind)
            .select((key_slots::kind, key_slots::slot, key_slots::created_at))
            .load::<(i64, Vec<u8>, i64)>(self.conn)?;
        rows.into_iter()
            .map(|(kind, bytes, at)| {
                let known = [SlotKind::Express, SlotKind::Manual, SlotKind::Recovery];
                let kind = known.into_iter().find(|known| i64::from(known.number()) == kind);
                let kind = kind.ok_or_else(|| Error::Bug("a slot of no known kind".to_owned()))?;
                Ok(SlotRow { kind, bytes, created_at: Timestamp::from_micros(at) })
            })
            .collect()
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

    /// Seals the private half of each transport key anew, and drops those that do not open.
    ///
    /// # Errors
    /// What the database says.
    pub fn reseal_transport_keys(&mut self, reseal: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> Result<()> {
        for row in self.transport_keys(Timestamp::from_micros(i64::MIN))? {
            let of_key = transport_keys::table.filter(transport_keys::public_key.eq(&row.public_key));
            match reseal(&row.public_key, &row.sealed) {
                Some(sealed) => {
                    diesel::update(of_key).set(transport_keys::sealed.eq(sealed)).execute(self.conn)?;
                }
                None => {
                    diesel::delete(of_key).execute(self.conn)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a transport key, unless one was made since a time or the keys of the vault changed since a generation, and forgets those older
    /// than another.
    ///
    /// # Errors
    /// What the database says.
    pub fn add_transport_key(
        &mut self,
        new: &TransportRow,
        fresh_since: Timestamp,
        old_before: Timestamp,
        generation: i64,
    ) -> Result<bool> {
        // Sealed under a root key that went meanwhile it would open to nobody and stand in the way of the next one.
        if self.seal_state()?.is_none_or(|row| row.generation != generation) {
            return Ok(false);
        }
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

    /// Reads the wrong keys that a user tried lately, by address, and forgets those of everybody that are too old.
    ///
    /// # Errors
    /// What the database says.
    pub fn key_attempts(&mut self, user: UserId, now: Timestamp) -> Result<Vec<(String, Attempts)>> {
        let old = now.minus(FORGOTTEN_AFTER).micros();
        diesel::delete(key_attempts::table.filter(key_attempts::failed_at.lt(old))).execute(self.conn)?;
        let rows = key_attempts::table
            .filter(key_attempts::user_id.eq(user.get()))
            .select((
                key_attempts::address,
                key_attempts::failures,
                key_attempts::failed_at,
                key_attempts::blocked_until,
            ))
            .load::<(String, i64, i64, i64)>(self.conn)?;
        let attempts = |(address, failures, failed_at, blocked_until)| {
            let (failed_at, blocked_until) = (Timestamp::from_micros(failed_at), Timestamp::from_micros(blocked_until));
            (address, Attempts { failures, failed_at, blocked_until })
        };
        Ok(rows.into_iter().map(attempts).collect())
    }

    /// Writes how many wrong keys a user tried lately from an address.
    ///
    /// # Errors
    /// What the database says.
    pub fn put_key_attempts(&mut self, user: UserId, address: &str, attempts: Attempts) -> Result<()> {
        Insert::into("key_attempts", &["user_id", "address", "tenant_id", "failures", "failed_at", "blocked_until"])
            .row([
                user.get().into(),
                address.into(),
                TENANT.get().into(),
                attempts.failures.into(),
                attempts.failed_at.micros().into(),
                attempts.blocked_until.micros().into(),
            ])
            .or_update(&["user_id", "address"], &["failures", "failed_at", "blocked_until"])
            .execute(self.conn)
            .map(|_| ())
    }

    /// Forgets the wrong keys of a user, who has shown a right one.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_key_attempts(&mut self, user: UserId) -> Result<()> {
        diesel::delete(key_attempts::table.filter(key_attempts::user_id.eq(user.get()))).execute(self.conn)?;
        Ok(())
    }
}
