use bondify_testkit::{
    Connection, WebhookRequest,
    http_suite::{Adapter, PATH, Rig, secret},
};
use futures_util::future::join_all;

use crate::Nginx;

/// The response to each of 96 bodies of more than twice the limit, through a real nginx, is 413. nginx
/// answers 502 if the server closes the connection while nginx still sends.
pub async fn an_oversized_body_behind_nginx_is_refused<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let Some(nginx) = Nginx::in_front_of(rig.server.address()).await else { return };
    let limit = rig.bondify.body_limit();
    let sizes = [2 * limit + 1, 3 * limit, 4 * limit, 6 * limit, 9 * limit, 15 * limit, 50 * limit];
    let requests =
        sizes.map(|size| WebhookRequest::signed(vec![b' '; size], &secret()).to_http1(PATH));
    let mut answers = Vec::new();
    while answers.len() < 96 {
        answers.extend(join_all(requests.iter().map(|request| post(&nginx, request))).await);
    }
    let refused = answers.iter().filter(|&answer| answer == REFUSED).count();
    assert_eq!(refused, answers.len(), "{answers:?}");
}

const REFUSED: &str = "413 PAYLOAD_TOO_LARGE";

async fn post(nginx: &Nginx, request: &[u8]) -> String {
    let mut connection = Connection::open(nginx.address()).await.expect("nginx listens");
    connection.send(request).await.expect("nginx reads");
    let response = connection.response().await.expect("nginx responds");
    format!("{} {}", response.status, response.code().unwrap_or_default())
}
