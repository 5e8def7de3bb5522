use std::time::{Duration, SystemTime};

use anyhow::ensure;
use bondify_core::{Cancelled, Confirmed};
use bondify_emulator::{EventBody, Fault, Persona};
use bytes::Bytes;
use clap::ValueEnum;

use crate::values;

/// The event to send. Every field has a default.
#[derive(clap::Args)]
pub(super) struct EventArgs {
    /// The event to send
    #[arg(required_unless_present = "body")]
    event: Option<Name>,

    /// The session's token, the same for every delivery [default: a new one for each]
    #[arg(long, value_name = "TOKEN", conflicts_with = "body", value_parser = values::text)]
    session_token: Option<String>,

    /// The user's Telegram id, decimal digits [default: 7123456789]
    #[arg(long, value_name = "ID", conflicts_with = "body", value_parser = values::digits)]
    telegram_id: Option<String>,

    /// The user's display name [default: Ada Lovelace]
    #[arg(long, value_name = "NAME", conflicts_with = "body", value_parser = values::text)]
    telegram_name: Option<String>,

    /// The user's Telegram username, without @; empty for none [default: ada]
    #[arg(long, value_name = "NAME", conflicts_with = "body", value_parser = values::username)]
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

impl EventArgs {
    fn is_about_a_user(&self) -> bool {
        [&self.telegram_id, &self.telegram_name, &self.username, &self.phone]
            .into_iter()
            .any(Option::is_some)
    }

    /// The user: the emulator's default persona, but without its phone number.
    fn persona(&self) -> Persona {
        let default = Persona::default();
        let mut persona = Persona::new(
            self.telegram_id.clone().unwrap_or(default.telegram_id),
            self.telegram_name.clone().unwrap_or(default.telegram_name),
        );
        let username = self.username.clone().or(default.telegram_username);
        persona.telegram_username = username.filter(|name| !name.is_empty());
        persona.telegram_phone = self.phone.clone();
        persona
    }

    fn name(&self) -> Name {
        self.event.unwrap_or(Name::Confirmed)
    }
}

/// The source of the bodies.
pub(super) enum Events {
    Given(Bytes),
    Made {
        args: EventArgs,
        /// A random part of this run's session tokens.
        run: u64,
        /// Whether the events have an unknown name.
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
            "{} carries no user: remove --telegram-id, --telegram-name, --username and --phone",
            Cancelled::NAME,
        );
        let stale = fault == Some(Fault::StaleTimestamp);
        Ok(Self::Made {
            args,
            run: getrandom::u64()?,
            unknown: fault == Some(Fault::UnknownEvent),
            age: if stale { Fault::STALE_BY } else { Duration::ZERO },
        })
    }

    pub(super) fn given(body: Vec<u8>, fault: Option<Fault>) -> anyhow::Result<Self> {
        ensure!(
            !matches!(fault, Some(Fault::StaleTimestamp | Fault::UnknownEvent)),
            "the faults stale-timestamp and unknown-event change the body: remove --body",
        );
        Ok(Self::Given(body.into()))
    }

    /// The event of this number.
    pub(super) fn event(&self, number: u64) -> Event {
        let (args, run, unknown, age) = match self {
            Self::Given(body) => return Event { session_token: None, body: body.clone() },
            Self::Made { args, run, unknown, age } => (args, run, *unknown, *age),
        };
        let session_token =
            args.session_token.clone().unwrap_or_else(|| format!("sess_{run:016x}{number:04}"));
        let at = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let persona = args.persona();
        let mut body = match args.name() {
            Name::Confirmed => EventBody::confirmed(&session_token, &persona, at),
            Name::Cancelled => EventBody::cancelled(&session_token, at),
        };
        if unknown {
            body = body.named(Fault::UNKNOWN_EVENT);
        }
        let body = body.to_json().into();
        Event { session_token: Some(session_token), body }
    }
}
