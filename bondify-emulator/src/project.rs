use std::{fmt, time::SystemTime};

use bondify_core::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use crate::{
    Error, Fault, Persona, clock::as_unix_ms, local::is_this_machine, random,
    secret_text::SecretText,
};

/// The plan of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Plan {
    /// `hobby`.
    #[default]
    Hobby,
    /// `pro`: its deliveries have priority and more retries.
    Pro,
    /// `business`: like `pro`.
    Business,
}

impl Plan {
    /// Whether the plan's deliveries have priority, more retries, and phone numbers.
    #[must_use]
    pub fn has_priority(self) -> bool {
        self > Self::Hobby
    }
}

/// A project as the dashboard shows it.
///
/// Its JSON has previews of the secret key and of the webhook secret, never one of them whole.
/// `Debug` shows the id only.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Project {
    /// The id: `proj_…` unless another was set.
    #[serde(rename = "project_id")]
    pub id: String,
    /// The name that the bot shows.
    pub name: String,
    #[serde(rename(serialize = "secret_preview", deserialize = "secret_key"))]
    #[serde(default = "SecretText::random_key")]
    pub(crate) secret_key: SecretText,
    #[serde(rename(serialize = "webhook_secret_preview", deserialize = "secret"))]
    pub(crate) secret: SecretText,
    /// The webhook URL. Without one, events are not delivered.
    pub webhook_url: Option<Url>,
    /// The plan, which decides priority and retries.
    pub plan: Plan,
    /// Whether users can log in.
    pub active: bool,
    /// Whether the public API serves the project.
    pub public_access: bool,
    /// Whether the bot asks for the phone number. Only the plans Pro and Business receive it.
    pub req_phone: bool,
    /// Whether a used session is answered as documented, with the status only. By default the
    /// user and a proof are sent too, because the official React and Flutter SDKs read them.
    #[serde(default)]
    pub bare_used: bool,
    /// The faults that are injected.
    pub faults: Vec<Fault>,
    /// The time of creation.
    #[serde(with = "as_unix_ms")]
    pub created_at: SystemTime,
}

impl Project {
    pub(crate) fn new(
        settings: ProjectSettings,
        remote: bool,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let mut project = Self {
            id: settings.id.clone().unwrap_or_else(|| random::id("proj_")),
            name: String::new(),
            secret_key: SecretText::random_key(),
            secret: SecretText::random_webhook_secret(),
            webhook_url: None,
            plan: Plan::default(),
            active: true,
            public_access: false,
            req_phone: false,
            bare_used: false,
            faults: Vec::new(),
            created_at: now,
        };
        project.name.clone_from(&project.id);
        project.set(settings, remote)?;
        Ok(project)
    }

    /// Applies all of `settings` or, in case of an error, none. `remote` is whether deliveries to
    /// other machines are allowed.
    pub(crate) fn set(&mut self, settings: ProjectSettings, remote: bool) -> Result<(), Error> {
        let secret = settings.secret.map(SecretText::new).transpose();
        let secret = secret.map_err(|_| {
            Error::BadRequest(
                "the secret must not be empty, and must not start or end with whitespace",
            )
        })?;
        let webhook_url =
            settings.webhook_url.as_deref().map(|url| webhook_url(url, remote)).transpose()?;
        if settings.name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err(Error::BadRequest("name must not be empty"));
        }
        let keep = |setting: Option<bool>, current| setting.unwrap_or(current);
        self.name = settings.name.unwrap_or_else(|| self.name.clone());
        self.secret = secret.unwrap_or_else(|| self.secret.clone());
        self.webhook_url = webhook_url.unwrap_or_else(|| self.webhook_url.clone());
        self.plan = settings.plan.unwrap_or(self.plan);
        self.active = keep(settings.active, self.active);
        self.public_access = keep(settings.public_access, self.public_access);
        self.req_phone = keep(settings.req_phone, self.req_phone);
        self.bare_used = keep(settings.bare_used, self.bare_used);
        if let Some(faults) = settings.faults {
            self.faults = faults;
            self.faults.sort_unstable();
            self.faults.dedup_by_key(|fault| fault.name());
        }
        Ok(())
    }

    /// The whole secret key, which the developer API returns when it creates the project. It
    /// signs nothing: deliveries and proofs are signed with the
    /// [webhook secret](Self::reveal_secret). Do not log it.
    #[must_use]
    pub fn reveal_secret_key(&self) -> &str {
        self.secret_key.reveal()
    }

    /// The whole webhook secret. Do not log it.
    #[must_use]
    pub fn reveal_secret(&self) -> &str {
        self.secret.reveal()
    }

    /// A part of the webhook secret, by which people recognise it.
    #[must_use]
    pub fn secret_preview(&self) -> String {
        self.secret.preview()
    }

    /// The webhook secret as the key that verifies deliveries and proofs.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.secret.to_key()
    }

    /// Whether the app gets the phone number.
    pub(crate) fn shares_phone(&self) -> bool {
        self.req_phone && self.plan.has_priority()
    }

    /// The user as the app sees them.
    pub(crate) fn share(&self, mut persona: Persona) -> Persona {
        persona.telegram_phone.take_if(|_| !self.shares_phone());
        persona
    }
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The settings of a new project, or changes to an existing one. A setting that is not set
/// keeps its value, or has its default in a new project.
///
/// ```
/// use bondify_emulator::{Emulator, Plan, ProjectSettings};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = ProjectSettings::new()
///     .id("proj_shop")
///     .secret("whsec_test")
///     .webhook_url("http://127.0.0.1:3000/webhooks/bondify")
///     .public_access(true);
/// let emulator = Emulator::builder().project(shop).start().await?;
///
/// let project = emulator.update_project("proj_shop", ProjectSettings::new().plan(Plan::Pro))?;
/// assert_eq!(project.plan, Plan::Pro);
/// assert_eq!(project.reveal_secret(), "whsec_test");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct ProjectSettings {
    #[serde(skip)]
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    #[serde(skip)]
    pub(crate) secret: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(crate) webhook_url: Option<String>,
    pub(crate) plan: Option<Plan>,
    pub(crate) active: Option<bool>,
    pub(crate) public_access: Option<bool>,
    pub(crate) req_phone: Option<bool>,
    pub(crate) bare_used: Option<bool>,
    pub(crate) faults: Option<Vec<Fault>>,
}

