//! The initializer with the routes of the sign-in and of the webhook.

use async_trait::async_trait;
use axum::{Extension, Router, extract::State, http::StatusCode, response::Redirect};
use bondify_axum::{
    Bondify, BondifyEvent, BondifyExt, Event,
    login::{Login, LoginExt, SignedIn},
    sqlx::SqliteStore,
};
use loco_rs::{
    Error, Result,
    app::{AppContext, Initializer},
};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

use crate::users;

pub(crate) struct Telegram;

#[async_trait]
impl Initializer for Telegram {
    fn name(&self) -> String {
        "telegram".to_owned()
    }

    async fn after_routes(&self, router: Router, app: &AppContext) -> Result<Router> {
        let (login, bondify) =
            start(app).await.map_err(|error| Error::string(&error.to_string()))?;
        let routes = Router::new()
            .route("/webhooks/bondify", bondify.post(on_event))
            .merge(login.routes("/login", on_login))
            .layer(Extension(login))
            .with_state(app.clone());
        // Another store keeps sessions over a restart. Behind TLS leave out `with_secure`.
        let sessions = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
        Ok(router.merge(routes).layer(sessions))
    }
}

async fn start(
    app: &AppContext,
) -> Result<(Login, Bondify), Box<dyn std::error::Error + Send + Sync>> {
    let (sessions, secret) = example_support::login::project().await?;
    // The events that were handled are in the database of the app.
    let store = SqliteStore::new(app.db.get_sqlite_connection_pool().clone());
    store.migrate().await?;
    let bondify = Bondify::builder(secret).store(store).build()?;
    let login = Login::builder(sessions, &bondify)
        .origin(app.config.server.full_url())
        .app_name("Shop")
        .build()?;
    Ok((login, bondify))
}

/// Called once for each event. A login that no browser finishes creates a user too.
async fn on_event(
    State(app): State<AppContext>,
    Extension(login): Extension<Login>,
    BondifyEvent(event): BondifyEvent,
) -> Result<StatusCode> {
    if let Event::Confirmed(confirmed) = &event {
        users::upsert(&app.db, confirmed.user()).await?;
    }
    login.notify(&event); // the page need not wait for the next poll
    Ok(StatusCode::NO_CONTENT)
}

/// Called once for each login, in the browser that began it.
async fn on_login(
    login: SignedIn,
    State(app): State<AppContext>,
    session: Session,
) -> Result<Redirect> {
    let user = users::upsert(&app.db, &login.user).await?;
    session.cycle_id().await.map_err(Error::wrap)?; // nobody has planted the new id
    session.insert("user", user.id).await.map_err(Error::wrap)?;
    Ok(Redirect::to(&login.return_to))
}
