//! Polling against a scripted server, in real time and at the minimum interval. The tests check only
//! that pauses are long enough.

use std::time::Duration;

use bondify_client::{ClientBuilder, ErrorCode, SessionStatus};
use bondify_testkit::{Answer, ScriptedServer, within_a_minute};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::{TOKEN, confirmed, session, status};

const INTERVAL: Duration = ClientBuilder::MIN_POLL_INTERVAL;
/// A lifetime with at least one poll before its end, also on a slow machine.
const SHORT: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(10 * 60);

/// The pauses between the requests for a status.
fn pauses(server: &ScriptedServer) -> Vec<Duration> {
    let requests = server.requests();
    let polls: Vec<_> = requests.iter().filter(|request| request.path.contains("verify")).collect();
    polls.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

fn polls(server: &ScriptedServer) -> usize {
    server.requests().len() - 1
}

#[tokio::test]
async fn wait_polls_at_the_interval_until_the_user_confirms() {
    within_a_minute(async {
        let answers = [status("pending"), status("pending"), confirmed()];
        let (server, sessions, session) = session(LONG, answers).await;
        let waiting = tokio::spawn(async move { sessions.wait(&session).await });
        let Ok(SessionStatus::Confirmed(login)) = waiting.await.unwrap() else { panic!() };
        assert_eq!(login.user().id().as_str(), "7123456789");
        assert_eq!(login.proof(), "header.claims.signature");
        assert_eq!(polls(&server), 3);
        assert!(pauses(&server).iter().all(|pause| *pause >= INTERVAL), "{:?}", pauses(&server));
    })
    .await;
}

#[tokio::test]
async fn every_terminal_status_ends_the_polling() {
    within_a_minute(async {
        for terminal in ["cancelled", "expired", "used"] {
            let (server, sessions, session) = session(LONG, [status(terminal)]).await;
            let ended = sessions.wait(&session).await.unwrap();
            assert!(ended.is_terminal());
            assert_eq!(polls(&server), 1, "{ended:?}");
            assert_eq!(server.requests()[1].body["session_token"], TOKEN);
        }
    })
    .await;
}

#[tokio::test]
async fn the_stream_yields_every_change_and_then_ends() {
    within_a_minute(async {
        let answers = [status("pending"), status("pending"), confirmed(), status("pending")];
        let (server, sessions, session) = session(LONG, answers).await;
        let statuses: Vec<_> = sessions.statuses(&session).collect().await;
        let statuses: Vec<_> = statuses.into_iter().map(Result::unwrap).collect();
        assert!(
            matches!(*statuses, [SessionStatus::Pending, SessionStatus::Confirmed(_)]),
            "{statuses:?}"
        );
        assert_eq!(polls(&server), 3);
    })
    .await;
}

#[tokio::test]
async fn the_stream_ends_after_an_error() {
    within_a_minute(async {
        let answers = [status("pending"), Answer::json(404, json!({})), confirmed()];
        let (server, sessions, session) = session(LONG, answers).await;
        let mut statuses = sessions.statuses(&session);
        assert!(matches!(statuses.next().await, Some(Ok(SessionStatus::Pending))));
        assert!(matches!(statuses.next().await, Some(Err(_))));
        assert!(statuses.next().await.is_none());
        assert_eq!(polls(&server), 2);
    })
    .await;
}

#[tokio::test]
async fn outages_are_retried() {
    within_a_minute(async {
        for outage in [
            Answer::none(),
            Answer::bytes("HTTP/1.1 200 OK\r\nContent-"),
            Answer::bytes("SSH-2.0-OpenSSH_9.6\r\n"),
            confirmed().cut_short(),
            Answer::json(500, json!({"error": "oops", "code": "INTERNAL"})),
            Answer::text(408, "<html>"),
            Answer::text(502, "<html>"),
            Answer::json(503, json!({})).cut_short(),
            Answer::json(429, json!({"code": "RATE_LIMITED"})),
        ] {
            let (server, sessions, session) = session(LONG, [outage.clone(), confirmed()]).await;
            let ended = sessions.wait(&session).await;
            assert!(matches!(ended, Ok(SessionStatus::Confirmed(_))), "{ended:?} after {outage:?}");
            assert_eq!(polls(&server), 2, "{outage:?}");
            assert!(pauses(&server)[0] >= INTERVAL);
        }
    })
    .await;
}

#[tokio::test]
async fn refused_connections_are_retried() {
    within_a_minute(async {
        let (server, sessions, session) = session(LONG, [status("pending")]).await;
        let mut statuses = sessions.statuses(&session);
        assert!(matches!(statuses.next().await, Some(Ok(SessionStatus::Pending))));
        drop(server);
        // The stream yields no error and does not end.
        assert!(timeout(3 * INTERVAL, statuses.next()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn pauses_grow_with_each_failure() {
    within_a_minute(async {
        let broken = || Answer::text(500, "");
        let (server, sessions, session) =
            session(LONG, [broken(), broken(), broken(), confirmed()]).await;
        assert!(sessions.wait(&session).await.is_ok());
        let pauses = pauses(&server);
        let minimum = [INTERVAL, 2 * INTERVAL, 4 * INTERVAL];
        assert!(pauses.iter().zip(minimum).all(|(pause, minimum)| *pause >= minimum), "{pauses:?}");
    })
    .await;
}

#[tokio::test]
async fn retry_after_lengthens_the_pause_and_never_shortens_it() {
    within_a_minute(async {
        let limited = |after| Answer::json(429, json!({})).header("Retry-After", after);
        let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
        let answers = [limited("2"), limited("0"), limited(long_ago), confirmed()];
        let (server, sessions, session) = session(LONG, answers).await;
        assert!(sessions.wait(&session).await.is_ok());
        let pauses = pauses(&server);
        let minimum = [Duration::from_secs(2), INTERVAL, INTERVAL];
        assert!(pauses.iter().zip(minimum).all(|(pause, minimum)| *pause >= minimum), "{pauses:?}");
    })
    .await;
}

#[tokio::test]
async fn permanent_errors_end_the_polling_at_once() {
    within_a_minute(async {
        for (answer, code) in [
            (Answer::json(404, json!({"code": "PROJECT_NOT_FOUND"})), ErrorCode::ProjectNotFound),
            (Answer::json(403, json!({"code": "PROJECT_INACTIVE"})), ErrorCode::ProjectInactive),
            (Answer::json(403, json!({})), ErrorCode::PublicAccessDisabled),
        ] {
            let (server, sessions, session) = session(LONG, [answer, confirmed()]).await;
            let error = sessions.wait(&session).await.unwrap_err();
            assert_eq!(error.code(), Some(&code));
            assert_eq!(polls(&server), 1);
        }
        for answer in [
            Answer::json(400, json!({"error": "session_token is missing"})),
            Answer::text(301, "").header("Location", "/elsewhere"),
            Answer::text(200, "<html>a captive portal</html>"),
            Answer::text(200, "{\"status\":\"pend"),
            Answer::text(200, ""),
            status("paused"),
            Answer::json(200, json!({"status": "confirmed", "telegram_id": "1"})),
        ] {
            let (server, sessions, session) = session(LONG, [answer, confirmed()]).await;
            assert!(sessions.wait(&session).await.is_err());
            assert_eq!(polls(&server), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_last_request_at_expiry_sees_a_late_confirmation() {
    within_a_minute(async {
        let asked_later = Answer::json(429, json!({})).header("Retry-After", "3600");
        let (server, sessions, session) = session(SHORT, [asked_later, confirmed()]).await;
        assert!(matches!(sessions.wait(&session).await, Ok(SessionStatus::Confirmed(_))));
        assert_eq!(polls(&server), 2);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_pending_at_expiry_has_expired() {
    within_a_minute(async {
        let (server, sessions, session) = session(SHORT, [status("pending")]).await;
        let statuses: Vec<_> = sessions.statuses(&session).map(Result::unwrap).collect().await;
        assert_eq!(statuses, [SessionStatus::Pending, SessionStatus::Expired]);
        let polls_until_then = polls(&server);
        let most = SHORT.div_duration_f32(INTERVAL) as usize + 2;
        assert!(polls_until_then <= most, "{polls_until_then}");

        // A wait for an expired session sends one request.
        assert_eq!(sessions.wait(&session).await.unwrap(), SessionStatus::Expired);
        assert_eq!(polls(&server), polls_until_then + 1);
    })
    .await;
}

#[tokio::test]
async fn an_outage_that_outlasts_the_session_is_an_error() {
    within_a_minute(async {
        let (server, sessions, session) = session(SHORT, [Answer::text(502, "")]).await;
        let error = sessions.wait(&session).await.unwrap_err();
        assert_eq!(error.status(), Some(502));
        assert!(polls(&server) >= 2);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_wait_sends_nothing_more_and_another_continues() {
    within_a_minute(async {
        let answers = [status("pending"), status("pending").stalled(), confirmed()];
        let (server, sessions, session) = session(LONG, answers).await;
        tokio::select! {
            ended = sessions.wait(&session) => panic!("{ended:?}"),
            () = server.received(3) => {} // in the middle of the second answer
        }
        assert!(matches!(sessions.wait(&session).await, Ok(SessionStatus::Confirmed(_))));
        assert_eq!(polls(&server), 3);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    within_a_minute(async {
        let answers = [status("pending"), status("pending"), confirmed()];
        let (server, sessions, session) = session(LONG, answers).await;
        let mut statuses = sessions.statuses(&session);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            if let Ok(status) = timeout(Duration::from_millis(20), statuses.next()).await {
                seen.push(status.unwrap().unwrap());
            }
        }
        assert!(matches!(*seen, [SessionStatus::Pending, SessionStatus::Confirmed(_)]), "{seen:?}");
        assert_eq!(polls(&server), 3);
        for _again in 0..2 {
            assert!(statuses.next().await.is_none());
        }
    })
    .await;
}
