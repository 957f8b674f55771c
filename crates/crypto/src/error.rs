//! What can go wrong, told apart only as far as a caller may act on it.

/// Why a key or a sealed form could not be used. No variant says more about the content than its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The bytes are too short, too long or of an unknown format.
    #[error("the sealed form is malformed")]
    Malformed,
    /// The bytes do not open under this key and this place.
    #[error("the sealed form does not open under its key")]
    Unauthentic,
    /// No key of this term is in the keyring.
    #[error("the keyring has no key of term {0}")]
    UnknownTerm(u32),
    /// The key is not the one of the slot.
    #[error("the key is not the one of this slot")]
    WrongKey,
    /// The key material has the wrong length.
    #[error("a key has 32 bytes")]
    KeyLength,
    /// The library refused an operation that cannot fail on what we give it, or there was not the memory for it.
    #[error("the cryptographic library refused an operation, or there was not the memory for it")]
    Library,
}
