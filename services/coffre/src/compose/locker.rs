//! Locker in a process.

use coffre_locker::{App, Deps};
use coffre_tls::Service;

use super::{Ways, With};

pub(super) fn build(with: &With<'_>, ways: &mut Ways) -> anyhow::Result<App> {
    let store = with.stores.of(Service::Locker)?;
    let app = coffre_locker::build(Deps {
        database: store.database.clone(),
        outbox: store.outbox.clone(),
        clock: with.clock.clone(),
        auth: ways.to(Service::Auth)?,
        vault: ways.to(Service::Vault)?,
    });
    ways.is_here(Service::Locker, &app.parts);
    Ok(app)
}
