use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use bondify_core::Event;

use crate::{Developer, Error, List, Session, list::list, record::RecordResponse};

/// The logins and cancellations of a project that [`Developer::past_events`] found.
///
/// ```
/// use bondify_client::PastEvents;
///
/// fn summary(past: &PastEvents) -> String {
///     format!("{} events, {} younger ones later", past.events.records.len(), past.too_young)
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PastEvents {
    /// The events, the oldest first, and the number of sessions that could not be read.
    pub events: List<Event>,
    /// The number of events that are younger than the minimum age.
    pub too_young: u64,
}

impl Developer {
    /// Lists the logins and cancellations of a project as events, the oldest first. `ages` are the minimum
    /// and the maximum age of an event.
    ///
    /// The list of all sessions is read while it arrives, and only these events are kept in memory. They
    /// have fewer fields than those of a webhook: see [`SessionRecord::event`](crate::SessionRecord::event).
    ///
    /// An event counts as young while its webhook may still be retried. The API does not send the time of
    /// every decision. Without it, the event is as young as it would be if the user had decided at the end
    /// of the session's lifetime, 10 minutes after its creation.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// let ages = Duration::from_secs(15 * 60)..=Duration::from_secs(24 * 60 * 60);
    /// let past = developer.past_events("proj_abc123", ages).await?;
    /// println!("{} logins and cancellations", past.events.records.len());
    /// println!("{} sessions could not be read", past.events.unreadable);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), also if a single session is larger than
    /// [`Client::MAX_RESPONSE_BYTES`](crate::Client::MAX_RESPONSE_BYTES). A session that cannot be read is
    /// no error: the [`List`] counts it, unless it is known to be of another project, older than the maximum
    /// age, or not over.
    pub async fn past_events(
        &self,
        project_id: &str,
        ages: RangeInclusive<Duration>,
    ) -> Result<PastEvents, Error> {
        let (min_age, max_age) = ages.into_inner();
        let (now, project_id) = (SystemTime::now(), project_id.to_owned());
        let age = move |time: SystemTime| now.duration_since(time).unwrap_or_default();
        let keep = move |session: RecordResponse| {
            let is_too_old = session.occurred_at().is_ok_and(|time| age(time) > max_age);
            if is_too_old || !session.may_be_of(&project_id) || !session.may_be_an_event() {
                return Ok(None);
            }
            let decided_at = session.decided_at();
            let event = session.into_event()?;
            let age = match decided_at {
                Some(time) => age(time),
                None => event
                    .occurred_at()
                    .map(age)
                    .unwrap_or_default()
                    .saturating_sub(Session::DEFAULT_LIFETIME),
            };
            Ok(Some((event, age)))
        };
        let mut found = list(self.sessions_request(), "sessions", keep).await?;
        let listed = found.records.len();
        found.records.retain(|(_, age)| *age >= min_age);
        found.records.sort_by_key(|(event, _)| event.occurred_at());
        let too_young = (listed - found.records.len()) as u64;
        Ok(PastEvents { events: found.map(|(event, _)| event), too_young })
    }
}
