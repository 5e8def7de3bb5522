//! Receivers are killed and their stores restarted. The tests mostly wait, so that several can
//! run at the same time: `--test-threads 5`.

/// With a file there is no server to restart: all receivers are killed at once, twice.
mod sqlite {
    use crash_tests::{Store, cases};

    cases! {
        Some(Store::sqlite()) =>
        a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
        waiting_duplicates_take_over_from_a_killed_process,
        a_recorded_event_takes_effect_exactly_once,
        a_handler_that_outlasts_its_lease_is_not_joined_by_another,
        a_login_that_bondify_gave_up_is_not_lost,
        a_login_that_bondify_gave_up_takes_effect_exactly_once,
        a_login_that_arrives_by_webhook_and_poll_takes_effect_once,
        a_queues_job_takes_effect_exactly_once,
    }
}

/// One of the server's restarts is an immediate shutdown.
mod postgres {
    use crash_tests::{Store, cases};

    cases! {
        Store::postgres() =>
        a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
        waiting_duplicates_take_over_from_a_killed_process,
        a_recorded_event_takes_effect_exactly_once,
        a_handler_that_outlasts_its_lease_is_not_joined_by_another,
        a_login_that_bondify_gave_up_is_not_lost,
        a_login_that_bondify_gave_up_takes_effect_exactly_once,
        a_login_that_arrives_by_webhook_and_poll_takes_effect_once,
        a_queues_job_takes_effect_again_only_after_a_kill,
    }
}

/// One of the server's restarts is a SIGKILL.
mod mariadb {
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
}

/// One of the server's restarts is a SIGKILL.
mod redis {
    use crash_tests::{Store, cases};

    cases! {
        Store::redis() =>
        a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
        waiting_duplicates_take_over_from_a_killed_process,
        a_handler_that_outlasts_its_lease_is_not_joined_by_another,
        a_login_that_bondify_gave_up_is_not_lost,
        a_login_that_arrives_by_webhook_and_poll_takes_effect_once,
        a_queues_job_takes_effect_again_only_after_a_kill,
    }
}

/// A PgBouncer in transaction mode stands before PostgreSQL.
mod postgres_pooled {
    use crash_tests::{Store, cases};

    cases! {
        Store::pooled_postgres() =>
        a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill,
        a_recorded_event_takes_effect_exactly_once,
        a_handler_that_outlasts_its_lease_is_not_joined_by_another,
    }
}
