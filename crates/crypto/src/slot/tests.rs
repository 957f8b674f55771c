use std::sync::OnceLock;

use coffre_secret::SecretText;
use proptest::prelude::*;

use super::*;

struct Sample {
    root: RootKey,
    express_key: Key256,
    master: MasterKey,
    recovery_key: RecoveryKey,
    express: Slot,
    manual: Slot,
    recovery: Slot,
}

fn least() -> Cost {
    Cost::new(8 * 1024, 1).unwrap()
}

fn master(text: &str) -> MasterKey {
    MasterKey::new(&SecretText::new(text.to_owned())).unwrap()
}

impl Sample {
    fn new() -> Self {
        let root = RootKey::generate().unwrap();
        let express_key = Key256::generate().unwrap();
        let master = master("correct horse");
        let recovery_key = RecoveryKey::generate().unwrap();
        Self {
            express: Slot::express(&root, &express_key).unwrap(),
            manual: Slot::manual(&root, &master, least()).unwrap(),
            recovery: Slot::recovery(&root, &recovery_key).unwrap(),
            root,
            express_key,
            master,
            recovery_key,
        }
    }

    fn slots(&self) -> [&Slot; 3] {
        [&self.express, &self.manual, &self.recovery]
    }

    /// Opens a slot with the key of its kind, whatever it is; of a manual slot the stretched key, so that the cost does not count.
    fn open(&self, slot: &Slot, stretched: &Key256) -> Result<RootKey, CryptoError> {
        match slot.kind() {
            SlotKind::Express => slot.open_express(&self.express_key),
            SlotKind::Manual => slot.open_typed(SlotKind::Manual, stretched),
            SlotKind::Recovery => slot.open_recovery(&self.recovery_key),
        }
    }

    fn stretched(&self) -> Key256 {
        stretch::stretch(self.master.expose(), &self.manual.header.salt, least()).unwrap()
    }
}

/// Whoever writes the database can make the digest fit.
fn with_digest(content: &[u8]) -> Vec<u8> {
    [content, digest(&SHA256, content).as_ref()].concat()
}

fn content(slot: &Slot) -> &[u8] {
    &slot.as_bytes()[..slot.as_bytes().len() - DIGEST_LEN]
}

#[test]
fn each_key_opens_its_slot() {
    let sample = Sample::new();
    assert_eq!(sample.slots().map(|slot| slot.as_bytes().len()), [175, 333, 321]);
    let [express, manual, recovery] = sample.slots().map(|slot| Slot::from_bytes(slot.as_bytes().to_vec()).unwrap());
    assert_eq!(express.open_express(&sample.express_key).unwrap().expose(), sample.root.expose());
    assert_eq!(manual.open_manual(&sample.master).unwrap().expose(), sample.root.expose());
    assert_eq!(recovery.open_recovery(&sample.recovery_key).unwrap().expose(), sample.root.expose());
    assert_eq!([express.cost(), manual.cost(), recovery.cost()], [None, Some(least()), None]);
}

#[test]
fn a_wrong_key_is_told_from_a_damaged_slot() {
    let sample = Sample::new();
    let other = Key256::generate().unwrap();
    assert_eq!(sample.express.open_express(&other).unwrap_err(), CryptoError::WrongKey);
    assert_eq!(sample.manual.open_manual(&master("wrong horse")).unwrap_err(), CryptoError::WrongKey);
    let other = RecoveryKey::generate().unwrap();
    assert_eq!(sample.recovery.open_recovery(&other).unwrap_err(), CryptoError::WrongKey);
    for slot in sample.slots() {
        for index in 0..slot.as_bytes().len() {
            let mut bytes = slot.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(Slot::from_bytes(bytes).unwrap_err(), CryptoError::Malformed, "{slot:?} byte {index}");
        }
        // Forged and not only damaged: where the check value still fits, the slot is the one to blame.
        let mut forged = content(slot).to_vec();
        forged[2] ^= 1;
        let forged = Slot::from_bytes(with_digest(&forged)).unwrap();
        assert_eq!(sample.open(&forged, &sample.stretched()).unwrap_err(), CryptoError::Unauthentic);
    }
}

