use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Attempt, Cause, Delivery, DeliveryId, DeliveryState, Error, Fault, Login, Persona, Project,
    ProjectSettings, Resend, Session, SessionStatus,
    clock::has_a_date,
    payload::{Payload, User},
    project::webhook_url,
    random,
    rate_limit::RateLimit,
    retry::RetrySchedule,
    secret_key::SecretKey,
    webhook_secret::WebhookSecret,
};

/// The emulator's projects, sessions and deliveries, and their rules. The state reads no clock,
/// sends nothing and writes nothing: callers pass the time, and act on the changes.
pub(crate) struct State {
    rules: Rules,
    presets: Vec<Arc<Project>>,
    projects: Vec<Arc<Project>>,
    sessions: HashMap<String, Arc<Session>>,
    deliveries: BTreeMap<DeliveryId, Arc<Delivery>>,
    next_delivery: u64,
    rate_limit: RateLimit,
    changes: Vec<Change>,
}

/// The settings that the state follows.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) session_lifetime: Duration,
    pub(crate) retry: RetrySchedule,
    pub(crate) keep_deliveries: usize,
    pub(crate) requests_per_minute: u32,
    /// Whether deliveries to other machines are allowed.
    pub(crate) remote_delivery: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(10 * 60),
            retry: RetrySchedule::default(),
            keep_deliveries: 500,
            requests_per_minute: 60_000,
            remote_delivery: false,
        }
    }
}

/// A change, with the new value of the changed item.
///
/// ```
/// use bondify_emulator::{Change, Emulator};
///
/// /// Prints deliveries until the emulator stops.
/// async fn follow(emulator: &Emulator) {
///     let mut changes = emulator.changes();
///     while let Some(change) = changes.next().await {
///         if let Change::Delivery(delivery) = change {
///             println!("{} {:?}", delivery.id, delivery.state);
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A project was created, or its settings were changed.
    Project(Arc<Project>),
    /// The project of this id was deleted, with its sessions and deliveries.
    ProjectDeleted(String),
    /// A session was generated or changed. A session that expires causes no change.
    Session(Arc<Session>),
    /// A delivery was created, or its state changed.
    Delivery(Arc<Delivery>),
    /// Everything was deleted. The projects of the builder follow as new changes.
    Reset,
    /// The state file can no longer be written, with the error, or can be written again.
    StateFile(Option<String>),
}

/// The request of one attempt.
#[derive(Clone)]
pub(crate) struct OutgoingRequest {
    pub(crate) url: Url,
    pub(crate) signature: String,
    pub(crate) body: String,
    /// The fault of this attempt, if it has one.
    pub(crate) fault: Option<AttemptFault>,
}

/// A fault that is decided at each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptFault {
    /// Nothing is sent.
    Unreachable,
    /// The connection is cut half-way through the body.
    DropConnection,
}

impl AttemptFault {
    fn of(project: &Project) -> Option<Self> {
        if project.faults.contains(&Fault::Unreachable) {
            return Some(Self::Unreachable);
        }
        project.faults.contains(&Fault::DropConnection).then_some(Self::DropConnection)
    }
}

/// The fields of an event that a delivery shows.
#[derive(Default, Deserialize)]
struct EventFields {
    event: Option<String>,
    session_token: Option<String>,
}

impl EventFields {
    fn of(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }
}

