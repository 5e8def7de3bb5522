use std::{
    fmt::{self, Display},
    time::SystemTime,
};

use bondify_core::Event;
use serde::{Deserialize, Serialize};

use crate::{
    http::{Answer, NoAnswer},
    outcome::Outcome,
    output::{BAD, FAINT, GOOD, Printable, rfc3339},
};

/// An event that is listed.
#[derive(Serialize)]
pub(super) struct Listed {
    event: String,
    session_token: Option<String>,
    /// RFC 3339.
    occurred_at: String,
}

impl Listed {
    pub(super) fn new(event: &Event) -> Self {
        let time = event.occurred_at().unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            event: event.name().to_owned(),
            session_token: event.session_token().map(str::to_owned),
            occurred_at: rfc3339(time),
        }
    }
}

impl Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, session_token, occurred_at } = self;
        let token = session_token.as_deref().unwrap_or_default();
        write!(f, "{FAINT}{occurred_at}{FAINT:#} {} {}", Printable(event), Printable(token))
    }
}

/// A delivery and its outcome.
#[derive(Serialize)]
pub(super) struct Sent {
    #[serde(flatten)]
    listed: Listed,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Sent {
    pub(super) fn new(event: &Event, answer: Result<Answer, NoAnswer>) -> Self {
        Self { listed: Listed::new(event), outcome: answer.into() }
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.outcome.is_accepted()
    }

    /// Whether the endpoint says that it knew the event before.
    fn is_known(&self) -> bool {
        #[derive(Deserialize)]
        struct Reply {
            status: String,
        }
        let Outcome::Answered { body, .. } = &self.outcome else { return false };
        let reply = serde_json::from_str::<Reply>(body);
        self.is_accepted() && reply.is_ok_and(|reply| reply.status == "duplicate")
    }
}

impl Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.listed, self.outcome)
    }
}

/// Counts the outcomes of deliveries.
#[derive(Serialize)]
pub(super) struct Tally {
    summary: Figures,
}

#[derive(Serialize)]
struct Figures {
    events: usize,
    accepted: usize,
    /// The number of events that the endpoint says it knew before, of those accepted.
    known: usize,
    failed: usize,
    /// The number of events that are younger than the minimum age. They are not sent.
    too_young: u64,
    /// The number of sessions that could not be read.
    unreadable: u64,
}

impl Tally {
    pub(super) fn new(events: usize, too_young: u64, unreadable: u64) -> Self {
        let [accepted, known, failed] = [0; 3];
        Self { summary: Figures { events, accepted, known, failed, too_young, unreadable } }
    }

    pub(super) fn add(&mut self, sent: &Sent) {
        self.summary.accepted += usize::from(sent.is_accepted());
        self.summary.known += usize::from(sent.is_known());
        self.summary.failed += usize::from(!sent.is_accepted());
    }

    pub(super) fn all_accepted(&self) -> bool {
        self.summary.accepted == self.summary.events
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = if self.all_accepted() { GOOD } else { BAD };
        let Figures { events, accepted, known, failed, too_young, unreadable } = &self.summary;
        write!(f, "{style}{accepted} of {events} accepted{style:#}, {known} of them known before")?;
        if *too_young > 0 {
            write!(f, ", {too_young} more not sent: younger than --min-age")?;
        }
        if *unreadable > 0 {
            write!(f, ", {BAD}{unreadable} unreadable{BAD:#}")?;
        }
        match events - accepted - failed {
            0 => Ok(()),
            not_sent => write!(f, ", interrupted: {not_sent} not sent"),
        }
    }
}
