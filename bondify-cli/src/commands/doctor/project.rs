//! The examination of a project through the API.

use std::{collections::BTreeMap, io};

use bondify_emulator::Reading;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    finding::{Finding, Report, clock, failed},
    shape::{DIGITS, ISO_TIME, NUMBER, Shape},
};
use crate::http::{self, Answer, Endpoint};

pub(super) struct Project {
    /// The API.
    pub(super) endpoint: Endpoint,
    pub(super) id: String,
    pub(super) token: Option<Zeroizing<String>>,
    /// The webhook secret that the receiver has.
    pub(super) secret: Option<Zeroizing<Vec<u8>>>,
}

/// The forms of the answers, by the names of the calls.
type Shapes = BTreeMap<&'static str, Shape>;

impl Project {
    /// Makes each call once.
    pub(super) async fn run(&self, report: &mut Report) -> io::Result<()> {
        let mut shapes = Shapes::new();
        let id = json!({"project_id": self.id});
        let generate = self.post(&["generate", "public"], &id);
        let needed = &["session_token"];
        if let Some(session) = call(generate, "generate", needed, &mut shapes, report).await? {
            let asked = json!({"project_id": self.id, "session_token": session["session_token"]});
            let verify = self.post(&["verify", "public"], &asked);
            call(verify, "verify", &["status"], &mut shapes, report).await?;
            report.show(Finding::ok("public-access", "the public API serves the project"))?;
        }
        if self.token.is_some() {
            self.developer(&mut shapes, report).await?;
        } else {
            report.show(Finding::warning(
                "token",
                "the developer API is not examined: there is no developer token",
                "set BONDIFY_DEVELOPER_TOKEN",
            ))?;
        }
        report.show(reading(&shapes))
    }

    async fn developer(&self, shapes: &mut Shapes, report: &mut Report) -> io::Result<()> {
        let needed = &["developer.developer_id", "developer.id", "developer_id", "id"];
        let me = call(self.get(&["dev", "me"]), "me", needed, shapes, report).await?;
        if me.is_none() {
            return Ok(());
        }
        let needed = &["projects[].project_id", "projects[].id", "projects"];
        let projects = self.get(&["dev", "projects"]);
        if let Some(list) = call(projects, "projects", needed, shapes, report).await? {
            report.show(self.webhook_url(&list))?;
        }
        let needed = &["sessions[].session_token", "sessions"];
        call(self.get(&["dev", "sessions"]), "sessions", needed, shapes, report).await?;
        let mut analytics = self.url(&["dev", "analytics"]);
        analytics.query_pairs_mut().append_pair("project_id", &self.id);
        call(self.get_url(analytics), "analytics", &["total_sessions"], shapes, report).await?;
        let secret = self.get(&["dev", "projects", &self.id, "webhook-secret"]);
        let needed = &["webhook_secret", "secret"];
        if let Some(answer) = call(secret, "webhook-secret", needed, shapes, report).await? {
            let secret = ["webhook_secret", "secret"].into_iter().find_map(|n| answer[n].as_str());
            report.show(self.kind_of(secret.unwrap_or_default()))?;
        }
        Ok(())
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.url().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.get_url(self.url(segments))
    }

    fn get_url(&self, url: Url) -> RequestBuilder {
        let token = self.token.as_ref().map_or("", |token| token);
        self.endpoint.request(Method::GET, url).bearer_auth(token)
    }

    fn post(&self, segments: &[&str], body: &Value) -> RequestBuilder {
        self.endpoint.request(Method::POST, self.url(segments)).json(body)
    }

    fn webhook_url(&self, list: &Value) -> Finding {
        let is_this =
            |project: &&Value| project["project_id"] == *self.id || project["id"] == *self.id;
        let mut projects = list["projects"].as_array().into_iter().flatten();
        match projects.find(is_this).map(|project| project["webhook_url"].as_str()) {
            None => Finding::problem(
                "webhook-url",
                "the account does not list this project",
                "check --project, and that the developer token is of the account that owns the project",
            ),
            Some(None | Some("")) => Finding::warning(
                "webhook-url",
                "the project has no webhook URL: Bondify delivers nothing",
                "set it with `bondify projects set-webhook`, unless the app polls",
            ),
            Some(Some(url)) => Finding::ok("webhook-url", format!("Bondify delivers to {url}")),
        }
    }

