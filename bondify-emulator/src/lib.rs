#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod analytics;
mod app;
mod backend;
mod browser;
mod builder;
mod changes;
mod clock;
mod control_api;
mod delivery;
mod developer_api;
mod dispatcher;
#[doc = include_str!("docs/reference.md")]
pub mod docs {}
mod emulator;
mod error;
mod event_body;
mod fault;
mod guard;
mod journal;
pub mod local;
mod pages;
mod persona;
mod project;
mod public_api;
mod queue;
mod random;
mod rate_limit;
mod reading;
mod resend;
mod retry;
mod router;
mod secret_text;
mod session;
mod state;
mod transport;
mod trust;
mod visible;

pub use url::Url;

pub use crate::{
    browser::Browser,
    builder::{Builder, StartError},
    changes::Changes,
    delivery::{Attempt, Cause, Delivery, DeliveryId, DeliveryState, Outcome},
    emulator::Emulator,
    error::Error,
    event_body::EventBody,
    fault::{Fault, UnknownFault},
    persona::Persona,
    project::{Plan, Project, ProjectSettings},
    reading::{Reading, UnknownReading},
    resend::Resend,
    session::{Confirmation, Session, SessionStatus},
    state::Change,
    visible::Visible,
};
