use serde::Deserialize;

use crate::Error;

/// The fields of a form as they were entered. A checkbox is sent only if it is checked.
#[derive(Clone, Deserialize)]
#[serde(from = "Vec<(String, String)>")]
pub(super) struct Fields(Vec<(String, String)>);

/// A browser sends each line end of a text area as CR LF.
impl From<Vec<(String, String)>> for Fields {
    fn from(sent: Vec<(String, String)>) -> Self {
        Self(sent.into_iter().map(|(name, value)| (name, with_lf(&value))).collect())
    }
}

pub(super) fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n")
}

impl Fields {
    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |field| field.0 == name).map(|field| &*field.1)
    }
}

/// A refused form, which is shown again with its input.
pub(super) struct Refused {
    /// The last part of the form's address.
    pub(super) form: String,
    pub(super) fields: Fields,
    pub(super) error: Error,
}
