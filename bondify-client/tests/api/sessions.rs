//! Each call of the public session API, and the behaviour that all calls share.

use std::{error::Error as _, time::Duration};

use bondify_client::{Client, ErrorCode, SessionStatus};
use bondify_testkit::{Answer, ScriptedServer, within_a_minute};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

use crate::{PROJECT, TOKEN, client, confirmed, generated, set_up, status};

#[tokio::test]
async fn a_session_is_generated_for_the_project() {
    within_a_minute(async {
        let server = ScriptedServer::start([generated(Duration::from_secs(600))]).await;
        let session = client(&server).sessions(PROJECT).generate().await.unwrap();
        assert_eq!(session.session_token(), TOKEN);
        assert_eq!(session.deeplink(), "https://t.me/bondify_bot?start=sess_abc123");
        assert!(session.expires_at().is_some());

        let [request] = &server.requests()[..] else { panic!() };
        assert_eq!((&*request.method, &*request.path), ("POST", "/api/v1/generate/public"));
        assert_eq!(request.body, json!({"project_id": PROJECT}));
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("content-type"), Some("application/json"));
        let agent = format!("bondify-client/{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(&*agent));
    })
    .await;
}

#[tokio::test]
async fn status_sends_one_request() {
    within_a_minute(async {
        let server = ScriptedServer::start([status("pending"), confirmed()]).await;
        let sessions = client(&server).sessions(PROJECT);
        assert_eq!(sessions.status(TOKEN).await.unwrap(), SessionStatus::Pending);
        let Ok(SessionStatus::Confirmed(login)) = sessions.status(TOKEN).await else { panic!() };
        assert_eq!(login.user().name(), "Ada Lovelace");

        let [request, _] = &server.requests()[..] else { panic!() };
        assert_eq!((&*request.method, &*request.path), ("POST", "/api/v1/verify/public"));
        assert_eq!(request.body, json!({"project_id": PROJECT, "session_token": TOKEN}));
        assert_eq!(request.header("authorization"), None);
    })
    .await;
}

