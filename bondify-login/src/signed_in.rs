use std::fmt;

use bondify_core::TelegramUser;

/// A user who has just finished a login in this browser. Each finished login creates one value.
///
/// Give the browser a new session of your own, then redirect it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// The user who confirmed in Telegram.
    pub user: TelegramUser,
    /// The path to redirect to: the form's `return_to` if it leads to this origin, and `/` otherwise.
    pub return_to: String,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").finish_non_exhaustive()
    }
}
