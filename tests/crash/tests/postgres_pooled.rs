//! Receivers behind a PgBouncer in transaction mode are killed, and PostgreSQL is restarted.

use crash_tests::{Store, cases};

cases! {
    Store::pooled_postgres() =>
    a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
    a_recorded_event_takes_effect_exactly_once,
    a_handler_that_outlasts_its_lease_is_not_joined_by_another,
}
