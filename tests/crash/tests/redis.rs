//! Receivers are killed, and their Redis is restarted, once by SIGKILL.

use crash_tests::{
    Mode, Retries, Store, run, run_long_handlers, run_outages, run_polls, run_queue,
};

const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_death() {
    let Some(store) = Store::redis() else { return };
    run(RECEIVER, store, Mode::Claims, Retries::LongerThanTheLease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_that_wait_save_the_events_of_the_dead_from_quick_retries() {
    let Some(store) = Store::redis() else { return };
    run(RECEIVER, store, Mode::Claims, Retries::ShorterThanTheLease).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlasts_its_lease_is_not_joined_by_another() {
    let Some(store) = Store::redis() else { return };
    run_long_handlers(RECEIVER, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_bondify_gave_up_is_not_lost() {
    let Some(store) = Store::redis() else { return };
    run_outages(RECEIVER, store, Mode::Claims).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_arrives_by_webhook_and_poll_at_once_takes_effect_once() {
    let Some(store) = Store::redis() else { return };
    run_polls(RECEIVER, store, Mode::Claims).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queues_job_takes_effect_again_only_after_a_death() {
    let Some(store) = Store::redis() else { return };
    run_queue(RECEIVER, store, Mode::Claims).await;
}
