//! The controller of the pages.

use axum::response::Redirect;
use loco_rs::{controller::views::engines::TeraView, prelude::*};
use tower_sessions::Session;

use crate::users::{Entity as Users, Model as User};

pub(crate) fn routes() -> Routes {
    Routes::new().add("/", get(home)).add("/account", get(account)).add("/logout", post(sign_out))
}

async fn current_user(session: &Session, app: &AppContext) -> Result<Option<User>> {
    match session.get::<i32>("user").await.map_err(Error::wrap)? {
        Some(id) => Ok(Users::find_by_id(id).one(&app.db).await?),
        None => Ok(None),
    }
}

async fn home(
    session: Session,
    State(app): State<AppContext>,
    ViewEngine(views): ViewEngine<TeraView>,
) -> Result<Response> {
    let user = current_user(&session, &app).await?;
    format::view(&views, "home.html", data!({ "user": user }))
}

/// A page that requires a login, and comes back after it.
async fn account(
    session: Session,
    State(app): State<AppContext>,
    ViewEngine(views): ViewEngine<TeraView>,
) -> Result<Response> {
    match current_user(&session, &app).await? {
        Some(user) => format::view(&views, "account.html", data!({ "user": user })),
        None => format::redirect("/login?return_to=/account"),
    }
}

async fn sign_out(session: Session) -> Result<Redirect> {
    session.flush().await.map_err(Error::wrap)?;
    Ok(Redirect::to("/"))
}
