use bondify_testkit::Script;
use bondify_warp::BondifyEvent;
use warp::http::StatusCode;

pub(crate) async fn on_event(
    event: BondifyEvent,
    script: Script,
) -> Result<StatusCode, StatusCode> {
    let status = script.handle(&event).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(StatusCode::from_u16(status).unwrap())
}
