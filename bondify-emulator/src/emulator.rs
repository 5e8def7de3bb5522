use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    Cause, Change, Changes, Delivery, DeliveryId, Error, Fault, Persona, Project, ProjectSettings,
    Resend, Session, SessionStatus, app::App,
};

/// A running local Bondify. Dropping it stops it; [`stop`](Self::stop) also waits for the end.
///
/// The methods do the same as the control API, without HTTP.
///
/// ```
/// use axum::{Router, http::StatusCode, routing::post};
/// use bondify_core::Verifier;
/// use bondify_emulator::{DeliveryState, Emulator, Persona, ProjectSettings};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The app under test.
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let url = format!("http://{}/webhooks/bondify", listener.local_addr()?);
/// let app = Router::new().route("/webhooks/bondify", post(async || StatusCode::NO_CONTENT));
/// tokio::spawn(async { axum::serve(listener, app).await });
///
/// let shop = ProjectSettings::new().id("proj_shop").webhook_url(url);
/// let emulator = Emulator::builder().project(shop).start().await?;
/// let session = emulator.generate("proj_shop")?;
/// emulator.confirm(&session.token, Persona::default())?;
/// let delivery = emulator.delivery_of(&session.token).await?;
/// assert_eq!(delivery.state, DeliveryState::Delivered);
///
/// let secret = emulator.project("proj_shop")?.secret();
/// let event = Verifier::new(secret).verify(delivery.body.clone(), &delivery.signature)?;
/// assert_eq!(event.session_token(), Some(&*session.token));
/// # Ok(())
/// # }
/// ```
pub struct Emulator {
    pub(crate) app: Arc<App>,
    pub(crate) tasks: TaskTracker,
}

/// The emulator itself.
impl Emulator {
    /// The base URL for clients, e.g. `http://127.0.0.1:4680`. In a browser it shows the
    /// inspector.
    ///
    /// ```
    /// use bondify_emulator::Emulator;
    ///
    /// /// The environment of the app under test.
    /// fn environment(emulator: &Emulator) -> (&'static str, String) {
    ///     ("BONDIFY_API_URL", emulator.url().to_owned())
    /// }
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// The address that the emulator listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// The token of the developer API.
    #[must_use]
    pub fn developer_token(&self) -> &str {
        &self.app.developer_token
    }

    /// Whether deliveries to this URL are blocked, because it leads to another machine. A name is
    /// resolved as for a delivery.
    pub async fn blocks(&self, url: &Url) -> bool {
        self.app.resolver.blocks(url).await
    }

    /// Returns the changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.app.backend.changes())
    }

    /// Deletes all sessions and deliveries, cancels the attempts in flight, and restores the
    /// projects of the builder with their first settings.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, ProjectSettings};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().project(ProjectSettings::new().id("proj_shop")).start().await?;
    /// emulator.generate("proj_shop")?;
    /// emulator.reset(); // between two tests
    /// assert_eq!((emulator.sessions().len(), emulator.projects().len()), (0, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset(&self) {
        self.app.backend.with(|state| state.reset());
    }

    /// Stops the emulator, and returns when its port is free. Waits at most five seconds for
    /// requests in flight.
    pub async fn stop(self) {
        const STOP_TIMEOUT: Duration = Duration::from_secs(5);
        self.app.stopped.cancel();
        let _ = timeout(STOP_TIMEOUT, self.tasks.wait()).await;
    }
}

/// Projects.
impl Emulator {
    /// All projects, in the order of their creation.
    #[must_use]
    pub fn projects(&self) -> Vec<Arc<Project>> {
        self.app.backend.with(|state| state.projects().to_vec())
    }