/// Reads a text, or the null that removes it.
fn null_as_empty<'de, D>(from: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    Option::deserialize(from).map(|text| Some(text.unwrap_or_default()))
}

impl ProjectSettings {
    /// Creates settings that set nothing. A new project then has a random id, its id as the
    /// name, a random webhook secret and no webhook URL; it is on the plan Hobby and active, has
    /// no public access, and does not ask for the phone number.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the id of a new project.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the name that the bot shows. It must not be empty.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the webhook secret. Every character is part of the key. It must not be empty, and
    /// must not start or end with whitespace.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Sets the webhook URL. An empty text removes it. It must be `https`, or `http` to
    /// [this machine](crate::local::is_this_machine); with
    /// [remote deliveries](crate::Builder::allow_remote_delivery), `http` to any host.
    pub fn webhook_url(mut self, url: impl Into<String>) -> Self {
        self.webhook_url = Some(url.into());
        self
    }

    /// Sets the plan.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Sets whether users can log in.
    pub fn active(mut self, active: bool) -> Self {
        self.active = Some(active);
        self
    }

    /// Sets whether the public API serves the project, which apps that poll need. A new project
    /// has no public access, as with Bondify.
    pub fn public_access(mut self, public_access: bool) -> Self {
        self.public_access = Some(public_access);
        self
    }

    /// Sets whether the bot asks for the phone number.
    pub fn req_phone(mut self, req_phone: bool) -> Self {
        self.req_phone = Some(req_phone);
        self
    }

    /// Sets whether a used session is answered with its status only, without user and proof.
    pub fn bare_used(mut self, bare_used: bool) -> Self {
        self.bare_used = Some(bare_used);
        self
    }

    /// Sets the faults that are injected, in place of those before.
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

/// Parses a webhook URL. An empty text is none. `remote` is whether deliveries to other machines are
/// allowed.
pub(crate) fn webhook_url(text: &str, remote: bool) -> Result<Option<Url>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| Error::BadRequest("webhook_url must be a URL"))?;
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if remote || is_this_machine(&url) => Ok(Some(url)),
        _ => Err(Error::BadRequest(
            "webhook_url must be https:// (http:// is allowed to this machine, and to others if \
             the emulator allows remote deliveries)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(settings: ProjectSettings) -> Result<Project, Error> {
        Project::new(settings, false, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn an_http_url_of_another_machine_needs_remote_delivery() {
        let set = |url| project(ProjectSettings::new().webhook_url(url));
        for url in [
            "http://127.0.0.1:3000/hook",
            "http://[::1]:3000/hook",
            "http://localhost/hook",
            "http://app.localhost/hook",
            "http://0.0.0.0:3000/",
            "https://yourapp.com/webhooks/bondify",
        ] {
            assert_eq!(set(url).unwrap().webhook_url.unwrap().as_str(), url);
        }
        for url in ["http://192.168.0.7/", "http://[::2]/", "http://app.test/"] {
            assert!(matches!(set(url), Err(Error::BadRequest(_))), "{url}");
            let settings = ProjectSettings::new().webhook_url(url);
            let allowed = Project::new(settings, true, SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(allowed.webhook_url.unwrap().as_str(), url);
        }
        for url in ["ftp://localhost/", "localhost", "/"] {
            assert!(matches!(set(url), Err(Error::BadRequest(_))), "{url}");
        }
        assert!(set("").unwrap().webhook_url.is_none());
    }

    #[test]
    fn settings_that_are_not_set_keep_their_values() {
        let mut shop = project(ProjectSettings::new().id("shop").plan(Plan::Pro)).unwrap();
        assert_eq!((&*shop.name, shop.active, shop.public_access), ("shop", true, false));
        let secret = shop.reveal_secret().to_owned();
        shop.set(ProjectSettings::new().name("Shop").active(false), false).unwrap();
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
            shop.set(bad, false).unwrap_err();
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
        assert_eq!(json["webhook_secret_preview"], "whsec_012345");
        assert_eq!(json["secret_preview"], shop.reveal_secret_key()[..12]);
        assert!(!json.to_string().contains("0123456"));
        assert!(!json.to_string().contains(shop.reveal_secret_key()));
    }
}
