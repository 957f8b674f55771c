//! Every public RPC: who may call it, and what the audit calls it.

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{Access, Rpc};

/// One row for each public RPC. Which entries a caller sees is decided in `domain::visibility`.
pub const RPCS: &[Rpc] = &[
    Rpc {
        path: "/coffre.audit.v1.AuditService/ListEntries",
        access: Access::Caller,
        event: "audit.entry.listed",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.AuditService/GetEntry",
        access: Access::Caller,
        event: "audit.entry.read",
        activity: ActivityType::AuditUnsetActivityType,
    },
];
