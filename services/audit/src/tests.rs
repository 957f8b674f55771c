//! The log as it is proved, on both engines: proofs of every size, what tampering looks like, and rounds that die on the way.

mod checkpoints;
mod checkpoints_again;
mod cut;
mod look;
mod proofs;
mod rig;
mod streaming;
mod tampering;
