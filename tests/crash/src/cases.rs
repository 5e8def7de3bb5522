//! The cases, each for any store.

use crate::{
    Mode, Retries, Store,
    logins::{run_outages, run_polls},
    run, run_long_handlers, run_queue,
};

/// Makes a test of each named case. The expression starts the store, and is `None` if it is not
/// installed.
#[macro_export]
macro_rules! cases {
    ($store:expr => $($case:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let Some(store) = $store else { return };
            $crate::cases::$case(env!("CARGO_BIN_EXE_receiver"), store).await;
        }
    )+};
}

/// With retries after the lease of a killed process.
pub async fn a_claimed_event_is_never_lost_and_takes_effect_again_only_after_a_kill(
    receiver: &str,
    store: Store,
) {
    run(receiver, store, Mode::Claims, Retries::LongerThanTheLease).await;
}

/// With retries that all come before the lease of a killed process has expired.
pub async fn waiting_duplicates_take_over_from_a_killed_process(receiver: &str, store: Store) {
    run(receiver, store, Mode::Claims, Retries::ShorterThanTheLease).await;
}

/// With the inbox.
pub async fn a_recorded_event_takes_effect_exactly_once(receiver: &str, store: Store) {
    run(receiver, store, Mode::Inbox, Retries::LongerThanTheLease).await;
}

/// With handlers that are renewed.
pub async fn a_handler_that_outlasts_its_lease_is_not_joined_by_another(
    receiver: &str,
    store: Store,
) {
    run_long_handlers(receiver, store).await;
}

/// By catching up, with claims.
pub async fn a_login_that_bondify_gave_up_is_not_lost(receiver: &str, store: Store) {
    run_outages(receiver, store, Mode::Claims).await;
}

/// By catching up, with the inbox.
pub async fn a_login_that_bondify_gave_up_takes_effect_exactly_once(receiver: &str, store: Store) {
    run_outages(receiver, store, Mode::Inbox).await;
}

/// In either order, and at once.
pub async fn a_login_that_arrives_by_webhook_and_poll_takes_effect_once(
    receiver: &str,
    store: Store,
) {
    run_polls(receiver, store, Mode::Claims).await;
}

/// From a queue, with claims.
pub async fn a_queues_job_takes_effect_again_only_after_a_kill(receiver: &str, store: Store) {
    run_queue(receiver, store, Mode::Claims).await;
}

/// From a queue, with the inbox.
pub async fn a_queues_job_takes_effect_exactly_once(receiver: &str, store: Store) {
    run_queue(receiver, store, Mode::Inbox).await;
}
