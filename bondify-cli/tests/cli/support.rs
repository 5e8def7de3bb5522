use std::{
    env, fmt,
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Event, Secret};
use bondify_emulator::{Builder, Emulator};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
};

pub(crate) const SECRET: &str = "whsec_test";

/// The command with `SECRET` in its environment, and nothing of the environment of the test.
pub(crate) fn bondify(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondify"));
    command.args(args).env_clear().env("BONDIFY_WEBHOOK_SECRET", SECRET);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// An emulator that answers as the reading in `BONDIFY_TEST_READING` says, if it is set.
pub(crate) fn emulator() -> Builder {
    let reading = env::var("BONDIFY_TEST_READING").ok().map(|name| name.parse().unwrap());
    reading.into_iter().fold(Emulator::builder(), Builder::reading)
}

/// Runs a command to its end.
pub(crate) async fn run(args: &[&str]) -> Finished {
    Finished::of(bondify(args)).await
}

/// Runs a command to its end with `stdin`.
pub(crate) async fn run_with(args: &[&str], stdin: impl AsRef<[u8]>) -> Finished {
    let mut command = bondify(args);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(stdin.as_ref()).await.unwrap();
    drop(pipe);
    Finished::from(child.wait_with_output().await.unwrap())
}

/// The result of a command.
#[derive(Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) async fn of(mut command: Command) -> Self {
        command.output().await.unwrap().into()
    }

    /// The lines of standard output, each a JSON object.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl From<std::process::Output> for Finished {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The form in snapshots.
impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.expect("was not ended by a signal");
        write!(f, "{}", self.stdout)?;
        for line in self.stderr.lines() {
            writeln!(f, "stderr: {line}")?;
        }
        writeln!(f, "exit code: {code}")
    }
}

/// A command that runs until it is ended.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(bondify(args))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of standard output; it is an error if there is none.
    pub(crate) async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().expect("there is another line")
    }

    /// The next line, or `None` if the command has ended.
    pub(crate) async fn try_line(&mut self) -> std::io::Result<Option<String>> {
        self.lines.next_line().await
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("is still running");
        let kill = format!("kill -s {name} {id}");
        let status = Command::new("sh").args(["-c", &kill]).status().await.unwrap();
        assert!(status.success());
    }

    /// Reads the rest of the output, and waits for the end.
    pub(crate) async fn end(mut self) -> Finished {
        let mut rest = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest.push_str(&line);
            rest.push('\n');
        }
        let finished = Finished::from(self.child.wait_with_output().await.unwrap());
        Finished { stdout: rest, ..finished }
    }

    /// Closes standard output, and waits for the end.
    pub(crate) async fn hang_up(self) -> Finished {
        drop(self.lines);
        self.child.wait_with_output().await.unwrap().into()
    }
}

/// Serves `app` on a free port, and returns its URL.
pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/bondify", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    url
}

/// A server that receives webhooks through `bondify-axum`.
pub(crate) struct Receiver {
    pub(crate) url: String,
    handled: Arc<Mutex<Vec<Event>>>,
}

impl Receiver {
    /// Answers 204.
    pub(crate) async fn start() -> Self {
        Self::answering(StatusCode::NO_CONTENT).await
    }

    pub(crate) async fn answering(status: StatusCode) -> Self {
        let handled = Arc::<Mutex<Vec<Event>>>::default();
        let (bondify, into) = (receiving(), Arc::clone(&handled));
        let on_event = async move |event: BondifyEvent| {
            into.lock().unwrap().push((*event).clone());
            status
        };
        let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));
        Self { url: serve(app).await, handled }
    }

    /// The events that reached the handler.
    pub(crate) fn handled(&self) -> Vec<Event> {
        self.handled.lock().unwrap().clone()
    }
}

fn receiving() -> Bondify {
    Bondify::builder(Secret::new(SECRET).unwrap()).build().unwrap()
}

/// A server that records each request and sends a fixed answer.
#[derive(Clone)]
pub(crate) struct Recorder {
    requests: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answer: Arc<dyn Fn() -> Response + Send + Sync>,
}

impl Recorder {
    /// The recorder, and its URL.
    pub(crate) async fn start<R: IntoResponse>(
        answer: impl Fn() -> R + Send + Sync + 'static,
    ) -> (Self, String) {
        let answer = Arc::new(move || answer().into_response());
        let recorder = Self { requests: Arc::default(), answer };
        let record = async |State(this): State<Self>, headers: HeaderMap, body: Bytes| {
            this.requests.lock().unwrap().push((headers, body));
            (this.answer)()
        };
        let app = Router::new().route("/webhooks/bondify", post(record));
        (recorder.clone(), serve(app.with_state(recorder)).await)
    }

    pub(crate) fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        self.requests.lock().unwrap().clone()
    }
}
