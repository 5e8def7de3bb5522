use std::{net::SocketAddr, sync::Arc};

use bondify_core::{Bondify, DedupeStore, MemoryStore, Projects, Reply, Secret};
use tokio::task::{JoinSet, yield_now};

use crate::Script;

/// The path at which a server under test receives deliveries.
pub const PATH: &str = "/webhooks/bondify";

/// The path at which a server of several projects receives deliveries. The project's id follows after a
/// `/`.
pub const PROJECTS_PATH: &str = "/webhooks/projects";

/// The projects `shop` and `blog`, which are chosen by the last segment of the path. Adapters attach them for
/// [`Attached::ForProjects`].
#[must_use]
pub fn two_projects(bondify: &Bondify) -> Projects {
    let platform = bondify.clone();
    Projects::new(bondify, move |head| {
        let id = head.path().rsplit('/').next().unwrap_or_default().to_owned();
        let platform = platform.clone();
        async move {
            yield_now().await;
            if ["shop", "blog"].contains(&&*id) {
                Ok(platform.for_project(&*id, project_secret(&id), []))
            } else {
                Err(Reply::ProjectNotFound)
            }
        }
    })
}

pub(super) fn project_secret(id: &str) -> Secret {
    Secret::new(format!("whsec_of_{id}")).expect("a valid secret")
}

/// Starts servers of one framework.
pub trait Adapter {
    /// The status that the framework itself answers to `GET` [`PATH`].
    const OTHER_METHOD_STATUS: u16 = 405;

    /// `true` if the framework itself answers 400 to a body in malformed chunks, while Bondify reads it.
    const ANSWERS_BROKEN_BODIES: bool = false;

    /// Returns the store that the cases run on, by default a new one in memory. Cases use
    /// different keys and can share a store.
    fn store() -> impl Future<Output = Arc<dyn DedupeStore>> + Send {
        async { Arc::new(MemoryStore::new()) as Arc<dyn DedupeStore> }
    }

    /// Serves `app` on an ephemeral loopback port: only `POST` [`PATH`], or the path of
    /// [`Attached::ForProjects`]. Returns `None` if the framework refuses to compile or to launch an app
    /// with this mistake, which is better than an error at run time.
    fn serve(app: App) -> impl Future<Output = Option<Server>> + Send;
}

/// The application to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct App {
    /// The value to attach to the route.
    pub bondify: Bondify,
    /// The script of the route's handler, which takes the verified event.
    pub script: Script,
    /// The way to attach `bondify`.
    pub attached: Attached,
}

/// The way in which Bondify is attached to the route.
///
/// Not `#[non_exhaustive]`: an adapter that matches it must not compile without a new case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Once, as intended.
    Once,
    /// Not at all, by mistake.
    Never,
    /// Twice, by mistake.
    Twice,
    /// Around the whole application, by mistake: it gets the requests for every path and method.
    Everywhere,
    /// Per request, as intended for several projects: `POST` [`PROJECTS_PATH`]`/{id}` is received
    /// through [`two_projects`].
    ForProjects,
    /// Once, to a handler that takes the body in this form and not the event. It calls
    /// [`Script::without_event`] and answers 200.
    Reading(Body),
}

/// The form in which a handler takes the body of a request, by the types of its framework.
///
/// Not `#[non_exhaustive]`, as for [`Attached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Not at all.
    Nothing,
    /// As bytes.
    Bytes,
    /// As text.
    Text,
    /// As JSON.
    Json,
    /// As the fields of a form. A delivery is JSON.
    Form,
    /// As the framework's own stream or request.
    Stream,
    /// By a generic type of the application that names the event's type and does not take the event, such as
    /// `Tagged<BondifyEvent>`.
    Tagged,
}

impl Body {
    /// All forms.
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Bytes,
        Self::Text,
        Self::Json,
        Self::Form,
        Self::Stream,
        Self::Tagged,
    ];
}

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Server {
    /// Runs `serve` in a task.
    ///
    /// ```
    /// use axum::Router;
    /// use bondify_testkit::http_suite::Server;
    /// use tokio::net::TcpListener;
    ///
    /// async fn serve(app: Router) -> Server {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // any free port
    ///     let address = listener.local_addr().unwrap();
    ///     Server::new(address, async { axum::serve(listener, app).await.unwrap() })
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(address: SocketAddr, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut serving = JoinSet::new();
        serving.spawn(serve);
        Self { address, _serving: serving }
    }

    /// Returns the address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
