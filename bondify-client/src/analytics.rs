use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Error, List,
    wire::{Maybe, Read, Text, object},
};

/// The number of days that [`Analytics`] cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Days {
    /// The last 7 days, the default.
    #[default]
    Seven,
    /// The last 14 days. The dashboard offers them; the API's documentation does not.
    Fourteen,
    /// The last 30 days.
    Thirty,
    /// The last 90 days.
    Ninety,
}

impl Days {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Seven => "7",
            Self::Fourteen => "14",
            Self::Thirty => "30",
            Self::Ninety => "90",
        }
    }
}

/// The number of logins, by status and by day.
///
/// ```no_run
/// use bondify_client::{Days, Developer, Error};
///
/// async fn print_logins(developer: &Developer) -> Result<(), Error> {
///     let analytics = developer.analytics(Days::Seven, Some("proj_abc123")).await?;
///     println!("{} of {} confirmed", analytics.confirmed_sessions, analytics.total_sessions);
///     for day in &analytics.daily.records {
///         println!("{}: {}", day.date, day.confirmed);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "AnalyticsResponse")]
#[non_exhaustive]
pub struct Analytics {
    /// Sessions that were generated.
    pub total_sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed_sessions: u64,
    /// Telegram accounts that confirmed a session, if the API sends their number.
    pub unique_users: Option<u64>,
    /// The share of sessions that were confirmed, in percent, to one decimal, if the API sends it.
    pub conversion_rate: Option<f64>,
    /// The figures of each day.
    pub daily: List<Day>,
    /// The sessions by status, if the API sends all four numbers.
    pub funnel: Option<Funnel>,
    /// The developer's projects.
    pub projects: List<ProjectName>,
}

/// One day of [`Analytics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Day {
    /// The day as the API writes it, e.g. `2025-01-31`.
    pub date: String,
    /// Sessions that were generated.
    pub sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed: u64,
    /// Telegram accounts that confirmed a session, if the API sends their number.
    pub unique_users: Option<u64>,
}

/// The sessions of [`Analytics`] by status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Funnel {
    /// Sessions that were generated.
    pub requested: u64,
    /// Sessions that were confirmed.
    pub confirmed: u64,
    /// Sessions that expired without a decision.
    pub expired: u64,
    /// Sessions that were cancelled.
    pub cancelled: u64,
}

/// The id and name of a project, in [`Analytics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectName {
    /// The project's id.
    pub id: String,
    /// The project's name, empty if the API does not send it.
    pub name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnalyticsResponse {
    total_sessions: Maybe<u64>,
    confirmed_sessions: Maybe<u64>,
    unique_users: Maybe<u64>,
    conversion_rate: Maybe<f64>,
    daily: Maybe<Vec<Box<RawValue>>>,
    funnel: Maybe<Funnel>,
    projects: Maybe<Vec<Box<RawValue>>>,
}

impl TryFrom<AnalyticsResponse> for Analytics {
    type Error = Error;

    fn try_from(answer: AnalyticsResponse) -> Result<Self, Error> {
        Ok(Self {
            total_sessions: answer.total_sessions.required("total_sessions")?,
            confirmed_sessions: answer.confirmed_sessions.required("confirmed_sessions")?,
            unique_users: answer.unique_users.0,
            conversion_rate: answer.conversion_rate.0,
            daily: List::of::<DayResponse>("daily", answer.daily),
            funnel: answer.funnel.0,
            projects: List::of::<ProjectNameResponse>("projects", answer.projects),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct DayResponse {
    date: Maybe<String>,
    sessions: Maybe<u64>,
    confirmed: Maybe<u64>,
    unique_users: Maybe<u64>,
}

impl TryFrom<DayResponse> for Day {
    type Error = Error;

    fn try_from(answer: DayResponse) -> Result<Self, Error> {
        Ok(Self {
            date: answer.date.required("date")?,
            sessions: answer.sessions.required("sessions")?,
            confirmed: answer.confirmed.required("confirmed")?,
            unique_users: answer.unique_users.0,
        })
    }
}

impl Read for Funnel {
    fn read(json: &str) -> Option<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct FunnelResponse {
            requested: Maybe<u64>,
            confirmed: Maybe<u64>,
            expired: Maybe<u64>,
            cancelled: Maybe<u64>,
        }
        let FunnelResponse { requested, confirmed, expired, cancelled } = object(json)?;
        let (requested, confirmed) = (requested.0?, confirmed.0?);
        Some(Self { requested, confirmed, expired: expired.0?, cancelled: cancelled.0? })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProjectNameResponse {
    id: Maybe<String>,
    project_id: Maybe<String>,
    name: Maybe<Text>,
}

impl TryFrom<ProjectNameResponse> for ProjectName {
    type Error = Error;

    fn try_from(answer: ProjectNameResponse) -> Result<Self, Error> {
        Ok(Self {
            id: answer.id.or(answer.project_id).required("id")?,
            name: answer.name.0.unwrap_or_default().0,
        })
    }
}
