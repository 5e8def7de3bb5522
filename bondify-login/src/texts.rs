use std::borrow::Cow;

/// The texts of a language, in a file of its own.
macro_rules! translation {
    ($($field:ident: $text:literal,)*) => {
        pub(super) const TEXTS: super::Texts =
            super::Texts { $($field: std::borrow::Cow::Borrowed($text),)* };
    };
}

mod ar;
mod de;
mod en;
mod es;
mod fa;
mod fr;
mod pt;
mod ru;
mod tr;
mod uk;

macro_rules! texts {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// The texts of the page, in one language.
        ///
        /// `{app}` stands for the [app's name](crate::LoginBuilder::app_name), `{name}` for the name of the
        /// user who confirmed, and `{time}` for the time left. A [`View`](crate::View) has the texts with
        /// `{app}` and `{name}` replaced.
        ///
        /// ```
        /// use bondify_login::Texts;
        ///
        /// let mut texts = Texts::in_language("en").unwrap();
        /// texts.start = "Sign in to your account".into();
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Texts {
            $($(#[$doc])* pub $field: Cow<'static, str>,)*
        }

        impl Texts {
            #[cfg(test)]
            fn all(&self) -> [&str; [$(stringify!($field)),*].len()] {
                [$(&self.$field),*]
            }

            /// Replaces `{app}` and `{name}`.
            pub(crate) fn fill(&mut self, app: &str, name: &str) {
                $(fill(&mut self.$field, app, name);)*
            }
        }
    };
}

texts! {
    /// The language tag, such as `de` or `pt-BR`.
    language,
    /// The direction of the page: `ltr` or `rtl`.
    direction,
    /// The heading before and during a login.
    start,
    /// The explanation before a login.
    start_detail,
    /// The button that begins a login.
    begin,
    /// The data that the app will see.
    sees,
    /// The same, with the phone number.
    sees_phone,
    /// The explanation of the code on a computer.
    scan,
    /// The explanation of the link on a phone.
    tap,
    /// The link into Telegram on a phone.
    open,
    /// The link into Telegram on a computer, below the code.
    open_here,
    /// On a phone, the label of the folded code.
    other_device,
    /// The description of the code for screen readers.
    code,
    /// The status while the user has not decided.
    waiting,
    /// The status while the server does not answer.
    lost,
    /// The time left, with `{time}`.
    expires_in,
    /// The heading after the user has confirmed.
    confirmed,
    /// The sentence below [`confirmed`](Self::confirmed), with `{name}`.
    confirmed_detail,
    /// The button or link to the app after the login.
    go_on,
    /// The heading after the user has cancelled.
    cancelled,
    /// The sentence below [`cancelled`](Self::cancelled).
    cancelled_detail,
    /// The heading after nobody has decided in time.
    expired,
    /// The sentence below [`expired`](Self::expired).
    expired_detail,
    /// The heading if the login was finished before.
    used,
    /// The sentence below [`used`](Self::used).
    used_detail,
    /// The heading if Bondify cannot be reached.
    unavailable,
    /// The sentence below [`unavailable`](Self::unavailable).
    unavailable_detail,
    /// The heading at an address that is not the app's origin.
    other_origin,
    /// The sentence below [`other_origin`](Self::other_origin), above the link to the app's origin.
    other_origin_detail,
    /// The button that begins a login after one that was not confirmed.
    try_again,
    /// The button that begins a login after one that was finished.
    sign_in_again,
    /// The link to the app without a login.
    back,
}

impl Texts {
    /// Returns the texts in one of the languages of this crate: `en`, `ar`, `de`, `es`, `fa`, `fr`, `pt`,
    /// `ru`, `tr` or `uk`.
    ///
    /// ```
    /// use bondify_login::Texts;
    ///
    /// assert_eq!(Texts::in_language("ar").unwrap().direction, "rtl");
    /// assert!(Texts::in_language("tlh").is_none());
    /// ```
    #[must_use]
    pub fn in_language(language: &str) -> Option<Self> {
        BUILT_IN.iter().find(|texts| texts.language == language).cloned()
    }
}

/// The texts of this crate.
pub(crate) static BUILT_IN: [Texts; 10] = [
    en::TEXTS,
    ar::TEXTS,
    de::TEXTS,
    es::TEXTS,
    fa::TEXTS,
    fr::TEXTS,
    pt::TEXTS,
    ru::TEXTS,
    tr::TEXTS,
    uk::TEXTS,
];

/// Names may be written from right to left in a text from left to right, and vice versa: the control
/// characters isolate them, also in a title.
fn fill(text: &mut Cow<'static, str>, app: &str, name: &str) {
    if text.contains('{') {
        let isolated = |name: &str| format!("\u{2068}{name}\u{2069}");
        *text = text.replace("{app}", &isolated(app)).replace("{name}", &isolated(name)).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_isolated() {
        let mut texts = Texts::in_language("en").unwrap();
        texts.fill("Shop", "{app} Ada");
        assert_eq!(texts.start, "Sign in to \u{2068}Shop\u{2069}");
        assert_eq!(texts.confirmed_detail, "You confirmed as \u{2068}{app} Ada\u{2069}.");
        assert_eq!(texts.expires_in, "Expires in {time}");
    }

    #[test]
    fn each_language_has_all_texts_with_their_placeholders() {
        let english = BUILT_IN[0].all();
        for texts in &BUILT_IN {
            for (text, english) in texts.all().iter().zip(english) {
                assert!(
                    !text.trim().is_empty() && text.trim() == *text,
                    "{}: {text}",
                    texts.language
                );
                for placeholder in ["{app}", "{name}", "{time}"] {
                    let count = |text: &str| text.matches(placeholder).count();
                    assert_eq!(count(text), count(english), "{}: {text}", texts.language);
                }
            }
        }
    }

    #[test]
    fn each_language_has_its_own_texts() {
        for texts in &BUILT_IN[1..] {
            let all = texts.all();
            let untranslated = all.iter().zip(BUILT_IN[0].all()).skip(2).find(|(a, b)| *a == b);
            assert_eq!(untranslated, None, "{}", texts.language);
        }
    }
}
