use std::time::{Duration, SystemTime};

use anyhow::ensure;
use bondify_core::{Cancelled, Confirmed};
use bondify_emulator::Fault as Emulated;
use bytes::Bytes;
use clap::ValueEnum;

use super::Fault;
use crate::payload;

/// The event to send. Everything about it has a default.
#[derive(clap::Args)]
pub(super) struct EventArgs {
    /// The event to send
    #[arg(required_unless_present = "body")]
    event: Option<Name>,

    /// The session's token, the same for every delivery [default: a new one for each]
    #[arg(long, value_name = "TOKEN", conflicts_with = "body")]
    session_token: Option<String>,

    /// The user's Telegram id, decimal digits [default: 7123456789]
    #[arg(long, value_name = "ID", conflicts_with = "body", value_parser = parse_telegram_id)]
    telegram_id: Option<String>,

    /// The user's display name [default: Ada Lovelace]
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    telegram_name: Option<String>,

    /// The user's Telegram name, without @; empty for none [default: ada]
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    username: Option<String>,

    /// The user's phone number [default: absent]
    #[arg(long, value_name = "NUMBER", conflicts_with = "body")]
    phone: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    #[value(name = Confirmed::NAME)]
    Confirmed,
    #[value(name = Cancelled::NAME)]
    Cancelled,
}

fn parse_telegram_id(text: &str) -> Result<String, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(text.into()) } else { Err("not decimal digits") }
}

impl EventArgs {
    fn is_about_a_user(&self) -> bool {
        [&self.telegram_id, &self.telegram_name, &self.username, &self.phone]
            .into_iter()
            .any(Option::is_some)
    }

    fn name(&self) -> Name {
        self.event.unwrap_or(Name::Confirmed)
    }
}

/// Where the deliveries' bodies come from.
pub(super) enum Events {
    Given(Bytes),
    Made {
        args: EventArgs,
        /// Makes this run's session tokens differ from another's.
        run: u64,
        /// Instead of the event's own name.
        unknown: bool,
        age: Duration,
    },
}

/// One event, to be delivered once or twice.
pub(super) struct Event {
    pub(super) session_token: Option<String>,
    pub(super) body: Bytes,
}

impl Events {
    pub(super) fn new(args: EventArgs, fault: Option<Fault>) -> anyhow::Result<Self> {
        ensure!(
            args.name() == Name::Confirmed || !args.is_about_a_user(),
            "{} says nothing of the user: leave --telegram-id, --telegram-name, --username and \
             --phone out",
            Cancelled::NAME,
        );
        let stale = fault == Some(Fault::StaleTimestamp);
        Ok(Self::Made {
            args,
            run: getrandom::u64()?,
            unknown: fault == Some(Fault::UnknownEvent),
            age: if stale { Emulated::STALE_BY } else { Duration::ZERO },
        })
    }

    pub(super) fn given(body: Vec<u8>, fault: Option<Fault>) -> anyhow::Result<Self> {
        ensure!(
            !matches!(fault, Some(Fault::StaleTimestamp | Fault::UnknownEvent)),
            "the faults stale-timestamp and unknown-event change the body: leave --body out",
        );
        Ok(Self::Given(body.into()))
    }

    /// The event of that number.
    pub(super) fn event(&self, number: u64) -> serde_json::Result<Event> {
        let (args, run, unknown, age) = match self {
            Self::Given(body) => return Ok(Event { session_token: None, body: body.clone() }),
            Self::Made { args, run, unknown, age } => (args, run, *unknown, *age),
        };
        let session_token =
            args.session_token.clone().unwrap_or_else(|| format!("sess_{run:016x}{number:04}"));
        let body = match args.name() {
            Name::Confirmed => serde_json::to_vec(&payload::Confirmed {
                event: if unknown { Emulated::UNKNOWN_EVENT } else { Confirmed::NAME },
                session_token: &session_token,
                telegram_id: args.telegram_id.as_deref().unwrap_or("7123456789"),
                telegram_name: args.telegram_name.as_deref().unwrap_or("Ada Lovelace"),
                telegram_username: Some(args.username.as_deref().unwrap_or("ada"))
                    .filter(|name| !name.is_empty()),
                telegram_phone: args.phone.as_deref(),
                confirmed_at: unix_millis_before_now(age),
            }),
            Name::Cancelled => serde_json::to_vec(&payload::Cancelled {
                event: if unknown { Emulated::UNKNOWN_EVENT } else { Cancelled::NAME },
                session_token: &session_token,
                cancelled_at: unix_millis_before_now(age),
            }),
        }?;
        Ok(Event { session_token: Some(session_token), body: body.into() })
    }
}

fn unix_millis_before_now(age: Duration) -> u64 {
    let then = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let since_epoch = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}
