//! Keyring, key slots and sealing.
