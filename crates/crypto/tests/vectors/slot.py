"""Makes slot.json and recovery_key.json after docs/values-at-rest.md alone, and peer.json after docs/vault-peers.md.

It shares no code with the crate: HKDF, HPKE and the recovery key's text are written out here; AES-GCM, X25519 and Argon2id are
those of the package `cryptography` (44 or later), which is OpenSSL. Everything random comes from SHA-256 of a name, so a second run
gives the same files: `python3 slot.py` in this folder.
"""

import hashlib
import hmac
import json
import struct
import unicodedata

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SUITE = bytes.fromhex("002000010002")
ALPHABET = "23456789ACDEFHKLMNPRTWXY"


def extract(salt, material):
    return hmac.new(salt or bytes(32), material, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


def hkdf(material, salt, info):
    return expand(extract(salt, material), info.encode(), 32)


def wrap(key, nonce, associated, plaintext):
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


# HPKE, RFC 9180


def labelled_extract(suite, salt, label, material):
    return extract(salt, b"HPKE-v1" + suite + label + material)


def labelled_expand(suite, prk, label, info, length):
    return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


KEM = b"KEM" + SUITE[:2]
HPKE = b"HPKE" + SUITE


def derive_key_pair(material):
    prk = labelled_extract(KEM, b"", b"dkp_prk", material)
    private = X25519PrivateKey.from_private_bytes(labelled_expand(KEM, prk, b"sk", b"", 32))
    return private, private.public_key().public_bytes_raw()


def hpke_seal(public, ephemeral_material, info, associated, plaintext):
    ephemeral, encapsulated = derive_key_pair(ephemeral_material)
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    eae = labelled_extract(KEM, b"", b"eae_prk", shared)
    secret = labelled_expand(KEM, eae, b"shared_secret", encapsulated + public, 32)
    context = b"\0" + labelled_extract(HPKE, b"", b"psk_id_hash", b"") + labelled_extract(HPKE, b"", b"info_hash", info)
    prk = labelled_extract(HPKE, secret, b"secret", b"")
    key = labelled_expand(HPKE, prk, b"key", context, 32)
    nonce = labelled_expand(HPKE, prk, b"base_nonce", context, 12)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, associated)


def check_hpke():
    """RFC 9180, appendix A.1.1: the recipient's key pair and the shared secret's inputs are those of this KEM."""
    material = bytes.fromhex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037")
    private, public = derive_key_pair(material)
    assert private.private_bytes_raw().hex() == "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
    assert public.hex() == "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
    try:  # Versions that have HPKE (without associated data) must open what is sealed here.
        from cryptography.hazmat.primitives import hpke

        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    except (ImportError, AttributeError):
        return
    sealed = hpke_seal(public, b"\1" * 32, b"info", b"", b"plaintext")
    assert suite.decrypt(sealed, private, b"info") == b"plaintext"


# Recovery keys


def recovery_text(key):
    checksum = hashlib.sha256(b"coffre/recovery-key/v1" + key).digest()[:4]
    groups = []
    for (number,) in struct.iter_unpack(">I", key + checksum):
        letters = ""
        for _ in range(7):
            number, digit = divmod(number, 24)
            letters = ALPHABET[digit] + letters
        groups.append(letters)
    return "-".join(groups)


# Slots


def noise(name, length=32):
    return hashlib.sha256(("coffre test vector " + name).encode()).digest()[:length]


def slot(name, kind, secret, salt, parameters):
    """Everything of a slot that can be told, its bytes last."""
    number = {"express": 1, "manual": 2, "recovery": 3}[kind]
    root = noise(name + " root")
    derived = {part: hkdf(secret, salt, f"coffre/slot/{kind}/{part}/v1") for part in ("check", "wrap", "pair")}
    header = bytes([1, number]) + noise(name + " id", 16) + salt + bytes([number]) + parameters
    told = {}
    if kind != "express":
        private, public = derive_key_pair(derived["pair"])
        header += SUITE + public
        told = {"private_key": private.private_bytes_raw().hex(), "public_key": public.hex()}
    associated = b"coffre/slot/v1" + header
    wrapped = wrap(derived["wrap"], noise(name + " nonce", 12), associated, root)
    body = wrapped
    if kind != "express":
        body = hpke_seal(public, noise(name + " ephemeral"), b"coffre/slot/v1", associated, wrapped)
        bond = hkdf(root, b"", "coffre/root/slot-bond/v1")
        bound = b"coffre/slot/bond/v1" + header + derived["check"]
        body += wrap(bond, noise(name + " bond nonce", 12), bound, derived["wrap"])
    content = header + derived["check"] + body
    return {
        "secret": secret.hex(),
        "salt": salt.hex(),
        "id": noise(name + " id", 16).hex(),
        "nonce": noise(name + " nonce", 12).hex(),
        "root_key": root.hex(),
        "check": derived["check"].hex(),
        "wrapping_key": derived["wrap"].hex(),
        **told,
        "header": header.hex(),
        "slot": (content + hashlib.sha256(content).digest()).hex(),
    }


