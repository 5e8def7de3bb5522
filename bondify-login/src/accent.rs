//! The colour of the page's main button.

/// A colour as `#rrggbb`, and black or white for the text on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accent {
    pub(crate) color: String,
    pub(crate) on_color: &'static str,
}

impl Accent {
    /// Reads `#rrggbb` or `#rgb`.
    pub(crate) fn parse(color: &str) -> Option<Self> {
        let digits = color.strip_prefix('#')?;
        let digits = match digits.len() {
            3 => digits.chars().flat_map(|digit| [digit, digit]).collect::<String>(),
            6 => digits.to_owned(),
            _ => return None,
        };
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let channel = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let luminance = luminance([channel(0)?, channel(2)?, channel(4)?]);
        let white_contrast = 1.05 / (luminance + 0.05);
        // If white has less contrast than WCAG 2 demands, black has more.
        let on_color = if white_contrast >= 4.5 { "#ffffff" } else { "#000000" };
        Some(Self { color: format!("#{digits}"), on_color })
    }
}

/// The relative luminance by WCAG 2, from 0 to 1.
fn luminance([red, green, blue]: [u8; 3]) -> f64 {
    let linear = |channel: u8| {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_contrasts_with_the_colour() {
        for (color, on_color) in [
            ("#000", "#ffffff"),
            ("#0b6fb8", "#ffffff"),
            ("#767676", "#ffffff"),
            ("#777777", "#000000"),
            ("#FFD400", "#000000"),
            ("#fff", "#000000"),
        ] {
            assert_eq!(Accent::parse(color).unwrap().on_color, on_color, "{color}");
        }
        assert_eq!(Accent::parse("#F80").unwrap().color, "#FF8800");
    }

    #[test]
    fn other_colours_are_refused() {
        for color in ["", "#", "red", "#12345", "#gggggg", "#1234567", "#é12", "#fff;}*{", "0b6fb8"]
        {
            assert_eq!(Accent::parse(color), None, "{color}");
        }
    }
}
