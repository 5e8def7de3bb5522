use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Emulator, Error, ProjectSettings, Reading,
    app::App,
    backend::Backend,
    clock::Clock,
    dispatcher::Dispatcher,
    journal::Journal,
    local::{ListenError, Listener},
    queue::Limits,
    random,
    reading::Readings,
    router::router,
    state::{Rules, State},
    transport::{Network, Resolver},
    trust::Trust,
};

/// The settings of an emulator. Created by [`Emulator::builder`].
///
/// ```
/// use std::time::Duration;
///
/// use bondify_emulator::{Emulator, ProjectSettings};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::builder()
///     .project(ProjectSettings::new().id("proj_shop"))
///     .retries(1)
///     .retry_base(Duration::from_millis(100))
///     .start()
///     .await?;
/// assert!(emulator.url().starts_with("http://127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use]
pub struct Builder {
    ip: Option<IpAddr>,
    port: u16,
    allowed_hosts: Vec<String>,
    readings: Readings,
    developer_token: Option<String>,
    projects: Vec<ProjectSettings>,
    rules: Rules,
    limits: Limits,
    trust: Trust,
    state: Option<PathBuf>,
    clock: Clock,
}

impl Emulator {
    /// Sets up an emulator. By default it listens on any free port of `127.0.0.1` and `[::1]`,
    /// keeps everything in memory and has no projects.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Sets the port to listen on. Default: any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the address to listen on. Default: `127.0.0.1` and `[::1]`. On any other than a
    /// loopback address, everybody who can reach this machine can confirm sessions and read
    /// secrets.
    ///
    /// ```no_run
    /// use std::net::Ipv4Addr;
    ///
    /// use bondify_emulator::Emulator;
    ///
    /// # async fn example() -> Result<(), bondify_emulator::StartError> {
    /// // In a container, for other containers of a private network.
    /// let emulator = Emulator::builder()
    ///     .bind(Ipv4Addr::UNSPECIFIED)
    ///     .port(4680)
    ///     .allowed_host("bondify")
    ///     .start()
    ///     .await?;
    /// # drop(emulator);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(mut self, ip: impl Into<IpAddr>) -> Self {
        self.ip = Some(ip.into());
        self
    }

    /// Allows another host name, such as the name of a container. By default only addresses,
    /// `localhost`, names that end in `.localhost`, `host.docker.internal` and
    /// `host.containers.internal` are allowed, which prevents DNS rebinding.
    pub fn allowed_host(mut self, name: impl Into<String>) -> Self {
        self.allowed_hosts.push(name.into());
        self
    }

    /// Sets the token of the developer API. Default: a random token, see
    /// [`Emulator::developer_token`].
    ///
    /// ```
    /// use bondify_emulator::Emulator;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), bondify_emulator::StartError> {
    /// let emulator = Emulator::builder().developer_token("dev_test").start().await?;
    /// assert_eq!(emulator.developer_token(), "dev_test");
    /// # Ok(())
    /// # }
    /// ```
    pub fn developer_token(mut self, token: impl Into<String>) -> Self {
        self.developer_token = Some(token.into());
        self
    }

    /// Answers as this reading of Bondify's sources says, in addition to the readings before.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.readings.0.push(reading);
        self
    }

    /// Adds a project. If the [state](Self::state) has a project of the same id, the settings
    /// change that one.
    pub fn project(mut self, settings: ProjectSettings) -> Self {
        self.projects.push(settings);
        self
    }

    /// Sets the lifetime of a pending session. Default: 10 minutes.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.session_lifetime = lifetime;
        self
    }

    /// Sets the number of retries for projects on the plan Hobby. Default: 3.
    pub fn retries(mut self, retries: u32) -> Self {
        self.rules.retry.retries = retries;
        self
    }

    /// Sets the number of retries for projects on the plans Pro and Business. Default: 6.
    pub fn priority_retries(mut self, retries: u32) -> Self {
        self.rules.retry.priority_retries = retries;
        self
    }

    /// Sets the delay before the first retry. Default: 1 second.
    pub fn retry_base(mut self, base: Duration) -> Self {
        self.rules.retry.base = base;
        self
    }

    /// Sets the factor of each further delay. Default: 2. No delay is longer than a day.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_emulator::{Builder, Emulator};
    ///
    /// /// Retries after 100, 300 and 900 ms.
    /// fn quick() -> Builder {
    ///     Emulator::builder().retries(3).retry_base(Duration::from_millis(100)).retry_factor(3.0)
    /// }
    /// ```
    pub fn retry_factor(mut self, factor: f64) -> Self {
        self.rules.retry.factor = factor;
        self
    }

    /// Sets whether each delay is random, from half to one and a half times its length.
    /// Default: no.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.rules.retry.jitter = jitter;
        self
    }

    /// Sets the time-out of an attempt. Default: 10 seconds, as Bondify documents.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// Sets the number of public requests a minute for each project, all at once or evenly
    /// distributed. Default: 60 000. Further requests are answered with 429.
    ///
    /// ```
    /// use bondify_emulator::{Builder, Emulator};
    ///
    /// /// To test a client that is answered with 429.
    /// fn strict() -> Builder {
    ///     Emulator::builder().rate_limit(10)
    /// }
    /// ```
    pub fn rate_limit(mut self, requests_per_minute: u32) -> Self {
        self.rules.requests_per_minute = requests_per_minute;
        self
    }

    /// Sets the maximum number of attempts in flight: in total, and per project. Default: 64
    /// and 16; at least 1. An attempt that takes longer than 250 ms no longer counts toward
    /// the total, so that slow endpoints only delay their own project.
    pub fn concurrency(mut self, total: usize, per_project: usize) -> Self {
        (self.limits.total, self.limits.per_project) = (total.max(1), per_project.max(1));
        self
    }

    /// Sets the number of deliveries that are kept, newest first. Default: 500. Unfinished
    /// deliveries are kept beyond that.
    pub fn keep_deliveries(mut self, count: usize) -> Self {
        self.rules.keep_deliveries = count;
        self
    }

    /// Keeps projects, sessions and deliveries in this file. After a restart, unfinished
    /// deliveries continue. The file has secrets and personal data, so only its owner may read
    /// it.
    ///
    /// Every change is in the file when a call returns, so killing the process loses nothing. A
    /// power failure may lose the last changes.
    ///
    /// ```no_run
    /// use bondify_emulator::Emulator;
    ///
    /// # async fn example() -> Result<(), bondify_emulator::StartError> {
    /// let emulator = Emulator::builder().port(4680).state("bondify-state.jsonl").start().await?;
    /// # drop(emulator);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Allows deliveries to any address. Default: loopback addresses only.
    pub fn allow_remote_delivery(mut self) -> Self {
        self.rules.remote_delivery = true;
        self
    }

    /// Trusts these CA certificates, in PEM, in addition to those of the system. For `https`
    /// webhook URLs.
    #[cfg(feature = "https")]
    pub fn trust_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust.authorities.push(pem.into());
        self
    }

    /// Accepts any certificate of this host, such as a self-signed one. `localhost` means every name of this
    /// machine.
    #[cfg(feature = "https")]
    pub fn accept_any_certificate_of(mut self, host: impl Into<String>) -> Self {
        self.trust.unverified_hosts.push(host.into());
        self
    }

    /// Sets the clock for the expiry of sessions and the times of events. Default:
    /// [`SystemTime::now`]. Delays and time-outs always pass in real time.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use bondify_emulator::{Builder, Emulator};
    ///
    /// /// To test an app whose clock is an hour behind.
    /// fn an_hour_ahead() -> Builder {
    ///     Emulator::builder().clock(|| SystemTime::now() + Duration::from_secs(60 * 60))
    /// }
    /// ```
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(clock);
        self
    }

    /// Starts the emulator on the current tokio runtime.
    ///
    /// ```
    /// use bondify_emulator::{Emulator, StartError};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), StartError> {
    /// let emulator = Emulator::builder().start().await?;
    /// let taken = Emulator::builder().port(emulator.address().port()).start().await;
    /// assert!(matches!(taken, Err(StartError::Bind(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError::Bind`] if the port is in use, [`StartError::Project`] if a setting of a project is not
    /// valid, [`StartError::State`] if the state file cannot be read or written or another emulator uses
    /// it, [`StartError::Client`] if a trusted certificate cannot be read.
    pub async fn start(self) -> Result<Emulator, StartError> {
        let remote = self.rules.remote_delivery;
        let mut state = State::new(self.rules, self.clock.now());
        let journal = self.state.map(|path| Journal::open(&path, &mut state)).transpose()?;
        for settings in self.projects {
            state.add_preset(settings).map_err(StartError::Project)?;
        }
        state.resume();
        let network = Network::new(self.limits.timeout, remote, self.trust);
        let network = network.map_err(|error| StartError::Client(Box::new(error)))?;
        let listener = Listener::bind(self.ip, self.port).await?;
        let address = listener.address();
        let mut reachable = address;
        if address.ip().is_unspecified() {
            reachable.set_ip(Ipv4Addr::LOCALHOST.into());
        }

        let (backend, changes) = Backend::new(state, journal, self.clock);
        let backend = Arc::new(backend);
        let stopped = CancellationToken::new();
        let tasks = TaskTracker::new();
        let dispatcher = Dispatcher::new(Arc::clone(&backend), network, changes, self.limits);
        tasks.spawn(stopped.clone().run_until_cancelled_owned(dispatcher.run()));
        // Acts on the changes of the restored state.
        backend.with(|_| ());

        let app = Arc::new(App {
            backend,
            url: format!("http://{reachable}"),
            address,
            developer_token: self.developer_token.unwrap_or_else(|| random::id("dev_")),
            allowed_hosts: self.allowed_hosts,
            readings: self.readings,
            resolver: Resolver { remote },
            stopped: stopped.clone(),
        });
        let service = router(Arc::clone(&app));
        let serving = axum::serve(listener, service)
            .with_graceful_shutdown(stopped.cancelled_owned())
            .into_future();
        tasks.spawn(serving);
        tasks.close();
        Ok(Emulator { app, tasks })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("port", &self.port).finish_non_exhaustive()
    }
}

/// An error of [`Builder::start`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is in use, or does not belong to this machine.
    #[error(transparent)]
    Bind(#[from] ListenError),
    /// A setting of a project is not valid.
    #[error("the settings of a project are not valid")]
    Project(#[source] Error),
    /// The state file cannot be read or written, or another emulator uses it.
    #[error("cannot use the state file")]
    State(#[from] io::Error),
    /// The HTTP client cannot be created.
    #[error("cannot create the HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}