    /// The project of this id.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id.
    pub fn project(&self, id: &str) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state| state.project(id).cloned())
    }

    /// Creates a project, or changes the settings of the project with the same id.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, Error, ProjectSettings};
    ///
    /// /// A project for each test of a shared emulator.
    /// fn project(emulator: &Emulator, test: &str) -> Result<String, Error> {
    ///     let project = emulator.add_project(ProjectSettings::new().name(test).public_access(true))?;
    ///     Ok(project.id.clone())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] if a setting is not valid.
    pub fn add_project(&self, settings: ProjectSettings) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state| state.add_project(settings))
    }

    /// Changes the settings of a project, but not its id.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id; [`Error::BadRequest`] if a setting is not
    /// valid.
    pub fn update_project(
        &self,
        id: &str,
        settings: ProjectSettings,
    ) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state| state.update_project(id, settings))
    }

    /// Sets the faults of the project's deliveries from now on, in place of those before.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, Fault, ProjectSettings};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().project(ProjectSettings::new().id("proj_shop")).start().await?;
    /// emulator.set_faults("proj_shop", [Fault::Duplicate, "delay=1500".parse()?])?;
    /// emulator.set_faults("proj_shop", [])?; // none
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id.
    pub fn set_faults(
        &self,
        project_id: &str,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Result<(), Error> {
        self.update_project(project_id, ProjectSettings::new().faults(faults)).map(drop)
    }

    /// Gives the project a new random secret key and a new random webhook secret, which
    /// [`Project::reveal_secret`] returns. New deliveries are signed with it; retries of older
    /// deliveries keep their signature.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, ProjectSettings};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shop = ProjectSettings::new().id("proj_shop").secret("whsec_old");
    /// let emulator = Emulator::builder().project(shop).start().await?;
    /// let project = emulator.rotate_secret("proj_shop")?;
    /// assert_ne!(project.reveal_secret(), "whsec_old");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id.
    pub fn rotate_secret(&self, project_id: &str) -> Result<Arc<Project>, Error> {
        self.app.backend.with(|state| state.rotate_secret(project_id))
    }

    /// Deletes a project, its sessions and its deliveries.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id.
    pub fn delete_project(&self, id: &str) -> Result<(), Error> {
        self.app.backend.with(|state| state.delete_project(id))
    }
}

/// Sessions.
impl Emulator {
    /// Generates a session, like the public API, but also for a project without public access.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id; [`Error::BadRequest`] if
    /// [`Builder::session_lifetime`](crate::Builder::session_lifetime) is too long for the system's clock.
    pub fn generate(&self, project_id: &str) -> Result<Session, Error> {
        self.app.backend.with(|state| state.generate(project_id))
    }

    /// All sessions, newest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.app.backend.with(|state| state.sessions())
    }

    /// The session of this token.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token.
    pub fn session(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state| state.session(token))
    }

    /// Confirms a session as `persona`.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, Persona, ProjectSettings};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().project(ProjectSettings::new().id("proj_shop")).start().await?;
    /// let session = emulator.generate("proj_shop")?; // or the session that the app generated
    /// let session = emulator.confirm(&session.token, Persona::new("42", "Ada"))?;
    /// assert_eq!(session.confirmation().unwrap().persona.telegram_name, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token; [`Error::SessionNotPending`] if it was
    /// confirmed or cancelled, or has expired; [`Error::BadRequest`] if the id of `persona` is not of
    /// digits, or its name is empty.
    pub fn confirm(&self, token: &str, persona: Persona) -> Result<Session, Error> {
        self.app.backend.with(|state| state.confirm(token, persona))
    }

    /// Cancels a session.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token; [`Error::SessionNotPending`] if it was
    /// confirmed or cancelled, or has expired.
    pub fn cancel(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state| state.cancel(token))
    }

    /// Expires a pending session now. Nothing is delivered.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, ProjectSettings, SessionStatus};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().project(ProjectSettings::new().id("proj_shop")).start().await?;
    /// let session = emulator.generate("proj_shop")?;
    /// let session = emulator.expire(&session.token)?; // without a wait of 10 minutes
    /// assert!(matches!(session.status, SessionStatus::Expired));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token; [`Error::SessionNotPending`] if it was
    /// confirmed or cancelled, or has expired.
    pub fn expire(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state| state.expire(token))
    }

    /// Marks the proof of a confirmed session as used. Apps verify proofs locally, so the
    /// emulator does not see their use.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token; [`Error::SessionNotConfirmed`] if it is in
    /// another state than confirmed.
    pub fn use_proof(&self, token: &str) -> Result<Session, Error> {
        self.app.backend.with(|state| state.use_proof(token))
    }
}

