//! The beginning of a login.

use http::HeaderValue;

use crate::{
    State,
    limits::MAX_LOGINS,
    login::{Settings, unavailable},
    pending::Pending,
};

/// A login that has just begun.
pub(crate) struct Begun {
    pub(crate) login: Pending,
    pub(crate) state: State,
    pub(crate) set_cookies: Vec<HeaderValue>,
}

impl Settings {
    /// Begins a login, beside those that have begun in this browser before, the newest first. The oldest of
    /// these is removed if there would be too many.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the API cannot be reached or refuses the project, if its link is not usable, and if
    /// this server's clock is wrong.
    pub(crate) async fn begin(
        &self,
        page: &str,
        return_to: &str,
        before: &[Pending],
    ) -> Result<Begun, State> {
        let session = self.sessions.generate().await.map_err(|error| unavailable(&error))?;
        let now = (self.clock)();
        if !is_link(session.deeplink()) {
            tracing::error!("no login can begin: the link from Bondify's API is not usable");
            return Err(State::Unavailable);
        }
        if !self.checks_clock(&session, now) {
            return Err(State::Unavailable);
        }
        let login = Pending::begin(&session, page, return_to, now).ok_or(State::Unavailable)?;
        let sealed = self.sealer.seal(&login, now).ok_or(State::Unavailable)?;
        let removed = before.iter().skip(MAX_LOGINS - 1);
        let removals = removed.filter_map(|login| self.sealer.removal(login));
        let set_cookies = [sealed].into_iter().chain(removals).collect();
        Ok(Begun { state: login.waiting(now), login, set_cookies })
    }
}

/// Whether the link opens Telegram or a page, and cannot run a script.
fn is_link(deeplink: &str) -> bool {
    ["https://", "http://", "tg://"].iter().any(|scheme| deeplink.starts_with(scheme))
}