def express(name):
    key = noise(name + " key")
    return {"name": name, "kind": "express", **slot(name, "express", key, noise(name + " salt"), b"")}


def manual(name, typed, memory_kib, passes, lanes):
    salt = noise(name + " salt")
    master = unicodedata.normalize("NFC", typed).encode()
    stretch = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    parameters = struct.pack(">III", memory_kib, passes, lanes)
    told = slot(name, "manual", stretch.derive(master), salt, parameters)
    cost = {"memory_kib": memory_kib, "passes": passes, "lanes": lanes}
    return {"name": name, "kind": "manual", "master_key": typed, **cost, **told}


def recovery(name):
    key = noise(name + " key")
    told = slot(name, "recovery", key, noise(name + " salt"), b"")
    return {"name": name, "kind": "recovery", "recovery_key": recovery_text(key), **told}


# Between replicas


def parts(*every):
    return b"".join(struct.pack(">I", len(part)) + part for part in every)


def peer(name, slots, numbers, generation, asker, giver, asker_name):
    """One ask and its answer. Slots are of any bytes: only the vault's own code opens them."""
    root = noise(name + " root")
    wrapping = hkdf(root, b"", "coffre/root/term/v1")
    terms = []
    for number in numbers:
        nonce, associated = noise(f"{name} term {number} nonce", 12), b"coffre/term/v1" + struct.pack(">I", number)
        terms.append((number, wrap(wrapping, nonce, associated, noise(f"{name} data key {number}"))))
    told = b"coffre/peer/stored/v1" + struct.pack(">q", generation)
    told += struct.pack(">I", len(slots))
    for kind, slot in sorted(slots):
        told += struct.pack(">B", kind) + parts(slot)
    told += struct.pack(">I", len(terms))
    for number, wrapped in sorted(terms):
        told += struct.pack(">I", number) + parts(wrapped)
    stored = hashlib.sha256(told).digest()
    material, nonce = noise(name + " asker"), noise(name + " nonce")
    _, public = derive_key_pair(material)
    who = [asker.encode(), giver.encode(), asker_name.encode()]
    ask = parts(b"coffre/peer/v1", *who, struct.pack(">q", generation), public, nonce)
    proof = hmac.new(hkdf(stored, b"", "coffre/peer/proof/v1"), ask, hashlib.sha256).digest()
    return {
        "name": name,
        "root_key": root.hex(),
        "generation": generation,
        "slots": [{"number": kind, "bytes": slot.hex()} for kind, slot in slots],
        "terms": [{"number": number, "bytes": wrapped.hex()} for number, wrapped in terms],
        "asker": asker,
        "giver": giver,
        "asker_name": asker_name,
        "material": material.hex(),
        "nonce": nonce.hex(),
        "stored_keys": stored.hex(),
        "public_key": public.hex(),
        "ask": ask.hex(),
        "proof": proof.hex(),
        "sealed": hpke_seal(public, noise(name + " giver"), b"coffre/peer/v1", ask + proof, root).hex(),
    }


def write(path, content):
    with open(path, "w", encoding="ascii") as file:
        json.dump(content, file, indent=2)
        file.write("\n")


check_hpke()
write(
    "slot.json",
    [
        express("express"),
        express("another express"),
        manual("manual with the least cost", "123456", 8 * 1024, 1, 1),
        manual("manual, typed decomposed, two lanes", "Cle\u0301 de la vou\u0302te \u2116 7", 16 * 1024, 2, 2),
        manual("manual as it is made", "correct horse battery staple", 256 * 1024, 3, 1),
        recovery("recovery"),
        recovery("another recovery"),
    ],
)
keys = [bytes(32), b"\xff" * 32, bytes(range(32))] + [noise(f"recovery key {number}") for number in range(5)]
write("recovery_key.json", [{"key": key.hex(), "text": recovery_text(key)} for key in keys])

VAULT = "spiffe://coffre.internal/vault"
manual_slot, recovery_slot = noise("a manual slot") * 10, noise("a recovery slot") * 10
write(
    "peer.json",
    [
        peer("two slots, one term", [(2, manual_slot), (3, recovery_slot)], [1], 4, VAULT, VAULT, "vault-0"),
        peer("rows in another order", [(3, recovery_slot), (2, manual_slot)], [7, 3], 2**40, VAULT, VAULT, "vault-1"),
        peer("other names", [(2, b"x")], [1, 2], 1, "spiffe://a/vault", "spiffe://b/vault", "vo\u00fbte"),
        peer("as little as there can be", [], [1], 0, "", "", ""),
    ],
)
