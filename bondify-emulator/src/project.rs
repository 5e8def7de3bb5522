use std::{fmt, net::IpAddr, time::SystemTime};

use bondify_core::Secret;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{Error, Fault, clock::as_unix_ms, random, webhook_secret::WebhookSecret};

/// What a project is worth to Bondify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Plan {
    /// `hobby`.
    #[default]
    Hobby,
    /// `pro`: delivered first, and retried for longer.
    Pro,
    /// `business`: as `pro`.
    Business,
}

impl Plan {
    /// Whether its deliveries go before others, are retried for longer, and may have a phone
    /// number.
    #[must_use]
    pub fn has_priority(self) -> bool {
        self > Self::Hobby
    }
}

/// A project as the dashboard shows it.
///
/// Serialised, it has a preview of its secret, never the secret. `Debug` shows its id only.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Project {
    /// `proj_…`, unless it was given another.
    #[serde(rename = "project_id")]
    pub id: String,
    /// What the bot calls it.
    pub name: String,
    #[serde(rename(serialize = "secret_preview", deserialize = "secret"))]
    pub(crate) secret: WebhookSecret,
    /// Where events are delivered to, if anywhere.
    pub webhook_url: Option<Url>,
    /// How it is delivered.
    pub plan: Plan,
    /// Whether the public API serves it.
    pub active: bool,
    /// Whether browsers may create sessions of it.
    pub public_access: bool,
    /// Whether the bot asks for the phone number. It is passed on for the plans Pro and
    /// Business.
    pub req_phone: bool,
    /// What goes wrong on purpose.
    pub faults: Vec<Fault>,
    /// When it was created.
    #[serde(with = "as_unix_ms")]
    pub created_at: SystemTime,
}

impl Project {
    pub(crate) fn new(settings: ProjectSettings, now: SystemTime) -> Result<Self, Error> {
        let mut project = Self {
            id: settings.id.clone().unwrap_or_else(|| random::id("proj_")),
            name: String::new(),
            secret: WebhookSecret::random(),
            webhook_url: None,
            plan: Plan::default(),
            active: true,
            public_access: true,
            req_phone: false,
            faults: Vec::new(),
            created_at: now,
        };
        project.name.clone_from(&project.id);
        project.set(settings)?;
        Ok(project)
    }

    /// Sets what `settings` sets, all of it or, in case of an error, nothing.
    pub(crate) fn set(&mut self, settings: ProjectSettings) -> Result<(), Error> {
        let secret = settings.secret.map(WebhookSecret::new).transpose();
        let secret = secret.map_err(|_| Error::BadRequest("the secret is empty or padded"))?;
        let webhook_url = settings.webhook_url.as_deref().map(webhook_url).transpose()?;
        if settings.name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err(Error::BadRequest("name is not empty"));
        }
        let keep = |setting: Option<bool>, current| setting.unwrap_or(current);
        self.name = settings.name.unwrap_or_else(|| self.name.clone());
        self.secret = secret.unwrap_or_else(|| self.secret.clone());
        self.webhook_url = webhook_url.unwrap_or_else(|| self.webhook_url.clone());
        self.plan = settings.plan.unwrap_or(self.plan);
        self.active = keep(settings.active, self.active);
        self.public_access = keep(settings.public_access, self.public_access);
        self.req_phone = keep(settings.req_phone, self.req_phone);
        if let Some(faults) = settings.faults {
            self.faults = faults;
            self.faults.sort_unstable();
            self.faults.dedup_by_key(|fault| fault.name());
        }
        Ok(())
    }

    /// The webhook secret, whole. Not for logs.
    #[must_use]
    pub fn reveal_secret(&self) -> &str {
        self.secret.reveal()
    }

    /// Enough of the webhook secret to tell it from another.
    #[must_use]
    pub fn secret_preview(&self) -> String {
        self.secret.preview()
    }

    /// The webhook secret as the key that verifies deliveries and proofs.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        self.secret.key()
    }

    /// Whether a phone number is passed on.
    pub(crate) fn shares_phone(&self) -> bool {
        self.req_phone && self.plan.has_priority()
    }
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The settings of a new project, or changes to those of one that there is: what is not set
/// stays as it is, in a new project at its default.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct ProjectSettings {
    #[serde(skip)]
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    #[serde(skip)]
    pub(crate) secret: Option<String>,
    pub(crate) webhook_url: Option<String>,
    pub(crate) plan: Option<Plan>,
    pub(crate) active: Option<bool>,
    pub(crate) public_access: Option<bool>,
    pub(crate) req_phone: Option<bool>,
    pub(crate) faults: Option<Vec<Fault>>,
}