/// Deliveries.
impl Emulator {
    /// The deliveries that are kept, newest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Arc<Delivery>> {
        self.app.backend.with(|state| state.deliveries().cloned().collect())
    }

    /// The delivery of this number.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] if there is no such delivery, or it is no longer kept.
    pub fn delivery(&self, id: DeliveryId) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state| state.delivery(id).cloned())
    }

    /// Delivers again: by default the same bytes with the same signature, to the project's current
    /// webhook URL.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, Error, Resend};
    ///
    /// /// The app has to answer that it is a duplicate.
    /// async fn resend_last(emulator: &Emulator) -> Result<Option<u16>, Error> {
    ///     let resent = emulator.resend(emulator.deliveries()[0].id, Resend::new())?;
    ///     let ended = emulator.finished(resent.id).await?;
    ///     Ok(ended.attempts.last().and_then(|attempt| attempt.outcome.status()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] if there is no such delivery, or it is no longer kept;
    /// [`Error::NoWebhookUrl`] if neither `resend` nor the project has a URL; [`Error::BadRequest`] if the
    /// URL is not valid.
    pub fn resend(&self, id: DeliveryId, resend: Resend) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state| state.resend(id, resend))
    }

    /// Delivers a test event of a session that does not exist: `auth.confirmed` by
    /// [`Persona::default`], `auth.cancelled`, or an event of any other name with the fields of
    /// a confirmation.
    ///
    /// ```
    /// use bondify_emulator::{DeliveryState, Emulator, Error};
    ///
    /// /// Whether the app accepts an event of a kind that it does not know.
    /// async fn accepts_unknown_events(emulator: &Emulator) -> Result<bool, Error> {
    ///     let sent = emulator.send_test_event("proj_shop", "auth.renamed")?;
    ///     Ok(emulator.finished(sent.id).await?.state == DeliveryState::Delivered)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ProjectNotFound`] if no project has this id; [`Error::NoWebhookUrl`] if the project has no
    /// webhook URL; [`Error::BadRequest`] if the name is empty or has more than 200 bytes.
    pub fn send_test_event(&self, project_id: &str, event: &str) -> Result<Arc<Delivery>, Error> {
        self.app.backend.with(|state| state.send_test_event(project_id, event))
    }

    /// Waits until the delivery has succeeded or failed for good.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] if there is no such delivery, or it is deleted before it is
    /// finished.
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

    /// Waits until the session has an event, and its delivery has succeeded or failed for good.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] if no session has this token; [`Error::DeliveryNotFound`] if there is
    /// nothing to deliver, because the session expired or the project had no webhook URL.
    pub async fn delivery_of(&self, session_token: &str) -> Result<Arc<Delivery>, Error> {
        let mut changes = self.changes();
        let mut session = self.session(session_token)?;
        while session.status == SessionStatus::Pending {
            // An expiry is not announced as a change.
            let now = self.app.backend.with(|state| state.now);
            let left = session.expires_at.duration_since(now).unwrap_or_default();
            let _ = timeout(left, changes.next()).await;
            session = self.session(session_token)?;
        }
        let is_event = |delivery: &Arc<Delivery>| {
            delivery.session_token == session_token && delivery.cause == Cause::Session
        };
        let delivery = self.deliveries().into_iter().find(is_event);
        self.finished(delivery.ok_or(Error::DeliveryNotFound)?.id).await
    }
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
