use qrcode::{QrCode, render::svg};

/// The QR code as an SVG element, with the margin that scanners need. Empty if the text is too long for
/// a QR code.
pub(crate) fn qr_code(text: &str) -> String {
    let Ok(code) = QrCode::new(text) else { return String::new() };
    let document = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    let element = document.find("<svg").unwrap_or_default();
    document[element..].to_owned()
}
