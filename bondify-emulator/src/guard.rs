use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
    middleware::Next,
    response::Response,
};

use crate::{Error, app::App, local::is_local};

/// Refuses requests to an unknown host name, which prevents DNS rebinding.
pub(crate) async fn known_host_only(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let host = host(request.headers()).ok_or(Error::ForbiddenHost)?;
    if !app.is_own_host(host.host()) {
        return Err(Error::ForbiddenHost);
    }
    Ok(next.run(request).await)
}

/// Refuses requests from a page of another origin. Only pages send an origin.
pub(crate) async fn same_origin_only(request: Request, next: Next) -> Result<Response, Error> {
    let headers = request.headers();
    let own = host(headers).map(|host| format!("http://{host}"));
    let foreign = |origin: &[u8]| own.as_ref().is_none_or(|own| own.as_bytes() != origin);
    if headers.get_all(ORIGIN).iter().any(|origin| foreign(origin.as_bytes())) {
        return Err(Error::ForbiddenOrigin);
    }
    Ok(next.run(request).await)
}

/// Refuses changes that a restart would lose, because the state file cannot be written.
pub(crate) async fn stored_only(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    if !app.backend.is_stored() {
        return Err(Error::StateNotWritten);
    }
    let response = next.run(request).await;
    if app.backend.is_stored() { Ok(response) } else { Err(Error::StateNotWritten) }
}

/// The names that containers have for the machine they run on. Nobody can register names that end
/// in `.internal`.
const CONTAINER_HOSTS: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

impl App {
    /// Whether `host` is the emulator: a name or an address of this machine, the address that it
    /// is bound to, or an allowed name. If it is bound to all addresses, every address is allowed,
    /// because DNS rebinding needs a name.
    fn is_own_host(&self, host: &str) -> bool {
        if is_local(host) {
            return true;
        }
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let bound = self.address.ip();
            return bound.is_unspecified() || ip == bound;
        }
        let mut names = self.allowed_hosts.iter().map(|name| &**name).chain(CONTAINER_HOSTS);
        names.any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The host of the request; `None` if the header is missing or repeated.
pub(crate) fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    }
}
