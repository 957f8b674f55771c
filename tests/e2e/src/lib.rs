//! The whole program as its users meet it.
//!
//! The library holds what the cases of `tests/it` and the long runs of `soak` share: it starts the real `coffre` as a process,
//! speaks REST and gRPC with it, and keeps a ledger of every call so that each is looked up in the audit afterwards.
//!
//! | module | for |
//! |---|---|
//! | [`keeper`] | ends processes and removes folders when the tests are gone, however they went |
//! | [`process`] | one process of `coffre`: started, stopped, killed |
//! | [`server`] | an installation and its server |
//! | [`split`] | every service in a process of its own |
//! | [`network`] | hosts with addresses of their own, which can be cut off |
//! | [`ports`] | gRPC calls find the port of their service |
//! | [`postgres`] | databases of their own on the PostgreSQL that the tests were given |
//! | [`hostile`] | crowds of clients that want no answer |
//! | [`http`], [`raw`] | a REST client that changes no path, and bytes on a socket |
//! | [`operation`] | every call, and what the audit says about it |
//! | [`api`] | a caller: the calls over either protocol, with answers in one form |
//! | [`model`] | that form |
//! | [`ledger`] | what the audit must hold |
//! | [`case`] | one case: its own users and names on a shared server |
//! | [`canary`] | the search for secrets where none may be |
//! | [`load`] | writers and readers that remember what was acknowledged |
//! | [`versions`] | the version before beside this one, and this one in its place |
//! | [`tools`] | programs that users have |
//! | [`sharing`] | operations that no single transaction holds, and what must be true after each |
//! | [`front_door`] | refusals compared by their time, and many clients that nobody knows |
//! | [`tables`] | the tables of a service, seen and changed from outside |
//! | [`settled`] | servers that settle what was interrupted |
//! | [`kills`] | the server killed under them |

// All of this is a test: a broken expectation panics, with the place that had it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the environment says where the program and the database are; nothing here is a service"
)]

mod addresses;
pub mod api;
pub mod canary;
pub mod case;
pub mod front_door;
pub mod hostile;
pub mod http;
pub mod keeper;
pub mod kills;
pub mod ledger;
pub mod load;
pub mod model;
pub mod network;
pub mod operation;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod server;
pub mod settled;
pub mod sharing;
pub mod split;
pub mod tables;
pub mod tools;
pub mod versions;
