use actix_web::{
    Error, HttpResponse, error::ErrorInternalServerError, http::StatusCode, web::Data,
};
use bondify_actix::BondifyEvent;
use bondify_testkit::Script;

pub(crate) async fn on_event(
    event: BondifyEvent,
    script: Data<Script>,
) -> Result<HttpResponse, Error> {
    let status = script.handle(&event).await.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::new(StatusCode::from_u16(status).unwrap()))
}
