use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    response::{
        Html, IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;

use super::{
    inspector::{Live, View},
    result::visible,
    selection::Selection,
};
use crate::app::{App, Shared};

/// Updates of open inspectors. `changes` streams the number of the next change; one page of a
/// browser listens to it and informs the others, because a browser has few connections to a host.
/// Each page then asks `feed` for its live parts, and replaces those that differ.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/inspector/changes", get(changes)).route("/inspector/feed", get(feed))
}

/// The header with the number of the first change that an update does not show.
const NEXT_CHANGE: &str = "next-change";

async fn changes(State(app): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    const RECONNECT_AFTER: Duration = Duration::from_secs(1);
    /// The time in which changes are announced together.
    const PAUSE: Duration = Duration::from_millis(50);
    let stopped = app.stopped.clone().cancelled_owned();
    let mut next = app.backend.next_change();
    next.mark_changed();
    let numbers = stream::unfold(next, async |mut next| {
        next.changed().await.ok()?;
        sleep(PAUSE).await;
        let number = next.borrow_and_update().to_string();
        Some((Ok(Event::default().retry(RECONNECT_AFTER).data(number)), next))
    });
    Sse::new(numbers.take_until(stopped)).keep_alive(KeepAlive::default())
}

async fn feed(State(app): Shared, Query(selection): Query<Selection>) -> impl IntoResponse {
    let next = app.backend.next_change().borrow().to_string();
    // A deleted delivery or project is left out of the selection.
    let view = View::new(&app, selection.clone())
        .or_else(|_| View::new(&app, selection.closed()))
        .or_else(|_| View::new(&app, Selection::default().on(selection.tab)));
    let html = view.map(|view| visible(&Live { view })).unwrap_or_default();
    ([(NEXT_CHANGE, next)], Html(html))
}
