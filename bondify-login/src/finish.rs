//! The finish of a login: once, in the browser that began it.

use std::convert::Infallible;

use bondify_core::{Event, HandleError, Handled, Proof, TelegramUser};
use serde_json::json;

use crate::{
    State,
    login::{Settings, Unproven},
    pending::Pending,
};

/// The name of the event that stands for a finish. It is no event of Bondify's, so that a login
/// is finished once whether its webhook was handled or not.
const FINISHED: &str = "bondify-login.finished";

impl Settings {
    /// Finishes the login that `proof` proves. Of concurrent and later calls for the same login,
    /// on any instance that shares the dedupe store, one succeeds.
    ///
    /// # Errors
    ///
    /// The state to show instead.
    pub(crate) async fn finish(&self, login: &Pending, proof: &str) -> Result<TelegramUser, State> {
        if login.is_over((self.clock)()) {
            return Err(State::Expired);
        }
        let proof = self.verify(login, proof).map_err(|error| {
            tracing::debug!(%error, "a login is not finished");
            match error {
                Unproven::Expired => State::Expired,
                Unproven::Refused(_) | Unproven::OtherLogin => State::Start,
            }
        })?;
        self.claim(&proof).await?;
        Ok(proof.user().clone())
    }

    async fn claim(&self, proof: &Proof) -> Result<(), State> {
        let finished = json!({"event": FINISHED, "session_token": proof.session_token()});
        let finished = Event::from_trusted(finished.to_string()).map_err(|_| State::Unavailable)?;
        let once = self.bondify.handle(finished, async |_| Ok::<_, Infallible>(()));
        match once.await {
            Ok(Handled::Now(())) => Ok(()),
            Ok(Handled::Before) => Err(State::Used),
            // Its own handler succeeds at once: somebody else is as good as done.
            Err(HandleError::InFlight) => Err(State::Used),
            Err(_) => Err(State::Unavailable),
        }
    }
}
