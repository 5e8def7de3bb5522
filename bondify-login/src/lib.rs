#![cfg_attr(feature = "axum", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "axum"),
    doc = "Sign in with Telegram through Bondify: a page, its waiting and its finish, for axum, \
           actix-web, Rocket and warp. See the README."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "actix-web")]
#[cfg_attr(docsrs, doc(cfg(feature = "actix-web")))]
pub mod actix_web;
pub mod adapter;
mod answer;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod begin;
mod builder;
mod finish;
mod limits;
mod login;
mod page;
mod pending;
mod recent;
mod return_to;
#[cfg(feature = "rocket")]
#[cfg_attr(docsrs, doc(cfg(feature = "rocket")))]
pub mod rocket;
mod same_origin;
mod signed_in;
mod state;
mod wait;
#[cfg(feature = "warp")]
#[cfg_attr(docsrs, doc(cfg(feature = "warp")))]
pub mod warp;

pub use bondify_core::{TelegramId, TelegramUser};

pub use crate::{
    builder::{BuildError, LoginBuilder},
    login::Login,
    page::View,
    signed_in::SignedIn,
    state::State,
};
