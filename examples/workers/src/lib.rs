//! Bondify's webhooks on Cloudflare Workers: takes deliveries at `POST /webhooks/bondify`, and passes the user of each
//! login to another Worker, once.
//!
//! Each event has a Durable Object of its own. Of these there is one in the world, so that its memory holds the lease,
//! and its storage remembers that the event is done. `scripts/places` runs it in workerd.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

use bondify_core::{Event, SIGNATURE_HEADER, Secret, Verifier, VerifyError};
use serde_json::json;
use worker::{
    Context, Date, DurableObject, Env, Error, Method, Request, RequestInit, Response, Result,
    State, durable_object, event, wasm_bindgen,
};

/// As long as a captured delivery verifies: a day, and the skew of the clocks.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60 + 5 * 60);

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    if request.method() != Method::Post || request.path() != "/webhooks/bondify" {
        return Response::error("not found", 404);
    }
    let secret = Secret::new(env.secret("BONDIFY_WEBHOOK_SECRET")?.to_string()).map_err(error)?;
    let verifier = Verifier::new(secret).clock(now);
    let signature = request.headers().get(SIGNATURE_HEADER)?.unwrap_or_default();
    let event = match verifier.verify(request.bytes().await?, signature) {
        Ok(event) => event,
        Err(refusal) => return Response::error(refusal.to_string(), status(&refusal)),
    };
    let object = env.durable_object("EVENTS")?.get_by_name(&event.key().to_string())?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(String::from_utf8_lossy(event.raw()).as_ref().into()));
    object.fetch_with_request(Request::new_with_init("https://event/", &init)?).await
}

fn status(refusal: &VerifyError) -> u16 {
    match refusal {
        VerifyError::MissingSignature | VerifyError::InvalidSignature | VerifyError::Stale => 401,
        VerifyError::Parse(_) => 400,
        _ => 500,
    }
}

/// The system's clock, which Rust does not have on this target.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(Date::now().as_millis())
}

/// One event, and whether it is done.
#[durable_object]
#[derive(Debug)]
pub struct EventOnce {
    state: State,
    env: Env,
    is_running: Cell<bool>,
}

impl DurableObject for EventOnce {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, is_running: Cell::new(false) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        if self.is_running.replace(true) {
            return Response::error("another delivery of this event is being handled", 409);
        }
        let _running = Running(&self.is_running);
        let storage = self.state.storage();
        if storage.get::<bool>("done").await?.is_some() {
            return Response::from_json(&json!({"status": "duplicate"}));
        }
        let event = Event::from_trusted(request.bytes().await?).map_err(error)?;
        let response = on_event(&event, &self.env).await?;
        if (200..300).contains(&response.status_code()) {
            // Cloudflare sends the answer once both are on disk.
            storage.put("done", true).await?;
            storage.set_alarm(RETENTION).await?;
        }
        Ok(response)
    }

    async fn alarm(&self) -> Result<Response> {
        self.state.storage().delete_all().await?;
        Response::empty()
    }
}

/// Ends the run when dropped, also by an error.
struct Running<'a>(&'a Cell<bool>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The handler. A 2xx completes the event, after any other answer and after an error Bondify sends it again.
async fn on_event(event: &Event, env: &Env) -> Result<Response> {
    let Event::Confirmed(confirmed) = event else { return Response::empty() };
    let user = confirmed.user();
    let user = json!({"telegram_id": user.id().as_str(), "name": user.name()});
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(user.to_string().into()));
    let saved = env.service("USERS")?.fetch("https://users/", Some(init)).await?;
    Ok(Response::empty()?.with_status(saved.status_code()))
}

fn error(error: impl std::error::Error) -> Error {
    Error::RustError(error.to_string())
}
