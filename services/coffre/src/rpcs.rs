//! Holds the rows of all services together: to the contract, and to the page that describes them.

use std::collections::BTreeSet;

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{InternalRpc, Rpc, Service};
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

/// The internal rows of the services, one table each.
const INTERNAL: [(&str, &[InternalRpc]); 4] = [
    ("auth", coffre_auth::INTERNAL_RPCS),
    ("vault", coffre_vault::INTERNAL_RPCS),
    ("locker", coffre_locker::INTERNAL_RPCS),
    ("audit", coffre_audit::INTERNAL_RPCS),
];

/// Who serves an internal package. What several serve is there for all of them.
fn servers_of(package: &str) -> &'static [&'static str] {
    match package {
        "coffre.auth.internal.v1" => &["auth"],
        "coffre.vault.internal.v1" => &["vault"],
        "coffre.locker.internal.v1" => &["locker"],
        "coffre.audit.internal.v1" => &["audit"],
        "coffre.holdings.internal.v1" => &["vault", "locker"],
        other => panic!("nobody is known to serve the package {other}"),
    }
}

#[test]
fn every_internal_rpc_has_one_row_at_each_service_that_serves_it() {
    let pool = DescriptorPool::decode(coffre_proto::DESCRIPTORS).expect("descriptors");
    let internal = pool.services().filter(|service| service.package_name().contains(".internal."));
    let promised: BTreeSet<(&str, String)> = internal
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .flat_map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            servers_of(method.parent_service().package_name()).iter().map(move |server| (*server, path.clone()))
        })
        .collect();
    let rows: Vec<(&str, String)> =
        INTERNAL.iter().flat_map(|(name, rows)| rows.iter().map(|row| (*name, row.path.to_owned()))).collect();
    let unique: BTreeSet<(&str, String)> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), unique.len(), "an RPC has two rows");
    assert_eq!(unique, promised);
}

/// The page is what operators and reviewers read: a door that the code has more than it, or less, is a mistake.
#[test]
fn the_page_says_which_service_may_call_which() {
    let page = include_str!("../../../docs/between-services.md");
    let mut doors = Vec::new();
    for (server, rows) in INTERNAL {
        for caller in Service::ALL {
            let calls = rows.iter().filter(|row| row.callers.contains(&caller));
            let names: Vec<String> =
                calls.filter_map(|row| row.path.rsplit('/').next()).map(|name| format!("`{name}`")).collect();
            if !names.is_empty() {
                doors.push(format!("| {server} | {caller} | {} |", names.join(" ")));
            }
        }
    }
    let (_, table) = page.split_once("| service | is called by | for |\n").expect("the table");
    let written: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(written, doors);
}

#[test]
fn calls_that_go_on_are_the_ones_whose_names_say_so() {
    let pool = DescriptorPool::decode(coffre_proto::DESCRIPTORS).expect("descriptors");
    let methods = pool.services().filter(|service| service.package_name().starts_with("coffre."));
    for method in methods.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        assert_eq!(coffre_channel::goes_on(&path), method.is_server_streaming(), "{path}");
        assert!(!method.is_client_streaming(), "{path}: a request is one message, so that it can be sent again");
    }
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
