use super::{
    adapter::{Adapter, Attached, PROJECTS_PATH, project_secret},
    rig::{COMPLETED, LONG, Rig, assert_handled, assert_reply, response},
};
use crate::{Connection, Payload, Response, Step, WebhookRequest};

async fn rig<A: Adapter>() -> Rig {
    let rig = Rig::attached::<A>(Attached::ForProjects, |builder| builder).await;
    rig.expect("the server starts")
}

/// The one delivery of a session, signed with the secret of `project`.
fn delivery(project: &str) -> WebhookRequest {
    Payload::confirmed().session_token("sess_of_a_project").signed_with(&project_secret(project))
}

fn project_path(project: &str) -> String {
    format!("{PROJECTS_PATH}/{project}")
}

async fn begin(rig: &Rig, project: &str) -> Connection {
    let mut connection = rig.open().await;
    let bytes = delivery(project).to_http1(&project_path(project));
    connection.send(&bytes).await.expect("the server reads");
    connection
}

async fn post(rig: &Rig, project: &str, request: &WebhookRequest) -> Response {
    rig.open().await.post(&project_path(project), request).await.expect("the server responds")
}

/// A project's secret signs for no other project, and an event of one is no duplicate in another.
pub async fn projects_are_isolated<A: Adapter>() {
    let rig = rig::<A>().await;
    for (project, other) in [("shop", "blog"), ("blog", "shop")] {
        let forged = post(&rig, project, &delivery(other)).await;
        assert_reply(&forged, 401, "INVALID_SIGNATURE");
        assert_handled(&post(&rig, project, &delivery(project)).await);
        assert_reply(&post(&rig, project, &delivery(project)).await, 200, "DUPLICATE");
    }
    assert_eq!(rig.runs(), 2);
}

/// A request for an unknown project is refused before its body is there. Its beginning is, since
/// a framework may look at that before it calls any route.
pub async fn an_unknown_project_is_refused_before_its_body_is_read<A: Adapter>() {
    let rig = rig::<A>().await;
    let bytes = delivery("unknown").to_http1(&project_path("unknown"));
    let mut connection = rig.open().await;
    connection.send(&bytes[..bytes.len() - 4]).await.expect("the server reads");
    assert_reply(&response(connection).await, 404, "PROJECT_NOT_FOUND");
    assert_eq!((rig.runs(), rig.store.calls()), (0, Vec::new()));
}

/// The handler finishes and its event is completed, although the client reset the connection.
pub async fn a_client_that_hangs_up_does_not_stop_the_handler_of_a_project<A: Adapter>() {
    let rig = rig::<A>().await;
    rig.script.then([Step::held(200)]);
    let connection = begin(&rig, "shop").await;
    rig.script.started(1).await;
    connection.reset().expect("the connection is open");
    rig.script.resume(1);
    rig.store.until(1, COMPLETED).await;
    assert_reply(&post(&rig, "shop", &delivery("shop")).await, 200, "DUPLICATE");
    assert_eq!(rig.runs(), 1);
}

/// `drain` of the `Bondify` that the projects are derived from waits for their handlers.
pub async fn draining_covers_all_projects<A: Adapter>() {
    let rig = rig::<A>().await;
    rig.script.then([Step::held(200), Step::held(200)]);
    let mut connections = Vec::new();
    for (number, project) in ["shop", "blog"].into_iter().enumerate() {
        connections.push(begin(&rig, project).await);
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
