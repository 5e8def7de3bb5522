use std::{net::SocketAddr, time::Duration};

use bondify_axum::{Bondify, client::Client, login::Login};
use bondify_emulator::{Emulator, ProjectSettings};
use example_login::Users;
use tempfile::TempDir;
use tokio::net::TcpListener;

const PROJECT: &str = "proj_login";

/// For a session that is not to expire.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The web app, and the local Bondify that it is on.
pub(crate) struct Rig {
    pub(crate) app: SocketAddr,
    pub(crate) emulator: Emulator,
    _database: Option<TempDir>,
}

impl Rig {
    /// Starts on SQLite.
    pub(crate) async fn start(lifetime: Duration) -> Self {
        let database = TempDir::new().unwrap();
        let url = format!("sqlite:{}?mode=rwc", database.path().join("login.db").display());
        let database = Some(database);
        Self { _database: database, ..Self::start_on(&url, lifetime).await }
    }

    /// Starts on the database of this URL.
    pub(crate) async fn start_on(url: &str, lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = listener.local_addr().unwrap();
        let project = ProjectSettings::new()
            .id(PROJECT)
            .name("Login example")
            .webhook_url(format!("http://{app}/webhooks/bondify"))
            .public_access(true);
        let emulator = Emulator::builder().project(project).session_lifetime(lifetime);
        let emulator = emulator.start().await.unwrap();
        let secret = emulator.project(PROJECT).unwrap().secret();
        let bondify = Bondify::builder(secret).build().unwrap();
        // A login is not polled before it expires: only the webhook can tell the decision.
        let client = Client::builder().base_url(emulator.url()).poll_interval(lifetime);
        let client = client.build().unwrap();
        let login = Login::builder(client.sessions(PROJECT), &bondify)
            .origin(format!("http://{app}"))
            .app_name("Login example")
            .webhooks(true)
            .build()
            .unwrap();
        let users = Users::connect(url).await.unwrap();
        let router = example_login::app(&login, &bondify, users);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { app, emulator, _database: None }
    }
}
