use proptest::prelude::*;

use super::*;
use crate::keyring::Term;
use crate::recovery::RecoveryKey;
use crate::slot::Slot;
use crate::value::Place;

const VAULT: &str = "spiffe://coffre.internal/vault";

/// A vault with its stored keys.
struct Sample {
    ring: OpenKeyring,
    slot: Vec<u8>,
    terms: Vec<WrappedTerm>,
}

impl Sample {
    fn new() -> Self {
        let root = RootKey::generate().unwrap();
        let slot = Slot::recovery(&root, &RecoveryKey::generate().unwrap()).unwrap().as_bytes().to_vec();
        let terms = vec![root.new_term(Term::FIRST).unwrap(), root.new_term(Term::new(2)).unwrap()];
        Self { ring: OpenKeyring::open(&root, &terms).unwrap(), slot, terms }
    }

    fn stored(&self) -> StoredKeys {
        self.at(3)
    }

    fn at(&self, generation: i64) -> StoredKeys {
        StoredKeys::of(Generation(generation), &[(SlotKind::Recovery, &self.slot)], &self.terms).unwrap()
    }

    /// Says whether a root key is the one of the stored terms.
    fn opens(&self, root: &RootKey) -> bool {
        OpenKeyring::open(root, &self.terms).is_ok() && self.ring.is_under(root)
    }
}

fn between(stored: &StoredKeys) -> Between<'_> {
    Between { asker: VAULT, asker_name: "vault-1", giver: VAULT, generation: Generation(3), stored }
}

#[test]
fn whoever_reads_the_same_keys_gets_the_root_key() {
    let vault = Sample::new();
    let (here, there) = (vault.stored(), vault.stored());
    let ask = Ask::new(&between(&here)).unwrap();
    let sealed = vault.ring.share(&between(&there), ask.asked()).unwrap();
    assert_eq!(sealed.len(), SEALED_LEN);
    let root = ask.open(&sealed).unwrap();
    assert!(vault.opens(&root));
    let value = vault.ring.seal(&Place::example(), b"x").unwrap();
    let ring = OpenKeyring::open(&root, &vault.terms).unwrap();
    assert_eq!(ring.open_value(&Place::example(), value.as_bytes()).unwrap().expose(), b"x");
}

#[test]
fn an_answer_opens_for_its_ask_alone() {
    let vault = Sample::new();
    let stored = vault.stored();
    let [first, second] = [(); 2].map(|()| Ask::new(&between(&stored)).unwrap());
    assert_ne!(first.asked(), second.asked());
    assert_ne!(first.asked().id(), second.asked().id());
    let sealed = vault.ring.share(&between(&stored), first.asked()).unwrap();
    assert_eq!(second.open(&sealed).unwrap_err(), CryptoError::Unauthentic, "a replayed answer");
    assert!(vault.opens(&first.open(&sealed).unwrap()));
}

#[test]
fn the_same_ask_never_gets_the_same_answer() {
    let vault = Sample::new();
    let stored = vault.stored();
    let ask = Ask::new(&between(&stored)).unwrap();
    let answer = || vault.ring.share(&between(&stored), ask.asked()).unwrap();
    assert_ne!(answer(), answer());
}

#[test]
fn whoever_does_not_read_the_database_gets_nothing() {
    let vault = Sample::new();
    let stored = vault.stored();
    let mut guess = Ask::new(&between(&stored)).unwrap().asked().clone();
    for proof in [[0; MAC_LEN], [0xff; MAC_LEN]] {
        guess.proof = proof;
        assert_eq!(vault.ring.share(&between(&stored), &guess).unwrap_err(), CryptoError::WrongKey);
    }
}

#[test]
fn a_proof_is_good_for_its_own_key_and_nonce_alone() {
    let vault = Sample::new();
    let stored = vault.stored();
    // Somebody who was asked, or who stands in between, puts a key of his own into the ask.
    let seen = Ask::new(&between(&stored)).unwrap().asked().clone();
    let own = KeyPair::derive(&Key256::generate().unwrap()).unwrap();
    let forged = Asked { public_key: own.public().0, ..seen.clone() };
    assert_eq!(vault.ring.share(&between(&stored), &forged).unwrap_err(), CryptoError::WrongKey);
    let mut other = seen;
    other.nonce[31] ^= 1;
    assert_eq!(vault.ring.share(&between(&stored), &other).unwrap_err(), CryptoError::WrongKey);
}

