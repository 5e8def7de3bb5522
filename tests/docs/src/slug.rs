use std::collections::HashMap;

/// Ids that rustdoc's own page has, so that a heading of that name gets a number.
const IDS_OF_RUSTDOC: [&str; 6] =
    ["fields", "help", "implementations", "search", "settings", "variants"];

/// The anchors that GitHub gives to these headings.
pub(crate) fn on_github(headings: &[String]) -> Vec<String> {
    let slug = |heading: &String| slug(&heading.to_lowercase());
    numbered(headings.iter().map(slug), HashMap::new())
}

/// The ids that rustdoc gives to these headings.
pub(crate) fn in_rustdoc(headings: &[String]) -> Vec<String> {
    let slug = |heading: &String| slug(&heading.to_ascii_lowercase());
    let taken = IDS_OF_RUSTDOC.map(|id| (id.to_owned(), 1));
    numbered(headings.iter().map(slug), taken.into())
}

fn slug(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    heading.chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// Appends a number to each slug that was there before.
fn numbered(slugs: impl Iterator<Item = String>, mut taken: HashMap<String, usize>) -> Vec<String> {
    let numbered = |slug: String| {
        let earlier = taken.entry(slug.clone()).or_default();
        *earlier += 1;
        if *earlier == 1 { slug } else { format!("{slug}-{}", *earlier - 1) }
    };
    slugs.map(numbered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_left_out_and_spaces_are_dashes() {
        let heading = ["What it's `bondify a`, and a_b: 2nd".to_owned()];
        let expected = ["what-its-bondify-a-and-a_b-2nd"];
        assert_eq!(on_github(&heading), expected);
        assert_eq!(in_rustdoc(&heading), expected);
    }

    #[test]
    fn a_repeated_heading_gets_a_number() {
        let headings = ["Use", "Use", "Use"].map(String::from);
        assert_eq!(on_github(&headings), ["use", "use-1", "use-2"]);
    }

    #[test]
    fn rustdoc_numbers_a_heading_with_the_id_of_a_part_of_its_page() {
        let headings = ["Settings".to_owned()];
        assert_eq!(on_github(&headings), ["settings"]);
        assert_eq!(in_rustdoc(&headings), ["settings-1"]);
    }

    #[test]
    fn only_github_makes_letters_beyond_ascii_small() {
        let headings = ["Évry".to_owned()];
        assert_eq!(on_github(&headings), ["évry"]);
        assert_eq!(in_rustdoc(&headings), ["Évry"]);
    }
}
