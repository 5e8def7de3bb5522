use std::{collections::BTreeSet, convert::Infallible, fmt::Write, sync::Arc, time::Duration};

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
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    inspector::{DeliveryRow, Detail, Live, SessionRow, View},
    selection::{Selection, Tab},
};
use crate::{Change, DeliveryId, Visible, app::App};

/// Updates of open inspectors. `changes` streams the number of the next change; one page of a
/// browser listens to it and tells the others, because a browser has few connections to a host.
/// Each page then asks `feed` for the parts that have changed since the number that it has shown.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/inspector/changes", get(changes)).route("/inspector/feed", get(feed))
}

/// The header with the number of the first change that an update does not show.
const NEXT_CHANGE: &str = "next-change";

async fn changes(
    State(app): State<Arc<App>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    const RECONNECT_AFTER: Duration = Duration::from_secs(1);
    /// The time in which changes are announced together.
    const PAUSE: Duration = Duration::from_millis(50);
    let stopped = app.stopped.clone().cancelled_owned();
    let mut next = app.backend.next_change();
    next.mark_changed();
    let numbers = stream::unfold(next, async |mut next| {
        next.changed().await.ok()?;
        let number = *next.borrow_and_update();
        Some((number, next))
    });
    let numbers = numbers.enumerate().then(async |(place, number)| {
        if place > 0 {
            sleep(PAUSE).await;
        }
        Ok(Event::default().retry(RECONNECT_AFTER).data(number.to_string()))
    });
    Sse::new(numbers.take_until(stopped)).keep_alive(KeepAlive::default())
}

#[derive(Deserialize)]
struct Shown {
    /// The number of the first change that the page has not shown.
    next_change: Option<u64>,
}

async fn feed(
    State(app): State<Arc<App>>,
    Query(selection): Query<Selection>,
    Query(Shown { next_change }): Query<Shown>,
) -> impl IntoResponse {
    let (changes, next) = app.backend.changes_from(next_change);
    let updates = Updates::of(changes);
    let html = Feed { app, selection }.render(&updates);
    ([(NEXT_CHANGE, next.to_string())], Html(Visible(&html).to_string()))
}

struct Feed {
    app: Arc<App>,
    selection: Selection,
}

/// The contents of a page.
#[derive(Default)]
struct Updates {
    everything: bool,
    sessions: Vec<String>,
    deliveries: BTreeSet<DeliveryId>,
}

impl Feed {
    /// The parts of the page that replace the parts with the same id.
    fn render(&self, updates: &Updates) -> String {
        if !updates.everything {
            return self.render_rows(updates);
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
                    let is_named = self.selection.find(state.projects()).is_none();
                    let project = state.project(&delivery.project_id).ok().filter(|_| is_named);
                    DeliveryRow::new(&self.selection, Arc::clone(delivery), project.cloned())
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
    /// These changes, or everything if they are not known.
    fn of(changes: Option<Vec<Change>>) -> Self {
        let mut updates = Self { everything: changes.is_none(), ..Self::default() };
        changes.into_iter().flatten().for_each(|change| updates.add(change));
        updates
    }

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