#[tokio::test]
async fn every_refusal_has_its_status_and_code() {
    within_a_minute(async {
        let refusal = |code: &str| json!({"error": "in words", "code": code});
        let nothing = Value::Null;
        for (status, body, code) in [
            (404, refusal("PROJECT_NOT_FOUND"), Some(ErrorCode::ProjectNotFound)),
            (403, refusal("PROJECT_INACTIVE"), Some(ErrorCode::ProjectInactive)),
            (403, refusal("PUBLIC_ACCESS_DISABLED"), Some(ErrorCode::PublicAccessDisabled)),
            (429, refusal("RATE_LIMITED"), Some(ErrorCode::RateLimited)),
            (400, refusal("MISSING_NAME"), Some(ErrorCode::Other("MISSING_NAME".into()))),
            (400, json!({"error": "in words"}), None),
            (401, nothing.clone(), None),
            (403, nothing.clone(), Some(ErrorCode::PublicAccessDisabled)),
            (404, nothing.clone(), Some(ErrorCode::ProjectNotFound)),
            (429, nothing.clone(), Some(ErrorCode::RateLimited)),
            (500, nothing.clone(), None),
            (302, nothing, None),
        ] {
            let answer = Answer::json(status, body).header("Retry-After", "7");
            let server = ScriptedServer::start([answer]).await;
            let sessions = client(&server).sessions(PROJECT);
            for error in
                [sessions.generate().await.unwrap_err(), sessions.status(TOKEN).await.unwrap_err()]
            {
                assert_eq!((error.status(), error.code()), (Some(status), code.as_ref()));
                assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
                assert!(!error.is_timeout());
                assert!(!format!("{error} {error:?}").contains("in words"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_has_ended_is_an_outcome_under_any_http_status() {
    within_a_minute(async {
        let cancelled = SessionStatus::Cancelled { cancelled_at: None };
        for http_status in [200, 400, 403, 404, 409, 410, 429, 500, 503] {
            for (code, expected) in
                [("SESSION_EXPIRED", &SessionStatus::Expired), ("SESSION_CANCELLED", &cancelled)]
            {
                let answer = Answer::json(http_status, json!({"error": "hush", "code": code}));
                let answers =
                    [generated(Duration::from_secs(600)), answer.clone(), answer.clone(), answer];
                let server = ScriptedServer::start(answers).await;
                let sessions = client(&server).sessions(PROJECT);
                let session = sessions.generate().await.unwrap();
                assert_eq!(&sessions.status(TOKEN).await.unwrap(), expected, "{http_status}");
                assert_eq!(&sessions.wait(&session).await.unwrap(), expected);
                let statuses: Vec<_> = sessions.statuses(&session).collect().await;
                assert!(matches!(&statuses[..], [Ok(status)] if status == expected));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_confirmed_answer_without_a_status_is_confirmed() {
    within_a_minute(async {
        let user = json!({"telegram_id": "7123456789", "telegram_name": "Ada", "proof": "a.b.c"});
        let answers =
            [generated(Duration::from_secs(600)), status("pending"), Answer::json(200, user)];
        let server = ScriptedServer::start(answers).await;
        let sessions = client(&server).sessions(PROJECT);
        let session = sessions.generate().await.unwrap();
        let SessionStatus::Confirmed(login) = sessions.wait(&session).await.unwrap() else {
            panic!()
        };
        assert_eq!((login.user().name(), login.proof()), ("Ada", "a.b.c"));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_with_an_incomplete_body_is_a_refusal() {
    within_a_minute(async {
        let answer = Answer::json(403, json!({"code": "PROJECT_INACTIVE"})).cut_short();
        let server = ScriptedServer::start([answer]).await;
        let error = client(&server).sessions(PROJECT).generate().await.unwrap_err();
        assert_eq!(error.status(), Some(403));
        assert_eq!(error.code(), Some(&ErrorCode::PublicAccessDisabled));
    })
    .await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    within_a_minute(async {
        let elsewhere = ScriptedServer::start([status("pending")]).await;
        for redirect in [301, 302, 303, 307, 308] {
            let answer = Answer::text(redirect, "").header("Location", &elsewhere.url());
            let server = ScriptedServer::start([answer]).await;
            let error = client(&server).sessions(PROJECT).status(TOKEN).await.unwrap_err();
            assert_eq!(error.status(), Some(redirect));
        }
        assert_eq!(elsewhere.requests().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn silence_stalling_and_trickling_end_at_the_time_out() {
    within_a_minute(async {
        let silence = Answer::none().stalled();
        for answer in [silence, confirmed().stalled(), confirmed().trickling()] {
            let server = ScriptedServer::start([answer]).await;
            let client = set_up(&server).timeout(Duration::from_millis(200)).build().unwrap();
            let error = client.sessions(PROJECT).status(TOKEN).await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert_eq!((error.status(), error.code()), (None, None));
            assert!(error.source().is_some());
            assert!(error.to_string().contains("in time"), "{error}");
        }
    })
    .await;
}

/// On Linux, a listener with a full queue does not answer a new connection.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_has_its_own_time_out() {
    use tokio::net::{TcpSocket, TcpStream};

    within_a_minute(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(0).unwrap();
        let address = full.local_addr().unwrap();
        let _queued = TcpStream::connect(address).await.unwrap();

        let client = Client::builder()
            .base_url(format!("http://{address}"))
            .connect_timeout(Duration::from_millis(200))
            .timeout(Duration::from_secs(3600));
        let sessions = client.build().unwrap().sessions(PROJECT);
        // The system's own time-out is 30 s.
        let generated = timeout(Duration::from_secs(20), sessions.generate()).await;
        assert!(generated.expect("the call ends before").unwrap_err().is_timeout());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_fails_is_an_error_with_its_cause() {
    within_a_minute(async {
        let answers = [Answer::none(), confirmed().cut_short()];
        let server = ScriptedServer::start(answers).await;
        let sessions = client(&server).sessions(PROJECT);
        let hung_up = sessions.status(TOKEN).await.unwrap_err();
        let cut = sessions.status(TOKEN).await.unwrap_err();
        drop(server);
        let refused = sessions.status(TOKEN).await.unwrap_err();
        for error in [hung_up, cut, refused] {
            assert!(error.source().is_some() && !error.is_timeout(), "{error:?}");
            assert_eq!(error.status(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn an_endless_answer_is_an_error_at_the_limit() {
    within_a_minute(async {
        let spaces = " ".repeat(Client::MAX_RESPONSE_BYTES);
        let whole = format!("{{\"status\":\"pending\"}}{spaces}");
        let fits = &whole[..Client::MAX_RESPONSE_BYTES];
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\n",
            whole.len()
        );
        let answers = [Answer::text(200, fits), Answer::text(200, &whole), Answer::bytes(chunked)];
        let server = ScriptedServer::start(answers).await;
        let sessions = client(&server).sessions(PROJECT);
        assert_eq!(sessions.status(TOKEN).await.unwrap(), SessionStatus::Pending);
        for _ in 0..2 {
            let error = sessions.status(TOKEN).await.unwrap_err();
            assert!(error.to_string().contains("larger than 8388608 bytes"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn neither_malformed_answers_nor_tokens_are_shown() {
    within_a_minute(async {
        let answers = [
            Answer::text(200, r#"{"status":"confirmed","telegram_id":{"hush":1}}"#),
            Answer::text(200, r#"{"status":"confirmed","confirmed_at":"hush"}"#),
            Answer::text(200, "hush"),
            Answer::text(400, r#"{"error":"no session sess_hush"}"#),
            Answer::none(),
        ];
        let server = ScriptedServer::start(answers.clone()).await;
        let sessions = client(&server).sessions(PROJECT);
        for _ in answers {
            let error = sessions.status("sess_hush").await.unwrap_err();
            let source = error.source().map(ToString::to_string);
            let shown = format!("{error} {error:?} {source:?}");
            assert!(!shown.contains("hush"), "{shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    within_a_minute(async {
        let server = ScriptedServer::start([status("pending")]).await;
        for (base, path) in [("/", "/api/v1/verify/public"), ("/b//", "/b/api/v1/verify/public")] {
            let url = format!("{}{base}", server.url());
            let client = Client::builder().base_url(url).build().unwrap();
            client.sessions(PROJECT).status(TOKEN).await.unwrap();
            assert_eq!(server.requests().last().unwrap().path, path);
        }
    })
    .await;
}

#[tokio::test]
async fn an_http_client_of_the_apps_own_sends_the_requests() {
    within_a_minute(async {
        let server = ScriptedServer::start([status("pending")]).await;
        let http = reqwest::Client::builder().user_agent("shop").build().unwrap();
        let client = Client::builder().base_url(server.url()).http(http).build().unwrap();
        client.sessions(PROJECT).status(TOKEN).await.unwrap();
        assert_eq!(server.requests()[0].header("user-agent"), Some("shop"));
    })
    .await;
}

#[tokio::test]
async fn an_https_url_uses_tls() {
    within_a_minute(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let first_bytes = tokio::spawn(async move {
            let mut bytes = [0; 2];
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut bytes).await.unwrap();
            bytes
        });
        let client = Client::builder().base_url(url).build().unwrap();
        let error = client.sessions(PROJECT).generate().await.unwrap_err();
        assert_eq!(first_bytes.await.unwrap(), [22, 3], "a handshake of TLS");
        assert!(error.source().is_some());
    })
    .await;
}
