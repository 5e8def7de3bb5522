#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connection;
pub mod cookies;
mod deadline;
mod delivery;
mod engine;
pub mod http_suite;
mod payload;
mod probe;
mod request;
mod script;
mod scripted_server;
#[cfg(unix)]
pub mod shutdown;
pub mod store_suite;
pub mod user_suite;

pub use crate::{
    connection::{Connection, Response},
    deadline::within_a_minute,
    delivery::Delivery,
    engine::{engine_url, skipped},
    payload::Payload,
    probe::{Call, ProbeStore, STORE_ERROR},
    request::WebhookRequest,
    script::{Failure, Progress, Script, Step},
    scripted_server::{Answer, ReceivedRequest, ScriptedServer},
};
