//! The attack suite: the same cases for all frameworks, over HTTP.

mod attacks;
#[allow(dead_code, reason = "no framework passes all scenarios")]
pub(crate) mod browser;
mod cookies;
mod finishing;
mod flow;
mod forms;
mod own_page;
mod rig;
mod tabs;
mod waiting;

pub(crate) use self::{
    attacks::*,
    browser::browser_suite,
    cookies::*,
    finishing::*,
    flow::*,
    forms::*,
    rig::{Framework, Rig},
    tabs::*,
    waiting::*,
};

/// Expands to one test per case.
macro_rules! login_suite {
    ($framework:ty: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            bondify_testkit::within_a_minute(suite::$case::<$framework>()).await;
        }
    )*};
    ($framework:ty) => {
        login_suite! { $framework:
            // flow
            a_confirmed_login_is_finished_in_the_browser_that_began_it
            a_page_without_scripts_finishes_a_login
            a_single_page_app_gets_the_states_as_json
            a_cancelled_login_is_shown
            an_expired_login_is_shown
            a_login_whose_webhook_was_handled_can_be_finished
            an_unreachable_api_is_shown
            a_slash_at_the_end_leads_nowhere_else
            // attacks
            a_victims_browser_is_not_signed_in_as_the_attacker
            a_planted_cookie_is_useless_after_the_login
            a_stolen_link_or_token_cannot_finish_a_login
            a_stolen_proof_cannot_finish_a_login
            forged_truncated_and_swapped_cookies_are_ignored
            an_expired_cookie_cannot_finish_a_login
            no_return_to_leads_to_another_site
            forms_of_other_sites_are_refused
            no_site_can_frame_a_page
            a_proof_of_another_project_is_refused
            a_finished_login_cannot_be_replayed
            names_run_no_script
            an_oversized_form_is_refused
            other_methods_change_nothing
            head_is_answered_like_get
            // cookies
            cookies_of_other_applications_change_nothing
            cookies_with_similar_names_are_ignored
            // finishing
            a_hang_up_while_the_handler_runs_loses_no_login
            many_concurrent_finishes_get_the_same_answer
            a_finish_is_repeated_to_the_same_cookie_and_proof_only
            a_handler_that_fails_leaves_the_login_unfinished
            a_copied_cookie_learns_nothing_after_the_login
            clocks_may_differ_by_minutes
            a_clock_that_is_wrong_begins_no_login
            // forms
            a_form_that_is_held_back_is_refused
            a_request_for_the_page_needs_no_body
            a_form_that_breaks_off_begins_nothing
            a_page_of_another_origin_is_told_which_one_to_use
            // tabs
            tabs_finish_their_own_logins
            the_oldest_of_too_many_logins_is_removed
            a_login_that_was_left_does_not_decide_where_the_next_one_leads
            a_login_is_finished_at_the_page_that_began_it
            // waiting
            waiting_connections_are_bounded
            a_client_that_leaves_ends_its_wait
            closing_ends_the_wait
        }
    };
}

pub(crate) use login_suite;
