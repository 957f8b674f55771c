//! The program as its users meet it. See the library for the harness.
//!
//! The cases of [`cases`] run six times, over REST and gRPC, on SQLite, on PostgreSQL, and on PostgreSQL with every service in a process of its
//! own, each time on one server that they share; when a case ends, every call
//! that it made is looked up in the audit. The other modules are about one protocol, or need servers of their own.
//!
//! `zz_afterwards` is named so that it starts last: it searches what all others left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "the environment says where the programs are; nothing here is a service")]

#[macro_use]
mod macros;

mod aa_minute;
mod access;
mod audit_command;
mod audit_export;
mod audit_log;
mod audit_unknown;
mod audit_verify;
mod backup;
mod bad_input;
mod bad_messages;
mod cases;
mod documented;
mod faults;
mod init;
mod keys;
mod locker_shapes;
mod oauth_clients;
mod program;
mod public_port;
mod readme;
mod replicas;
mod rest_shapes;
mod sign_in_limits;
mod split;
mod telemetry;
mod traces;
mod zy_minute;
mod zz_afterwards;

case_list! {
    authentication {
        signing_in_answers_a_token_and_the_user,
        every_failed_sign_in_is_answered_alike,
        a_token_that_is_not_ours_is_not_valid,
        tokens_are_signed_by_a_published_key_and_carry_identity_alone,
        a_forged_token_is_refused,
        a_refreshed_token_is_of_the_same_session,
        signing_out_ends_every_token_of_the_session_within_a_second,
        a_changed_password_ends_the_other_sessions,
        a_password_change_needs_the_old_and_a_good_new_one,
    }
    access {
        each_caller_gets_the_answer_of_its_row,
    }
    users {
        a_user_lives_from_creation_to_deletion,
        user_names_are_unique_without_regard_to_case_and_unicode_form,
        a_weak_password_is_refused,
        an_unknown_role_is_refused,
        users_are_administered_only_with_the_permission,
        nobody_gives_more_than_he_holds,
        nobody_gives_himself_more,
        disabling_a_user_ends_its_sessions_within_a_second,
        a_role_taken_away_is_gone_within_a_second,
        a_user_who_owns_credentials_is_not_deleted,
        a_stale_user_version_changes_nothing,
    }
    roles {
        a_role_lives_from_creation_to_deletion,
        system_roles_are_there_and_cannot_change,
        role_names_are_unique,
        a_role_in_use_is_not_deleted,
        roles_are_administered_only_with_the_permission,
        a_manager_of_lockers_sees_names_alone,
        permissions_are_the_ten,
        a_role_that_grows_takes_effect_within_a_second,
    }
    api_access {
        an_api_access_lives_from_creation_to_deletion,
        client_ids_are_unique_and_checked,
        lives_are_bounded,
        a_chosen_secret_is_printable_ascii,
        api_accesses_are_administered_only_with_the_permission,
        a_stale_access_version_changes_nothing,
        api_accesses_are_filtered_sorted_and_paged,
    }
    oauth {
        a_password_buys_a_token,
        every_failed_grant_is_answered_alike,
        every_failed_client_is_answered_alike,
        a_grant_that_is_off_is_refused,
        the_scope_is_the_one_there_is,
        a_refresh_token_is_used_up_by_its_use,
        a_refresh_token_belongs_to_its_client,
        what_is_revoked_is_refused_everywhere,
        a_client_is_told_about_its_own_tokens,
        a_new_secret_takes_the_old_ones_place,
    }
    oauth_ends {
        a_disabled_access_ends_its_tokens,
        a_deleted_access_ends_its_tokens,
        without_the_right_to_connect_tokens_end,
        a_role_that_loses_the_right_ends_tokens,
        a_disabled_operator_ends_its_tokens,
        a_deleted_operator_ends_its_tokens,
        a_reset_password_ends_tokens,
        a_changed_password_ends_tokens,
        a_changed_role_is_felt_by_programs,
        signing_out_ends_a_programs_session,
    }
    client_credentials {
        a_confirmed_access_acts_as_its_operator,
        a_binding_is_checked,
        a_new_secret_needs_the_operator_again,
        what_ends_a_confirmation_ends_its_tokens,
        a_reset_password_ends_what_its_user_confirmed,
        a_changed_password_leaves_what_its_user_confirmed,
    }
    api_keys {
        an_api_key_lives_from_creation_to_revocation,
        a_user_has_several_keys_each_with_a_name,
        a_key_is_its_users_alone,
        keys_need_their_permission,
        a_key_expires,
        a_reset_password_revokes_keys_and_a_changed_one_does_not,
        a_disabled_user_has_no_working_key,
        failures_of_a_key_never_block_the_password,
    }
    dashboard {
        a_dashboard_equals_what_is_seen_elsewhere,
        a_dashboard_is_for_whoever_is_signed_in,
        a_program_sees_its_operators_dashboard,
    }
    token_kinds {
        rule_1_6_no_kind_passes_for_another,
        rule_1_7_programs_cannot_do_what_is_reserved,
    }
    self_service {
        a_password_that_everybody_guesses_is_refused,
        one_changes_the_own_password,
        a_password_change_ends_every_other_way_in_where_that_is_asked_for,
        a_reset_password_must_be_changed,
    }
    credentials {
        a_credential_lives_from_creation_to_deletion,
        a_credential_name_is_unique_kept_as_typed_and_checked,
        a_credential_of_somebody_else_is_not_there,
        without_the_permission_credentials_cannot_be_made,
        an_update_changes_what_it_carries,
        owner_and_locker_do_not_change_by_update,
        a_transfer_gives_the_credential_away,
        a_locker_administrator_sees_but_does_not_read,
        the_documented_filters_narrow_the_list,
    }
    attributes {
        attributes_are_changed_added_and_removed,
        attribute_names_are_unique_in_their_credential,
        fifty_attributes_and_no_more,
        an_attribute_of_another_credential_is_not_there,
        user_provided_stays_while_a_value_exists,
        a_credential_keeps_one_attribute,
    }
    values {
        a_value_lives_from_creation_to_deletion,
        masked_values_are_not_echoed_but_read,
        user_provided_values_belong_to_their_user,
        values_are_stored_all_or_none,
        completed_tells_whether_every_value_is_there,
        lists_of_values_are_narrowed_and_ordered,
        a_holder_of_all_values_reads_and_writes_them,
        values_of_another_owner_are_not_there,
        sixty_four_kibibytes_and_no_more,
        a_value_is_text_of_any_script,
        an_unchanged_value_is_still_a_change,
        values_go_with_their_user,
    }
    lockers {
        a_locker_lives_from_creation_to_deletion,
        locker_names_are_unique_kept_as_typed_and_checked,
        without_the_permission_no_locker_is_made,
        lockers_are_listed_filtered_and_paged,
        a_detailed_list_tells_members_and_counts,
        members_are_added_changed_and_removed,
        a_locker_keeps_an_owner,
        consumers_are_added_and_removed,
        a_role_that_consumes_lives_on,
        a_stale_locker_version_changes_nothing,
        an_administrator_of_lockers_gives_nothing_to_himself,
    }
    contents {
        a_credential_enters_and_leaves_a_locker,
        a_consumer_uses_what_is_inside,
        a_manager_runs_a_locker_and_reads_nothing,
        a_participant_brings_his_own_and_sees_no_other,
        a_right_taken_away_is_gone_within_a_second,
        pages_of_everything_reached_neither_lose_nor_repeat,
    }
    matrix {
        every_cell_is_as_the_contract_says,
    }
    sharing {
        access_is_explained,
        an_explanation_is_no_directory_of_users,
        what_is_missing_is_explained,
        who_has_stored_nothing_yet_is_told,
        nobody_gives_himself_what_a_locker_shares,
        what_is_hidden_has_no_name_in_ones_own_audit,
    }
    leaving {
        holdings_are_told,
        everything_is_handed_over,
        the_user_itself_hands_over_more_than_one_part,
        a_user_who_holds_something_is_not_deleted,
        a_last_owner_of_lockers_alone_is_not_deleted,
        what_belonged_to_the_user_alone_goes,
    }
    races {
        a_locker_is_deleted_while_a_credential_enters,
        a_user_is_deleted_while_it_is_given_something,
        a_role_is_deleted_while_it_becomes_a_consumer,
        two_lockers_want_one_credential,
    }
    transport {
        a_value_encrypted_for_transport_is_stored_plain,
        an_unknown_transport_key_is_refused,
        an_unreadable_transport_value_is_refused,
    }
    mode {
        mode_and_key_state_are_told_to_holders_of_settings,
        mode_and_key_state_are_told_to_nobody_else,
    }
    audit {
        a_user_sees_the_own_entries_alone,
        a_holder_of_the_whole_audit_sees_all,
        an_entry_is_read_by_its_id,
        entries_are_filtered_sorted_and_paged,
        unknown_user_names_are_not_written_down,
        a_change_is_told_without_its_secret,
        an_entry_says_who_what_how_and_from_where,
        an_answer_names_its_entry_which_is_proved,
        checkpoints_are_consistent_and_signed,
        an_export_equals_the_list,
        what_is_found_wrong_is_for_auditors,
        stored_values_have_their_seals,
        a_refused_creation_names_what_was_wanted,
    }
    lists {
        filters_combine,
        ids_sort_as_numbers,
        pages_neither_lose_nor_repeat,
        an_unknown_field_is_refused,
        an_offset_past_the_end_is_an_empty_list,
        counting_can_be_left_out,
        a_substring_needs_three_characters,
        a_caller_counts_what_it_sees,
    }
    versions {
        a_stale_version_changes_nothing,
        an_entity_tag_is_checked,
        a_change_adds_one_and_no_change_adds_none,
        of_two_writers_one_wins,
        a_stale_attribute_version_changes_nothing,
        a_stale_value_version_changes_nothing,
    }
}
