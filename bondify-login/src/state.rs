use std::{fmt, time::Duration};

use bondify_core::TelegramUser;
use serde_json::{Value, json};

/// The state of a login, in the browser that began it.
///
/// `Debug` shows only the name.
///
/// ```
/// use bondify_login::State;
///
/// fn heading(state: &State) -> String {
///     match state {
///         State::Waiting { expires_in, .. } => format!("{} seconds left", expires_in.as_secs()),
///         State::Confirmed { user, .. } => format!("Welcome, {}", user.name()),
///         other => other.name().to_owned(),
///     }
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum State {
    /// No login has begun in this browser. In JSON `start`.
    Start,
    /// The user has not decided yet. In JSON `waiting`.
    Waiting {
        /// The link that opens the project's bot in Telegram.
        deeplink: String,
        /// The time left to decide.
        expires_in: Duration,
    },
    /// The user tapped Confirm, and the login is not finished yet. In JSON `confirmed`.
    Confirmed {
        /// The user who confirmed.
        user: TelegramUser,
        /// The proof that finishes the login, in this browser only.
        proof: String,
    },
    /// The user tapped Cancel. In JSON `cancelled`.
    Cancelled,
    /// Nobody decided in time. In JSON `expired`.
    Expired,
    /// The login was finished before. In JSON `used`.
    Used,
    /// Bondify refused the project or could not be reached. In JSON `unavailable`.
    Unavailable,
    /// The form was sent by a page of another address, such as `http://` in place of `https://`. In JSON
    /// `other_origin`.
    OtherOrigin {
        /// The [origin](crate::LoginBuilder::origin) at which users have to open the app.
        origin: String,
    },
}

impl State {
    /// The name of the state in JSON.
    ///
    /// ```
    /// use bondify_login::View;
    ///
    /// /// A class for the style sheet of an own page, such as `login-waiting`.
    /// fn class(view: &View<'_>) -> String {
    ///     format!("login-{}", view.state.name())
    /// }
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Waiting { .. } => "waiting",
            Self::Confirmed { .. } => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Unavailable => "unavailable",
            Self::OtherOrigin { .. } => "other_origin",
        }
    }

    /// The state in the JSON of events and answers.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Waiting { deeplink, expires_in } => json!({
                "state": self.name(),
                "deeplink": deeplink,
                "qr_code": crate::qr_code::qr_code(deeplink),
                "expires_in": expires_in.as_secs(),
            }),
            Self::Confirmed { user, proof } => json!({
                "state": self.name(),
                "name": user.name(),
                "proof": proof,
            }),
            Self::OtherOrigin { origin } => json!({"state": self.name(), "origin": origin}),
            _ => json!({"state": self.name()}),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.name())
    }
}
