/// The error for a missing or unsafe setting.
///
/// ```
/// use bondify_login::BuildError;
///
/// let error = BuildError::ShortKey(3);
/// assert!(error.to_string().starts_with("the cookie key has 3 bytes"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The cookie key is missing or too short. Its length is in bytes.
    #[error(
        "the cookie key has {0} bytes; it needs 32 random bytes or more, for example from \
         `openssl rand -hex 32`"
    )]
    ShortKey(usize),
    /// The origin is missing, or is not a scheme and a host.
    #[error(
        "the origin must be https:// and a host as browsers see it, for example \
         https://shop.example: {0:?}"
    )]
    WrongOrigin(String),
    /// The origin is `http://` and not loopback.
    #[error(
        "the origin must be https (http is allowed on loopback only): {0}; `allow_http` allows it, \
         and everybody on the network path can then read and replace the login cookie"
    )]
    InsecureOrigin(String),
    /// The `Bondify` does not deduplicate.
    #[error(
        "the Bondify is `verify_only`, so a login could be finished twice; use a Bondify with a \
         dedupe store"
    )]
    VerifyOnly,
    /// The path of [`return_to`](crate::LoginBuilder::return_to) or [`back_to`](crate::LoginBuilder::back_to)
    /// does not lead to the origin.
    #[error("the path must begin with one `/` and be plain ASCII of up to 512 bytes: {0:?}")]
    WrongPath(String),
    /// The logo has another form.
    #[error("the logo must be a path, an https:// URL or a data:image/ URL: {0:?}")]
    WrongLogo(String),
    /// The accent colour has another form.
    #[error("the accent colour must have the form #rrggbb or #rgb: {0:?}")]
    WrongColor(String),
    /// The addition to the content security policy is not allowed.
    #[error(
        "the page's content security policy takes more sources for connect-src, font-src, img-src, \
         manifest-src, media-src and style-src only: {0:?}"
    )]
    WrongPolicy(String),
    /// There are no texts in this language.
    #[error("there are no texts in the language {0:?}; add them with `texts`")]
    UnknownLanguage(String),
}
