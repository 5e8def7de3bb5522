use std::{fmt, time::SystemTime};

use bondify_core::TelegramUser;

/// A user who has just finished a login in this browser. Each finished login creates one value.
///
/// Give the browser a new session of your own, then redirect it.
///
/// ```
/// use bondify_login::SignedIn;
///
/// /// The row of the app's table of sessions.
/// fn session(login: &SignedIn) -> (String, String) {
///     let device = login.user_agent.as_deref().unwrap_or("unknown device");
///     (login.user.id().as_str().to_owned(), device.to_owned())
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// The user who confirmed in Telegram.
    pub user: TelegramUser,
    /// The path to redirect to: the form's `return_to` if it leads to this origin, and the
    /// [default](crate::LoginBuilder::return_to) otherwise.
    pub return_to: String,
    /// The time at which the login began.
    pub began_at: SystemTime,
    /// The header `User-Agent` of the browser that began the login, up to 200 bytes of it. Browsers may send
    /// anything: escape it.
    pub user_agent: Option<String>,
}

impl SignedIn {
    /// Creates a value for a test of your handler, with `/` as `return_to`. The fields can be changed.
    ///
    /// ```
    /// use bondify_core::Event;
    /// use bondify_login::SignedIn;
    ///
    /// let event = Event::from_trusted(
    ///     r#"{"event":"auth.confirmed","session_token":"sess_1","telegram_id":"42",
    ///         "telegram_name":"Ada","confirmed_at":1700000000123}"#,
    /// )?;
    /// let Event::Confirmed(confirmed) = event else { panic!("not confirmed") };
    /// let mut login = SignedIn::new(confirmed.user().clone());
    /// login.return_to = "/basket".to_owned();
    /// assert_eq!(login.user.name(), "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(user: TelegramUser) -> Self {
        Self { user, return_to: "/".to_owned(), began_at: SystemTime::now(), user_agent: None }
    }
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").finish_non_exhaustive()
    }
}
