use axum::{extract::State, http::StatusCode};
use bondify_axum::{BondifyEvent, Event};

use crate::{AppState, accounts::User, logins::Outcome};

/// Records the outcome of a login and notifies the browser that waits for it.
pub(crate) async fn on_event(
    BondifyEvent(event): BondifyEvent,
    State(app): State<AppState>,
) -> StatusCode {
    match event {
        Event::Confirmed(login) => {
            app.logins.decide(login.session_token(), Outcome::Confirmed(User::from(&login)));
        }
        Event::Cancelled(login) => app.logins.decide(login.session_token(), Outcome::Cancelled),
        _ => {}
    }
    StatusCode::NO_CONTENT
}