/// Changes.
impl State {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rate_limit: RateLimit::new(rules.requests_per_minute),
            rules,
            presets: Vec::new(),
            projects: Vec::new(),
            sessions: HashMap::new(),
            deliveries: BTreeMap::new(),
            next_delivery: 1,
            changes: Vec::new(),
        }
    }

    /// Applies a change without recording it.
    pub(crate) fn restore(&mut self, change: Change) {
        match change {
            Change::Project(project) => {
                match self.projects.iter_mut().find(|other| other.id == project.id) {
                    Some(other) => *other = project,
                    None => self.projects.push(project),
                }
            }
            Change::ProjectDeleted(id) => {
                self.projects.retain(|project| project.id != id);
                self.sessions.retain(|_, session| session.project_id != id);
                self.deliveries.retain(|_, delivery| delivery.project_id != id);
            }
            Change::Session(session) => {
                self.sessions.insert(session.token.clone(), session);
            }
            Change::Delivery(delivery) => {
                self.next_delivery = self.next_delivery.max(delivery.id.number().saturating_add(1));
                self.deliveries.insert(delivery.id, delivery);
                self.forget_old_deliveries();
            }
            Change::StateFile(_) => {}
            Change::Reset => {
                self.projects.clear();
                self.sessions.clear();
                self.deliveries.clear();
                self.rate_limit.clear();
            }
        }
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change.clone());
        self.restore(change);
    }

    /// Takes the changes since the last call, to be written to the state file and acted on.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// The changes that rebuild this state.
    pub(crate) fn to_changes(&self) -> impl Iterator<Item = Change> {
        let projects = self.projects.iter().cloned().map(Change::Project);
        let sessions = self.sessions.values().cloned().map(Change::Session);
        let deliveries = self.deliveries.values().cloned().map(Change::Delivery);
        projects.chain(sessions).chain(deliveries)
    }

    // An unfinished delivery is never dropped: its event would be lost.
    fn forget_old_deliveries(&mut self) {
        while self.deliveries.len() > self.rules.keep_deliveries {
            let mut old = self.deliveries.values();
            let Some(id) = old.find(|delivery| delivery.is_finished()).map(|old| old.id) else {
                return;
            };
            self.deliveries.remove(&id);
        }
    }

    /// Continues after a restart: drops sessions that are too old for analytics, and queues the
    /// unfinished deliveries.
    pub(crate) fn resume(&mut self, now: SystemTime) {
        const SESSION_RETENTION: Duration = Duration::from_secs(91 * 24 * 60 * 60);
        self.sessions.retain(|_, session| session.created_at + SESSION_RETENTION > now);
        let deliveries: Vec<_> = self.deliveries.values().cloned().collect();
        for delivery in deliveries {
            let due = match delivery.state {
                DeliveryState::Queued { due } => due,
                DeliveryState::Sending => now,
                DeliveryState::Delivered | DeliveryState::Failed => continue,
            };
            let state = DeliveryState::Queued { due };
            self.change(Change::Delivery(Arc::new(Delivery {
                state,
                ..Delivery::clone(&delivery)
            })));
        }
    }

    /// Deletes everything but the builder's projects, and resets their settings.
    pub(crate) fn reset(&mut self) {
        self.change(Change::Reset);
        for project in self.presets.clone() {
            self.change(Change::Project(project));
        }
    }
}

/// Projects.
impl State {
    pub(crate) fn projects(&self) -> &[Arc<Project>] {
        &self.projects
    }

    pub(crate) fn project(&self, id: &str) -> Result<&Arc<Project>, Error> {
        self.projects.iter().find(|project| project.id == id).ok_or(Error::ProjectNotFound)
    }

    /// Creates a project, or changes the settings of the project with the same id.
    pub(crate) fn add_project(
        &mut self,
        settings: ProjectSettings,
        now: SystemTime,
    ) -> Result<Arc<Project>, Error> {
        match settings.id.clone() {
            Some(id) if self.project(&id).is_ok() => self.update_project(&id, settings),
            _ => {
                let project = Project::new(settings, self.rules.remote_delivery, now)?;
                Ok(self.put_project(project))
            }
        }
    }

    /// Adds a project of the builder, which a reset restores.
    pub(crate) fn add_preset(
        &mut self,
        settings: ProjectSettings,
        now: SystemTime,
    ) -> Result<(), Error> {
        let preset = Project::new(settings.clone(), self.rules.remote_delivery, now)?;
        let project = self.add_project(settings.id(&preset.id), now)?;
        self.presets.push(Arc::new(Project {
            secret_key: project.secret_key.clone(),
            secret: project.secret.clone(),
            ..preset
        }));
        Ok(())
    }

    pub(crate) fn update_project(
        &mut self,
        id: &str,
        settings: ProjectSettings,
    ) -> Result<Arc<Project>, Error> {
        let mut project = Project::clone(self.project(id)?);
        project.set(settings, self.rules.remote_delivery)?;
        Ok(self.put_project(project))
    }

    pub(crate) fn delete_project(&mut self, id: &str) -> Result<(), Error> {
        let id = self.project(id)?.id.clone();
        self.change(Change::ProjectDeleted(id));
        Ok(())
    }

    /// Gives the project a new secret key and a new webhook secret. Existing deliveries keep
    /// their signature.
    pub(crate) fn rotate_secret(&mut self, id: &str) -> Result<Arc<Project>, Error> {
        let (secret_key, secret) = (SecretKey::random(), WebhookSecret::random());
        let project = Project { secret_key, secret, ..Project::clone(self.project(id)?) };
        Ok(self.put_project(project))
    }

    fn put_project(&mut self, project: Project) -> Arc<Project> {
        let project = Arc::new(project);
        self.change(Change::Project(Arc::clone(&project)));
        project
    }
}

