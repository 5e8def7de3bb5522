use std::future;

use bondify_core::{
    Event, Reply,
    adapter::{self, Head, define_bondify_event, define_bondify_rejection, misconfigured},
};
use rocket::{
    Data, Ignite, Request, Rocket, Sentinel,
    data::{FromData, Outcome, ToByteUnit},
    http::Status,
    response::{self, Responder},
};
use tokio_util::io::ReaderStream;

use crate::{
    head::RocketHead,
    reply::response_to,
    request_state::RequestState,
    sentinel::{Mounted, lacks_state},
};

define_bondify_event! {
    /// The data guard of a verified event, on a route that is mounted through Bondify.
    ///
    /// It combines with any request guards. Without a verified event Bondify's reply is the response,
    /// which catchers do not change. The handler is then not called, even if it takes an
    /// `Option<BondifyEvent>` or a `Result`.
    ///
    /// The launch is aborted if no route is mounted through Bondify. If other routes are, a
    /// route without Bondify answers 500 `MISCONFIGURED` and logs what to add.
    ///
    /// A handler runs outside of the delivery's `tracing` span, since a guard cannot wrap the handler.
    /// Rocket takes a body that breaks off within its first 512 bytes for a complete one; its signature
    /// is then refused.
    ///
    /// ```
    /// use bondify_rocket::{BondifyEvent, Event, TelegramUser};
    /// use rocket::{State, http::Status, post, response::status::NoContent};
    ///
    /// struct Users; // your database
    ///
    /// impl Users {
    ///     async fn log_in(&self, _user: &TelegramUser) -> Result<(), Status> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// #[post("/bondify", data = "<event>")]
    /// async fn on_event(event: BondifyEvent, users: &State<Users>) -> Result<NoContent, Status> {
    ///     if let Event::Confirmed(confirmed) = event.0 {
    ///         users.log_in(confirmed.user()).await?; // Bondify retries after an error
    ///     }
    ///     Ok(NoContent)
    /// }
    /// ```
}

#[rocket::async_trait]
impl<'r> FromData<'r> for BondifyEvent {
    type Error = BondifyRejection;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        match receive(request, data).await {
            Ok(event) => Outcome::Success(Self(event)),
            Err(reply) => {
                let state = RequestState::of(request);
                state.set_reply(reply);
                if state.bondify().is_some() {
                    // The mount drops the route's handler and responds with the reply. If the guard
                    // failed instead, Rocket would log a warning and look for a catcher.
                    return future::pending().await;
                }
                Outcome::Error((Status::new(reply.status()), BondifyRejection(reply)))
            }
        }
    }
}

async fn receive(request: &Request<'_>, data: Data<'_>) -> Result<Event, Reply> {
    let state = RequestState::of(request);
    let bondify = state.bondify().ok_or_else(|| misconfigured(ADVICE))?;
    // One byte more than is read of a body, so that a truncated body does not look complete.
    let body = data.open((adapter::read_limit(&bondify) + 1).bytes());
    let head = Head::of(&RocketHead(request));
    let (event, claim) = bondify.claim(head, ReaderStream::new(body)).await?;
    state.set_claim(claim);
    Ok(event)
}

const ADVICE: &str = "use `.attach(bondify.mount(base, routes![..]))` instead of `.mount(..)`";

define_bondify_rejection! {
    /// The error of a guard without a verified event or an accepted proof. It is a responder: its
    /// response is the one that the other adapters give.
}

impl<'r> Responder<'r, 'static> for BondifyRejection {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(response_to(self.reply()))
    }
}

/// Its launch is never aborted. It lets a `Result<BondifyEvent, BondifyRejection>` have a sentinel.
impl Sentinel for BondifyRejection {
    fn abort(_: &Rocket<Ignite>) -> bool {
        false
    }
}

impl Sentinel for BondifyEvent {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        lacks_state::<Mounted>(rocket, ADVICE)
    }
}
