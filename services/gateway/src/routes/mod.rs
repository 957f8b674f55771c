//! One file a resource: its JSON, its handlers, its conversions.

pub(crate) mod attribute_values;
pub(crate) mod audit;
pub(crate) mod authentication;
pub(crate) mod credentials;
pub(crate) mod keys;
pub(crate) mod operations;
pub(crate) mod permissions;
pub(crate) mod roles;
pub(crate) mod users;