/// Sessions.
impl State {
    /// Checks whether the public API serves the project now.
    pub(crate) fn admit(&mut self, project_id: &str, now: SystemTime) -> Result<(), Error> {
        let project = Arc::clone(self.project(project_id)?);
        let admitted = self.rate_limit.admit(project_id, now);
        admitted.map_err(|retry_after| Error::RateLimited { retry_after })?;
        if !project.active {
            return Err(Error::ProjectInactive);
        }
        if !project.public_access {
            return Err(Error::PublicAccessDisabled);
        }
        Ok(())
    }

    pub(crate) fn generate(&mut self, project_id: &str, now: SystemTime) -> Result<Session, Error> {
        let project_id = self.project(project_id)?.id.clone();
        let expires_at = now.checked_add(self.rules.session_lifetime);
        let expires_at = expires_at.filter(|end| has_a_date(*end));
        Ok(self.put_session(Session {
            token: random::id("sess_"),
            project_id,
            created_at: now,
            expires_at: expires_at.ok_or(Error::BadRequest(
                "the session lifetime is too long for the system clock",
            ))?,
            status: SessionStatus::Pending,
        }))
    }

    pub(crate) fn session(&self, token: &str, now: SystemTime) -> Result<Session, Error> {
        let session = self.sessions.get(token).ok_or(Error::SessionNotFound)?;
        Ok(session.as_of(now))
    }

    /// The sessions of the project, or of all projects, the newest first.
    pub(crate) fn sessions_of(
        &self,
        project_id: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<Session>, Error> {
        let mut sessions = self.sessions(now);
        if let Some(id) = project_id {
            self.project(id)?;
            sessions.retain(|session| session.project_id == id);
        }
        Ok(sessions)
    }

    /// All sessions, the newest first.
    pub(crate) fn sessions(&self, now: SystemTime) -> Vec<Session> {
        let mut sessions: Vec<_> =
            self.sessions.values().map(|session| session.as_of(now)).collect();
        sessions.sort_by(|a, b| (b.created_at, &b.token).cmp(&(a.created_at, &a.token)));
        sessions
    }

    pub(crate) fn confirm(
        &mut self,
        token: &str,
        persona: Persona,
        now: SystemTime,
    ) -> Result<Session, Error> {
        persona.check()?;
        let login = Login { persona, confirmed_at: now };
        let session = self.decide(token, SessionStatus::Confirmed(login.clone()), now)?;
        let project = Arc::clone(self.project(&session.project_id)?);
        let user = User::new(&login.persona, project.shares_phone());
        let payload = |at| Payload::confirmed_by(&session.token, user, at);
        self.queue_event(&project, payload, Cause::Session, now);
        Ok(session)
    }

    pub(crate) fn cancel(&mut self, token: &str, now: SystemTime) -> Result<Session, Error> {
        let session = self.decide(token, SessionStatus::Cancelled { cancelled_at: now }, now)?;
        let project = Arc::clone(self.project(&session.project_id)?);
        let payload = |at| Payload::cancelled(&session.token, at);
        self.queue_event(&project, payload, Cause::Session, now);
        Ok(session)
    }

    /// Ends a pending session. Nothing is delivered.
    pub(crate) fn expire(&mut self, token: &str, now: SystemTime) -> Result<Session, Error> {
        self.decide(token, SessionStatus::Expired, now)
    }

    /// Consumes the proof of a confirmed session.
    pub(crate) fn use_proof(&mut self, token: &str, now: SystemTime) -> Result<Session, Error> {
        let session = self.session(token, now)?;
        let SessionStatus::Confirmed(login) = session.status else {
            return Err(Error::SessionNotConfirmed(session.status.name()));
        };
        Ok(self.put_session(Session { status: SessionStatus::Used(login), ..session }))
    }

    fn decide(
        &mut self,
        token: &str,
        status: SessionStatus,
        now: SystemTime,
    ) -> Result<Session, Error> {
        let session = self.session(token, now)?;
        session.check_pending()?;
        Ok(self.put_session(Session { status, ..session }))
    }

    fn put_session(&mut self, session: Session) -> Session {
        self.change(Change::Session(Arc::new(session.clone())));
        session
    }
}

/// Deliveries.
impl State {
    /// The number of finished deliveries that are kept.
    pub(crate) fn keep_deliveries(&self) -> usize {
        self.rules.keep_deliveries
    }

    /// All deliveries that are kept, the newest first.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.deliveries.values().rev()
    }

