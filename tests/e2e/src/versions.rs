//! The version before beside this one: it serves on while the database is migrated under it and while replicas of this one come to stand beside it,
//! and at last it is replaced altogether. No call fails meanwhile.

use std::path::Path;

use crate::api::Protocol;
use crate::case::Case;
use crate::kills;
use crate::load::Load;
use crate::server::{Engine, Home};
use crate::split::{self, Ground, KEEPERS, Part};

/// What an exchange came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub reads: usize,
    pub writes: usize,
    pub refused: usize,
}

/// Replaces a version by this one, under load.
///
/// # Panics
/// Where a call fails, where an acknowledged write is lost, and where a value was read without its entry.
pub async fn beside(before: &Path) -> Figures {
    let old = Home::bare(Engine::Postgres).running(Some(before.to_owned()));
    old.initialise();
    let new = old.clone().running(None);
    let server = Ground::of_two(old).start();
    let case = Case::on(&server, Protocol::Rest).await;
    case.settle().await;
    let load = Load::start(&server, case.admin.token.as_deref().unwrap(), 3, 3).await;
    load.goes_on(100).await;

    let migrated = tokio::task::block_in_place(|| new.operator(&["migrate"]).output().unwrap());
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    load.goes_on(100).await;
    none_refused(&load, "the version before on the new schema");

    // First one replica of each service, so that both versions stand beside each other, then the other one.
    for which in 0..2 {
        for (service, _) in KEEPERS {
            let parts: Vec<&Part> = server.parts.iter().filter(|part| part.service == service).collect();
            tokio::task::block_in_place(|| {
                assert!(parts[which].process().stop().success(), "{service}: {}", parts[which].process().said());
                parts[which].start_in(&new);
            });
            load.goes_on(50).await;
            none_refused(&load, &format!("replica {which} of {service} is replaced"));
        }
        load.goes_on(200).await;
    }
    let met = load.finish().await;
    assert!(met.refused.is_empty(), "{:?}", met.refused);
    kills::check(&case, &met).await;
    let gateway = server.part("gateway");
    tokio::task::block_in_place(|| {
        assert!(gateway.process().stop().success(), "{}", gateway.process().said());
        gateway.start_in(&new);
    });
    kills::check(&case, &met).await;
    case.settle().await;
    tokio::task::block_in_place(|| split::stop(&server));
    Figures { reads: met.reads.len(), writes: met.writes.len(), refused: met.refused.len() }
}

fn none_refused(load: &Load, when: &str) {
    let refused = load.refused();
    assert!(refused.is_empty(), "{when}: {refused:?}");
}
