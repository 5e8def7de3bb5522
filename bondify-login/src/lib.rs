#![doc = include_str!("../README.md")]

mod accent;
pub mod adapter;
mod answer;
mod begin;
mod body;
mod build_error;
mod builder;
mod finish;
mod languages;
mod limits;
mod login;
mod page;
mod pending;
mod policy;
mod qr_code;
mod recent;
mod return_to;
mod room;
mod same_origin;
mod signed_in;
mod state;
mod texts;
mod wait;

pub use bondify_core::{TelegramId, TelegramUser};

pub use crate::{
    build_error::BuildError, builder::LoginBuilder, login::Login, page::View, signed_in::SignedIn,
    state::State, texts::Texts,
};
