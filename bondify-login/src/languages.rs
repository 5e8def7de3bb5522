//! The choice of the page's language.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, header::ACCEPT_LANGUAGE};

use crate::{
    limits::MAX_LANGUAGES,
    texts::{BUILT_IN, Texts},
};

/// Changes the texts of a response.
type Adapt = Arc<dyn Fn(&Request<Bytes>, &mut Texts) + Send + Sync>;

/// The languages of the page.
#[derive(Clone, Default)]
pub(crate) struct Languages {
    /// The app's own texts.
    pub(crate) added: Vec<Texts>,
    /// The languages to choose from, the fallback first. Empty: all, with English as the fallback.
    pub(crate) chosen: Vec<String>,
    pub(crate) adapt: Option<Adapt>,
}

impl Languages {
    /// The first chosen language without texts.
    pub(crate) fn unknown(&self) -> Option<&String> {
        self.chosen.iter().find(|language| self.texts(language).is_none())
    }

    /// The texts to answer the request with, in the language that the browser prefers.
    pub(crate) fn texts_for(&self, request: &Request<Bytes>) -> Texts {
        let wanted = wanted(request.headers());
        let preferred = wanted.iter().find_map(|tag| {
            let same = self.offered().find(|texts| texts.language.eq_ignore_ascii_case(tag));
            same.or_else(|| self.offered().find(|texts| primary(&texts.language) == primary(tag)))
        });
        let mut texts = preferred.or_else(|| self.offered().next()).unwrap_or(&BUILT_IN[0]).clone();
        if let Some(adapt) = &self.adapt {
            adapt(request, &mut texts);
        }
        texts
    }

    fn offered(&self) -> Box<dyn Iterator<Item = &Texts> + '_> {
        if self.chosen.is_empty() {
            let built_in = BUILT_IN.iter().filter(|texts| self.added(&texts.language).is_none());
            // English, then the others.
            Box::new(self.texts("en").into_iter().chain(&self.added).chain(built_in))
        } else {
            Box::new(self.chosen.iter().filter_map(|language| self.texts(language)))
        }
    }

    /// The texts in the language: the app's own, or those of this crate.
    fn texts(&self, language: &str) -> Option<&Texts> {
        let built_in = || BUILT_IN.iter().find(|texts| texts.language == language);
        self.added(language).or_else(built_in)
    }

    fn added(&self, language: &str) -> Option<&Texts> {
        self.added.iter().rfind(|texts| texts.language == language)
    }
}

/// The tags of the languages that the browser accepts, the preferred first.
fn wanted(headers: &HeaderMap) -> Vec<String> {
    let header = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let tags: Vec<_> = header.unwrap_or_default().split(',').take(MAX_LANGUAGES).collect();
    let tags = accept_language::parse_with_quality(&tags.join(","));
    tags.into_iter().filter(|(_, quality)| *quality > 0.0).map(|(tag, _)| tag).collect()
}

/// The language of a tag, without its script and region.
fn primary(tag: &str) -> String {
    tag.split('-').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn language(languages: &Languages, accepted: &str) -> String {
        let mut request = Request::new(Bytes::new());
        let accepted = HeaderValue::from_bytes(accepted.as_bytes()).unwrap();
        request.headers_mut().insert(ACCEPT_LANGUAGE, accepted);
        languages.texts_for(&request).language.into_owned()
    }

    fn own(language: &'static str) -> Texts {
        Texts { language: language.into(), ..Texts::in_language("en").unwrap() }
    }

    #[test]
    fn the_preferred_language_is_chosen() {
        let all = Languages::default();
        for (accepted, chosen) in [
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("nl,fr-CA;q=0.9,en;q=0.8", "fr"),
            ("en;q=0.5, ru;q=0.7", "ru"),
            ("FA-ir", "fa"),
            ("de;q=0,uk;q=0.1", "uk"),
            ("nl", "en"),
            ("*", "en"),
            ("", "en"),
            (";;,,=;q=", "en"),
            ("d\u{e9}", "en"),
        ] {
            assert_eq!(language(&all, accepted), chosen, "{accepted}");
        }
    }

    #[test]
    fn invalid_weights_are_ignored() {
        let header: Vec<_> =
            (0..1000).map(|n| format!("x{n};q={}", ["NaN", "1", "0.5", "-inf"][n % 4])).collect();
        assert_eq!(language(&Languages::default(), &header.join(",")), "en");
    }

    #[test]
    fn the_page_is_only_in_the_languages_of_the_app() {
        let german = Languages { chosen: vec!["de".into(), "en".into()], ..Languages::default() };
        assert_eq!(language(&german, "fr"), "de");
        assert_eq!(language(&german, "fr,en-GB;q=0.5"), "en");
        let unknown = Languages { chosen: vec!["de".into(), "xx".into()], ..Languages::default() };
        assert_eq!((unknown.unknown(), german.unknown()), (Some(&"xx".into()), None));
    }

    #[test]
    fn the_app_can_add_a_language() {
        let added = vec![own("it"), own("pt-PT"), own("zh-Hant")];
        let more = Languages { added, ..Languages::default() };
        for (accepted, chosen) in
            [("it-CH", "it"), ("pt-PT", "pt-PT"), ("zh-TW", "zh-Hant"), ("de", "de"), ("nl", "en")]
        {
            assert_eq!(language(&more, accepted), chosen, "{accepted}");
        }
        let only = Languages { chosen: vec!["it".into()], ..more };
        assert_eq!(language(&only, "de"), "it");
    }

    #[test]
    fn the_app_can_replace_texts() {
        let mut mine = Texts::in_language("en").unwrap();
        mine.begin = "Go".into();
        let languages = Languages { added: vec![mine.clone()], ..Languages::default() };
        assert_eq!(languages.texts_for(&Request::new(Bytes::new())), mine);
    }

    #[test]
    fn the_app_can_decide_for_each_request() {
        let languages = Languages {
            adapt: Some(Arc::new(|request, texts| {
                if request.uri().path() == "/link" {
                    *texts = own("it");
                }
            })),
            ..Languages::default()
        };
        let request = |path: &str| Request::get(path).body(Bytes::new()).unwrap();
        assert_eq!(languages.texts_for(&request("/link")).language, "it");
        assert_eq!(languages.texts_for(&request("/login")).language, "en");
    }
}
