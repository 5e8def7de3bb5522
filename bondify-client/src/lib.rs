#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod analytics;
#[cfg(test)]
mod any_json;
mod call;
mod catch_up;
mod client;
mod developer;
mod error;
mod list;
mod login;
mod loopback;
mod past_events;
mod polling;
mod project;
mod record;
mod session;
mod sessions;
mod wire;

pub use bondify_core::{Event, Secret, SecretError, TelegramId, TelegramUser};
#[cfg(feature = "proof")]
pub use bondify_core::{Proof, ProofError, ProofVerifier};

pub use crate::{
    analytics::{Analytics, Day, Days, Funnel, ProjectName},
    catch_up::{CatchUp, CaughtUp},
    client::{Client, ClientBuilder},
    developer::{Account, Developer, MonthlyUsers},
    error::{Error, ErrorCode},
    list::List,
    loopback::is_loopback,
    past_events::PastEvents,
    project::{NewProject, Project, ProjectSettings, SecretKey, WebhookSecret},
    record::{RecordedLogin, SessionRecord},
    session::{ConfirmedSession, Session, SessionStatus},
    sessions::Sessions,
};
