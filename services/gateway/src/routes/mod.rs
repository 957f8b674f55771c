//! One file a resource: its JSON, its handlers, its conversions.

pub(crate) mod api_access;
pub(crate) mod api_access_secret;
pub(crate) mod api_keys;
pub(crate) mod attribute_values;
pub(crate) mod audit;
pub(crate) mod audit_export;
pub(crate) mod audit_proofs;
pub(crate) mod authentication;
pub(crate) mod credential_access;
pub(crate) mod credentials;
pub(crate) mod dashboard;
pub(crate) mod holdings;
pub(crate) mod keys;
pub(crate) mod locker_consumers;
pub(crate) mod locker_credentials;
pub(crate) mod locker_members;
pub(crate) mod lockers;
pub(crate) mod mode;
pub(crate) mod oauth;
pub(crate) mod oauth_metadata;
pub(crate) mod operations;
pub(crate) mod permissions;
pub(crate) mod roles;
pub(crate) mod rotation;
pub(crate) mod users;
