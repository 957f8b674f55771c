//! The audit event, its outbox and the relay that carries it.
