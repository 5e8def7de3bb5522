//! Sign in with Telegram: the items of [`bondify_login`], and its routes for warp.

mod routes;

pub use bondify_login::*;

pub use self::routes::LoginExt;