    pub(crate) fn delivery(&self, id: DeliveryId) -> Result<&Arc<Delivery>, Error> {
        self.deliveries.get(&id).ok_or(Error::DeliveryNotFound)
    }

    /// Queues a test event: a cancellation if `event` is its name, or else a confirmation by the
    /// default persona, with the name `event`.
    pub(crate) fn send_test_event(
        &mut self,
        project_id: &str,
        event: &str,
        now: SystemTime,
    ) -> Result<Arc<Delivery>, Error> {
        const MAX_NAME_BYTES: usize = 200;
        if event.is_empty() || event.len() > MAX_NAME_BYTES {
            return Err(Error::BadRequest("event must have 1 to 200 bytes"));
        }
        let project = Arc::clone(self.project(project_id)?);
        let token = random::id("sess_test_");
        let persona = Persona::default();
        let user = User::new(&persona, project.shares_phone());
        let payload = |at| match event {
            bondify_core::Cancelled::NAME => Payload::cancelled(&token, at),
            _ => Payload::confirmed_by(&token, user, at).named(event),
        };
        self.queue_event(&project, payload, Cause::Test, now).ok_or(Error::NoWebhookUrl)
    }

    /// Queues a delivery again. The same bytes keep their signature; another body is signed with
    /// the project's current secret.
    pub(crate) fn resend(
        &mut self,
        id: DeliveryId,
        resend: Resend,
        now: SystemTime,
    ) -> Result<Arc<Delivery>, Error> {
        let delivery = Delivery::clone(self.delivery(id)?);
        let project = self.project(&delivery.project_id)?;
        let url = match &resend.url {
            Some(url) => webhook_url(url, self.rules.remote_delivery)?,
            None => project.webhook_url.clone(),
        };
        let mut again = delivery.copy(Cause::Resend(id), now);
        again.url = url.ok_or(Error::NoWebhookUrl)?;
        if let Some(body) = resend.body.filter(|body| *body != delivery.body) {
            again.signature = project.secret().sign(body.as_bytes()).to_string();
            let fields = EventFields::of(&body);
            again.event = fields.event.unwrap_or(again.event);
            again.session_token = fields.session_token.unwrap_or(again.session_token);
            again.body = body;
        }
        Ok(self.put_delivery(again))
    }

    /// Queues each failed delivery of the project, or of all projects, that was not resent.
    pub(crate) fn resend_failed(
        &mut self,
        project_id: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<Arc<Delivery>>, Error> {
        if let Some(id) = project_id {
            self.project(id)?;
        }
        let is_wanted = |delivery: &&Arc<Delivery>| {
            delivery.state == DeliveryState::Failed
                && project_id.is_none_or(|id| id == delivery.project_id)
                && !self.deliveries.values().any(|other| other.cause == Cause::Resend(delivery.id))
        };
        let failed: Vec<_> =
            self.deliveries.values().filter(is_wanted).map(|delivery| delivery.id).collect();
        failed.into_iter().map(|id| self.resend(id, Resend::default(), now)).collect()
    }

    /// Starts an attempt. Returns `None` if the delivery is no longer queued.
    pub(crate) fn begin_attempt(&mut self, id: DeliveryId) -> Option<OutgoingRequest> {
        let delivery = Delivery::clone(self.deliveries.get(&id)?);
        let DeliveryState::Queued { .. } = delivery.state else { return None };
        let project = self.project(&delivery.project_id).ok()?;
        let outgoing = OutgoingRequest {
            url: delivery.url.clone(),
            signature: delivery.signature.clone(),
            body: delivery.body.clone(),
            fault: AttemptFault::of(project),
        };
        self.change(Change::Delivery(Arc::new(Delivery {
            state: DeliveryState::Sending,
            ..delivery
        })));
        Some(outgoing)
    }

    /// Records an attempt, and queues the retry or the duplicate that follows.
    pub(crate) fn end_attempt(&mut self, id: DeliveryId, attempt: Attempt, now: SystemTime) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let mut delivery = Delivery::clone(delivery);
        let delivered = attempt.outcome.is_success();
        delivery.attempts.push(attempt);
        let failed = delivery.attempts.len();
        delivery.state = if delivered {
            DeliveryState::Delivered
        } else if failed < delivery.max_attempts as usize {
            DeliveryState::Queued { due: now + self.rules.retry.delay_after(failed) }
        } else {
            DeliveryState::Failed
        };
        let duplicate = (delivered && delivery.faults.contains(&Fault::Duplicate))
            .then(|| delivery.copy(Cause::Duplicate(id), now));
        self.change(Change::Delivery(Arc::new(delivery)));
        duplicate.map(|duplicate| self.put_delivery(duplicate));
    }

