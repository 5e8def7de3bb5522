use super::{
    adapter::{Adapter, Attached, PROJECTS_PATH, project_secret},
    rig::{COMPLETED, LONG, Rig, assert_handled, assert_reply, response},
};
use crate::{Connection, Payload, Response, Step, WebhookRequest};

async fn rig<A: Adapter>() -> Rig {
    Rig::attached::<A>(Attached::ForProjects).await.expect("the server starts")
}

/// The delivery of an event to `project`. Each case has an event of its own, because cases share a store.
fn delivery(event: &Payload, project: &str) -> WebhookRequest {
    event.signed_with(&project_secret(project))
}

fn project_path(project: &str) -> String {
    format!("{PROJECTS_PATH}/{project}")
}

async fn begin(rig: &Rig, event: &Payload, project: &str) -> Connection {
    let mut connection = rig.open().await;
    let bytes = delivery(event, project).to_http1(&project_path(project));
    connection.send(&bytes).await.expect("the server reads");
    connection
}

async fn post(rig: &Rig, project: &str, request: &WebhookRequest) -> Response {
    rig.open().await.post(&project_path(project), request).await.expect("the server responds")
}

/// The secret of a project is not accepted for another project, and an event of one project is not a
/// duplicate in another.
pub async fn projects_are_isolated<A: Adapter>() {
    let (rig, event) = (rig::<A>().await, Payload::confirmed());
    for (project, other) in [("shop", "blog"), ("blog", "shop")] {
        let forged = post(&rig, project, &delivery(&event, other)).await;
        assert_reply(&forged, 401, "INVALID_SIGNATURE");
        assert_handled(&post(&rig, project, &delivery(&event, project)).await);
        assert_reply(&post(&rig, project, &delivery(&event, project)).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 2);
}

/// The response is 404 before the whole body has arrived. The beginning of the body is sent, because a
/// framework may read it before it calls a route.
pub async fn an_unknown_project_is_refused_before_its_body_is_read<A: Adapter>() {
    let (rig, event) = (rig::<A>().await, Payload::confirmed());
    let bytes = delivery(&event, "unknown").to_http1(&project_path("unknown"));
    let mut connection = rig.open().await;
    connection.send(&bytes[..bytes.len() - 4]).await.expect("the server reads");
    assert_reply(&response(connection).await, 404, "PROJECT_NOT_FOUND");
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}

/// The handler finishes and its event is completed, although the client reset the connection.
pub async fn a_client_that_hangs_up_does_not_stop_the_handler_of_a_project<A: Adapter>() {
    let (rig, event) = (rig::<A>().await, Payload::confirmed());
    rig.script.then([Step::held(200)]);
    let connection = begin(&rig, &event, "shop").await;
    rig.script.started(1).await;
    connection.reset().expect("the connection is open");
    rig.script.resume(1);
    rig.store.until(1, COMPLETED).await;
    assert_reply(&post(&rig, "shop", &delivery(&event, "shop")).await, 200, "DUPLICATE");
    assert_eq!(rig.runs(), 1);
}

/// `drain` of the `Bondify` that the projects are derived from waits for their handlers.
pub async fn draining_covers_all_projects<A: Adapter>() {
    let (rig, event) = (rig::<A>().await, Payload::confirmed());
    rig.script.then([Step::held(200), Step::held(200)]);
    let mut connections = Vec::new();
    for (number, project) in ["shop", "blog"].into_iter().enumerate() {
        connections.push(begin(&rig, &event, project).await);
        rig.script.started(number + 1).await;
    }
    assert_eq!(rig.bondify.running(), 2);
    let (drained, ()) = tokio::join!(rig.bondify.drain(LONG), async { rig.script.resume(2) });
    drained.expect("the handlers ended");
    assert_eq!(rig.script.progress().finished, 2);
    for connection in connections {
        assert_handled(&response(connection).await);
    }
}
