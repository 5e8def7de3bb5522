use bondify_rocket::BondifyEvent;
use bondify_testkit::Script;
use rocket::{State, http::Status, post, response::status::Custom};

pub(crate) const BASE: &str = "/webhooks";

#[post("/bondify", data = "<event>")]
pub(crate) async fn on_event(
    event: BondifyEvent,
    script: &State<Script>,
) -> Result<Custom<()>, std::io::Error> {
    answer(event, script).await
}

pub(crate) async fn answer(
    event: BondifyEvent,
    script: &Script,
) -> Result<Custom<()>, std::io::Error> {
    let status = script.handle(&event).await.map_err(std::io::Error::other)?;
    Ok(Custom(Status::new(status), ()))
}
