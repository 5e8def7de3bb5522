#![doc = include_str!("../README.md")]

mod connection;
mod engine;
pub mod http_suite;
mod patience;
mod payload;
mod probe;
mod request;
mod script;
mod scripted_server;
pub mod store_suite;
pub mod user_suite;

pub use crate::{
    connection::{Connection, Response},
    engine::{engine_url, skipped},
    patience::within_a_minute,
    payload::Payload,
    probe::{Call, ProbeStore, STORE_ERROR},
    request::WebhookRequest,
    script::{Failure, Progress, Script, Step},
    scripted_server::{Answer, ReceivedRequest, ScriptedServer},
};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;
