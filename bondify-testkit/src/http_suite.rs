//! The HTTP contract suite: the cases that every adapter passes, over real TCP.
//!
//! An adapter implements [`Adapter`], which starts a server, and expands
//! [`http_suite!`](crate::http_suite!) to one test per case. The cases do not depend on the framework.
//!
//! ```
//! use axum::{Router, body::Bytes, http::StatusCode, response::IntoResponse, routing::post};
//! use bondify_axum::{BondifyEvent, BondifyExt};
//! use bondify_testkit::http_suite::{
//!     Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects,
//! };
//!
//! struct Axum;
//!
//! impl Adapter for Axum {
//!     async fn serve(App { bondify, script, attached, .. }: App) -> Option<Server> {
//!         let reading = script.clone();
//!         let on_event = async move |event: BondifyEvent| match script.handle(&event).await {
//!             Ok(status) => StatusCode::from_u16(status).unwrap().into_response(),
//!             Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
//!         };
//!         let app = |route| Router::new().route(PATH, route);
//!         let app = match attached {
//!             Attached::Never => app(post(on_event)),
//!             Attached::Once => app(bondify.post(on_event)),
//!             Attached::Twice => app(bondify.post(on_event).route_layer(bondify.layer())),
//!             Attached::Everywhere => app(post(on_event)).layer(bondify.layer()),
//!             Attached::ForProjects => {
//!                 let path = format!("{PROJECTS_PATH}/{{id}}");
//!                 Router::new().route(&path, two_projects(&bondify).post(on_event))
//!             }
//!             Attached::Reading(body) => app(match body {
//!                 Body::Nothing => bondify.post(async move || reading.without_event()),
//!                 _ => bondify.post(async move |_body: Bytes| reading.without_event()),
//!             }),
//!         };
//!         let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//!         let address = listener.local_addr().unwrap();
//!         Some(Server::new(address, async { axum::serve(listener, app).await.unwrap() }))
//!     }
//! }
//!
//! # fn main() {}
//! bondify_testkit::http_suite!(Axum);
//! ```

mod accepting;
mod adapter;
mod concurrency;
mod hang_ups;
mod leases;
mod projects;
mod refusals;
mod rig;
mod settings;
mod settling;

pub use self::adapter::{Adapter, App, Attached, Body, PATH, PROJECTS_PATH, Server, two_projects};
pub(crate) use self::rig::get;
#[doc(hidden)]
pub use self::{
    accepting::*,
    concurrency::*,
    hang_ups::*,
    leases::*,
    projects::*,
    refusals::*,
    rig::{Rig, secret},
    settings::*,
    settling::*,
};

/// Expands to one `#[tokio::test]` per case of the [HTTP contract suite](mod@crate::http_suite)
/// for an [`Adapter`](crate::http_suite::Adapter). Your crate needs `tokio` with the features `macros` and
/// `rt-multi-thread`. See the [module](mod@crate::http_suite) for an example.
#[macro_export]
macro_rules! http_suite {
    ($adapter:ty) => {
        $crate::http_suite! { $adapter:
            // accepting
            a_signed_event_is_handled_and_completed
            an_event_keeps_its_bytes
            a_charset_parameter_is_accepted
            an_upper_case_signature_is_accepted
            whitespace_around_the_signature_is_ignored
            a_repeated_signature_is_accepted
            a_body_in_chunks_is_accepted
            a_body_that_fills_the_limit_is_accepted
            an_unknown_event_reaches_the_handler
            // refusals
            a_body_that_is_not_json_typed_is_refused
            an_oversized_body_is_refused
            an_oversized_body_in_chunks_is_refused
            a_broken_body_is_refused
            a_missing_signature_is_refused
            a_wrong_secret_is_refused
            a_tampered_body_is_refused
            a_malformed_signature_is_refused
            conflicting_signatures_are_refused
            a_signed_body_that_is_no_event_is_refused
            an_unsigned_body_is_never_parsed
            an_event_that_is_too_old_is_refused
            an_event_from_the_future_is_refused
            the_framework_answers_other_methods
            a_refusal_keeps_the_connection_alive
            a_handler_that_reads_the_body_itself_runs_for_signed_events_only
            an_extractor_without_bondify_is_a_misconfiguration
            bondify_attached_twice_is_a_misconfiguration
            bondify_around_the_whole_app_is_a_misconfiguration
            an_unknown_event_is_judged_by_its_time_if_it_has_one
            // settling
            a_completed_event_is_a_duplicate
            a_failed_event_is_handled_again
            an_error_is_handled_again
            a_panic_is_handled_again
            a_redirect_does_not_acknowledge_the_event
            any_2xx_acknowledges_the_event
            both_events_of_one_session_are_handled
            // concurrency
            two_concurrent_deliveries_run_it_once
            fifty_concurrent_deliveries_run_it_once
            a_waiting_duplicate_takes_over_after_a_failure
            a_waiting_duplicate_is_answered_with_409_after_the_wait
            different_events_do_not_wait_for_each_other
            draining_waits_for_the_running_handler
            draining_answers_waiting_duplicates_with_409
            // hang-ups
            a_client_that_hangs_up_does_not_stop_the_handler
            a_client_that_resets_does_not_stop_the_handler
            a_failure_after_a_hang_up_is_handled_again
            a_client_that_hangs_up_during_the_claim_loses_nothing
            a_client_that_resets_during_the_claim_loses_nothing
            an_incomplete_body_claims_nothing
            // leases
            a_lease_is_renewed_while_the_handler_runs
            a_crashed_handler_is_taken_over_after_its_lease
            a_handler_that_lost_its_lease_changes_nothing
            // projects
            projects_are_isolated
            an_unknown_project_is_refused_before_its_body_is_read
            a_client_that_hangs_up_does_not_stop_the_handler_of_a_project
            draining_covers_all_projects
            // settings
            an_unavailable_store_is_answered_with_503
            with_fail_open_an_unavailable_store_stops_no_delivery
            no_response_contains_the_error_of_the_store
            a_failed_settlement_does_not_change_the_response
            secrets_rotate_while_running
            verify_only_passes_every_delivery_to_the_handler
            namespaces_share_a_store
        }
    };
    ($adapter:ty: $($case:ident)*) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            $crate::within_a_minute($crate::http_suite::$case::<$adapter>()).await;
        }
    )*};
}
