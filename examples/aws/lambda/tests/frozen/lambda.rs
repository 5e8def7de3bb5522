//! A Lambda on this machine: the runtime API for one instance of a function, which freezes its process the moment that
//! it answers, and thaws it for the next invocation.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bondify_testkit::WebhookRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

/// A process of the function, killed when dropped.
pub(crate) struct Instance {
    process: Child,
    runtime_api: AbortHandle,
    invocations: mpsc::UnboundedSender<Invocation>,
    /// The time from the start of the process to its first request for an invocation.
    pub(crate) initialised_in: Duration,
}

struct Invocation {
    id: String,
    event: Value,
    answer: oneshot::Sender<Value>,
}

struct RuntimeApi {
    process: Pid,
    invocations: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    is_initialised: mpsc::UnboundedSender<()>,
    running: Mutex<HashMap<String, oneshot::Sender<Value>>>,
}

impl Instance {
    /// Starts a process, which calls DynamoDB at `dynamodb`. `handled` gets each event that it handles.
    pub(crate) async fn start(dynamodb: &str, handled: mpsc::UnboundedSender<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        let mut process = spawn(listener.local_addr().unwrap(), dynamodb);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(event) = line.strip_prefix("handled ") {
                    let _nobody_listens = handled.send(event.to_owned());
                }
            }
        });
        let (invocations, queue) = mpsc::unbounded_channel();
        let (is_initialised, mut initialised) = mpsc::unbounded_channel();
        let api = RuntimeApi {
            process: Pid::from_child(&process),
            invocations: queue.into(),
            is_initialised,
            running: Mutex::default(),
        };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(Arc::new(api));
        let server = tokio::spawn(async { axum::serve(listener, routes).await });
        initialised.recv().await.unwrap();
        let runtime_api = server.abort_handle();
        Self { process, runtime_api, invocations, initialised_in: start.elapsed() }
    }

    /// Thaws the process and lets it handle a request. Returns the status and the body of its answer.
    pub(crate) async fn invoke(&self, request: &WebhookRequest) -> (u16, String) {
        let (answer, answered) = oneshot::channel();
        let id = format!("{:032x}", fastrand::u128(..));
        let invocation = Invocation { id, event: event(request), answer };
        assert!(self.invocations.send(invocation).is_ok(), "the runtime API is up");
        kill_process(Pid::from_child(&self.process), Signal::CONT).unwrap();
        let answer = answered.await.unwrap();
        let status = answer["statusCode"].as_u64().unwrap().try_into().unwrap();
        (status, answer["body"].as_str().unwrap_or_default().to_owned())
    }

    /// Ends the process, as Lambda does at a time-out, or with an instance that it needs no more.
    pub(crate) fn kill(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
        self.runtime_api.abort();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The next invocation, as soon as there is one.
async fn next(State(api): State<Arc<RuntimeApi>>) -> ([(HeaderName, String); 3], Json<Value>) {
    let _counted = api.is_initialised.send(());
    let Invocation { id, event, answer } = api.invocations.lock().await.recv().await.unwrap();
    let headers = [
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", "9999999999999".to_owned()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-west-1:1:function:on".to_owned(),
        ),
    ];
    api.running.lock().unwrap().insert(id, answer);
    (headers.map(|(name, value)| (HeaderName::from_static(name), value)), Json(event))
}

/// Freezes the process. Lambda does so a little later, when it asks for the next invocation.
async fn response(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    answer: String,
) -> StatusCode {
    kill_process(api.process, Signal::STOP).unwrap();
    let answer = serde_json::from_str(&answer).unwrap();
    let running = api.running.lock().unwrap().remove(&id).unwrap();
    running.send(answer).unwrap();
    StatusCode::ACCEPTED
}

/// Answers as Lambda does for a function that returns an error.
async fn error(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, error: String) {
    let running = api.running.lock().unwrap().remove(&id).unwrap();
    running.send(json!({"statusCode": 502, "body": error})).unwrap();
}

/// The event of a function URL, whose body is base64 or not.
fn event(request: &WebhookRequest) -> Value {
    let headers: HashMap<_, _> = request.headers().iter().cloned().collect();
    let is_base64 = fastrand::bool();
    let body = if is_base64 {
        BASE64_STANDARD.encode(request.body())
    } else {
        String::from_utf8(request.body().to_vec()).unwrap()
    };
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/webhooks/bondify",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "on",
            "domainName": "on.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "on",
            "http": {
                "method": "POST",
                "path": "/webhooks/bondify",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "bondify"
            },
            "requestId": "1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "30/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_796_040_000_000_u64
        },
        "body": body,
        "isBase64Encoded": is_base64
    })
}

fn spawn(runtime_api: SocketAddr, dynamodb: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-lambda"));
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_NAME", "on")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/on")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "1")
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .env("BONDIFY_WEBHOOK_SECRET", super::SECRET)
        .stdout(Stdio::piped());
    command.spawn().unwrap()
}