#[test]
fn no_forged_bit_opens() {
    let sample = Sample::new();
    let stretched = sample.stretched();
    let next = RootKey::generate().unwrap();
    for slot in sample.slots() {
        // The bond stands at the end: opening does not ask it, keeping the slot does.
        let opened = content(slot).len() - if slot.kind() == SlotKind::Express { 0 } else { WRAPPED_LEN };
        for index in 0..content(slot).len() {
            for bit in [1, 0x10, 0x80] {
                let mut bytes = content(slot).to_vec();
                bytes[index] ^= bit;
                let Ok(forged) = Slot::from_bytes(with_digest(&bytes)) else { continue };
                let result = sample.open(&forged, &stretched);
                assert_eq!(result.is_ok(), index >= opened, "{slot:?} byte {index}");
                let kept = forged.renew(&sample.root, &next);
                // What only HPKE and the wrapping cover is made anew.
                let sealed = index >= opened - SEALED_LEN && index < opened;
                assert_eq!(kept.is_ok(), slot.kind() != SlotKind::Express && sealed, "{slot:?} byte {index}");
            }
        }
    }
}

#[test]
fn truncated_and_lengthened_slots_are_malformed() {
    let sample = Sample::new();
    for slot in sample.slots() {
        for length in 0..slot.as_bytes().len() {
            let cut = slot.as_bytes()[..length].to_vec();
            assert_eq!(Slot::from_bytes(cut).unwrap_err(), CryptoError::Malformed);
        }
        for length in 0..content(slot).len() {
            let cut = with_digest(&content(slot)[..length]);
            assert_eq!(Slot::from_bytes(cut).unwrap_err(), CryptoError::Malformed);
        }
        let longer = with_digest(&[content(slot), &[0]].concat());
        assert_eq!(Slot::from_bytes(longer).unwrap_err(), CryptoError::Malformed);
    }
}

#[test]
fn a_slot_opens_as_its_own_kind_alone() {
    let sample = Sample::new();
    for slot in [&sample.manual, &sample.recovery] {
        assert_eq!(slot.open_express(&sample.express_key).unwrap_err(), CryptoError::Malformed);
    }
    for slot in [&sample.express, &sample.recovery] {
        assert_eq!(slot.open_manual(&sample.master).unwrap_err(), CryptoError::Malformed);
    }
    for slot in [&sample.express, &sample.manual] {
        assert_eq!(slot.open_recovery(&sample.recovery_key).unwrap_err(), CryptoError::Malformed);
    }
    // The same 32 bytes as keys of two kinds have nothing in common.
    let secret = Key256::from_slice(sample.recovery_key.expose()).unwrap();
    assert_eq!(sample.manual.open_typed(SlotKind::Manual, &secret).unwrap_err(), CryptoError::WrongKey);
}

#[test]
fn swapped_parts_do_not_open() {
    let (one, two) = (Sample::new(), Sample::new());
    let stretched = one.stretched();
    for (left, right) in one.slots().into_iter().zip(two.slots()) {
        let (header, check) = (left.header_len, left.header_len + CHECK_LEN);
        for cut in [header, check] {
            let mixed = with_digest(&[&content(left)[..cut], &content(right)[cut..]].concat());
            assert!(one.open(&Slot::from_bytes(mixed).unwrap(), &stretched).is_err(), "{left:?} cut at {cut}");
        }
    }
}

/// Rule 5.1: the public key is authenticated under the root key.
#[test]
fn rule_5_1_a_public_key_of_somebody_else_gets_no_root_key() {
    let sample = Sample::new();
    let thief = RecoveryKey::generate().unwrap();
    let keys = TypedKeys::derive(thief.key(), &sample.recovery.header.salt, SlotKind::Recovery).unwrap();
    let mut forged = content(&sample.recovery).to_vec();
    let public = sample.recovery.header_len - hpke::PUBLIC_LEN;
    forged[public..public + hpke::PUBLIC_LEN].copy_from_slice(&keys.pair.public().0);
    let check = sample.recovery.header_len;
    forged[check..check + CHECK_LEN].copy_from_slice(keys.slot.check.expose());
    let forged = Slot::from_bytes(with_digest(&forged)).unwrap();
    let next = RootKey::generate().unwrap();
    assert_eq!(forged.renew(&sample.root, &next).unwrap_err(), CryptoError::Unauthentic);
    // Nor does a whole slot of his own, made under a root key of his own.
    let own = Slot::recovery(&RootKey::generate().unwrap(), &thief).unwrap();
    assert_eq!(own.renew(&sample.root, &next).unwrap_err(), CryptoError::Unauthentic);
}

