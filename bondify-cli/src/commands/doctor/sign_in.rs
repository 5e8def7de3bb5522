//! The examination of a sign-in page.

use std::io;

use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE},
};
use serde_json::Value;

use super::finding::{Finding, Report, clock, failed};
use crate::http::{self, Answer, Endpoint, NoAnswer};

pub(super) struct SignIn {
    /// The page.
    pub(super) endpoint: Endpoint,
}

/// The login that the examination has begun.
struct Begun {
    id: String,
    /// `NAME=VALUE`.
    cookie: String,
}

impl SignIn {
    /// Makes each check, and stops at a fault that hides the others.
    pub(super) async fn run(&self, report: &mut Report) -> io::Result<()> {
        let page = self.endpoint.request(Method::GET, self.page());
        let page = http::send(page.header(ACCEPT, "text/html")).await;
        match page {
            Ok(answer) if answer.status.is_success() => {
                report.show(Finding::ok("page", format!("the page answers: {}", answer.status)))?;
                clock(&answer).map_or(Ok(()), |finding| report.show(finding))?;
            }
            answer => return report.show(no_page(answer)),
        }
        let begun = match self.begin(&self.origin(), "same-origin").await {
            Ok(answer) => match begun(&answer, &self.origin()) {
                Ok(begun) => begun,
                Err(finding) => return report.show(finding),
            },
            answer => return report.show(failed("begin", "no login begins", answer, SEE_LOG)),
        };
        report.show(Finding::ok("origin", "a form of this origin begins a login"))?;
        report.show(Finding::ok("cookie", "the answer sets the cookie of the login"))?;
        report.show(self.returned(&begun).await)?;
        report.show(self.other_origin().await)?;
        report.show(self.events(&begun).await)
    }

    fn page(&self) -> Url {
        self.endpoint.url().clone()
    }

    fn origin(&self) -> String {
        self.endpoint.url().origin().ascii_serialization()
    }

    /// Sends the form that begins a login, as a script on a page of `origin` does.
    async fn begin(&self, origin: &str, site: &str) -> Result<Answer, NoAnswer> {
        let form = self.endpoint.post().header(ACCEPT, "application/json");
        let form = form.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let form = form.header(ORIGIN, origin).header("sec-fetch-site", site);
        http::send(form.body("return_to=/")).await
    }

    /// Asks about the login with its cookie.
    fn about(&self, begun: &Begun, mut url: Url) -> RequestBuilder {
        url.query_pairs_mut().append_pair("id", &begun.id);
        self.endpoint.request(Method::GET, url).header(COOKIE, &begun.cookie)
    }

    /// Whether every instance of the server knows the login by its cookie.
    async fn returned(&self, begun: &Begun) -> Finding {
        const INSTANCES: usize = 4;
        for _ in 0..INSTANCES {
            let request = self.about(begun, self.page()).header(ACCEPT, "application/json");
            let answer = http::send(request).await;
            let state = answer.as_ref().ok().and_then(Answer::json);
            if state.is_none_or(|state| state["state"] != "waiting") {
                return failed(
                    "cookie-returned",
                    "the server does not know the login that the cookie names",
                    answer,
                    "let the proxy pass on the header Cookie unchanged, and give every instance the same \
                     cookie key",
                );
            }
        }
        Finding::ok("cookie-returned", "the server knows the login that the cookie names")
    }

    async fn other_origin(&self) -> Finding {
        match self.begin("https://other.invalid", "cross-site").await {
            Ok(answer) if answer.status == StatusCode::FORBIDDEN => {
                Finding::ok("other-origin", "a form of another origin is refused")
            }
            answer => failed(
                "other-origin",
                "a form of another origin is not refused",
                answer,
                "let the proxy pass on the headers Origin and Sec-Fetch-Site unchanged",
            ),
        }
    }

