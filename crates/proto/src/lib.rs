//! The generated messages, clients and servers of the contract in `proto/`.
//!
//! Nothing is written by hand here but the module tree, so that a change of the code generator touches one crate.
//! A message that holds a secret prints `[secret]` in its place.

#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::doc_markdown)]

/// `coffre`: everything of ours.
pub mod coffre {
    pub mod options {
        pub mod v1 {
            tonic::include_proto!("coffre.options.v1");
        }
    }
    pub mod error {
        pub mod v1 {
            tonic::include_proto!("coffre.error.v1");
        }
    }
    pub mod query {
        pub mod v1 {
            tonic::include_proto!("coffre.query.v1");
        }
    }
    pub mod auth {
        pub mod v1 {
            tonic::include_proto!("coffre.auth.v1");
        }
        pub mod internal {
            pub mod v1 {
                tonic::include_proto!("coffre.auth.internal.v1");
            }
        }
    }
    pub mod vault {
        pub mod v1 {
            tonic::include_proto!("coffre.vault.v1");
        }
        pub mod internal {
            pub mod v1 {
                tonic::include_proto!("coffre.vault.internal.v1");
            }
        }
    }
    pub mod locker {
        pub mod v1 {
            tonic::include_proto!("coffre.locker.v1");
        }
        pub mod internal {
            pub mod v1 {
                tonic::include_proto!("coffre.locker.internal.v1");
            }
        }
    }
    pub mod holdings {
        pub mod internal {
            pub mod v1 {
                tonic::include_proto!("coffre.holdings.internal.v1");
            }
        }
    }
    pub mod audit {
        pub mod v1 {
            tonic::include_proto!("coffre.audit.v1");
        }
        pub mod internal {
            pub mod v1 {
                tonic::include_proto!("coffre.audit.internal.v1");
            }
        }
    }
}

pub use coffre::*;

/// Every file of the contract with its comments and options, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The public files alone: what reflection may show.
pub const PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/public_descriptors.bin"));

include!(concat!(env!("OUT_DIR"), "/redacted_debug.rs"));
