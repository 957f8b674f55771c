//! `coffre backup` and `coffre restore`: everything in one file, and back. They reach the databases themselves, as `coffre migrate` does.
//!
//! - `making` writes the file, `place` gives it its name when it is whole. `vouched` finds for whom it is sealed.
//! - `opening` opens a file with a key that somebody shows, `examining` reads it to its end before anything is written.
//! - `restoring` fills the databases, `afterwards` ends what must not come back.
//! - `witness` refuses the witness of the audit that saw more than a backup holds.
//! - `signed` signs a file, and says who signed one.
//! - `rows` finds columns in rows, `progress` shows how far it is.

mod afterwards;
mod examining;
mod making;
mod opening;
mod place;
mod progress;
mod restoring;
mod rows;
mod signed;
mod vouched;
mod witness;

use std::path::PathBuf;

use anyhow::bail;
use coffre_config::Settings;

pub(crate) use self::making::make;
pub(crate) use self::restoring::restore;

/// The services, in the order in which they are filled: whoever can sign in finds everything there.
const SERVICES: [&str; 4] = ["vault", "locker", "audit", "auth"];

/// The tables in which a new database has rows already.
const SEEDED: [&str; 4] = ["id_counters", "change_counter", "guards", "log_head"];

/// Returns the folder of the key files. That of `coffre dev` lies in its data folder.
fn keys_folder(settings: &Settings) -> anyhow::Result<PathBuf> {
    let beside = settings.data_dir.join("keys");
    match &settings.keys_dir {
        Some(folder) => Ok(folder.clone()),
        None if beside.is_dir() => Ok(beside),
        None => bail!("keys_dir is not set: name the folder of the key files with --keys-dir or COFFRE_KEYS_DIR"),
    }
}

/// Says what a database refused, for whoever runs the command: there is no log in which to look it up.
fn of_store(error: coffre_db::Error) -> anyhow::Error {
    match error {
        coffre_db::Error::Bug(text) => anyhow::anyhow!("the database: {text}"),
        other => other.into(),
    }
}