    /// Whether the first event arrives before the stream ends.
    async fn events(&self, begun: &Begun) -> Finding {
        let mut url = self.page();
        url.set_path(&format!("{}/events", url.path().trim_end_matches('/')));
        let request = self.about(begun, url).header(ACCEPT, "text/event-stream");
        let first = async {
            let mut response = request.send().await?;
            let is_stream = response.status() == StatusCode::OK
                && response
                    .headers()
                    .get(CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            let chunk = if is_stream { response.chunk().await? } else { None };
            Ok::<_, NoAnswer>((response.status(), chunk))
        };
        match first.await {
            Ok((_, Some(_))) => Finding::ok("events", "the event stream arrives unbuffered"),
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => Finding::warning(
                "events",
                "no connection may wait for a login: 503 Service Unavailable",
                "raise max_waiting if it is too low; without the stream, the page asks every few seconds",
            ),
            Err(NoAnswer::TimedOut) => Finding::problem(
                "events",
                "no event arrives in time",
                "switch off the proxy's buffering for this path (nginx: proxy_buffering off), and let it \
                 not compress text/event-stream",
            ),
            Ok((status, None)) => Finding::problem(
                "events",
                format!("the event stream does not begin: {status}"),
                "let the proxy pass on all paths below the page, with their query and the header Cookie",
            ),
            Err(reason) => failed("events", "the event stream breaks off", Err(reason), SEE_LOG),
        }
    }
}

const SEE_LOG: &str = "see the log of the server and of the proxy";

fn no_page(answer: Result<Answer, NoAnswer>) -> Finding {
    let advice = match &answer {
        Ok(answer) if answer.status.is_redirection() => {
            "give --origin the address that the redirect leads to: users begin at that one"
        }
        Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
            "check the path of --origin, and that the proxy passes it on unchanged"
        }
        Ok(answer) if answer.status.is_server_error() => {
            "check the upstream of the proxy, and the log of the server"
        }
        Ok(_) => SEE_LOG,
        Err(_) => "check the host, the port and the certificate, and that the server runs",
    };
    failed("page", "the page does not appear", answer, advice)
}

/// Reads the login that a form has begun.
fn begun(answer: &Answer, origin: &str) -> Result<Begun, Finding> {
    let json = answer.json().unwrap_or_default();
    if answer.status == StatusCode::FORBIDDEN && json["state"] == "other_origin" {
        let expected = json["origin"].as_str().unwrap_or_default();
        let text = format!("a form of {origin} is refused: the server's origin is {expected}");
        let advice = if expected == origin {
            "let the proxy pass on the headers Origin and Sec-Fetch-Site unchanged"
        } else {
            "set the origin of the login to the address that users open, or redirect them to that origin"
        };
        return Err(Finding::problem("origin", text, advice));
    }
    let (true, Some(id)) = (answer.status.is_success(), json["id"].as_str()) else {
        let advice = match (answer.status, &json["state"]) {
            (StatusCode::BAD_GATEWAY, Value::String(_)) => {
                "see the log of the server: Bondify's API refuses the project or cannot be reached; \
                 examine it with --project"
            }
            (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _) => {
                "mount the routes of the login, and let the proxy pass on POST"
            }
            _ => SEE_LOG,
        };
        let text = format!("no login begins: {}", answer.status);
        return Err(Finding::problem("begin", text, advice));
    };
    let cookies = answer.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let is_of_login = |cookie: &&str| {
        let name = cookie.strip_prefix("__Host-").unwrap_or(cookie);
        name.starts_with("bondify-login-")
    };
    let Some(cookie) = cookies.into_iter().find(is_of_login) else {
        return Err(Finding::problem(
            "cookie",
            "the answer sets no cookie of the login",
            "let the proxy pass on the header Set-Cookie with its name, and cache nothing of this path",
        ));
    };
    let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
    let attributes: Vec<_> =
        attributes.split(';').map(|attribute| attribute.trim().to_ascii_lowercase()).collect();
    let has = |name: &str| attributes.iter().any(|attribute| attribute == name);
    let is_unchanged = has("path=/")
        && has("httponly")
        && has("samesite=lax")
        && has("secure") == pair.starts_with("__Host-")
        && !attributes.iter().any(|attribute| attribute.starts_with("domain="));
    if !is_unchanged {
        return Err(Finding::problem(
            "cookie",
            format!("the attributes of the login's cookie are changed: {}", attributes.join("; ")),
            "let the proxy pass on the header Set-Cookie unchanged: browsers refuse a `__Host-` cookie that \
             has a domain, has another path than /, or is not secure",
        ));
    }
    Ok(Begun { id: id.to_owned(), cookie: pair.to_owned() })
}
