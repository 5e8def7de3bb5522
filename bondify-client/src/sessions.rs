use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    Client, Error, Session, Status,
    call::call,
    polling::Polling,
    session::{Generated, Verified},
};

/// Login sessions of one project, by the public session API: begin one, and poll how it
/// ends. Made by [`Client::sessions`].
///
/// It takes no secret, so it also works where webhooks cannot arrive: behind a firewall, in a
/// desktop program. Clones are cheap. See the [crate](crate) for an example.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) client: Client,
    pub(crate) project_id: Arc<str>,
}

impl Sessions {
    /// Begins a login.
    ///
    /// # Errors
    ///
    /// [`Error`]; its [`code`](Error::code) says what is wrong with the project.
    pub async fn generate(&self) -> Result<Session, Error> {
        let request = self.request("generate/public").json(&json!({
            "project_id": *self.project_id,
        }));
        let answer: Generated = call(request).await.map_err(Error::code_by_status)?;
        answer.try_into()
    }

    /// Asks once how far a session has come.
    ///
    /// # Errors
    ///
    /// [`Error`], also for a status that this version does not know, which it names.
    pub async fn status(&self, session_token: &str) -> Result<Status, Error> {
        let request = self.request("verify/public").json(&json!({
            "project_id": *self.project_id,
            "session_token": session_token,
        }));
        let answer: Verified = call(request).await.map_err(Error::code_by_status)?;
        answer.try_into()
    }

    /// Polls until the user has decided, and says how: with the first status that
    /// [is terminal](Status::is_terminal), after which nothing more is sent.
    ///
    /// It asks at once, and then at the client's
    /// [interval](crate::ClientBuilder::poll_interval). Network errors, time-outs and 5xx are
    /// ridden out: the pauses grow to 10 seconds, and are back at the interval after the next
    /// good answer. After a 429 it waits for as long as `Retry-After` says, at most until the
    /// session expires.
    ///
    /// At [`expires_at`](Session::expires_at), or 10 minutes after the session was generated if
    /// that is unknown or was over already by this machine's clock, it asks a last time, for a
    /// late confirmation. What is still pending then is [`Expired`](Status::Expired); an error of
    /// that last request is this call's. So a session that expired long ago costs one request.
    ///
    /// **Cancel-safe**: dropped, it leaves nothing behind, and another call for the same
    /// session continues. As each call asks at once, a loop that drops it over and over does
    /// better to keep the stream of [`statuses`](Self::statuses).
    ///
    /// # Errors
    ///
    /// At once, any error that asking again would not mend: a refusal other than 429 and 5xx,
    /// a status that is unknown, and a complete answer that is not the documented JSON.
    pub async fn wait(&self, session: &Session) -> Result<Status, Error> {
        let mut polling = Polling::new(self.clone(), session.clone());
        loop {
            let status = polling.next().await?;
            if status.is_terminal() {
                return Ok(status);
            }
        }
    }

    /// [`wait`](Self::wait) as a stream of every change of status: as a rule
    /// [`Pending`](Status::Pending), once, and how the user decided. The terminal status, or
    /// the error that ends the polling, is its last item.
    ///
    /// It polls while it is polled. Dropping its [`next`](StreamExt::next) loses nothing.
    pub fn statuses(
        &self,
        session: &Session,
    ) -> impl Stream<Item = Result<Status, Error>> + Send + Unpin + use<> {
        let polling = Polling::new(self.clone(), session.clone());
        stream::unfold(Some(polling), async |polling| {
            let mut polling = polling?;
            let status = polling.next().await;
            let goes_on = status.as_ref().is_ok_and(|status| !status.is_terminal());
            Some((status, goes_on.then_some(polling)))
        })
        .fuse()
        .boxed()
    }

    fn request(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::POST, format_args!("{path}"))
    }
}
