use std::{fmt, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::timeout;

use crate::{
    Bondify, Reply,
    head::{RequestHead, is_delivery},
    limits::STORE_TIMEOUT,
    telemetry::{self, Record},
};

/// Chooses the [`Bondify`] of each request, for a server of several projects. Attach it to a route as a
/// `Bondify` is attached.
///
/// ```
/// use bondify_core::{Bondify, Projects, Reply, Secret};
///
/// #[derive(Clone)]
/// struct App {
///     bondify: Bondify,
/// }
///
/// impl App {
///     async fn secret_of(&self, _project: &str) -> Option<Secret> {
///         None // from a database
///     }
///
///     /// Receives for the project that is the last segment of the path.
///     fn projects(self) -> Projects {
///         Projects::new(&self.bondify.clone(), move |head| {
///             let id = head.path().rsplit('/').next().unwrap_or_default().to_owned();
///             let app = self.clone();
///             async move {
///                 let secret = app.secret_of(&id).await.ok_or(Reply::ProjectNotFound)?;
///                 Ok(app.bondify.for_project(id, secret, []))
///             }
///         })
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Projects {
    bondify: Bondify,
    /// `None` if every request is for `bondify`.
    choose: Option<Arc<Choose>>,
}

type Choose = dyn Fn(&dyn RequestHead) -> BoxFuture<'static, Result<Bondify, Reply>> + Send + Sync;

impl Projects {
    /// Creates projects from a function, which chooses the `Bondify` of each request. `choose` gets the head
    /// of the request: its method, path and headers. It looks up the project's secret, for instance in a
    /// database, and returns [`Bondify::for_project`] of `bondify`, or an error such as
    /// [`Reply::ProjectNotFound`], which is answered with 404. The body is read after that.
    /// [`drain`](Bondify::drain) of `bondify` covers all projects that are derived from it.
    ///
    /// A choice that takes longer than 5 seconds is answered with 503.
    ///
    /// ```
    /// use bondify_core::{Bondify, Projects, Reply, Secret};
    ///
    /// /// Two projects with fixed secrets, at `/webhooks/shop` and `/webhooks/blog`.
    /// fn projects(bondify: &Bondify, shop: Secret, blog: Secret) -> Projects {
    ///     let (shop, blog) =
    ///         (bondify.for_project("shop", shop, []), bondify.for_project("blog", blog, []));
    ///     Projects::new(bondify, move |head| {
    ///         let chosen = match head.path().rsplit('/').next() {
    ///             Some("shop") => Ok(shop.clone()),
    ///             Some("blog") => Ok(blog.clone()),
    ///             _ => Err(Reply::ProjectNotFound),
    ///         };
    ///         async { chosen }
    ///     })
    /// }
    /// ```
    pub fn new<C, F>(bondify: &Bondify, choose: C) -> Self
    where
        C: Fn(&dyn RequestHead) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Bondify, Reply>> + Send + 'static,
    {
        let choose = move |head: &dyn RequestHead| choose(head).boxed();
        Self { bondify: bondify.clone(), choose: Some(Arc::new(choose)) }
    }

    /// The `Bondify` whose [`drain`](Bondify::drain) covers all projects. For adapters.
    pub fn bondify(&self) -> &Bondify {
        &self.bondify
    }

    /// Chooses the `Bondify` of a request, before its body is read. For adapters.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send: the application's own, or [`Reply::StoreUnavailable`] if the choice takes
    /// longer than 5 seconds. It is logged and counted.
    pub fn choose(
        &self,
        head: &dyn RequestHead,
    ) -> impl Future<Output = Result<Bondify, Reply>> + Send + use<> {
        let choose = self.choose.as_ref().filter(|_| is_delivery(head));
        let (choice, bondify) = (choose.map(|choose| choose(head)), self.bondify.clone());
        async {
            let Some(choice) = choice else { return Ok(bondify) };
            let chosen = timeout(STORE_TIMEOUT, choice).await.unwrap_or_else(|_late| {
                tracing::error!(
                    "choosing a request's project took too long: it is answered with 503"
                );
                Err(Reply::StoreUnavailable)
            });
            chosen.map_err(|reply| Record::start(telemetry::WEBHOOK).refused(reply))
        }
    }
}

impl From<Bondify> for Projects {
    fn from(bondify: Bondify) -> Self {
        Self { bondify, choose: None }
    }
}

impl From<&Bondify> for Projects {
    fn from(bondify: &Bondify) -> Self {
        bondify.clone().into()
    }
}

impl fmt::Debug for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projects").field("bondify", &self.bondify).finish_non_exhaustive()
    }
}
