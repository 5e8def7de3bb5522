use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    adapter::{Adapter, PATH},
    rig::{ACQUIRED, COMPLETED, Rig, SETTLED, assert_handled, assert_reply, confirmed},
};
use crate::{Connection, Step};

#[derive(Clone, Copy)]
enum By {
    Fin,
    Rst,
}

/// Closes or resets the connection and waits until the server has noticed: until it closes its
/// side, or for a fixed time, since a reset has no answer.
async fn hang_up(mut connection: Connection, by: By) {
    const TIME_TO_NOTICE: Duration = Duration::from_millis(250);
    match by {
        By::Fin => {
            if let Ok(hung_up) = timeout(TIME_TO_NOTICE, connection.hang_up()).await {
                hung_up.expect("the server closes its side");
            }
        }
        By::Rst => {
            connection.reset().expect("the connection is open");
            sleep(TIME_TO_NOTICE).await;
        }
    }
}

async fn does_not_stop_the_handler<A: Adapter>(by: By) {
    let rig = Rig::start::<A>().await;
    rig.script.then([Step::held(200)]);
    let request = confirmed();
    let connection = rig.begin(&request).await;
    rig.script.started(1).await;
    hang_up(connection, by).await;
    assert_eq!(rig.script.progress().finished, 0);
    rig.script.resume(1);
    rig.script.finished(1).await;
    rig.store.until(1, COMPLETED).await;
    assert_reply(&rig.post(&request).await, 200, "DUPLICATE");
    assert_eq!(rig.runs(), 1);
}

/// The handler finishes and its event is completed, although the client closed the connection.
pub async fn a_client_that_hangs_up_does_not_stop_the_handler<A: Adapter>() {
    does_not_stop_the_handler::<A>(By::Fin).await;
}

/// The handler finishes and its event is completed, although the client reset the connection.
pub async fn a_client_that_resets_does_not_stop_the_handler<A: Adapter>() {
    does_not_stop_the_handler::<A>(By::Rst).await;
}

/// The event is released by the status, although no client received it.
pub async fn a_failure_after_a_hang_up_is_handled_again<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    rig.script.then([Step::held(500)]);
    let request = confirmed();
    let connection = rig.begin(&request).await;
    rig.script.started(1).await;
    hang_up(connection, By::Rst).await;
    rig.script.resume(1);
    assert_handled(&rig.post(&request).await);
    assert_eq!(rig.runs(), 2);
}

async fn during_the_claim_loses_nothing<A: Adapter>(by: By) {
    let rig = Rig::start::<A>().await;
    rig.store.hold_claims();
    let request = confirmed();
    let connection = rig.begin(&request).await;
    rig.store.until(1, ACQUIRED).await;
    hang_up(connection, by).await;
    rig.store.resume_claims();
    // Released, if the server noticed in time; handled and completed otherwise.
    rig.store.until(1, SETTLED).await;
    assert_eq!(rig.post(&request).await.status, 200);
    assert_eq!(rig.runs(), 1);
}

/// The lease is released or its event completed, although the client closed the connection.
pub async fn a_client_that_hangs_up_during_the_claim_loses_nothing<A: Adapter>() {
    during_the_claim_loses_nothing::<A>(By::Fin).await;
}

/// The lease is released or its event completed, although the client reset the connection.
pub async fn a_client_that_resets_during_the_claim_loses_nothing<A: Adapter>() {
    during_the_claim_loses_nothing::<A>(By::Rst).await;
}

/// An incomplete delivery claims nothing, and the server serves the next one.
pub async fn an_incomplete_body_claims_nothing<A: Adapter>() {
    let rig = Rig::start::<A>().await;
    let request = confirmed();
    let bytes = request.to_http1(PATH);
    for by in [By::Fin, By::Rst] {
        let mut connection = rig.open().await;
        connection.send(&bytes[..bytes.len() - 4]).await.expect("the server reads");
        hang_up(connection, by).await;
    }
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
    assert_handled(&rig.post(&request).await);
}
