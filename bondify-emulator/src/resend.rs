use std::fmt;

use serde::Deserialize;

/// The changes to a delivery that is resent. By default it is the same bytes with the same
/// signature, to the project's current webhook URL. `Debug` shows nothing personal.
///
/// ```no_run
/// use bondify_emulator::{Emulator, Error, Resend};
///
/// fn resend_to_staging(emulator: &Emulator) -> Result<(), Error> {
///     let staging = Resend::new().url("http://127.0.0.1:4000/webhooks/bondify");
///     emulator.resend(emulator.deliveries()[0].id, staging)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Resend {
    pub(crate) url: Option<String>,
    pub(crate) body: Option<String>,
}

impl Resend {
    /// Creates a resend without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends it to this URL, which follows the rule of
    /// [webhook URLs](crate::ProjectSettings::webhook_url).
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sends this body, signed with the project's current secret.
    ///
    /// ```
    /// use bondify_emulator::Resend;
    ///
    /// let signed_but_no_event = Resend::new().body("[]");
    /// # drop(signed_but_no_event);
    /// ```
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl fmt::Debug for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resend").finish_non_exhaustive()
    }
}
