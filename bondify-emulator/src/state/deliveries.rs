use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bondify_core::Cancelled;
use serde_json::Value;

use super::{Change, State};
use crate::{
    Attempt, Cause, Delivery, DeliveryId, DeliveryState, Error, EventBody, Fault, Persona, Project,
    Resend, project::webhook_url, random, secret_text::SecretText,
};

impl State {
    /// All deliveries that are kept, the newest first.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.deliveries.values().rev()
    }

    pub(crate) fn delivery(&self, id: DeliveryId) -> Result<&Arc<Delivery>, Error> {
        self.deliveries.get(&id).ok_or(Error::DeliveryNotFound)
    }

    /// Queues a test event: a cancellation if `event` is its name, or else a confirmation by the
    /// default persona, with the name `event`.
    pub(crate) fn send_test_event(
        &mut self,
        project_id: &str,
        event: &str,
    ) -> Result<Arc<Delivery>, Error> {
        const MAX_NAME_BYTES: usize = 200;
        if event.is_empty() || event.len() > MAX_NAME_BYTES {
            return Err(Error::BadRequest("event must have 1 to 200 bytes"));
        }
        let project = Arc::clone(self.project(project_id)?);
        let token = random::id("sess_test_");
        let persona = project.share(Persona::default());
        let body = |at| match event {
            Cancelled::NAME => EventBody::cancelled(&token, at),
            _ => EventBody::confirmed(&token, &persona, at).named(event),
        };
        self.queue_event(&project, body, Cause::Test).ok_or(Error::NoWebhookUrl)
    }

    /// Queues a delivery again. The same bytes keep their signature; another body is signed with
    /// the project's current secret.
    pub(crate) fn resend(
        &mut self,
        id: DeliveryId,
        resend: Resend,
    ) -> Result<Arc<Delivery>, Error> {
        let delivery = Arc::clone(self.delivery(id)?);
        let project = self.project(&delivery.project_id)?;
        let url = match &resend.url {
            Some(url) => webhook_url(url, self.rules.remote_delivery)?,
            None => project.webhook_url.clone(),
        };
        let mut again = delivery.copy(Cause::Resend(id), self.now);
        again.url = url.ok_or(Error::NoWebhookUrl)?;
        if let Some(body) = resend.body.filter(|body| *body != delivery.body) {
            again.signature = project.secret().sign(body.as_bytes()).to_string();
            let fields: Value = serde_json::from_str(&body).unwrap_or_default();
            let field = |name, old| fields[name].as_str().map_or(old, str::to_owned);
            again.event = field("event", again.event);
            again.session_token = field("session_token", again.session_token);
            again.body = body;
        }
        Ok(self.put_delivery(again))
    }

    /// Queues each failed delivery of the project, or of all projects, that was not resent.
    pub(crate) fn resend_failed(
        &mut self,
        project_id: Option<&str>,
    ) -> Result<Vec<Arc<Delivery>>, Error> {
        if let Some(id) = project_id {
            self.project(id)?;
        }
        let is_wanted = |delivery: &&Arc<Delivery>| {
            delivery.state == DeliveryState::Failed
                && project_id.is_none_or(|id| id == delivery.project_id)
                && !self.deliveries.values().any(|other| other.cause == Cause::Resend(delivery.id))
        };
        let failed = self.deliveries.values().filter(is_wanted).map(|delivery| delivery.id);
        let failed: Vec<_> = failed.collect();
        failed.into_iter().map(|id| self.resend(id, Resend::default())).collect()
    }

    /// Starts an attempt. Returns the delivery, and the fault that is decided at each attempt, if it
    /// is on. Returns `None` if the delivery is no longer queued.
    pub(crate) fn begin_attempt(
        &mut self,
        id: DeliveryId,
    ) -> Option<(Arc<Delivery>, Option<Fault>)> {
        let mut delivery = Delivery::clone(self.deliveries.get(&id)?);
        let DeliveryState::Queued { .. } = delivery.state else { return None };
        let faults = &self.project(&delivery.project_id).ok()?.faults;
        let of_attempts = [Fault::Unreachable, Fault::DropConnection];
        let fault = of_attempts.into_iter().find(|fault| faults.contains(fault));
        delivery.state = DeliveryState::Sending;
        let delivery = Arc::new(delivery);
        self.change(Change::Delivery(Arc::clone(&delivery)));
        Some((delivery, fault))
    }

    /// Records an attempt, and queues the retry or the duplicate that follows.
    pub(crate) fn end_attempt(&mut self, id: DeliveryId, attempt: Attempt) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let mut delivery = Delivery::clone(delivery);
        let delivered = attempt.outcome.is_success();
        delivery.attempts.push(attempt);
        let failed = delivery.attempts.len();
        delivery.state = if delivered {
            DeliveryState::Delivered
        } else if failed < delivery.max_attempts as usize {
            DeliveryState::Queued { due: self.now + self.rules.retry.delay_after(failed) }
        } else {
            DeliveryState::Failed
        };
        let duplicate = (delivered && delivery.faults.contains(&Fault::Duplicate))
            .then(|| delivery.copy(Cause::Duplicate(id), self.now));
        self.change(Change::Delivery(Arc::new(delivery)));
        if let Some(duplicate) = duplicate {
            self.put_delivery(duplicate);
        }
    }

    /// Queues an event of the project, with its faults. `body` makes it for a time.
    pub(super) fn queue_event<'a>(
        &mut self,
        project: &Project,
        body: impl FnOnce(SystemTime) -> EventBody<'a>,
        cause: Cause,
    ) -> Option<Arc<Delivery>> {
        let (now, url) = (self.now, project.webhook_url.clone()?);
        let has = |fault| project.faults.contains(&fault);
        let mut body = body(if has(Fault::StaleTimestamp) { now - Fault::STALE_BY } else { now });
        if has(Fault::UnknownEvent) {
            body = body.named(Fault::UNKNOWN_EVENT);
        }
        let mut json = body.to_json();
        let wrong = has(Fault::WrongSecret).then(SecretText::random_webhook_secret);
        let key = wrong.as_ref().unwrap_or(&project.secret).to_key();
        let signature = key.sign(json.as_bytes()).to_string();
        if has(Fault::TamperedBody) {
            json = Fault::tampered(&json);
        }
        let delay = project.faults.iter().find_map(|fault| match fault {
            Fault::Delay(delay) => Some(*delay),
            _ => None,
        });
        let delivery = self.put_delivery(Delivery {
            id: DeliveryId::MAX,
            project_id: project.id.clone(),
            session_token: body.session_token.to_owned(),
            event: body.event.to_owned(),
            cause,
            created_at: now,
            url,
            signature,
            body: json,
            faults: project.faults.clone(),
            priority: project.plan.has_priority(),
            max_attempts: self.rules.retry.attempts(project.plan),
            state: DeliveryState::Queued { due: now + delay.unwrap_or(Duration::ZERO) },
            attempts: Vec::new(),
        });
        if has(Fault::ConcurrentDuplicate) {
            let copy = delivery.copy(Cause::Duplicate(delivery.id), now);
            self.put_delivery(Delivery { state: delivery.state, ..copy });
        }
        Some(delivery)
    }

    /// Gives a new delivery its number and queues it.
    fn put_delivery(&mut self, delivery: Delivery) -> Arc<Delivery> {
        let id = DeliveryId(self.next_delivery);
        let delivery = Arc::new(Delivery { id, ..delivery });
        self.change(Change::Delivery(Arc::clone(&delivery)));
        delivery
    }

    /// Queues a delivery for another attempt.
    pub(super) fn queue(&mut self, delivery: &Delivery, due: SystemTime) {
        let state = DeliveryState::Queued { due };
        self.change(Change::Delivery(Arc::new(Delivery { state, ..delivery.clone() })));
    }

    // An unfinished delivery is never dropped: its event would be lost.
    pub(super) fn forget_old_deliveries(&mut self) {
        while self.deliveries.len() > self.rules.keep_deliveries {
            let mut old = self.deliveries.values();
            let Some(id) = old.find(|delivery| delivery.is_finished()).map(|old| old.id) else {
                return;
            };
            self.deliveries.remove(&id);
        }
    }
}

impl Delivery {
    /// A new delivery of the same bytes with the same signature, due now.
    fn copy(&self, cause: Cause, now: SystemTime) -> Self {
        Self {
            cause,
            created_at: now,
            faults: Vec::new(),
            state: DeliveryState::Queued { due: now },
            attempts: Vec::new(),
            ..self.clone()
        }
    }
}
