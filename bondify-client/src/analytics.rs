use serde::Deserialize;

use crate::wire;

/// The number of days that [`Analytics`] cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Days {
    /// The last 7 days, the default.
    #[default]
    Seven,
    /// The last 30 days.
    Thirty,
    /// The last 90 days.
    Ninety,
}

impl Days {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Seven => "7",
            Self::Thirty => "30",
            Self::Ninety => "90",
        }
    }
}

/// The number of logins, by status and by day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Analytics {
    /// Sessions that were generated.
    pub total_sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed_sessions: u64,
    /// Telegram accounts that confirmed a session.
    pub unique_users: u64,
    /// The share of sessions that were confirmed, in percent, to one decimal.
    pub conversion_rate: f64,
    /// The figures of each day.
    pub daily: Vec<Day>,
    /// The sessions by status.
    pub funnel: Funnel,
    /// The developer's projects.
    pub projects: Vec<ProjectName>,
}

/// One day of [`Analytics`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Day {
    /// The day as the API writes it, e.g. `2025-01-31`.
    pub date: String,
    /// Sessions that were generated.
    pub sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed: u64,
    /// Telegram accounts that confirmed a session.
    pub unique_users: u64,
}

/// The sessions of [`Analytics`] by status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProjectName {
    /// The project's id.
    pub id: String,
    /// The project's name.
    #[serde(deserialize_with = "wire::text")]
    pub name: String,
}