    fn queue_event<'a>(
        &mut self,
        project: &Project,
        payload: impl FnOnce(SystemTime) -> Payload<'a>,
        cause: Cause,
        now: SystemTime,
    ) -> Option<Arc<Delivery>> {
        let url = project.webhook_url.clone()?;
        let has = |fault| project.faults.contains(&fault);
        let mut payload =
            payload(if has(Fault::StaleTimestamp) { now - Fault::STALE_BY } else { now });
        if has(Fault::UnknownEvent) {
            payload = payload.named(Fault::UNKNOWN_EVENT);
        }
        let mut body = payload.to_body();
        let other = has(Fault::WrongSecret).then(WebhookSecret::random);
        let key = other.as_ref().unwrap_or(&project.secret).key();
        let signature = key.sign(body.as_bytes()).to_string();
        if has(Fault::TamperedBody) {
            body = Fault::tampered(&body);
        }
        let delay = project.faults.iter().find_map(|fault| match fault {
            Fault::Delay(delay) => Some(*delay),
            _ => None,
        });
        let delivery = self.put_delivery(Delivery {
            id: DeliveryId::MAX,
            project_id: project.id.clone(),
            session_token: payload.session_token().to_owned(),
            event: payload.event().to_owned(),
            cause,
            created_at: now,
            url,
            signature,
            body,
            faults: project.faults.clone(),
            priority: project.plan.has_priority(),
            max_attempts: self.rules.retry.attempts(project.plan),
            state: DeliveryState::Queued { due: now + delay.unwrap_or_default() },
            attempts: Vec::new(),
        });
        if has(Fault::ConcurrentDuplicate) {
            let copy = delivery.copy(Cause::Duplicate(delivery.id), now);
            self.put_delivery(Delivery { state: delivery.state, ..copy });
        }
        Some(delivery)
    }

    /// Gives a new delivery its number and queues it.
    fn put_delivery(&mut self, delivery: Delivery) -> Arc<Delivery> {
        let id = DeliveryId::new(self.next_delivery);
        let delivery = Arc::new(Delivery { id, ..delivery });
        self.change(Change::Delivery(Arc::clone(&delivery)));
        delivery
    }
}

