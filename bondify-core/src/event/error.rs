/// The error for a signed body that is not an event. Its text never quotes the body.
///
/// ```
/// use bondify_core::{Event, ParseError};
///
/// let without_a_token = r#"{"event":"auth.cancelled","cancelled_at":1700000000123}"#;
/// let error = Event::from_trusted(without_a_token).unwrap_err();
/// assert!(matches!(error, ParseError::Field { name: "session_token", .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not a JSON object in UTF-8.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that the event must have is missing, empty or of another type.
    #[error("`{name}` is missing or not {expected}")]
    #[non_exhaustive]
    Field {
        /// The field's name.
        name: &'static str,
        /// The expected type.
        expected: &'static str,
    },
}
