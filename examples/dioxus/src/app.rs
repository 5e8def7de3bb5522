use dioxus::prelude::*;

use crate::account::{account, current_user};

#[derive(Clone, PartialEq, Routable)]
enum Route {
    #[route("/")]
    Home {},
    #[route("/account")]
    Account {},
}

#[component]
pub(crate) fn App() -> Element {
    rsx! {
        main { Router::<Route> {} }
    }
}

#[component]
fn Home() -> Element {
    let user = use_server_future(current_user)?;
    match user() {
        Some(Ok(Some(user))) => rsx! {
            h1 { "Welcome, " bdi { "{user.name}" } }
            p { Link { to: Route::Account {}, "Your account" } }
            form { method: "post", action: "/logout", button { "Sign out" } }
        },
        Some(Ok(None)) => rsx! {
            h1 { "Shop" }
            SignIn { return_to: "/" }
        },
        _ => rsx! { Unavailable {} },
    }
}

/// A page that requires a login, and comes back after it.
#[component]
fn Account() -> Element {
    let account = use_server_future(account)?;
    let page = match account() {
        Some(Ok(Some(text))) => rsx! {
            p { "{text}" }
            p { Link { to: Route::Home {}, "Back" } }
        },
        Some(Ok(None)) => rsx! { SignIn { return_to: "/account" } },
        _ => rsx! { Unavailable {} },
    };
    rsx! {
        h1 { "Your account" }
        {page}
    }
}

/// A form and not a link of the router: the sign-in is a route of axum.
#[component]
fn SignIn(return_to: &'static str) -> Element {
    rsx! {
        form { method: "post", action: "/login",
            input { r#type: "hidden", name: "return_to", value: return_to }
            button { "Sign in with Telegram" }
        }
    }
}

#[component]
fn Unavailable() -> Element {
    rsx! { p { role: "alert", "Not available now. Try again later." } }
}
