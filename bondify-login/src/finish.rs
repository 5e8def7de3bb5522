//! The finish of a login, which succeeds once, in the browser that began it.

use std::convert::Infallible;

use bondify_core::{Event, HandleError, Handled, Proof, TelegramUser};
use serde_json::json;

use crate::{
    State,
    login::{Settings, Unproven},
    pending::Pending,
};

/// The name of the event under which a finish is claimed. It is not the name of Bondify's event, so
/// that a login can be finished once, whether its webhook was handled or not.
const FINISHED: &str = "bondify-login.finished";

impl Settings {
    /// Finishes the login that `proof` proves. Of all calls for the same login, on all instances that
    /// share the dedupe store, one succeeds.
    ///
    /// # Errors
    ///
    /// The state to show instead: `Expired` if the login or its proof has expired, `Start` if the proof
    /// is not valid or of another login, `Used` if the login was finished before, and `Unavailable` if
    /// the dedupe store is unavailable.
    pub(crate) async fn finish(&self, login: &Pending, proof: &str) -> Result<TelegramUser, State> {
        if login.is_over((self.clock)()) {
            return Err(State::Expired);
        }
        let proof = self.verify(login, proof).map_err(|error| {
            tracing::debug!(%error, "login not finished: the proof is refused");
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
            // Another request is finishing the login. Its handler cannot fail.
            Err(HandleError::InFlight) => Err(State::Used),
            Err(_) => Err(State::Unavailable),
        }
    }
}
