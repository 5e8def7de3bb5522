use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::{
    Cause, Change, Changes, Delivery, DeliveryId, Error, Fault, Persona, Project, ProjectSettings,
    Session, SessionStatus, app::App,
};

/// A local Bondify that is running. Dropping it stops it; [`stop`](Self::stop) waits for that.
///
/// Every method does what the control API does, without HTTP.
pub struct Emulator {
    app: Arc<App>,
    tasks: TaskTracker,
}

/// The emulator itself.
impl Emulator {
    pub(crate) fn new(app: Arc<App>, tasks: TaskTracker) -> Self {
        Self { app, tasks }
    }

    /// Where it is, e.g. `http://127.0.0.1:4680`: the base URL for clients, and for people the
    /// inspector.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// The token that the developer API takes.
    #[must_use]
    pub fn developer_token(&self) -> &str {
        &self.app.developer_token
    }

    /// What changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::of(&self.app.backend)
    }

    /// Forgets all sessions and deliveries, drops the attempts that are under way, and leaves
    /// the projects that it was built with, as they were then.
    pub fn reset(&self) {
        self.app.backend.with(|state, _| state.reset());
    }

    /// Stops it, and returns when its port is free again. A client in the midst of a request
    /// is waited for, but not for longer than five seconds.
    pub async fn stop(self) {
        const STOP_TIMEOUT: Duration = Duration::from_secs(5);
        self.app.stopped.cancel();
        let _ = timeout(STOP_TIMEOUT, self.tasks.wait()).await;
    }
}

/// Projects.
impl Emulator {
    /// All projects, in the order in which they were created.
    #[must_use]
    pub fn projects(&self) -> Vec<Arc<Project>> {
        self.app.backend.with(|state, _| state.projects().to_vec())
    }

    /// The project of this id.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`].
    pub fn project(&self, id: &str) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state, _| state.project(id).cloned())
    }

    /// Creates a project. If there is one of that id, what is set is changed in it.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] if a setting makes no sense.
    pub fn add_project(&self, settings: ProjectSettings) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state, now| state.add_project(settings, now))
    }

    /// Changes what is set in `settings`, but for the id.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`], and [`Error::BadRequest`] if a setting makes no sense.
    pub fn update_project(
        &self,
        id: &str,
        settings: ProjectSettings,
    ) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state, _| state.update_project(id, settings))
    }

    /// Has this go wrong with the project's deliveries from now on, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`].
    pub fn set_faults(
        &self,
        project_id: &str,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Result<(), Error> {
        self.update_project(project_id, ProjectSettings::new().faults(faults)).map(drop)
    }

    /// Gives the project a new random secret, which [`Project::reveal_secret`] tells. It signs
    /// from now on; retries of what was signed before keep their signature.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`].
    pub fn rotate_secret(&self, project_id: &str) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state, _| state.rotate_secret(project_id))
    }

    /// Deletes a project, its sessions and its deliveries.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`].
    pub fn delete_project(&self, id: &str) -> Result<(), Error> {
        self.app.backend.with(|state, _| state.delete_project(id))
    }
}

/// Sessions.
impl Emulator {
    /// Generates a session, as an app does by the public API, whether that serves the project
    /// or not.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`].
    pub fn generate(&self, project_id: &str) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.generate(project_id, now))
    }

    /// All sessions, the newest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.app.backend.with(|state, now| state.sessions(now))
    }

    /// The session of this token.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`].
    pub fn session(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.session(token, now))
    }

    /// Has `persona` tap Confirm.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionNotPending`], and [`Error::BadRequest`] if
    /// nobody can be like `persona`.
    pub fn confirm(&self, token: &str, persona: Persona) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.confirm(token, persona, now))
    }

    /// Has the user tap Cancel.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] and [`Error::SessionNotPending`].
    pub fn cancel(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.cancel(token, now))
    }

    /// Ends a pending session as if its time were over. Nothing is delivered.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] and [`Error::SessionNotPending`].
    pub fn expire(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.expire(token, now))
    }

    /// Consumes a confirmed session's proof: from now on the session is `used`. Proofs are
    /// verified locally, so Bondify cannot know by itself.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] and [`Error::SessionNotConfirmed`].
    pub fn use_proof(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state, now| state.use_proof(token, now))
    }
}

/// Deliveries.
impl Emulator {
    /// The deliveries that are kept, the newest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Arc<Delivery>> {
        self.app.backend.with(|state, _| state.deliveries().cloned().collect())
    }

    /// The delivery of this number.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`].
    pub fn delivery(&self, id: DeliveryId) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state, _| state.delivery(id).cloned())
    }

    /// Delivers the same bytes under the same signature once more, to where the project's
    /// webhook URL is now.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] and [`Error::NoWebhookUrl`].
    pub fn resend(&self, id: DeliveryId) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state, now| state.resend(id, now))
    }

    /// Delivers an event of a session that does not exist: `auth.confirmed` by
    /// [`Persona::default`], `auth.cancelled`, or one of any other name, with the fields of a
    /// confirmation.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] and [`Error::NoWebhookUrl`].
    pub fn send_test_event(&self, project_id: &str, event: &str) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state, now| state.send_test_event(project_id, event, now))
    }

    /// Waits until the delivery is delivered or given up.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] if there is none, also if it is gone before it is finished.
    pub async fn finished(&self, id: DeliveryId) -> Result<Arc<Delivery>, Error> {
        let mut changes = self.changes();
        let mut delivery = self.delivery(id)?;
        while !delivery.is_finished() {
            delivery = match changes.next().await {
                Some(Change::Delivery(changed)) if changed.id == id => changed,
                _ => self.delivery(id)?,
            };
        }
        Ok(delivery)
    }

    /// Waits until the session's event is delivered or given up. It may not have happened yet.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`]; [`Error::DeliveryNotFound`] if there is nothing to deliver,
    /// because the session expired or the project had no webhook URL.
    pub async fn delivery_of(&self, session_token: &str) -> Result<Arc<Delivery>, Error> {
        let mut changes = self.changes();
        loop {
            match self.event_of(session_token)? {
                SessionEvent::Delivery(id) => return self.finished(id).await,
                // That it expires is no change.
                SessionEvent::Pending(left) => drop(timeout(left, changes.next()).await),
            }
        }
    }

    fn event_of(&self, token: &str) -> Result<SessionEvent, Error> {
        self.app.backend.with(|state, now| {
            let session = state.session(token, now)?;
            if session.status == SessionStatus::Pending {
                let left = session.expires_at.duration_since(now).unwrap_or_default();
                return Ok(SessionEvent::Pending(left));
            }
            let mut deliveries = state.deliveries();
            let of_session = deliveries.find(|delivery| {
                delivery.session_token == token && delivery.cause == Cause::Session
            });
            of_session
                .map(|delivery| SessionEvent::Delivery(delivery.id))
                .ok_or(Error::DeliveryNotFound)
        })
    }
}

/// Whether a session has an event: this delivery, or none yet but for so long.
enum SessionEvent {
    Delivery(DeliveryId),
    Pending(Duration),
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.app.stopped.cancel();
        self.app.backend.close();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("url", &self.app.url).finish_non_exhaustive()
    }
}
