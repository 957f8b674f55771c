//! Reading and checking settings.
