//! Holds the rows of all services together: to the contract, and to the page that describes them.

use std::collections::BTreeSet;

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::Rpc;
use prost_reflect::DescriptorPool;

/// Packages whose services run today.
const SERVED: [&str; 4] = ["coffre.auth.v1", "coffre.vault.v1", "coffre.locker.v1", "coffre.audit.v1"];

fn rows() -> Vec<&'static Rpc> {
    [coffre_auth::RPCS, coffre_vault::RPCS, coffre_locker::RPCS, coffre_audit::RPCS].into_iter().flatten().collect()
}

#[test]
fn every_public_rpc_has_one_row() {
    let pool = DescriptorPool::decode(coffre_proto::PUBLIC_DESCRIPTORS).expect("descriptors");
    let promised: BTreeSet<String> = pool
        .services()
        .filter(|service| SERVED.contains(&service.package_name()))
        .flat_map(|service| {
            service.methods().map(|m| format!("/{}/{}", m.parent_service().full_name(), m.name())).collect::<Vec<_>>()
        })
        .collect();
    let rows: Vec<String> = rows().iter().map(|rpc| rpc.path.to_owned()).collect();
    let unique: BTreeSet<String> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), unique.len(), "an RPC has two rows");
    assert_eq!(unique, promised);
}

#[test]
fn the_page_names_every_event() {
    let page = include_str!("../../../docs/audit-events.md");
    for rpc in rows() {
        let name = ActivityType::as_str_name(&rpc.activity).trim_start_matches("ACTIVITY_TYPE_");
        let row = format!("| `{}` | `{}` | `{name}` | ", rpc.path.trim_start_matches('/'), rpc.event);
        assert!(page.contains(&row), "docs/audit-events.md lacks: {row}");
    }
    let described = page.lines().filter(|line| line.starts_with("| `coffre.")).count();
    assert_eq!(described, rows().len(), "docs/audit-events.md describes calls that are not there");
}
