use std::time::{Duration, SystemTime};

use bondify_core::Secret;
use serde::Serialize;

use crate::{Login, payload::User};

/// The claims of a proof.
#[derive(Serialize)]
pub(crate) struct Claims<'a> {
    #[serde(flatten)]
    user: User<'a>,
    project_id: &'a str,
    session_token: &'a str,
    confirmed_at: u64,
    iat: u64,
    exp: u64,
}

impl<'a> Claims<'a> {
    const LIFETIME: Duration = Duration::from_secs(5 * 60);

    pub(crate) fn new(
        project_id: &'a str,
        session_token: &'a str,
        login: &Login,
        user: User<'a>,
        now: SystemTime,
    ) -> Self {
        let iat = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let exp = iat + Self::LIFETIME.as_secs();
        let confirmed_at = login.confirmed_at_ms();
        Self { user, project_id, session_token, confirmed_at, iat, exp }
    }

    /// The proof: a JWT, signed with the project's secret.
    pub(crate) fn sign(&self, secret: &Secret) -> String {
        secret.sign_proof(self).expect("is plain data")
    }
}