#[test]
fn another_vault_another_generation_and_other_rows_are_other_keys() {
    let (vault, other) = (Sample::new(), Sample::new());
    let stored = vault.stored();
    let swapped = Sample { slot: other.slot.clone(), ring: Sample::new().ring, terms: vault.terms.clone() };
    let fewer = Sample { terms: vault.terms[..1].to_vec(), slot: vault.slot.clone(), ring: Sample::new().ring };
    for foreign in [other.stored(), swapped.stored(), fewer.stored(), vault.at(4)] {
        let ask = Ask::new(&between(&foreign)).unwrap();
        assert_eq!(vault.ring.share(&between(&stored), ask.asked()).unwrap_err(), CryptoError::WrongKey);
        // Also where the giver took the asker's view for its own, what comes out is bound to it.
        let ask = Ask::new(&between(&stored)).unwrap();
        let asked = Asked {
            proof: foreign.proof(&between(&foreign).ask(&ask.asked().public_key, &ask.asked().nonce)).unwrap(),
            ..ask.asked().clone()
        };
        let sealed = vault.ring.share(&between(&foreign), &asked).unwrap();
        assert_eq!(ask.open(&sealed).unwrap_err(), CryptoError::Unauthentic);
    }
}

#[test]
fn who_asks_whom_is_part_of_ask_and_answer() {
    let vault = Sample::new();
    let stored = vault.stored();
    let own = between(&stored);
    for other in [
        Between { asker: "spiffe://coffre.internal/locker", ..own },
        Between { asker: "spiffe://elsewhere/vault", ..own },
        Between { giver: "spiffe://elsewhere/vault", ..own },
        Between { asker_name: "vault-2", ..own },
        Between { generation: Generation(4), ..own },
        // What belongs to one part is no part of its neighbour.
        Between { asker: "spiffe://coffre.internal/vaults", giver: &VAULT[1..], ..own },
    ] {
        let ask = Ask::new(&other).unwrap();
        assert_eq!(vault.ring.share(&own, ask.asked()).unwrap_err(), CryptoError::WrongKey, "{other:?}");
        let sealed = vault.ring.share(&other, ask.asked()).unwrap();
        let ours = Ask::new(&own).unwrap();
        assert_eq!(ours.open(&sealed).unwrap_err(), CryptoError::Unauthentic);
    }
}

#[test]
fn the_order_of_the_rows_is_no_part_of_the_stored_keys() {
    let vault = Sample::new();
    let express = Slot::express(&RootKey::generate().unwrap(), &Key256::generate().unwrap()).unwrap();
    let slots = [(SlotKind::Express, express.as_bytes()), (SlotKind::Recovery, vault.slot.as_slice())];
    let (mut turned, mut terms) = (slots, vault.terms.clone());
    turned.reverse();
    terms.reverse();
    let one = StoredKeys::of(Generation(1), &slots, &vault.terms).unwrap();
    let other = StoredKeys::of(Generation(1), &turned, &terms).unwrap();
    assert_eq!(one.0.expose(), other.0.expose());
    let exchanged = [(SlotKind::Recovery, express.as_bytes()), (SlotKind::Express, vault.slot.as_slice())];
    let exchanged = StoredKeys::of(Generation(1), &exchanged, &vault.terms).unwrap();
    assert_ne!(one.0.expose(), exchanged.0.expose());
}

#[test]
fn a_public_key_that_agrees_with_everybody_gets_nothing() {
    let vault = Sample::new();
    let stored = vault.stored();
    let between = between(&stored);
    // Points of small order (RFC 7748, section 6.1): what comes out of them everybody knows.
    for public_key in [[0; PUBLIC_LEN], {
        let mut one = [0; PUBLIC_LEN];
        one[0] = 1;
        one
    }] {
        let nonce = [7; NONCE_LEN];
        let proof = stored.proof(&between.ask(&public_key, &nonce)).unwrap();
        assert_eq!(vault.ring.share(&between, &Asked { public_key, nonce, proof }).unwrap_err(), CryptoError::Library);
    }
}

