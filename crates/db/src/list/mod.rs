//! Lists (to come).
