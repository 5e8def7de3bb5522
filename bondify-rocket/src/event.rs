use bondify_core::{
    Event, Reply,
    adapter::{self, define_bondify_event, misconfigured},
};
use rocket::{
    Data, Ignite, Request, Rocket, Sentinel,
    data::{FromData, Outcome, ToByteUnit},
    http::Status,
};
use tokio_util::io::ReaderStream;

use crate::{headers::RocketHeaders, mount::Mounted, parked::Parked};

define_bondify_event! {
    /// The data guard of a verified event, on a route that is mounted through Bondify.
    ///
    /// Goes with any request guards. Bondify answers in place of the handler, whatever the
    /// catchers make of it; a handler that takes `Result<BondifyEvent, Reply>` is called, but
    /// cannot change that.
    ///
    /// If no route is mounted through Bondify, the launch is aborted; on a route that is not,
    /// beside one that is, it answers 500 `MISCONFIGURED` and logs what to do.
}

#[rocket::async_trait]
impl<'r> FromData<'r> for BondifyEvent {
    type Error = Reply;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        match receive(request, data).await {
            Ok(event) => Outcome::Success(Self(event)),
            Err(reply) => {
                Parked::of(request).answer(reply);
                Outcome::Error((Status::new(reply.status()), reply))
            }
        }
    }
}

async fn receive(request: &Request<'_>, data: Data<'_>) -> Result<Event, Reply> {
    let parked = Parked::of(request);
    let bondify = parked.bondify().ok_or_else(|| misconfigured(ADVICE))?;
    // More than is ever read of a body: what is cut off here must not look complete.
    let body = data.open((2 * bondify.body_limit() + 1).bytes());
    let delivery =
        adapter::receive(&bondify, &RocketHeaders(request), ReaderStream::new(body)).await?;
    let (event, claim) = delivery.into_parts();
    parked.hold(claim);
    Ok(event)
}

const ADVICE: &str = "use `.attach(bondify.mount(base, routes![..]))` instead of `.mount(..)`";

impl Sentinel for BondifyEvent {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let forgotten = rocket.state::<Mounted>().is_none();
        if forgotten {
            let _logged = misconfigured(ADVICE);
        }
        forgotten
    }
}