impl Delivery {
    /// A new delivery of the same bytes with the same signature, due now.
    fn copy(&self, cause: Cause, now: SystemTime) -> Self {
        Self {
            cause,
            created_at: now,
            faults: Vec::new(),
            state: DeliveryState::Queued { due: now },
            attempts: Vec::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use bondify_core::{Event, Secret, Verifier, VerifyError};
    use proptest::{option, prelude::*};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Outcome, Plan};

    const MINUTE: Duration = Duration::from_secs(60);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn secret() -> Secret {
        Secret::new("whsec_shop").unwrap()
    }

    fn with_shop(settings: ProjectSettings) -> State {
        let mut state = State::new(Rules::default());
        let url = "http://localhost:3000/hook";
        let settings = settings.id("shop").secret("whsec_shop").webhook_url(url);
        state.add_project(settings, now()).unwrap();
        state
    }

    fn shop() -> State {
        with_shop(ProjectSettings::new().public_access(true))
    }

    fn generate(state: &mut State) -> String {
        state.generate("shop", now()).unwrap().token
    }

    fn newest(state: &State) -> &Delivery {
        state.deliveries().next().unwrap()
    }

    fn confirmed_with(faults: impl IntoIterator<Item = Fault>) -> Delivery {
        let mut state = with_shop(ProjectSettings::new().faults(faults));
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        newest(&state).clone()
    }

    fn verify(delivery: &Delivery) -> Result<Event, VerifyError> {
        let verifier = Verifier::new(secret()).clock(now);
        verifier.verify(delivery.body.clone(), &delivery.signature)
    }

    fn end_attempt(state: &mut State, id: DeliveryId, status: u16) {
        state.begin_attempt(id).unwrap();
        let attempt = Attempt {
            started_at: now(),
            duration: Duration::ZERO,
            request_headers: Vec::new(),
            outcome: Outcome::Answered {
                status,
                response_headers: Vec::new(),
                response_body: String::new(),
            },
        };
        state.end_attempt(id, attempt, now());
    }

    #[test]
    fn a_confirmation_is_an_event_that_core_verifies() {
        let delivery = confirmed_with([]);
        let Event::Confirmed(login) = verify(&delivery).unwrap() else { panic!("confirmed") };
        assert_eq!(login.session_token(), delivery.session_token);
        assert_eq!(login.user().id().as_str(), "7123456789");
        assert_eq!(login.confirmed_at(), now());
    }

    proptest! {
        #[test]
        fn a_persona_is_delivered_unchanged(
            id in "[0-9]{1,19}",
            name in ".+",
            username in option::of(".+"),
            phone in option::of(".+"),
        ) {
            let mut state = with_shop(ProjectSettings::new().plan(Plan::Pro).req_phone(true));
            let token = generate(&mut state);
            let persona = Persona {
                telegram_id: id,
                telegram_name: name,
                telegram_username: username,
                telegram_phone: phone,
            };
            state.confirm(&token, persona.clone(), now()).unwrap();
            let Event::Confirmed(login) = verify(newest(&state)).unwrap() else {
                panic!("confirmed")
            };
            prop_assert_eq!(login.user().id().as_str(), persona.telegram_id);
            prop_assert_eq!(login.user().name(), persona.telegram_name);
            prop_assert_eq!(login.user().username(), persona.telegram_username.as_deref());
            prop_assert_eq!(login.user().phone(), persona.telegram_phone.as_deref());
        }
    }

    #[test]
    fn a_cancellation_is_an_event_that_core_verifies() {
        let mut state = shop();
        let token = generate(&mut state);
        state.cancel(&token, now()).unwrap();
        let event = verify(newest(&state)).unwrap();
        assert_eq!((event.name(), event.session_token()), ("auth.cancelled", Some(&*token)));
    }

    #[test]
    fn each_session_ends_once() {
        type End = fn(&mut State, &str, SystemTime) -> Result<Session, Error>;
        let ends: [End; 3] = [
            |state, token, now| state.confirm(token, Persona::default(), now),
            State::cancel,
            State::expire,
        ];
        for first in ends {
            for second in ends {
                let mut state = shop();
                let token = generate(&mut state);
                let ended = first(&mut state, &token, now()).unwrap();
                let delivered = state.deliveries().count();
                assert_eq!(
                    second(&mut state, &token, now()).unwrap_err(),
                    Error::SessionNotPending(ended.status.name())
                );
                assert_eq!(state.deliveries().count(), delivered);
            }
        }
    }

    #[test]
    fn nothing_is_delivered_when_a_session_expires() {
        let mut state = shop();
        let (by_hand, by_itself) = (generate(&mut state), generate(&mut state));
        state.expire(&by_hand, now()).unwrap();
        let late = now() + 10 * MINUTE;
        assert_eq!(state.session(&by_itself, late).unwrap().status, SessionStatus::Expired);
        assert_eq!(
            state.confirm(&by_itself, Persona::default(), late).unwrap_err(),
            Error::SessionNotPending("expired")
        );
        assert_eq!(state.deliveries().count(), 0);
    }

    #[test]
    fn nothing_is_delivered_without_a_webhook_url() {
        let mut state = shop();
        state.update_project("shop", ProjectSettings::new().webhook_url("")).unwrap();
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        assert_eq!(state.deliveries().count(), 0);
        assert_eq!(
            state.send_test_event("shop", "auth.confirmed", now()).unwrap_err(),
            Error::NoWebhookUrl
        );
    }

    #[test]
    fn only_a_confirmed_sessions_proof_can_be_used_once() {
        let mut state = shop();
        let token = generate(&mut state);
        let not_confirmed = |name| Err(Error::SessionNotConfirmed(name));
        let used = |state: &mut State| state.use_proof(&token, now()).map(|_| ());
        assert_eq!(used(&mut state), not_confirmed("pending"));
        state.confirm(&token, Persona::default(), now()).unwrap();
        assert_eq!(used(&mut state), Ok(()));
        assert_eq!(used(&mut state), not_confirmed("used"));
        assert!(state.session(&token, now()).unwrap().login().is_some());
    }

    #[test]
    fn a_phone_number_is_for_paying_projects_that_ask() {
        for (plan, req_phone, shown) in [
            (Plan::Hobby, true, false),
            (Plan::Pro, true, true),
            (Plan::Business, true, true),
            (Plan::Pro, false, false),
        ] {
            let mut state = with_shop(ProjectSettings::new().plan(plan).req_phone(req_phone));
            let token = generate(&mut state);
            state.confirm(&token, Persona::default(), now()).unwrap();
            let body: Value = serde_json::from_str(&newest(&state).body).unwrap();
            assert_eq!(body.get("telegram_phone").is_some(), shown, "{plan:?} {req_phone}");
        }
    }

    #[test]
    fn a_rotated_secret_signs_new_deliveries() {
        let mut state = shop();
        let (before, after) = (generate(&mut state), generate(&mut state));
        state.confirm(&before, Persona::default(), now()).unwrap();
        let before = newest(&state).id;
        let rotated = state.rotate_secret("shop").unwrap();
        state.confirm(&after, Persona::default(), now()).unwrap();
        let signed = |id, secret: &Secret| {
            let delivery = state.delivery(id).unwrap();
            secret.sign(delivery.body.as_bytes()).to_string() == delivery.signature
        };
        let after = newest(&state).id;
        assert!(signed(before, &secret()) && !signed(before, rotated.secret()));
        assert!(signed(after, rotated.secret()) && !signed(after, &secret()));
    }

    #[test]
    fn each_fault_has_its_documented_effect() {
        for fault in [Fault::TamperedBody, Fault::WrongSecret] {
            let refused = verify(&confirmed_with([fault]));
            assert!(matches!(refused, Err(VerifyError::InvalidSignature)), "{fault}: {refused:?}");
        }
        let tampered = confirmed_with([Fault::TamperedBody]);
        assert!(serde_json::from_str::<Value>(&tampered.body).is_ok(), "it is still JSON");
        let stale = verify(&confirmed_with([Fault::StaleTimestamp]));
        assert!(matches!(stale, Err(VerifyError::Stale)), "{stale:?}");
        let unknown = verify(&confirmed_with([Fault::UnknownEvent])).unwrap();
        assert!(matches!(unknown, Event::Unknown(_)));
        assert_eq!(unknown.name(), Fault::UNKNOWN_EVENT);
    }

    #[test]
    fn a_delivery_that_is_sent_again_is_the_same_to_the_byte() {
        let mut state = with_shop(ProjectSettings::new().faults([Fault::WrongSecret]));
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        let first = newest(&state).clone();
        state.rotate_secret("shop").unwrap();
        let elsewhere = ProjectSettings::new().webhook_url("http://localhost:4000/").faults([]);
        state.update_project("shop", elsewhere).unwrap();
        let again = state.resend(first.id, Resend::default(), now()).unwrap();
        assert_eq!((&again.body, &again.signature), (&first.body, &first.signature));
        assert_eq!(again.url.as_str(), "http://localhost:4000/");
        assert_eq!(again.cause, Cause::Resend(first.id));
    }

    #[test]
    fn a_resend_may_have_another_url_and_another_body_which_is_signed_anew() {
        let mut state = shop();
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        let first = newest(&state).clone();
        let same = Resend::new().body(&first.body).url("https://elsewhere.example/");
        let same = state.resend(first.id, same, now()).unwrap();
        assert_eq!((&same.body, &same.signature), (&first.body, &first.signature));
        assert_eq!(same.url.as_str(), "https://elsewhere.example/");
        let body = r#"{"event":"auth.new","session_token":"s"}"#;
        let edited = state.resend(first.id, Resend::new().body(body), now()).unwrap();
        assert_eq!((&*edited.event, &*edited.session_token), ("auth.new", "s"));
        assert_eq!(verify(&edited).unwrap().name(), "auth.new");
        for url in ["ftp://x/", "http://192.0.2.1/"] {
            let refused = state.resend(first.id, Resend::new().url(url), now());
            assert!(matches!(refused, Err(Error::BadRequest(_))), "{url}");
        }
    }

    #[test]
    fn all_failed_deliveries_are_resent_once() {
        let mut state = State::new(Rules { retry: no_retries(), ..Rules::default() });
        for id in ["shop", "blog"] {
            let settings = ProjectSettings::new().id(id).webhook_url("http://localhost/");
            state.add_project(settings, now()).unwrap();
            for status in [500, 200, 503] {
                let sent = state.send_test_event(id, "auth.confirmed", now()).unwrap();
                end_attempt(&mut state, sent.id, status);
            }
        }
        let causes = |sent: Vec<Arc<Delivery>>| -> Vec<_> {
            sent.into_iter().map(|delivery| delivery.cause).collect()
        };
        let resend_of = |number| Cause::Resend(DeliveryId::new(number));
        let of_blog = state.resend_failed(Some("blog"), now()).unwrap();
        assert_eq!(causes(of_blog), [resend_of(4), resend_of(6)]);
        assert_eq!(causes(state.resend_failed(None, now()).unwrap()), [resend_of(1), resend_of(3)]);
        assert!(state.resend_failed(None, now()).unwrap().is_empty());
        assert_eq!(state.resend_failed(Some("x"), now()).unwrap_err(), Error::ProjectNotFound);
    }

    fn no_retries() -> RetrySchedule {
        RetrySchedule { retries: 0, ..RetrySchedule::default() }
    }

    #[test]
    fn a_test_event_may_have_any_name() {
        let mut state = shop();
        for name in ["auth.confirmed", "auth.cancelled", "auth.renewed"] {
            let delivery = state.send_test_event("shop", name, now()).unwrap();
            assert_eq!(delivery.event, name);
            assert_eq!(verify(&delivery).unwrap().name(), name);
        }
        for name in ["", &"x".repeat(201)] {
            let refused = state.send_test_event("shop", name, now());
            assert!(matches!(refused, Err(Error::BadRequest(_))));
        }
    }

    #[test]
    fn the_newest_deliveries_are_kept_and_all_that_are_not_finished() {
        let mut state = State::new(Rules { keep_deliveries: 3, ..Rules::default() });
        let settings = ProjectSettings::new().id("shop").webhook_url("http://localhost/");
        state.add_project(settings, now()).unwrap();
        for _ in 0..5 {
            state.send_test_event("shop", "auth.confirmed", now()).unwrap();
        }
        let numbers = |state: &State| -> Vec<_> {
            state.deliveries().map(|delivery| delivery.id.number()).collect()
        };
        assert_eq!(numbers(&state), [5, 4, 3, 2, 1]);
        end_attempt(&mut state, DeliveryId::new(2), 200);
        end_attempt(&mut state, DeliveryId::new(4), 200);
        assert_eq!(numbers(&state), [5, 3, 1]);
    }

    #[test]
    fn a_reset_restores_the_projects_of_the_builder() {
        let mut state = State::new(Rules::default());
        state.add_preset(ProjectSettings::new().id("shop"), now()).unwrap();
        let secret = state.project("shop").unwrap().reveal_secret().to_owned();
        state.rotate_secret("shop").unwrap();
        state.update_project("shop", ProjectSettings::new().name("Other").active(false)).unwrap();
        state.add_project(ProjectSettings::new().id("blog"), now()).unwrap();
        let token = generate(&mut state);
        state.reset();
        let [shop] = state.projects() else { panic!("one project") };
        assert_eq!((&*shop.name, shop.active, shop.reveal_secret()), ("shop", true, &*secret));
        assert_eq!(state.session(&token, now()).unwrap_err(), Error::SessionNotFound);
    }

    #[test]
    fn deleting_a_project_deletes_its_sessions_and_deliveries() {
        let mut state = shop();
        state.add_project(ProjectSettings::new().id("blog"), now()).unwrap();
        let kept = state.generate("blog", now()).unwrap().token;
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        let id = newest(&state).id;
        state.delete_project("shop").unwrap();
        assert_eq!(state.begin_attempt(id).map(|_| ()), None);
        let tokens: Vec<_> = state.sessions(now()).into_iter().map(|left| left.token).collect();
        assert_eq!(tokens, [kept]);
    }

    #[test]
    fn old_sessions_are_deleted_at_the_start() {
        let mut state = shop();
        generate(&mut state);
        let day = Duration::from_secs(24 * 60 * 60);
        state.resume(now() + day * 90);
        assert_eq!(state.sessions(now()).len(), 1);
        state.resume(now() + day * 92);
        assert_eq!(state.sessions(now()).len(), 0);
    }

    #[test]
    fn the_public_api_serves_active_projects_with_public_access() {
        let mut state = shop();
        assert_eq!(state.admit("shop", now()), Ok(()));
        assert_eq!(state.admit("blog", now()), Err(Error::ProjectNotFound));
        state.update_project("shop", ProjectSettings::new().public_access(false)).unwrap();
        assert_eq!(state.admit("shop", now()), Err(Error::PublicAccessDisabled));
        state.update_project("shop", ProjectSettings::new().active(false)).unwrap();
        assert_eq!(state.admit("shop", now()), Err(Error::ProjectInactive));
    }

    #[test]
    fn changes_lead_to_the_same_state() {
        let mut state = shop();
        let token = generate(&mut state);
        state.confirm(&token, Persona::default(), now()).unwrap();
        let id = newest(&state).id;
        end_attempt(&mut state, id, 503);
        let mut other = State::new(Rules::default());
        state.take_changes().into_iter().for_each(|change| other.restore(change));
        let all = |state: &State| json!(state.to_changes().collect::<Vec<_>>());
        assert_eq!(all(&other), all(&state));
    }
}