#[test]
fn no_changed_or_cut_answer_opens() {
    let vault = Sample::new();
    let stored = vault.stored();
    let material = Key256::generate().unwrap();
    let ask = || Ask::of(&between(&stored), &material, [7; NONCE_LEN]).unwrap();
    let sealed = vault.ring.share(&between(&stored), ask().asked()).unwrap();
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(ask().open(&changed).is_err(), "byte {index}");
        assert!(ask().open(&sealed[..index]).is_err(), "length {index}");
    }
    assert_eq!(ask().open(&[sealed.as_slice(), b"x"].concat()).unwrap_err(), CryptoError::Malformed);
    assert!(vault.opens(&ask().open(&sealed).unwrap()));
}

#[test]
fn the_root_key_is_in_nothing_that_is_sent_or_shown() {
    let vault = Sample::new();
    let stored = vault.stored();
    let ask = Ask::new(&between(&stored)).unwrap();
    let sealed = vault.ring.share(&between(&stored), ask.asked()).unwrap();
    let root = vault.ring.root().expose();
    assert!(!sealed.windows(8).any(|window| root.windows(8).any(|part| part == window)));
    let shown = format!("{ask:?} {stored:?} {:?} {:?}", between(&stored), ask.asked());
    for secret in [root.as_slice(), stored.0.expose()] {
        let (listed, hex) = (format!("{:?}", &secret[..8]), hex::encode(&secret[..8]));
        assert!(!shown.contains(listed.trim_matches(['[', ']'])) && !shown.contains(&hex), "{shown}");
    }
    assert!(shown.starts_with("Ask { asked: Asked {") && shown.contains(" StoredKeys "), "{shown}");
}

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    root_key: String,
    generation: i64,
    slots: Vec<VectorRow>,
    terms: Vec<VectorRow>,
    asker: String,
    giver: String,
    asker_name: String,
    material: String,
    nonce: String,
    stored_keys: String,
    public_key: String,
    ask: String,
    proof: String,
    sealed: String,
}

#[derive(serde::Deserialize)]
struct VectorRow {
    number: u32,
    bytes: String,
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn golden_vectors_hold() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../tests/vectors/peer.json")).unwrap();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let kinds = [SlotKind::Express, SlotKind::Manual, SlotKind::Recovery];
        let kind = |number: u32| kinds.into_iter().find(|kind| u32::from(kind.number()) == number).unwrap();
        let slots: Vec<_> = vector.slots.iter().map(|row| (kind(row.number), unhex(&row.bytes))).collect();
        let slots: Vec<_> = slots.iter().map(|(kind, bytes)| (*kind, bytes.as_slice())).collect();
        let term = |row: &VectorRow| WrappedTerm { term: Term::new(row.number), wrapped: unhex(&row.bytes) };
        let terms: Vec<_> = vector.terms.iter().map(term).collect();
        let stored = StoredKeys::of(Generation(vector.generation), &slots, &terms).unwrap();
        assert_eq!(hex::encode(stored.0.expose()), vector.stored_keys, "{}", vector.name);
        let between = Between {
            asker: &vector.asker,
            asker_name: &vector.asker_name,
            giver: &vector.giver,
            generation: Generation(vector.generation),
            stored: &stored,
        };
        let material = Key256::from_slice(&unhex(&vector.material)).unwrap();
        let ask = Ask::of(&between, &material, unhex(&vector.nonce).try_into().unwrap()).unwrap();
        assert_eq!(hex::encode(ask.asked().public_key), vector.public_key, "{}", vector.name);
        assert_eq!(
            hex::encode(between.ask(&ask.asked().public_key, &ask.asked().nonce)),
            vector.ask,
            "{}",
            vector.name
        );
        assert_eq!(hex::encode(ask.asked().proof), vector.proof, "{}", vector.name);
        assert_eq!(ask.asked().id(), vector.nonce[..16]);
        let root = ask.open(&unhex(&vector.sealed)).unwrap();
        assert_eq!(hex::encode(root.expose()), vector.root_key, "{}", vector.name);
        assert!(OpenKeyring::open(&root, &terms).is_ok(), "{}", vector.name);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let stored = StoredKeys::of(Generation(1), &[(SlotKind::Manual, &bytes)], &[]).unwrap();
        let ask = Ask::new(&between(&stored)).unwrap();
        prop_assert!(ask.open(&bytes).is_err());
        prop_assert_eq!(Asked::read(&bytes, &bytes, &bytes).is_ok(), bytes.len() == 32);
    }
}
