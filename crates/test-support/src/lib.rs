//! What tests need: a fresh database for each test, on both engines; and the rules of the house, which every service checks.
//!
//! PostgreSQL comes from `COFFRE_TEST_DATABASE_URL` (a server on which databases may be created), or else from a private server that is
//! started once a test process and goes with it. A machine without PostgreSQL fails the tests; it does not skip them.
//!
//! ```text
//! coffre_test_support::on_each_engine! {
//!     async fn a_change_is_read_back(db: TestDb) {
//!         let options = Options::new(DatabaseUrl::parse(db.url()).unwrap(), "auth");
//!     }
//! }
//! ```
#![allow(clippy::panic, clippy::expect_used, reason = "what fails here fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests are told by the environment where their server is")]

// The C libraries are built in, whatever else is compiled with this crate.
#[cfg(feature = "databases")]
use {libsqlite3_sys as _, openssl_sys as _, pq_sys as _};

mod canary;
#[cfg(feature = "certificates")]
pub mod certificates;
#[cfg(feature = "house")]
pub mod house;
mod server;
#[cfg(feature = "databases")]
mod test_db;

pub use canary::Canary;
pub use server::PostgresServer;
#[cfg(feature = "databases")]
pub use test_db::{Engine, TestDb};

/// Makes of each async function a module with two tests, `sqlite` and `postgres`, that give it a fresh database.
///
/// The crate that uses it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! on_each_engine {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident: TestDb) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn case($db: $crate::TestDb) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                case($crate::TestDb::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                case($crate::TestDb::postgres()).await;
            }
        }
    )*};
}
