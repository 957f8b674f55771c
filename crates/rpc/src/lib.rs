//! One server builder, one client builder, and the layers every call goes through.
