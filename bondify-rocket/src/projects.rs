use bondify_core::{Bondify, Reply, adapter};
use rocket::Request;

/// Chooses the [`Bondify`] of a request, for a server of several projects.
/// [`BondifyExt::mount_for_projects`](crate::BondifyExt::mount_for_projects) takes it, with a complete
/// example.
#[rocket::async_trait]
pub trait Projects: Send + Sync + 'static {
    /// Finds the request's project and its secret, for instance in a database, and returns
    /// [`Bondify::for_project`]. The body is not read before.
    ///
    /// # Errors
    ///
    /// The [`Reply`] to send: [`Reply::ProjectNotFound`] (404) if the application does not know the
    /// project, [`Reply::StoreUnavailable`] (503) if its database does not answer, so that Bondify retries.
    async fn choose(&self, request: &Request<'_>) -> Result<Bondify, Reply>;
}

/// The projects that routes are mounted for.
pub(crate) enum Mounting {
    One(Bondify),
    Chosen(Box<dyn Projects>),
}

impl Mounting {
    pub(crate) async fn choose(&self, request: &Request<'_>) -> Result<Bondify, Reply> {
        match self {
            Self::One(bondify) => Ok(bondify.clone()),
            Self::Chosen(projects) => adapter::choose(projects.choose(request)).await,
        }
    }
}