    /// Compares the project's webhook secret with the one that the receiver has.
    fn kind_of(&self, secret: &str) -> Finding {
        let kind = |text: &[u8]| {
            let mut prefixes = ["whsec_", "sk_"].into_iter();
            let prefix = prefixes.find(|prefix| text.starts_with(prefix.as_bytes()));
            prefix
                .map_or("has no known prefix".to_owned(), |prefix| format!("begins with {prefix}"))
        };
        let project = kind(secret.as_bytes());
        match &self.secret {
            None => Finding::ok("secret", format!("the project's webhook secret {project}")),
            Some(given) if ***given == *secret.as_bytes() => Finding::ok(
                "secret",
                format!("the secret that is given is the project's webhook secret, and {project}"),
            ),
            Some(given) => Finding::problem(
                "secret",
                format!(
                    "the secret that is given is not the project's webhook secret: it {}, the \
                     project's {project}",
                    kind(given)
                ),
                "give the receiver what `bondify projects webhook-secret` shows; the secret key of a \
                 project signs no deliveries",
            ),
        }
    }
}

/// Makes a call, and shows the form of its answer. Returns an answer that has one of the needed fields.
async fn call(
    request: RequestBuilder,
    check: &'static str,
    needed: &[&str],
    shapes: &mut Shapes,
    report: &mut Report,
) -> io::Result<Option<Value>> {
    /// As much as the client of these crates reads.
    const MAX_BYTES: usize = bondify_client::Client::MAX_RESPONSE_BYTES;
    let answer = match http::send_and_read(request, MAX_BYTES).await {
        Ok(answer) => answer,
        refused => {
            let advice = "check --api-url and this machine's connection and proxy";
            report.show(failed(check, "the API does not answer", refused, advice))?;
            return Ok(None);
        }
    };
    if shapes.is_empty() {
        clock(&answer).map_or(Ok(()), |finding| report.show(finding))?;
    }
    if !answer.status.is_success() {
        report.show(refusal(check, &answer))?;
        return Ok(None);
    }
    let json = answer.json().unwrap_or_default();
    let shape = Shape::of(&json);
    let is_readable = needed.iter().any(|path| shape.has(path));
    report.show(if is_readable {
        Finding::ok(check, format!("the answer has {shape}"))
    } else {
        Finding::problem(
            check,
            format!("the answer has none of {}, but {shape}", needed.join(", ")),
            "check --api-url; if it is Bondify's, the client cannot read this answer: report its form",
        )
    })?;
    shapes.insert(check, shape);
    Ok(is_readable.then_some(json))
}

fn refusal(check: &'static str, answer: &Answer) -> Finding {
    let code = answer.code();
    let (check, advice) = match (answer.status, code.as_deref()) {
        (_, Some("PROJECT_INACTIVE")) => {
            ("active", "activate the project: bondify projects update ID --active true")
        }
        (StatusCode::FORBIDDEN, _) if matches!(check, "generate" | "verify") => (
            "public-access",
            "enable the public access: bondify projects update ID --public-access true",
        ),
        (StatusCode::UNAUTHORIZED, _) => (check, "set BONDIFY_DEVELOPER_TOKEN to a valid token"),
        (StatusCode::NOT_FOUND, _) => (check, "check --project and --api-url"),
        (StatusCode::TOO_MANY_REQUESTS, _) => (check, "wait, and examine the project again"),
        _ => (check, "examine the project again later: the API fails"),
    };
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    Finding::problem(check, format!("the API refuses the call: {}{code}", answer.status), advice)
}

/// The readings of the emulator that answer as the API does, as far as the answers show it.
fn reading(shapes: &Shapes) -> Finding {
    let any = |end: &str, kind: &str| shapes.values().any(|shape| shape.has_kind(end, kind));
    let has = |call: &str, path: &str| shapes.get(call).is_some_and(|shape| shape.has(path));
    let lacks = |call: &str, path: &str| shapes.get(call).is_some_and(|shape| !shape.has(path));
    let readings = [
        (Reading::NoExpiry, has("generate", "session_token") && lacks("generate", "expires_at")),
        (Reading::TextTimes, any("_at", DIGITS)),
        (Reading::IsoTimes, any("_at", ISO_TIME)),
        (Reading::SqlValues, any("total_sessions", DIGITS) || any("active", NUMBER)),
        (
            Reading::DocsNames,
            has("projects", "projects[].id") && lacks("projects", "projects[].project_id"),
        ),
        (
            Reading::SdkNames,
            has("projects", "projects[].project_id") && lacks("projects", "projects[].id"),
        ),
        (Reading::Pages, has("sessions", "has_more")),
    ];
    let options = readings.into_iter().filter(|(_, is_found)| *is_found);
    let options: String = options.map(|(reading, _)| format!(" --reading {reading}")).collect();
    Finding::ok("reading", format!("the API answers like `bondify emulate{options}`"))
}
