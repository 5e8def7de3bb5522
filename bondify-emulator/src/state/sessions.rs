use std::sync::Arc;

use super::{Change, State};
use crate::{
    Cause, Confirmation, Error, EventBody, Persona, Session, SessionStatus, clock::has_a_date,
    random,
};

impl State {
    /// Checks whether the public API serves the project now.
    pub(crate) fn admit(&mut self, project_id: &str) -> Result<(), Error> {
        let project = Arc::clone(self.project(project_id)?);
        let admitted = self.rate_limit.admit(project_id, self.now);
        admitted.map_err(|retry_after| Error::RateLimited { retry_after })?;
        if !project.active {
            return Err(Error::ProjectInactive);
        }
        if !project.public_access {
            return Err(Error::PublicAccessDisabled);
        }
        Ok(())
    }

    pub(crate) fn generate(&mut self, project_id: &str) -> Result<Session, Error> {
        let project_id = self.project(project_id)?.id.clone();
        let expires_at = self.now.checked_add(self.rules.session_lifetime);
        let expires_at = expires_at.filter(|end| has_a_date(*end));
        let too_long = Error::BadRequest("the session lifetime is too long for the system clock");
        Ok(self.put_session(Session {
            token: random::id("sess_"),
            project_id,
            created_at: self.now,
            expires_at: expires_at.ok_or(too_long)?,
            status: SessionStatus::Pending,
        }))
    }

    pub(crate) fn session(&self, token: &str) -> Result<Session, Error> {
        let session = self.sessions.get(token).ok_or(Error::SessionNotFound)?;
        Ok(session.as_of(self.now))
    }

    /// The sessions of the project, or of all projects, the newest first.
    pub(crate) fn sessions_of(&self, project_id: Option<&str>) -> Result<Vec<Session>, Error> {
        let mut sessions = self.sessions();
        if let Some(id) = project_id {
            self.project(id)?;
            sessions.retain(|session| session.project_id == id);
        }
        Ok(sessions)
    }

    /// All sessions, the newest first.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let sessions = self.sessions.values().map(|session| session.as_of(self.now));
        let mut sessions: Vec<_> = sessions.collect();
        sessions.sort_by(|a, b| (b.created_at, &b.token).cmp(&(a.created_at, &a.token)));
        sessions
    }

    /// Changes a session as `verb` says: `confirm`, as `persona`, or `cancel`, `expire`, `use`.
    pub(crate) fn end(
        &mut self,
        token: &str,
        verb: &str,
        persona: Persona,
    ) -> Result<Session, Error> {
        match verb {
            "confirm" => self.confirm(token, persona),
            "cancel" => self.cancel(token),
            "expire" => self.expire(token),
            "use" => self.use_proof(token),
            _ => Err(Error::NotFound),
        }
    }

    pub(crate) fn confirm(&mut self, token: &str, persona: Persona) -> Result<Session, Error> {
        persona.check()?;
        let confirmation = Confirmation { persona: persona.clone(), confirmed_at: self.now };
        let session = self.decide(token, SessionStatus::Confirmed(confirmation))?;
        let project = Arc::clone(self.project(&session.project_id)?);
        let persona = project.share(persona);
        self.queue_event(&project, |at| EventBody::confirmed(token, &persona, at), Cause::Session);
        Ok(session)
    }

    pub(crate) fn cancel(&mut self, token: &str) -> Result<Session, Error> {
        let session = self.decide(token, SessionStatus::Cancelled { cancelled_at: self.now })?;
        let project = Arc::clone(self.project(&session.project_id)?);
        self.queue_event(&project, |at| EventBody::cancelled(token, at), Cause::Session);
        Ok(session)
    }

    /// Ends a pending session. Nothing is delivered.
    pub(crate) fn expire(&mut self, token: &str) -> Result<Session, Error> {
        self.decide(token, SessionStatus::Expired)
    }

    /// Consumes the proof of a confirmed session.
    pub(crate) fn use_proof(&mut self, token: &str) -> Result<Session, Error> {
        let session = self.session(token)?;
        let SessionStatus::Confirmed(confirmation) = session.status else {
            return Err(Error::SessionNotConfirmed(session.status.name()));
        };
        Ok(self.put_session(Session { status: SessionStatus::Used(confirmation), ..session }))
    }

    /// Gives a pending session its end.
    fn decide(&mut self, token: &str, status: SessionStatus) -> Result<Session, Error> {
        let session = self.session(token)?;
        if session.status != SessionStatus::Pending {
            return Err(Error::SessionNotPending(session.status.name()));
        }
        Ok(self.put_session(Session { status, ..session }))
    }

    fn put_session(&mut self, session: Session) -> Session {
        self.change(Change::Session(Arc::new(session.clone())));
        session
    }
}
