use std::{sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    Client, Error, Session, SessionStatus,
    call::{call, call_dated},
    session::{GenerateResponse, VerifyResponse, outcome},
};

/// The public session API of one project: begins logins and polls their status. Created by
/// [`Client::sessions`].
///
/// It needs no secret and no webhook, so it also works behind a firewall and in a desktop
/// program. Clones are cheap. See [`wait`](Self::wait) for an example.
///
/// ```no_run
/// use bondify_client::{Client, Error};
///
/// async fn log_in(client: &Client) -> Result<bool, Error> {
///     let sessions = client.sessions("proj_abc123");
///     let session = sessions.generate().await?;
///     println!("open {}", session.deeplink());
///     Ok(sessions.wait(&session).await?.login().is_some())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) client: Client,
    pub(crate) project_id: Arc<str>,
    pub(crate) poll_interval: Duration,
}

impl Client {
    /// Returns the session API of a project. The project needs its public access enabled.
    #[must_use]
    pub fn sessions(&self, project_id: impl Into<String>) -> Sessions {
        Sessions {
            client: self.clone(),
            project_id: project_id.into().into(),
            poll_interval: self.poll_interval,
        }
    }
}

impl Sessions {
    /// The id of the project.
    #[must_use]
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Polls at most once every `interval`, also if the client's
    /// [interval](crate::ClientBuilder::poll_interval) is shorter: for a server that receives
    /// decisions by webhooks, and polls only in case a webhook is lost.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_client::Client;
    ///
    /// let sessions = Client::new()?.sessions("proj_abc123").slowed_to(Duration::from_secs(15));
    /// assert_eq!(sessions.poll_interval(), Duration::from_secs(15));
    /// # Ok::<(), bondify_client::Error>(())
    /// ```
    #[must_use]
    pub fn slowed_to(mut self, interval: Duration) -> Self {
        self.poll_interval = self.poll_interval.max(interval);
        self
    }

    /// The pause between two polls.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    /// Begins a login.
    ///
    /// ```no_run
    /// use bondify_client::{Error, ErrorCode, Sessions};
    ///
    /// async fn link(sessions: &Sessions) -> Result<String, Error> {
    ///     match sessions.generate().await {
    ///         Ok(session) => Ok(session.deeplink().to_owned()),
    ///         Err(error) => {
    ///             if error.code() == Some(&ErrorCode::PublicAccessDisabled) {
    ///                 eprintln!("enable the public access of {}", sessions.project_id());
    ///             }
    ///             Err(error)
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`] if the API cannot be reached or does not answer within the
    /// [time-out](crate::ClientBuilder::timeout), if its response has no session token or link, and if
    /// it refuses the project: see [`ErrorCode`](crate::ErrorCode) for the
    /// [`code`](Error::code).
    pub async fn generate(&self) -> Result<Session, Error> {
        let request = self.request("generate/public").json(&json!({
            "project_id": *self.project_id,
        }));
        let (answer, date): (GenerateResponse, _) =
            call_dated(request).await.map_err(Error::code_by_status)?;
        answer.into_session(date)
    }

    /// Requests the status of a session once.
    ///
    /// A refusal with the code `SESSION_EXPIRED` or `SESSION_CANCELLED` is the status that it names. A user
    /// with a proof and without a `status` is [`Confirmed`](SessionStatus::Confirmed).
    ///
    /// ```no_run
    /// use bondify_client::{Error, Sessions};
    ///
    /// /// Answers a browser that asks.
    /// async fn is_decided(sessions: &Sessions, session_token: &str) -> Result<bool, Error> {
    ///     Ok(sessions.status(session_token).await?.is_terminal())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`] if the API cannot be reached or does not answer within the
    /// [time-out](crate::ClientBuilder::timeout), if it refuses the project, if its response is not as
    /// documented, and if the status is unknown to this version; the error then names the status.
    pub async fn status(&self, session_token: &str) -> Result<SessionStatus, Error> {
        let request = self.request("verify/public").json(&json!({
            "project_id": *self.project_id,
            "session_token": session_token,
        }));
        match call::<VerifyResponse>(request).await.map_err(Error::code_by_status) {
            Ok(answer) => answer.into_status(session_token),
            Err(error) => error.code().and_then(|code| outcome(code.as_str())).ok_or(error),
        }
    }

    fn request(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::POST, format_args!("{path}"))
    }
}
