use crate::{
    Event, MalformedSignature, Reply, SIGNATURE_HEADER, Signature, VerifyError, headers::Headers,
};

/// The head of a request of any framework: its method, its path and its headers.
///
/// It is implemented for `http` 1. Adapters of frameworks with other types implement it for a newtype.
///
/// ```
/// use bondify_core::adapter::{Head, Headers, RequestHead};
///
/// /// A request of this framework.
/// struct Request {
///     method: String,
///     path: String,
///     headers: Vec<(String, Vec<u8>)>,
/// }
///
/// impl RequestHead for Request {
///     fn method(&self) -> &str {
///         &self.method
///     }
///
///     fn path(&self) -> &str {
///         &self.path
///     }
/// }
///
/// impl Headers for Request {
///     fn visit(&self, name: &'static str, visit: &mut dyn FnMut(&[u8])) {
///         let found = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
///         found.for_each(|(_, value)| visit(value));
///     }
/// }
///
/// fn head(request: &Request) -> Head {
///     Head::of(request)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the head of a request",
    label = "not the head of a request",
    note = "for a request of `http` 1, pass its `Parts`: `let (parts, body) = request.into_parts();`",
    note = "for a framework with other types, implement `RequestHead` and `Headers` for a newtype of its request"
)]
pub trait RequestHead: Headers {
    /// The method, in upper case.
    fn method(&self) -> &str;

    /// The path of the URL, without the query.
    fn path(&self) -> &str;

    /// Returns `true` if the request already carries an event, since Bondify is attached to its route
    /// twice. The default is `false`, for frameworks in which that does not launch.
    fn has_event(&self) -> bool {
        false
    }
}

impl RequestHead for http::request::Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn has_event(&self) -> bool {
        self.extensions.get::<Event>().is_some()
    }
}

/// The head of a request, checked. The check comes before the body is read. An error in a header is answered
/// after the body was read, because otherwise the connection could not be used for another request.
#[derive(Debug)]
pub struct Head {
    /// The mistake in the application that has brought the request here.
    pub(crate) mistake: Option<&'static str>,
    pub(crate) media_type: Result<(), Reply>,
    pub(crate) signature: Result<Signature, VerifyError>,
}

impl Head {
    /// Checks the head of a request: its method, its content type and its signature header.
    /// [`Bondify::serve`](crate::Bondify::serve) and [`Bondify::claim`](crate::Bondify::claim) return the errors.
    pub fn of(head: &dyn RequestHead) -> Self {
        let mistake = if !is_delivery(head) {
            Some(NOT_A_POST)
        } else if head.has_event() {
            Some(ATTACHED_TWICE)
        } else {
            None
        };
        Self { mistake, media_type: media_type(head), signature: signature(head) }
    }
}

/// Returns `true` if Bondify can have sent the request.
pub(crate) fn is_delivery(head: &dyn RequestHead) -> bool {
    head.method() == "POST"
}

const NOT_A_POST: &str = "Bondify got a request with a method other than POST; attach it to the \
    webhook's route for POST only, not to a whole router or application";
const ATTACHED_TWICE: &str = "Bondify is attached twice; attach it to the route once";

fn media_type<H: Headers + ?Sized>(headers: &H) -> Result<(), Reply> {
    let (mut json, mut other) = (false, false);
    headers.visit("content-type", &mut |value| {
        let essence = value.split(|&byte| byte == b';').next().unwrap_or_default();
        let is_json = essence.trim_ascii().eq_ignore_ascii_case(b"application/json");
        *(if is_json { &mut json } else { &mut other }) = true;
    });
    if json && !other { Ok(()) } else { Err(Reply::UnsupportedMediaType) }
}

fn signature<H: Headers + ?Sized>(headers: &H) -> Result<Signature, VerifyError> {
    let mut found: Option<Result<Signature, MalformedSignature>> = None;
    headers.visit(SIGNATURE_HEADER, &mut |value| {
        let next = Signature::parse(value);
        found = Some(match (found.take(), next) {
            (None, next) => next,
            (Some(Ok(first)), Ok(next)) if first.0 == next.0 => Ok(first),
            _ => Err(MalformedSignature),
        });
    });
    Ok(found.ok_or(VerifyError::MissingSignature)??)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Request};

    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value).unwrap());
        values.map(|value| (name.parse().unwrap(), value)).collect()
    }

    #[test]
    fn only_a_post_without_an_event_is_a_delivery() {
        let mistake = |method: &str, event: Option<Event>| {
            let mut request = Request::builder().method(method).body(()).unwrap();
            if let Some(event) = event {
                request.extensions_mut().insert(event);
            }
            Head::of(&request.into_parts().0).mistake
        };
        let event = Event::from_trusted(r#"{"event":"auth.renamed"}"#).unwrap();
        assert_eq!(mistake("POST", None), None);
        assert_eq!(mistake("POST", Some(event.clone())), Some(ATTACHED_TWICE));
        for other in ["GET", "HEAD", "OPTIONS", "PUT", "post"] {
            assert_eq!(mistake(other, None), Some(NOT_A_POST));
            assert_eq!(mistake(other, Some(event.clone())), Some(NOT_A_POST));
        }
    }

    #[test]
    fn only_json_is_accepted() {
        let judge = |values: &[&str]| media_type(&headers("content-type", values));
        for json in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert_eq!(judge(&[json]), Ok(()));
        }
        for other in ["text/plain", "application/jsonp", "application/problem+json", ""] {
            assert_eq!(judge(&[other]), Err(Reply::UnsupportedMediaType));
        }
        assert_eq!(judge(&[]), Err(Reply::UnsupportedMediaType));
        for conflict in [["application/json", "text/plain"], ["text/plain", "application/json"]] {
            assert_eq!(judge(&conflict), Err(Reply::UnsupportedMediaType));
        }
    }

    #[test]
    fn the_signature_may_be_repeated_but_not_contradicted() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let judge = |values: &[&str]| {
            signature(&headers(SIGNATURE_HEADER, values)).map(|found| found.to_string())
        };
        assert_eq!(judge(&[]), Err(VerifyError::MissingSignature));
        assert_eq!(judge(&[&a]), Ok(a.clone()));
        assert_eq!(judge(&[&a, &a.to_uppercase()]), Ok(a.clone()));
        for conflict in [[&*a, &*b], [&*a, ""], ["", &*a]] {
            assert_eq!(judge(&conflict), Err(VerifyError::InvalidSignature));
        }
        assert_eq!(judge(&[&a, &b, &a]), Err(VerifyError::InvalidSignature));
    }
}
