//! Every public RPC: who may call it, and what the audit calls it.

use coffre_proto::audit::v1::ActivityType;
use coffre_rpc::{Access, InternalRpc, Rpc, Service};
use coffre_types::Permission;

/// One row for each public RPC. Which entries a caller sees is decided in `domain::visibility`; a cut asks for *View everyone's audit log
/// actions*, too.
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
    Rpc {
        path: "/coffre.audit.v1.AuditService/StreamEntries",
        access: Access::Caller,
        event: "audit.entry.streamed",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/GetLatestCheckpoint",
        access: Access::Caller,
        event: "audit.checkpoint.read",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/GetCheckpoint",
        access: Access::Caller,
        event: "audit.checkpoint.read",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/CreateCheckpoint",
        access: Access::Permission(Permission::ViewAllAudit),
        event: "audit.checkpoint.created",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/GetConsistencyProof",
        access: Access::Caller,
        event: "audit.consistency.proved",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/GetInclusionProof",
        access: Access::Caller,
        event: "audit.entry.proved",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/ListIncidents",
        access: Access::Permission(Permission::ViewAllAudit),
        event: "audit.incident.listed",
        activity: ActivityType::AuditUnsetActivityType,
    },
    Rpc {
        path: "/coffre.audit.v1.ProofService/CutLog",
        access: Access::RecentPermission(Permission::ManageSettings),
        event: "audit.cut",
        activity: ActivityType::EditSettings,
    },
];

const fn internal(path: &'static str, callers: &'static [Service]) -> InternalRpc {
    InternalRpc { path, callers }
}

/// One row for each internal RPC: which other services may call it.
pub const INTERNAL_RPCS: &[InternalRpc] = &[
    internal(
        "/coffre.audit.internal.v1.IntakeService/AppendSegments",
        &[Service::Auth, Service::Vault, Service::Locker],
    ),
    internal("/coffre.audit.internal.v1.IntakeService/ReportHeads", &[Service::Auth, Service::Vault, Service::Locker]),
    internal("/coffre.audit.internal.v1.IntakeService/ReportRefusals", &[Service::Gateway]),
    internal("/coffre.audit.internal.v1.ReadingService/ListOwnEntries", &[Service::Vault]),
    internal("/coffre.audit.internal.v1.ReadingService/GetNewestTerm", &[Service::Vault]),
];
