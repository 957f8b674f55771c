//! What stands in front of a slot: whose key opens it, and how.

use super::SlotKind;
use crate::hpke::{PUBLIC_LEN, PublicKey, SUITE_ID};
use crate::stretch::Cost;

const FORMAT: u8 = 1;
const DERIVATION_HKDF: u8 = 1;
const DERIVATION_ARGON2ID: u8 = 2;
const DERIVATION_RECOVERY: u8 = 3;
pub(super) const ID_LEN: usize = 16;
pub(super) const SALT_LEN: usize = 32;

/// How the keys of a slot come from the key that somebody holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Derivation {
    /// An express key, as it is.
    Express,
    /// A master key, through Argon2id; a key pair comes from it.
    Manual(Cost, PublicKey),
    /// A recovery key; a key pair comes from it.
    Recovery(PublicKey),
}

impl Derivation {
    pub(super) fn kind(&self) -> SlotKind {
        match self {
            Self::Express => SlotKind::Express,
            Self::Manual(..) => SlotKind::Manual,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// Whom the root key is sealed to; `None` for an express key.
    pub(super) fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Express => None,
            Self::Manual(_, public) | Self::Recovery(public) => Some(public),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) id: [u8; ID_LEN],
    pub(super) salt: [u8; SALT_LEN],
    pub(super) derivation: Derivation,
}

impl Header {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![FORMAT, self.derivation.kind().number()];
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.salt);
        match self.derivation {
            Derivation::Express => out.push(DERIVATION_HKDF),
            Derivation::Manual(cost, public) => {
                out.push(DERIVATION_ARGON2ID);
                for number in [cost.memory_kib(), cost.passes(), cost.lanes()] {
                    out.extend_from_slice(&number.to_be_bytes());
                }
                out.extend_from_slice(&SUITE_ID);
                out.extend_from_slice(&public.0);
            }
            Derivation::Recovery(public) => {
                out.push(DERIVATION_RECOVERY);
                out.extend_from_slice(&SUITE_ID);
                out.extend_from_slice(&public.0);
            }
        }
        out
    }

    /// Reads a header off the front of a slot: the header and its length.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let [format, kind] = take(&mut rest)?;
        let id = take(&mut rest)?;
        let salt = take(&mut rest)?;
        let [derivation] = take(&mut rest)?;
        let derivation = match (SlotKind::from_number(kind)?, derivation) {
            (SlotKind::Express, DERIVATION_HKDF) => Derivation::Express,
            (SlotKind::Manual, DERIVATION_ARGON2ID) => {
                let mut number = || take(&mut rest).map(u32::from_be_bytes);
                let (memory_kib, passes, lanes) = (number()?, number()?, number()?);
                let cost = Cost::read(memory_kib, passes, lanes).ok()?;
                Derivation::Manual(cost, public(&mut rest)?)
            }
            (SlotKind::Recovery, DERIVATION_RECOVERY) => Derivation::Recovery(public(&mut rest)?),
            _ => return None,
        };
        (format == FORMAT).then_some((Self { id, salt, derivation }, bytes.len() - rest.len()))
    }
}

fn public(rest: &mut &[u8]) -> Option<PublicKey> {
    let suite: [u8; SUITE_ID.len()] = take(rest)?;
    let public: [u8; PUBLIC_LEN] = take(rest)?;
    (suite == SUITE_ID).then_some(PublicKey(public))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}
