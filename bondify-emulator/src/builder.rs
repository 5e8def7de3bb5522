use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Emulator, Error, ProjectSettings,
    app::App,
    backend::Backend,
    clock::Clock,
    dispatcher::Dispatcher,
    journal::{Journal, JournalError},
    queue::Limits,
    random,
    router::router,
    state::{Rules, State},
    transport::Network,
};

/// How an emulator is to be. Made by [`Emulator::builder`].
#[must_use]
pub struct Builder {
    address: SocketAddr,
    allowed_hosts: Vec<String>,
    developer_token: Option<String>,
    projects: Vec<ProjectSettings>,
    rules: Rules,
    limits: Limits,
    timeout: Duration,
    remote_delivery: bool,
    state: Option<PathBuf>,
    clock: Clock,
}

impl Emulator {
    /// Sets up an emulator. By default it listens on any free port of `127.0.0.1`, keeps
    /// everything in memory and has no projects.
    pub fn builder() -> Builder {
        Builder {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            allowed_hosts: Vec::new(),
            developer_token: None,
            projects: Vec::new(),
            rules: Rules::default(),
            limits: Limits::default(),
            timeout: Duration::from_secs(10),
            remote_delivery: false,
            state: None,
            clock: Clock::new(SystemTime::now),
        }
    }
}

impl Builder {
    /// The port to listen on. Any that is free unless set.
    pub fn port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }

    /// The address to listen on. `127.0.0.1` unless set; on any but a loopback address,
    /// everybody who can reach this machine can confirm sessions and read secrets.
    pub fn bind(mut self, ip: impl Into<IpAddr>) -> Self {
        self.address.set_ip(ip.into());
        self
    }

    /// Answers requests to this host name too, such as the name of a container. Without it,
    /// addresses and `localhost` only, so that DNS rebinding gets nothing.
    pub fn allowed_host(mut self, name: impl Into<String>) -> Self {
        self.allowed_hosts.push(name.into());
        self
    }

    /// The token of the developer API. Random unless set, see
    /// [`Emulator::developer_token`].
    pub fn developer_token(mut self, token: impl Into<String>) -> Self {
        self.developer_token = Some(token.into());
        self
    }

    /// A project to start with. If the [state](Self::state) has one of that id, what is set
    /// here is changed in it.
    pub fn project(mut self, settings: ProjectSettings) -> Self {
        self.projects.push(settings);
        self
    }

    /// How long a session waits for a tap. 10 minutes unless set.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.session_lifetime = lifetime;
        self
    }

    /// How often a failed delivery is tried again. 3 times unless set, for projects on the
    /// plan Hobby.
    pub fn retries(mut self, retries: u32) -> Self {
        self.rules.retry.retries = retries;
        self
    }

    /// The same for projects on the plans Pro and Business: 6 times unless set.
    pub fn priority_retries(mut self, retries: u32) -> Self {
        self.rules.retry.priority_retries = retries;
        self
    }

    /// How long after a failed first attempt the second comes. A second unless set.
    pub fn retry_base(mut self, base: Duration) -> Self {
        self.rules.retry.base = base;
        self
    }

    /// What each further delay is multiplied by. 2 unless set. No delay is longer than a day.
    pub fn retry_factor(mut self, factor: f64) -> Self {
        self.rules.retry.factor = factor;
        self
    }

    /// Whether each delay is drawn at random from half to one and a half times its length.
    /// Not unless set.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.rules.retry.jitter = jitter;
        self
    }

    /// How long a receiver may take to answer. 10 seconds unless set, as Bondify's
    /// documentation has it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many public requests a minute each project may have: all of them at once, or
    /// evenly. 60 000 unless set. More are answered with 429.
    pub fn rate_limit(mut self, requests_per_minute: u32) -> Self {
        self.rules.requests_per_minute = requests_per_minute;
        self
    }

    /// How many attempts may be under way: over all, and for one project. 64 and 16 unless
    /// set; at least one. An attempt that takes longer than a quarter of a second no longer
    /// counts over all, so that slow endpoints hold up nobody else.
    pub fn concurrency(mut self, total: usize, per_project: usize) -> Self {
        self.limits = Limits { total: total.max(1), per_project: per_project.max(1) };
        self
    }

    /// How many of the newest deliveries are kept. 500 unless set; what is not finished is kept
    /// beyond that.
    pub fn keep_deliveries(mut self, count: usize) -> Self {
        self.rules.keep_deliveries = count;
        self
    }

    /// Keeps projects, sessions and deliveries in this file over restarts. Deliveries that were
    /// not finished go on. It has secrets and personal data, so only its owner may read it.
    ///
    /// Every change is in the file when a call returns, so that killing the process loses
    /// nothing; a power failure may lose the last ones.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Delivers to any address, not only to loopback ones.
    pub fn allow_remote_delivery(mut self) -> Self {
        self.remote_delivery = true;
        self
    }

    /// Goes by `clock` instead of [`SystemTime::now`]: what sessions expire by, and what events
    /// say when they happened. Delays and time-outs pass in real time all the same.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(clock);
        self
    }

    /// Starts it, on the tokio runtime that this is called on.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(self) -> Result<Emulator, StartError> {
        let now = self.clock.now();
        let mut state = State::new(self.rules);
        let journal = self.state.map(|path| Journal::open(&path, &mut state)).transpose()?;
        for settings in self.projects {
            state.add_preset(settings, now).map_err(StartError::Project)?;
        }
        state.resume(now);
        let network = Network::new(self.timeout, self.remote_delivery);
        let network = network.map_err(|error| StartError::Client(Box::new(error)))?;
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.map_err(|error| StartError::Bind(self.address, error))?;
        let address =
            listener.local_addr().map_err(|error| StartError::Bind(self.address, error))?;

        let (backend, commands) = Backend::new(state, journal, self.clock);
        let backend = Arc::new(backend);
        let stopped = CancellationToken::new();
        let tasks = TaskTracker::new();
        let dispatcher = Dispatcher::new(Arc::clone(&backend), network, commands, self.limits);
        tasks.spawn(stopped.clone().run_until_cancelled_owned(dispatcher.run()));
        // What was restored is acted on from here on.
        backend.with(|_, _| ());

        let app = Arc::new(App {
            backend,
            url: format!("http://{}", reachable(address)),
            address,
            developer_token: self.developer_token.unwrap_or_else(|| random::id("dev_")),
            allowed_hosts: self.allowed_hosts,
            stopped: stopped.clone(),
        });
        let service = router(Arc::clone(&app));
        let serving = axum::serve(listener, service)
            .with_graceful_shutdown(stopped.cancelled_owned())
            .into_future();
        tasks.spawn(serving);
        tasks.close();
        Ok(Emulator::new(app, tasks))
    }
}

/// An address for clients on this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why an emulator cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is in use or not this machine's.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// A project to start with makes no sense.
    #[error("a project to start with is not valid")]
    Project(#[source] Error),
    /// The state file cannot be read or written, or another emulator uses it.
    #[error("the state file cannot be used")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<JournalError> for StartError {
    fn from(error: JournalError) -> Self {
        Self::State(Box::new(error))
    }
}
