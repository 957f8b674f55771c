//! A new root key: every data key wrapped anew, every slot made anew, a new term. All of it in memory; whoever calls stores it in one
//! transaction, or none of it.
//!
//! A slot that goes, or whose key changes, must take its root key with it: an old key with an old backup then opens what that backup
//! holds and nothing later. Slots of keys that people hold go on without those keys being typed ([`Holder::Kept`]).

use coffre_secret::equal;

use crate::keyring::{OpenKeyring, RootKey, WrappedTerm};
use crate::master::MasterKey;
use crate::recovery::RecoveryKey;
use crate::slot::{Slot, SlotKind};
use crate::stretch::Cost;
use crate::{CryptoError, Key256};

/// Whose key opens the vault from now on.
#[derive(Debug)]
pub enum Holder<'a> {
    /// The server, with its key file: the one that was there or another.
    Express(&'a Key256),
    /// People, with a new master key or one that was typed just now.
    Manual(&'a MasterKey, Cost),
    /// Somebody with a new recovery key.
    Recovery(&'a RecoveryKey),
    /// Whoever holds the key of this manual or recovery slot, which was made under the present root key.
    Kept(&'a Slot),
}

impl Holder<'_> {
    fn kind(&self) -> SlotKind {
        match self {
            Self::Express(_) => SlotKind::Express,
            Self::Manual(..) => SlotKind::Manual,
            Self::Recovery(_) => SlotKind::Recovery,
            Self::Kept(slot) => slot.kind(),
        }
    }

    fn slot(&self, present: &RootKey, next: &RootKey) -> Result<Slot, CryptoError> {
        match self {
            Self::Express(key) => {
                let slot = Slot::express(next, key)?;
                let opened = slot.open_express(key)?;
                if equal(opened.expose(), next.expose()) { Ok(slot) } else { Err(CryptoError::Library) }
            }
            Self::Manual(key, cost) => Slot::manual(next, key, *cost),
            Self::Recovery(key) => Slot::recovery(next, key),
            Self::Kept(slot) => slot.renew(present, next),
        }
    }
}

/// Why there is no new root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RekeyError {
    /// Neither a key file nor a master key would open the vault.
    #[error("without an express and a manual slot only the recovery key would open the vault")]
    NoHolder,
    /// Two slots of one kind.
    #[error("there is one slot of a kind, not two")]
    TwoOfAKind,
    /// A kept slot was not made under the present root key or was changed, or what [`CryptoError`] says otherwise.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// What takes the place of everything that was stored under the old root key.
#[derive(Debug)]
pub struct Rekeyed {
    /// One slot for each holder, in their order. No other slot stays.
    pub slots: Vec<Slot>,
    /// Every term, wrapped anew, the new one last.
    pub terms: Vec<WrappedTerm>,
    /// Opens and seals from then on. Transport keys are not in it: [`OpenKeyring::take_over_transport_key`].
    pub keyring: OpenKeyring,
}

impl OpenKeyring {
    /// Makes a new root key for the holders, and a new term. With a [`Holder::Manual`] it takes as long as [`crate::stretch`] says:
    /// never on an async thread.
    ///
    /// # Errors
    /// [`RekeyError`]; nothing has changed then.
    pub fn rekey(&self, holders: &[Holder<'_>]) -> Result<Rekeyed, RekeyError> {
        let of = |kind| holders.iter().filter(|holder| holder.kind() == kind).count();
        let counts = [SlotKind::Express, SlotKind::Manual, SlotKind::Recovery].map(of);
        if counts.iter().any(|count| *count > 1) {
            return Err(RekeyError::TwoOfAKind);
        }
        if of(SlotKind::Express) + of(SlotKind::Manual) == 0 {
            return Err(RekeyError::NoHolder);
        }
        let next = RootKey::generate()?;
        let mut terms = self.wrap_terms(&next)?;
        terms.push(next.new_term(self.current().next()?)?);
        let slots: Vec<Slot> =
            holders.iter().map(|holder| holder.slot(self.root(), &next)).collect::<Result<_, CryptoError>>()?;
        Ok(Rekeyed { keyring: Self::open(&next, &terms)?, slots, terms })
    }
}

#[cfg(test)]
mod tests {
    use coffre_secret::SecretText;

    use super::*;
    use crate::keyring::Term;
    use crate::value::Place;

    struct Vault {
        express: Key256,
        recovery: RecoveryKey,
        slots: Vec<Slot>,
        terms: Vec<WrappedTerm>,
        ring: OpenKeyring,
    }

    fn least() -> Cost {
        Cost::new(8 * 1024, 1).unwrap()
    }

    fn master(text: &str) -> MasterKey {
        MasterKey::new(&SecretText::new(text.to_owned())).unwrap()
    }

    fn vault() -> Vault {
        let root = RootKey::generate().unwrap();
        let (express, recovery) = (Key256::generate().unwrap(), RecoveryKey::generate().unwrap());
        let slots = vec![Slot::express(&root, &express).unwrap(), Slot::recovery(&root, &recovery).unwrap()];
        let terms = vec![root.new_term(Term::FIRST).unwrap()];
        let ring = OpenKeyring::open(&root, &terms).unwrap();
        Vault { express, recovery, slots, terms, ring }
    }

    fn stored(slot: &Slot) -> Slot {
        Slot::from_bytes(slot.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn values_terms_and_recovery_key_go_on_under_a_new_root_key() {
        let vault = vault();
        let place = Place::example();
        let old = vault.ring.seal(&place, b"x").unwrap().into_bytes();
        let mac = vault.ring.value_mac(5, 6, &old);
        let transport = vault.ring.seal_transport_key("public", b"private").unwrap();

        let master = master("a new master key");
        let new = vault.ring.rekey(&[Holder::Manual(&master, least()), Holder::Kept(&vault.slots[1])]).unwrap();
        assert_eq!(new.slots.iter().map(Slot::kind).collect::<Vec<_>>(), [SlotKind::Manual, SlotKind::Recovery]);
        assert_eq!(new.terms.iter().map(|term| term.term.get()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(new.keyring.current(), Term::new(2));
        for root in [
            stored(&new.slots[0]).open_manual(&master).unwrap(),
            stored(&new.slots[1]).open_recovery(&vault.recovery).unwrap(),
        ] {
            let ring = OpenKeyring::open(&root, &new.terms).unwrap();
            assert!(new.keyring.is_under(&root));
            assert_eq!(ring.open_value(&place, &old).unwrap().expose(), b"x");
            assert_eq!(ring.value_mac_of(5, 6, &old), Some(mac));
            let transport = ring.take_over_transport_key(&vault.ring, "public", &transport).unwrap();
            assert_eq!(ring.open_transport_key("public", &transport).unwrap().expose(), b"private");
        }
    }

    #[test]
    fn rule_5_2_an_old_key_with_an_old_backup_opens_nothing_new() {
        let vault = vault();
        let new_key = RecoveryKey::generate().unwrap();
        let new = vault.ring.rekey(&[Holder::Express(&vault.express), Holder::Recovery(&new_key)]).unwrap();
        let old_root = vault.slots[1].open_recovery(&vault.recovery).unwrap();
        // The old root key is another one, and the old recovery key opens the new slot no more.
        assert_eq!(OpenKeyring::open(&old_root, &new.terms).unwrap_err(), CryptoError::Unauthentic);
        assert_eq!(new.slots[1].open_recovery(&vault.recovery).unwrap_err(), CryptoError::WrongKey);
        // The old slot, put back into the new database, opens a root key under which nothing stands.
        let back = vault.slots[0].open_express(&vault.express).unwrap();
        assert_eq!(OpenKeyring::open(&back, &new.terms).unwrap_err(), CryptoError::Unauthentic);
        // A value of the new term opens under the new keyring alone.
        let sealed = new.keyring.seal(&Place::example(), b"x").unwrap();
        let old_ring = OpenKeyring::open(&old_root, &vault.terms).unwrap();
        let refused = old_ring.open_value(&Place::example(), sealed.as_bytes()).unwrap_err();
        assert_eq!(refused, CryptoError::UnknownTerm(2));
    }

    #[test]
    fn a_manual_slot_goes_on_without_its_key_too() {
        let vault = vault();
        let master = master("typed once only");
        let first = vault.ring.rekey(&[Holder::Manual(&master, least()), Holder::Kept(&vault.slots[1])]).unwrap();
        let new_key = RecoveryKey::generate().unwrap();
        let second = first.keyring.rekey(&[Holder::Kept(&first.slots[0]), Holder::Recovery(&new_key)]).unwrap();
        let third = second.keyring.rekey(&[Holder::Kept(&second.slots[0]), Holder::Kept(&second.slots[1])]).unwrap();
        assert!(third.keyring.is_under(&stored(&third.slots[0]).open_manual(&master).unwrap()));
        assert!(third.keyring.is_under(&stored(&third.slots[1]).open_recovery(&new_key).unwrap()));
        assert_eq!(third.slots[1].open_recovery(&vault.recovery).unwrap_err(), CryptoError::WrongKey);
        assert_eq!(third.terms.len(), 4);
    }

    #[test]
    fn rule_5_1_a_slot_of_another_root_key_is_not_kept() {
        let (vault, other) = (vault(), vault());
        // Somebody who writes the database puts a slot of his own there, or one from before the last root key.
        assert!(vault.ring.vouches_for(&vault.slots[1]) && !vault.ring.vouches_for(&other.slots[1]));
        assert!(!vault.ring.vouches_for(&vault.slots[0]), "an express slot has no bond: its key is at hand");
        let foreign = vault.ring.rekey(&[Holder::Express(&vault.express), Holder::Kept(&other.slots[1])]);
        assert_eq!(foreign.unwrap_err(), RekeyError::Crypto(CryptoError::Unauthentic));
        let new = vault.ring.rekey(&[Holder::Express(&vault.express), Holder::Kept(&vault.slots[1])]).unwrap();
        let old = new.keyring.rekey(&[Holder::Express(&vault.express), Holder::Kept(&vault.slots[1])]);
        assert_eq!(old.unwrap_err(), RekeyError::Crypto(CryptoError::Unauthentic));
    }

    #[test]
    fn somebody_must_be_able_to_open_the_vault() {
        let vault = vault();
        assert_eq!(vault.ring.rekey(&[]).unwrap_err(), RekeyError::NoHolder);
        let alone = vault.ring.rekey(&[Holder::Recovery(&vault.recovery)]);
        assert_eq!(alone.unwrap_err(), RekeyError::NoHolder);
        let twice = vault.ring.rekey(&[
            Holder::Express(&vault.express),
            Holder::Kept(&vault.slots[1]),
            Holder::Recovery(&vault.recovery),
        ]);
        assert_eq!(twice.unwrap_err(), RekeyError::TwoOfAKind);
        let express = vault.ring.rekey(&[Holder::Kept(&vault.slots[0])]);
        assert_eq!(express.unwrap_err(), RekeyError::Crypto(CryptoError::Malformed));
    }

    #[test]
    fn debug_shows_no_key() {
        let vault = vault();
        let new = vault.ring.rekey(&[Holder::Express(&vault.express)]).unwrap();
        let shown = format!("{:?} {:?} {:?}", new.keyring, new.slots, Holder::Express(&vault.express));
        assert_eq!(shown, "OpenKeyring { current: Term(2), .. } [Slot { kind: Express, .. }] Express(Key256)");
    }
}
