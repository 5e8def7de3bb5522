#![doc = include_str!("../README.md")]

pub mod adapter;
mod answer;
mod begin;
mod builder;
mod finish;
mod limits;
mod login;
mod page;
mod pending;
mod recent;
mod return_to;
mod same_origin;
mod signed_in;
mod state;
mod wait;

pub use bondify_core::{TelegramId, TelegramUser};

pub use crate::{
    builder::{BuildError, LoginBuilder},
    login::Login,
    page::View,
    signed_in::SignedIn,
    state::State,
};
