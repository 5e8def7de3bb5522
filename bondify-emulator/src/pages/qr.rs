use std::fmt;

use askama::filters::HtmlSafe;
use qrcode::{QrCode, render::svg};

/// The QR code of a link, as an SVG element with the margin that readers need.
pub(super) struct Qr(String);

impl Qr {
    /// `None` if the link is too long for a QR code.
    pub(super) fn of(link: &str) -> Option<Self> {
        let document = QrCode::new(link).ok()?.render::<svg::Color<'_>>().build();
        // A page has the element only, without the XML declaration.
        document.find("<svg").map(|element| Self(document[element..].to_owned()))
    }
}

impl fmt::Display for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SVG element has modules and colours only, no text of the link.
impl HtmlSafe for Qr {}
