use std::fmt::{self, Display};

use bondify_client::{Analytics, Days};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    api::{DeveloperArgs, explained, is_complete},
    exit::Exit,
    output::{Output, Printable},
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify analytics
  bondify analytics --days 30 --project proj_abc123";

/// Count the logins of the last days, in total and by day
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The number of days
    #[arg(long, default_value = "7")]
    days: DayCount,

    /// Only the logins of this project
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: Option<String>,

    #[command(flatten)]
    api: DeveloperArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum DayCount {
    #[value(name = "7")]
    Seven,
    #[value(name = "14")]
    Fourteen,
    #[value(name = "30")]
    Thirty,
    #[value(name = "90")]
    Ninety,
}

impl From<DayCount> for Days {
    fn from(days: DayCount) -> Self {
        match days {
            DayCount::Seven => Self::Seven,
            DayCount::Fourteen => Self::Fourteen,
            DayCount::Thirty => Self::Thirty,
            DayCount::Ninety => Self::Ninety,
        }
    }
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.developer()?;
        let analytics = developer.analytics(self.days.into(), self.project.as_deref()).await;
        let analytics = analytics.map_err(explained)?;
        let is_complete = is_complete(&analytics.daily, "days");
        output.show(&Shown::from(analytics))?;
        Ok(is_complete.into())
    }
}

#[derive(Serialize)]
struct Shown {
    total_sessions: u64,
    confirmed_sessions: u64,
    unique_users: Option<u64>,
    /// In percent.
    conversion_rate: Option<f64>,
    daily: Vec<Day>,
}

#[derive(Serialize)]
struct Day {
    date: String,
    sessions: u64,
    confirmed: u64,
    unique_users: Option<u64>,
}

impl From<Analytics> for Shown {
    fn from(analytics: Analytics) -> Self {
        let day = |day: bondify_client::Day| Day {
            date: day.date,
            sessions: day.sessions,
            confirmed: day.confirmed,
            unique_users: day.unique_users,
        };
        Self {
            total_sessions: analytics.total_sessions,
            confirmed_sessions: analytics.confirmed_sessions,
            unique_users: analytics.unique_users,
            conversion_rate: analytics.conversion_rate,
            daily: analytics.daily.records.into_iter().map(day).collect(),
        }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total_sessions, confirmed_sessions, unique_users, conversion_rate, daily } =
            self;
        for Day { date, sessions, confirmed, .. } in daily {
            writeln!(f, "{}  {confirmed} of {sessions}", Printable(date))?;
        }
        write!(f, "{confirmed_sessions} of {total_sessions} sessions confirmed")?;
        if let Some(rate) = conversion_rate {
            write!(f, " ({rate} %)")?;
        }
        match unique_users {
            Some(users) => write!(f, ", by {users} users"),
            None => Ok(()),
        }
    }
}
