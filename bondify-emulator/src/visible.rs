use std::fmt::{self, Display, Write};

/// Untrusted text, to be shown. Control characters, and the characters that change the direction
/// of the text around them, are escaped. Line ends and tabs stay.
///
/// ```
/// use bondify_emulator::Visible;
///
/// assert_eq!(Visible("Ada\u{202e}\u{1b}[2J").to_string(), r"Ada\u{202e}\u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' | '\t' => f.write_char(character)?,
                _ if is_hidden(character) => write!(f, "{}", character.escape_unicode())?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Whether a character shows nothing itself but changes what is shown. Joiners are part of names
/// and emoji.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_control_what_is_around_it() {
        for hidden in ['\u{1b}', '\r', '\u{9b}', '\u{7f}', '\u{202e}', '\u{2066}', '\u{200f}'] {
            let shown = Visible(&format!("a{hidden}b")).to_string();
            assert_eq!(shown, format!("a{}b", hidden.escape_unicode()));
        }
        for plain in ["İ 🦀\n\ttab", "👩‍👩‍👧‍👦", "فاطمة", "می\u{200c}خواهم", "<b>&"]
        {
            assert_eq!(Visible(plain).to_string(), plain);
        }
    }
}