/// Whoever knows the public key, but no key of the vault, cannot make its owner open a root key that he chose.
#[test]
fn a_root_key_of_somebody_else_does_not_open() {
    let sample = Sample::new();
    let chosen = RootKey::generate().unwrap();
    let slot = &sample.recovery;
    let check = slot.parts().unwrap().check.to_vec();
    let public = *slot.header.derivation.public().unwrap();
    let guess = Key256::generate().unwrap();
    let planted = Slot::seal(&chosen, slot.header, &public, &guess, &check).unwrap();
    assert_eq!(planted.open_recovery(&sample.recovery_key).unwrap_err(), CryptoError::Unauthentic);
}

#[test]
fn a_renewed_slot_shows_nothing_to_who_knows_the_old_root_key() {
    let sample = Sample::new();
    let next = RootKey::generate().unwrap();
    let renewed = sample.recovery.renew(&sample.root, &next).unwrap();
    assert_eq!(renewed.open_recovery(&sample.recovery_key).unwrap().expose(), next.expose());
    assert_ne!(renewed.header.id, sample.recovery.header.id);
    // The bond of the old slot gives the wrapping key, which is not enough: the root key is sealed to the key pair as well.
    let old = sample.recovery.parts().unwrap();
    let associated_with = bond_associated(old.header, old.check);
    let bond = aead::open(&sample.root.purpose(BOND_KEY).unwrap(), &associated_with, &old.body[SEALED_LEN..]).unwrap();
    let wrap = Key256::from_secret(&bond).unwrap();
    let new = renewed.parts().unwrap();
    assert!(aead::open(&wrap, &associated(new.header), &new.body[..WRAPPED_LEN]).is_err());
    assert!(aead::open(&wrap, &associated(new.header), &new.body[hpke::PUBLIC_LEN..SEALED_LEN]).is_err());
    assert!(renewed.renew(&sample.root, &next).is_err());
}

#[test]
fn no_two_slots_are_alike() {
    let root = RootKey::generate().unwrap();
    let key = RecoveryKey::generate().unwrap();
    let (one, two) = (Slot::recovery(&root, &key).unwrap(), Slot::recovery(&root, &key).unwrap());
    assert_ne!(one.header.salt, two.header.salt);
    assert_ne!(one.header.derivation, two.header.derivation);
    assert_ne!(one.parts().unwrap().check, two.parts().unwrap().check);
}

#[test]
fn debug_shows_the_kind_and_nothing_else() {
    assert_eq!(format!("{:?}", Sample::new().express), "Slot { kind: Express, .. }");
}

/// A generator that is the same every time: failures can be repeated.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn random_bytes_are_no_slot_and_never_panic() {
    let sample = Sample::new();
    let stretched = sample.stretched();
    let mut noise = Noise(1);
    let mut slots = 0;
    for round in 0..6_000 {
        // A third is noise all over; a third has a good first and a good length; a third has good parameters too.
        let like = content(sample.slots()[round % 3]);
        let bytes = match round / 3 % 3 {
            0 => {
                let length = noise.next() as usize % 400;
                noise.bytes(length)
            }
            1 => [&like[..2], &noise.bytes(48), &like[50..51], &noise.bytes(like.len() - 51)].concat(),
            _ => {
                let parameters = if round % 3 == 1 { 51 + 18 } else { 51 + 6 };
                [&like[..2], &noise.bytes(48), &like[50..parameters], &noise.bytes(like.len() - parameters)].concat()
            }
        };
        let Ok(slot) = Slot::from_bytes(with_digest(&bytes)) else { continue };
        slots += 1;
        assert!(sample.open(&slot, &stretched).is_err());
        assert!(slot.renew(&sample.root, &sample.root).is_err());
    }
    assert!(slots >= 2_000, "{slots}");
}

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    kind: String,
    master_key: Option<String>,
    memory_kib: Option<u32>,
    recovery_key: Option<String>,
    secret: String,
    nonce: String,
    root_key: String,
    check: String,
    wrapping_key: String,
    public_key: Option<String>,
    header: String,
    slot: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../tests/vectors/slot.json")).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

impl Vector {
    fn secret(&self) -> Key256 {
        Key256::from_slice(&unhex(&self.secret)).unwrap()
    }

