use bondify_emulator::{Emulator, ProjectSettings};
use tokio::runtime::Runtime;

use super::{Client, NOWHERE, builder, cut_off, encoded, runtime};
use crate::shape;

/// All requests, except those for streams without an end.
const REQUESTS: &[(&str, &str)] = &[
    ("POST", "/emulator/reset"),
    ("GET", "/emulator/health"),
    ("GET", "/emulator/projects"),
    ("PATCH", "/emulator/projects/{project}"),
    ("GET", "/emulator/projects/{project}/secret"),
    ("POST", "/emulator/projects/{project}/regenerate"),
    ("POST", "/emulator/projects/{project}/test"),
    ("GET", "/emulator/sessions"),
    ("GET", "/emulator/sessions/{session}"),
    ("POST", "/emulator/sessions/{session}/confirm"),
    ("POST", "/emulator/sessions/{session}/cancel"),
    ("POST", "/emulator/sessions/{session}/expire"),
    ("POST", "/emulator/sessions/{session}/use"),
    ("GET", "/emulator/deliveries?session_token={session}"),
    ("GET", "/emulator/deliveries/{delivery}"),
    ("POST", "/emulator/deliveries/{delivery}/resend"),
    ("POST", "/emulator/deliveries/resend-failed?project_id={project}"),
    ("POST", "/api/v1/generate/public"),
    ("POST", "/api/v1/verify/public"),
    ("GET", "/api/v1/dev/me"),
    ("GET", "/api/v1/dev/projects"),
    ("POST", "/api/v1/dev/projects"),
    ("PATCH", "/api/v1/dev/projects/{project}"),
    ("DELETE", "/api/v1/dev/projects/{project}"),
    ("POST", "/api/v1/dev/projects/{project}/regenerate"),
    ("GET", "/api/v1/dev/projects/{project}/webhook-secret"),
    ("GET", "/api/v1/dev/sessions"),
    ("GET", "/api/v1/dev/analytics?days=90&project_id={project}"),
    ("GET", "/api/v1/dev/analytics?days={body}"),
    ("GET", "/?project={project}&tab={body}"),
    ("GET", "/?delivery={delivery}&text={body}"),
    ("GET", "/inspector/feed?project={project}"),
    ("GET", "/{body}"),
    ("GET", "/bot?start={session}"),
    ("POST", "/bot?start={session}"),
    ("POST", "/inspector/projects"),
    ("POST", "/inspector/projects/{project}/webhook"),
    ("POST", "/inspector/projects/{project}/settings"),
    ("POST", "/inspector/projects/{project}/faults"),
    ("POST", "/inspector/projects/{project}/reveal"),
    ("POST", "/inspector/projects/{project}/sessions"),
    ("POST", "/inspector/projects/{project}/test"),
    ("POST", "/inspector/sessions/{session}/confirm"),
    ("POST", "/inspector/sessions/{session}/use"),
    ("POST", "/inspector/deliveries/{delivery}/resend"),
    ("POST", "/inspector/deliveries/resend-failed"),
];

const FIELDS: &[&str] = &[
    "name",
    "webhook_url",
    "plan",
    "active",
    "public_access",
    "req_phone",
    "bare_used",
    "bot_token",
    "faults",
    "event",
    "body",
    "telegram_id",
    "telegram_name",
    "telegram_username",
    "telegram_phone",
    "project_id",
    "session_token",
    "new",
];

/// The emulator answers any requests in any order, and never with 5xx.
///
/// The bytes are a list of requests: one byte chooses the request, one is the length of the body, and the
/// body follows.
pub fn emulator_api(data: &[u8]) {
    BENCH.with(|bench| bench.run(data));
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

struct Bench {
    runtime: Runtime,
    emulator: Emulator,
}

impl Bench {
    fn new() -> Self {
        let runtime = runtime();
        let shop = ProjectSettings::new().id("shop").secret("whsec_shop").webhook_url(NOWHERE);
        let shop = shop.public_access(true);
        let emulator = runtime.block_on(builder().project(shop).start());
        Self { runtime, emulator: emulator.expect("the emulator starts") }
    }

    fn run(&self, mut data: &[u8]) {
        let emulator = &self.emulator;
        emulator.reset();
        let mut client = Client::default();
        for _ in 0..12 {
            let [choice, size, rest @ ..] = data else { break };
            let (body, rest) = rest.split_at(usize::from(*size).min(rest.len()));
            data = rest;
            let (method, path) = REQUESTS[usize::from(*choice) % REQUESTS.len()];
            let body = self.filled_in(&shape::body(body, FIELDS));
            let is_form = path.starts_with("/inspector") || path.starts_with("/bot");
            let kind =
                if is_form { "application/x-www-form-urlencoded" } else { "application/json" };
            let path = self.filled_in(path.replace("{body}", &encoded(&body)).as_bytes());
            let path = String::from_utf8_lossy(&path);
            let request = client.send(emulator.address(), method, &path, kind, &body);
            self.runtime.block_on(request);
            cut_off(emulator);
        }
    }

    /// The text with the ids of the newest project, session and delivery in it.
    fn filled_in(&self, text: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(text) else { return text.to_owned() };
        if !text.contains('{') {
            return text.as_bytes().to_owned();
        }
        let project = self.emulator.projects().last().map(|project| project.id.clone());
        let session = self.emulator.sessions().first().map(|session| session.token.clone());
        let delivery = self.emulator.deliveries().first().map(|delivery| delivery.id.to_string());
        let or_none = |id: Option<String>| id.unwrap_or_else(|| "none".to_owned());
        text.replace("{project}", &encoded(or_none(project).as_bytes()))
            .replace("{session}", &or_none(session))
            .replace("{delivery}", &or_none(delivery))
            .into_bytes()
    }
}
