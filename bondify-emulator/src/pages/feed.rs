use std::{collections::BTreeSet, convert::Infallible, fmt::Write, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use super::{
    inspector::{DeliveryRow, Detail, Live, SessionRow, View},
    selection::{Selection, Tab},
};
use crate::{Change, DeliveryId, Visible, app::App};

/// Updates of an open inspector. Each update has parts of the page, which replace the parts with
/// the same id. The first update has all live parts, and so has an update after more changes than
/// the listener's buffer holds.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/inspector/feed", get(feed))
}

async fn feed(
    State(app): State<Arc<App>>,
    Query(selection): Query<Selection>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopped = app.stopped.clone().cancelled_owned();
    let feed = Feed {
        changes: app.backend.changes(),
        updates: Updates { everything: true, ..Updates::default() },
        app,
        selection,
    };
    let parts = stream::unfold(feed, async |mut feed| {
        let html = feed.next().await?;
        Some((Event::default().retry(Feed::RECONNECT_AFTER).data(html), feed))
    });
    Sse::new(parts.map(Ok).take_until(stopped)).keep_alive(KeepAlive::default())
}

struct Feed {
    app: Arc<App>,
    selection: Selection,
    changes: Receiver<Change>,
    updates: Updates,
}

/// The changes since the last update.
#[derive(Default)]
struct Updates {
    everything: bool,
    sessions: Vec<String>,
    deliveries: BTreeSet<DeliveryId>,
}

impl Feed {
    const RECONNECT_AFTER: Duration = Duration::from_secs(1);

    /// Waits for the next update, as HTML, with all changes since the last one.
    async fn next(&mut self) -> Option<String> {
        loop {
            if !self.updates.everything {
                match self.changes.recv().await {
                    Ok(change) => self.updates.add(change),
                    Err(RecvError::Lagged(_)) => self.updates.everything = true,
                    Err(RecvError::Closed) => return None,
                }
            }
            self.drain();
            let html = Visible(&self.render()).to_string();
            if !html.is_empty() {
                return Some(html);
            }
        }
    }

    fn drain(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.updates.add(change),
                Err(TryRecvError::Lagged(_)) => self.updates.everything = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn render(&mut self) -> String {
        let updates = std::mem::take(&mut self.updates);
        if !updates.everything {
            return self.render_rows(&updates);
        }
        // A deleted delivery or project is left out of the selection.
        let view = View::new(&self.app, self.selection.clone())
            .or_else(|_| View::new(&self.app, self.selection.closed()))
            .or_else(|_| View::new(&self.app, Selection::default().on(self.selection.tab)));
        view.map(|view| Live { view }.to_string()).unwrap_or_default()
    }

    fn render_rows(&self, updates: &Updates) -> String {
        let mut html = String::new();
        self.app.backend.with(|state, now| {
            for token in &updates.sessions {
                let session = state.session(token, now).ok();
                let session = session.filter(|session| self.selection.has_session(session));
                let row =
                    session.map(|session| SessionRow::new(state, &self.selection, session, now));
                match self.selection.tab {
                    Tab::Deliveries => {
                        let pending = row.filter(SessionRow::is_pending);
                        let row = pending.map(|row| row.among("pending"));
                        put(&mut html, row, format_args!("pending-{token}"));
                    }
                    Tab::Sessions => put(&mut html, row, format_args!("sessions-{token}")),
                    Tab::Settings => {}
                }
            }
            for &id in updates.deliveries.iter().filter(|_| self.selection.tab == Tab::Deliveries) {
                let delivery = state.delivery(id).ok();
                let wanted = delivery.filter(|delivery| self.selection.has_delivery(delivery));
                let row = wanted.map(|delivery| {
                    let project = state.project(&delivery.project_id).ok().cloned();
                    DeliveryRow::new(&self.selection, Arc::clone(delivery), project)
                });
                put(&mut html, row, format_args!("{id}"));
                if self.selection.open() == Some(id)
                    && let Ok(detail) = Detail::new(state, &self.selection, now)
                {
                    let _ = writeln!(html, "{detail}");
                }
            }
        });
        html
    }
}

/// Writes a row, or the mark that removes the row of this id.
fn put(html: &mut String, row: Option<impl std::fmt::Display>, id: std::fmt::Arguments<'_>) {
    let _ = match row {
        Some(row) => writeln!(html, "{row}"),
        None => writeln!(html, r#"<li id="{id}" data-gone></li>"#),
    };
}

impl Updates {
    fn add(&mut self, change: Change) {
        match change {
            Change::Session(session) => {
                if !self.sessions.contains(&session.token) {
                    self.sessions.push(session.token.clone());
                }
            }
            Change::Delivery(delivery) => {
                self.deliveries.insert(delivery.id);
            }
            Change::Project(_) | Change::ProjectDeleted(_) | Change::Reset => {
                self.everything = true;
            }
            Change::StateFile(_) => {}
        }
    }
}
