//! The tables, as the migrations make them on both engines.
#![allow(missing_docs, reason = "Diesel's macro makes public items without documentation")]

diesel::table! {
    credentials (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        name -> Text,
        name_key -> Text,
        description -> Nullable<Text>,
        owner_id -> BigInt,
        locker_id -> Nullable<BigInt>,
        entry_epoch -> BigInt,
        version -> BigInt,
        created_by -> BigInt,
        created_at -> BigInt,
        updated_by -> BigInt,
        updated_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    attributes (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        credential_id -> BigInt,
        name -> Text,
        name_key -> Text,
        description -> Nullable<Text>,
        user_provided -> Bool,
        masked -> Bool,
        password -> Bool,
        version -> BigInt,
        created_by -> BigInt,
        created_at -> BigInt,
        updated_by -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    attribute_values (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        credential_id -> BigInt,
        attribute_id -> BigInt,
        user_id -> BigInt,
        term -> BigInt,
        sealed -> Binary,
        version -> BigInt,
        created_by -> BigInt,
        created_at -> BigInt,
        updated_by -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    departed_users (user_id) {
        user_id -> BigInt,
        tenant_id -> BigInt,
        attempt -> BigInt,
        held -> Bool,
        departed_at -> BigInt,
        released_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    key_slots (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        kind -> BigInt,
        slot -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    terms (term) {
        term -> BigInt,
        tenant_id -> BigInt,
        wrapped -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    seal_state (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        generation -> BigInt,
        sealed -> Bool,
        updated_at -> BigInt,
    }
}

diesel::table! {
    key_attempts (user_id, address) {
        user_id -> BigInt,
        address -> Text,
        tenant_id -> BigInt,
        failures -> BigInt,
        failed_at -> BigInt,
        blocked_until -> BigInt,
    }
}

diesel::table! {
    rotation (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        term -> BigInt,
        started_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    transport_keys (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        public_key -> Text,
        sealed -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    backup_recipient (id) {
        id -> BigInt,
        tenant_id -> BigInt,
        public_key -> Binary,
        vouched -> Binary,
        updated_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(credentials, attributes, attribute_values);
