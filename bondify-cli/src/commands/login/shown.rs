use std::fmt::{self, Display};

use bondify_client::{Proof, Session};
use qrcode::{QrCode, render::unicode::Dense1x2, types::QrError};
use serde::Serialize;

use crate::output::{BAD, GOOD, Printable};

/// A login that waits for the user.
#[derive(Serialize)]
pub(super) struct Begun<'a> {
    session_token: &'a str,
    deeplink: &'a str,
    #[serde(skip)]
    qr_code: String,
}

impl<'a> Begun<'a> {
    pub(super) fn new(session: &'a Session) -> Result<Self, QrError> {
        let deeplink = session.deeplink();
        // The colours suit a terminal that writes light on dark.
        let qr_code = QrCode::new(deeplink)?
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build();
        Ok(Self { session_token: session.session_token(), deeplink, qr_code })
    }
}

impl Display for Begun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nTo log in, scan this or open {}", self.qr_code, Printable(self.deeplink))
    }
}

/// The end of a login.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum Ended {
    Confirmed {
        telegram_id: String,
        telegram_name: String,
        telegram_username: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        telegram_phone: Option<String>,
        proof: String,
    },
    /// The API says that the login is confirmed, but the proof is not valid.
    Unproven {
        error: String,
    },
    Cancelled,
    Expired,
    Used,
}

impl Ended {
    pub(super) fn proven(proof: &Proof, token: &str) -> Self {
        Self::Confirmed {
            telegram_id: proof.user().id().to_string(),
            telegram_name: proof.user().name().to_owned(),
            telegram_username: proof.user().username().map(str::to_owned),
            telegram_phone: proof.user().phone().map(str::to_owned),
            proof: token.to_owned(),
        }
    }
}

impl Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { telegram_id, telegram_name, .. } => {
                let name = Printable(telegram_name);
                write!(
                    f,
                    "{GOOD}confirmed{GOOD:#} by {name}, user {telegram_id}; the proof is valid"
                )
            }
            Self::Unproven { error } => {
                write!(f, "{BAD}confirmed, but the proof is not valid{BAD:#}: {error}")
            }
            Self::Cancelled => write!(f, "{BAD}cancelled{BAD:#}"),
            Self::Expired => write!(f, "{BAD}expired{BAD:#}"),
            Self::Used => write!(f, "{BAD}used{BAD:#}: this login was completed before"),
        }
    }
}