impl ProjectSettings {
    /// Sets nothing: a new project has a random id, that id as its name, a random secret and
    /// no webhook URL; it is on the plan Hobby, active, open to the public, and does not
    /// ask for the phone number.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of a new project.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What the bot calls it. Not empty.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The webhook secret, every character of it part of the key; neither empty nor padded.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Where events are delivered to; nowhere if it is empty. `https`, or `http` where that
    /// may stay on this machine: to a loopback address or a name.
    pub fn webhook_url(mut self, url: impl Into<String>) -> Self {
        self.webhook_url = Some(url.into());
        self
    }

    /// The plan.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Whether the public API serves it.
    pub fn active(mut self, active: bool) -> Self {
        self.active = Some(active);
        self
    }

    /// Whether browsers may create sessions of it.
    pub fn public_access(mut self, public_access: bool) -> Self {
        self.public_access = Some(public_access);
        self
    }

    /// Whether the bot asks for the phone number.
    pub fn req_phone(mut self, req_phone: bool) -> Self {
        self.req_phone = Some(req_phone);
        self
    }

    /// What goes wrong on purpose, in place of what did.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = Some(faults.into_iter().collect());
        self
    }
}

impl fmt::Debug for ProjectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectSettings").field("id", &self.id).finish_non_exhaustive()
    }
}

fn webhook_url(text: &str) -> Result<Option<Url>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| Error::BadRequest("webhook_url is not a URL"))?;
    let may_be_local = ip(&url).is_none_or(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if may_be_local => Ok(Some(url)),
        _ => Err(Error::BadRequest("webhook_url starts with https://, or http:// for loopback")),
    }
}

/// The address that the URL names, if it does not give a host name.
pub(crate) fn ip(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(settings: ProjectSettings) -> Result<Project, Error> {
        Project::new(settings, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn http_is_for_what_may_be_this_machine() {
        let set = |url| project(ProjectSettings::new().webhook_url(url));
        for url in [
            "http://127.0.0.1:3000/hook",
            "http://[::1]:3000/hook",
            "http://localhost/hook",
            "http://app.test/hook",
            "https://yourapp.com/webhooks/bondify",
        ] {
            assert_eq!(set(url).unwrap().webhook_url.unwrap().as_str(), url);
        }
        for url in ["http://192.168.0.7/", "http://[::2]/", "ftp://localhost/", "localhost", "/"] {
            assert!(matches!(set(url), Err(Error::BadRequest(_))), "{url}");
        }
        assert!(set("").unwrap().webhook_url.is_none());
    }

    #[test]
    fn what_is_not_set_stays() {
        let mut shop = project(ProjectSettings::new().id("shop").plan(Plan::Pro)).unwrap();
        assert_eq!((&*shop.name, shop.active, shop.public_access), ("shop", true, true));
        let secret = shop.reveal_secret().to_owned();
        shop.set(ProjectSettings::new().name("Shop").active(false)).unwrap();
        assert_eq!((&*shop.name, shop.active, shop.plan), ("Shop", false, Plan::Pro));
        assert_eq!(shop.reveal_secret(), secret);
    }

    #[test]
    fn a_change_that_is_refused_changes_nothing() {
        let mut shop = project(ProjectSettings::new().name("Shop")).unwrap();
        for bad in [
            ProjectSettings::new().name("Other").webhook_url("nonsense"),
            ProjectSettings::new().name("Other").secret(" padded"),
            ProjectSettings::new().active(false).name(" "),
        ] {
            shop.set(bad).unwrap_err();
            assert_eq!((&*shop.name, shop.active), ("Shop", true));
        }
    }

    #[test]
    fn neither_debug_nor_json_shows_the_secret() {
        let secret = "whsec_0123456789abcdef0123456789abcdef";
        let settings = ProjectSettings::new().secret(secret);
        assert!(!format!("{settings:?}").contains("whsec"));
        let shop = project(settings).unwrap();
        assert!(!format!("{shop:?}").contains("whsec"));
        let json = serde_json::to_value(&shop).unwrap();
        assert_eq!(json["secret_preview"], "whsec_…cdef");
        assert!(!json.to_string().contains("0123"));
    }
}
