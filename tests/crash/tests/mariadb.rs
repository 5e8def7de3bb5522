//! Receivers are killed, and their MariaDB is restarted, once by SIGKILL.

use crash_tests::{Store, cases};

cases! {
    Store::mariadb() =>
    a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
    waiting_duplicates_take_over_from_a_killed_process,
    a_recorded_event_takes_effect_exactly_once,
    a_handler_that_outlasts_its_lease_is_not_joined_by_another,
    a_login_that_bondify_gave_up_is_not_lost,
    a_login_that_bondify_gave_up_takes_effect_exactly_once,
    a_login_that_arrives_by_webhook_and_poll_takes_effect_once,
}
