//! From a token to its caller: verification, sessions, rights, and the change stream that takes them away.
