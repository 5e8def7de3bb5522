//! The beginning of a login.

use http::{HeaderMap, HeaderValue, header::USER_AGENT};

use crate::{
    State,
    limits::{MAX_LOGINS, MAX_USER_AGENT_BYTES},
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
    /// Begins a login in the browser that sent these headers, beside those that have begun there before. The
    /// oldest of these is removed if there would be too many.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the API cannot be reached or refuses the project, if its link is not usable, and if
    /// this server's clock is wrong.
    pub(crate) async fn begin(
        &self,
        page: &str,
        return_to: &str,
        headers: &HeaderMap,
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
        let login = Pending::begin(&session, page, return_to, user_agent(headers), now);
        let login = login.ok_or(State::Unavailable)?;
        let sealed = self.sealer.seal(&login, now).ok_or(State::Unavailable)?;
        let before = self.sealer.open(headers);
        let removed = before.iter().skip(MAX_LOGINS - 1);
        let removals = removed.filter_map(|login| self.sealer.removal(login));
        let set_cookies = [sealed].into_iter().chain(removals).collect();
        Ok(Begun { state: login.waiting(now), login, set_cookies })
    }
}

/// The beginning of the browser's name for itself.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(name[..name.len().min(MAX_USER_AGENT_BYTES)].to_owned())
}

/// Whether the link opens Telegram or a page, and cannot run a script.
fn is_link(deeplink: &str) -> bool {
    ["https://", "http://", "tg://"].iter().any(|scheme| deeplink.starts_with(scheme))
}
