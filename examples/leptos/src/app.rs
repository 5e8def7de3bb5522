use leptos::{hydration::HydrationScripts, prelude::*};
use leptos_router::{
    SsrMode,
    components::{A, Route, Router, Routes},
    path,
};

use crate::account::{account, current_user};

/// The HTML around the pages.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <title>"Shop"</title>
                <HydrationScripts options/>
            </head>
            <body><App/></body>
        </html>
    }
}

#[component]
pub fn App() -> impl IntoView {
    // Async: the pages are complete before they are sent, and so work without scripts too.
    view! {
        <Router>
            <main>
                <Routes fallback=|| "There is no such page.">
                    <Route path=path!("/") view=Home ssr=SsrMode::Async/>
                    <Route path=path!("/account") view=Account ssr=SsrMode::Async/>
                </Routes>
            </main>
        </Router>
    }
}

#[component]
fn Home() -> impl IntoView {
    let user = Resource::new(|| (), |()| current_user());
    let page = move || {
        Suspend::new(async move {
            match user.await {
                Ok(Some(user)) => view! {
                    <h1>"Welcome, " <bdi>{user.name}</bdi></h1>
                    <p><A href="/account">"Your account"</A></p>
                    <form method="post" action="/logout"><button>"Sign out"</button></form>
                }
                .into_any(),
                Ok(None) => view! { <h1>"Shop"</h1> <SignIn return_to="/"/> }.into_any(),
                Err(_) => view! { <Unavailable/> }.into_any(),
            }
        })
    };
    view! { <Suspense>{page}</Suspense> }
}

/// A page that requires a login, and comes back after it.
#[component]
fn Account() -> impl IntoView {
    let account = Resource::new(|| (), |()| account());
    let page = move || {
        Suspend::new(async move {
            match account.await {
                Ok(Some(text)) => view! { <p>{text}</p> <p><A href="/">"Back"</A></p> }.into_any(),
                Ok(None) => view! { <SignIn return_to="/account"/> }.into_any(),
                Err(_) => view! { <Unavailable/> }.into_any(),
            }
        })
    };
    view! { <h1>"Your account"</h1> <Suspense>{page}</Suspense> }
}

/// A form and not a link of the router: the sign-in is a route of axum.
#[component]
fn SignIn(return_to: &'static str) -> impl IntoView {
    view! {
        <form method="post" action="/login">
            <input type="hidden" name="return_to" value=return_to/>
            <button>"Sign in with Telegram"</button>
        </form>
    }
}

#[component]
fn Unavailable() -> impl IntoView {
    view! { <p role="alert">"Not available now. Try again later."</p> }
}