    fn open(&self, slot: &Slot) -> Result<RootKey, CryptoError> {
        match self.kind.as_str() {
            "express" => slot.open_express(&self.secret()),
            "manual" => slot.open_manual(&master(self.master_key.as_ref().unwrap())),
            "recovery" => {
                let typed = SecretText::new(self.recovery_key.clone().unwrap());
                slot.open_recovery(&RecoveryKey::parse(&typed).unwrap())
            }
            other => panic!("{other}"),
        }
    }
}

/// The vector of 256 MiB among them is the one case that pays what a slot in use costs.
#[test]
fn golden_vectors_hold() {
    let mut kinds = Vec::new();
    let mut standard = 0;
    for vector in vectors() {
        let slot = Slot::from_bytes(unhex(&vector.slot)).unwrap();
        assert_eq!(hex::encode(slot.header.to_bytes()), vector.header, "{}", vector.name);
        assert_eq!(hex::encode(vector.open(&slot).unwrap().expose()), vector.root_key, "{}", vector.name);
        assert_eq!(hex::encode(slot.parts().unwrap().check), vector.check, "{}", vector.name);
        assert_eq!(slot.header.derivation.public().map(|public| hex::encode(public.0)), vector.public_key);
        let keys = SlotKeys::derive(&vector.secret(), &slot.header.salt, slot.kind()).unwrap();
        assert_eq!(hex::encode(keys.wrap.expose()), vector.wrapping_key, "{}", vector.name);
        if vector.memory_kib == Some(Cost::STANDARD.memory_kib()) {
            assert_eq!(slot.cost(), Some(Cost::STANDARD));
            standard += 1;
        }
        kinds.push(slot.kind().number());
    }
    kinds.dedup();
    assert_eq!((kinds, standard), (vec![1, 2, 3], 1));
}

#[test]
fn an_express_slot_is_sealed_as_in_its_vector() {
    for vector in vectors().iter().filter(|vector| vector.kind == "express") {
        let slot = Slot::from_bytes(unhex(&vector.slot)).unwrap();
        let keys = SlotKeys::derive(&vector.secret(), &slot.header.salt, SlotKind::Express).unwrap();
        let header = slot.header.to_bytes();
        let mut wrapped = unhex(&vector.nonce);
        let nonce = unhex(&vector.nonce).try_into().unwrap();
        aead::seal_after(&keys.wrap, nonce, &associated(&header), &unhex(&vector.root_key), &mut wrapped).unwrap();
        let sealed = Slot::finish(header, &[keys.check.expose(), &wrapped]).unwrap();
        assert_eq!(hex::encode(sealed.as_bytes()), vector.slot, "{}", vector.name);
    }
}

#[test]
fn the_slots_of_the_vectors_go_on_under_a_new_root_key() {
    for vector in vectors().iter().filter(|vector| vector.kind != "express") {
        let slot = Slot::from_bytes(unhex(&vector.slot)).unwrap();
        let root = RootKey::from_secret(&SecretBytes::new(unhex(&vector.root_key))).unwrap();
        let next = RootKey::generate().unwrap();
        let renewed = slot.renew(&root, &next).unwrap();
        let opened = renewed.open_typed(slot.kind(), &vector.secret()).unwrap();
        assert_eq!(opened.expose(), next.expose(), "{}", vector.name);
    }
}

fn shared() -> &'static (Sample, Key256) {
    static SHARED: OnceLock<(Sample, Key256)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let sample = Sample::new();
        let stretched = sample.stretched();
        (sample, stretched)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any number of bytes of a slot replaced by others, the digest made to fit: never opens, never panics.
    #[test]
    fn overwritten_slots_never_open(changes in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..8)) {
        let (sample, stretched) = shared();
        for slot in sample.slots() {
            let end = content(slot).len() - if slot.kind() == SlotKind::Express { 0 } else { WRAPPED_LEN };
            let mut bytes = content(slot).to_vec();
            for (index, change) in &changes {
                bytes[index.index(end)] ^= change;
            }
            if bytes != content(slot)
                && let Ok(forged) = Slot::from_bytes(with_digest(&bytes))
            {
                prop_assert!(sample.open(&forged, stretched).is_err());
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Slot::from_bytes(bytes).is_err());
    }
}
