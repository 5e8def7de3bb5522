//! Receivers behind a PgBouncer in transaction mode are killed, and PostgreSQL is restarted.

use crash_tests::{Mode, Retries, Store, run, run_long_handlers};

const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_death() {
    let Some(store) = Store::pooled_postgres() else { return };
    run(RECEIVER, store, Mode::Claims, Retries::LongerThanTheLease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_event_takes_effect_exactly_once() {
    let Some(store) = Store::pooled_postgres() else { return };
    run(RECEIVER, store, Mode::Inbox, Retries::LongerThanTheLease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlasts_its_lease_is_not_joined_by_another() {
    let Some(store) = Store::pooled_postgres() else { return };
    run_long_handlers(RECEIVER, store).await;
}
