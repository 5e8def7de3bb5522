use std::{fmt, time::SystemTime};

use bondify_core::Secret;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Error,
    loopback::is_loopback,
    wire::{Maybe, Text, Time},
};

/// A project, as the developer API shows it.
///
/// `Debug` shows the id and whether the project is active.
///
/// ```
/// use bondify_client::Project;
///
/// fn warning(project: &Project) -> Option<String> {
///     let is_silent = project.active && project.webhook_url.is_none();
///     is_silent.then(|| format!("{} has no webhook URL", project.project_id))
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ProjectResponse")]
#[non_exhaustive]
pub struct Project {
    /// The project's id, e.g. `proj_abc123`.
    pub project_id: String,
    /// The project's name, empty if the API does not send it.
    pub name: String,
    /// The webhook URL, if one is set.
    pub webhook_url: Option<String>,
    /// Whether users can log in.
    pub active: bool,
    /// Whether sessions can be generated with the id alone, if the API sends it.
    pub public_access: Option<bool>,
    /// Whether users are asked for their phone number, if the API sends it.
    pub req_phone: Option<bool>,
    /// The beginning of the secret, so that people can recognise it.
    pub secret_preview: Option<String>,
    /// The time of creation, if the API sends it.
    pub created_at: Option<SystemTime>,
    /// The number of sessions, if the API sends it.
    pub sessions_count: Option<u64>,
    /// The number of confirmed sessions, if the API sends it.
    pub confirmed_count: Option<u64>,
}

impl fmt::Debug for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Project")
            .field("project_id", &self.project_id)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// A project, in both forms that the API sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProjectResponse {
    project_id: Maybe<String>,
    id: Maybe<String>,
    name: Maybe<Text>,
    webhook_url: Maybe<String>,
    active: Maybe<bool>,
    is_active: Maybe<bool>,
    public_access: Maybe<bool>,
    req_phone: Maybe<bool>,
    secret_preview: Maybe<String>,
    secret_key: Maybe<String>,
    created_at: Maybe<Time>,
    sessions_count: Maybe<u64>,
    confirmed_count: Maybe<u64>,
}

impl TryFrom<ProjectResponse> for Project {
    type Error = Error;

    fn try_from(answer: ProjectResponse) -> Result<Self, Error> {
        Ok(Self {
            project_id: answer.project_id.or(answer.id).required("project_id")?,
            name: answer.name.0.unwrap_or_default().0,
            webhook_url: answer.webhook_url.0,
            active: answer.active.or(answer.is_active).required("active")?,
            public_access: answer.public_access.0,
            req_phone: answer.req_phone.0,
            secret_preview: answer.secret_preview.or(answer.secret_key).0,
            created_at: answer.created_at.known(),
            sessions_count: answer.sessions_count.0,
            confirmed_count: answer.confirmed_count.0,
        })
    }
}

/// The settings of a new project, or changes to a project. A setting that is not set here
/// keeps its value; in a new project the API chooses it.
///
/// `Debug` shows none of the settings.
///
/// ```
/// use bondify_client::ProjectSettings;
///
/// let settings = ProjectSettings::new()
///     .name("Shop")
///     .webhook_url("https://yourapp.com/webhooks/bondify")?
///     .public_access(true);
/// # let _ = settings;
/// assert!(ProjectSettings::new().webhook_url("http://yourapp.com/").is_err());
/// # Ok::<(), bondify_client::Error>(())
/// ```
#[derive(Clone, Default, Serialize)]
#[must_use = "settings do nothing until the API is called with them"]
pub struct ProjectSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_access: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    req_phone: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_token: Option<String>,
}

impl ProjectSettings {
    /// Creates settings that change nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the project's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the webhook URL, e.g. `https://yourapp.com/webhooks/bondify`.
    ///
    /// ```
    /// use bondify_client::ProjectSettings;
    ///
    /// assert!(ProjectSettings::new().webhook_url("https://yourapp.com/webhooks/bondify").is_ok());
    /// assert!(ProjectSettings::new().webhook_url("http://127.0.0.1:3000/webhooks/bondify").is_ok());
    /// assert!(ProjectSettings::new().webhook_url("http://app:3000/webhooks/bondify").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`] if the URL is not `https://`, which Bondify requires. For emulators, `http://` is
    /// allowed on loopback: `localhost`, `127.0.0.0/8` and `[::1]`.
    pub fn webhook_url(mut self, url: &str) -> Result<Self, Error> {
        let url = Url::parse(url).map_err(|error| Error::unreadable_url(WEBHOOK_URL, error))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(Error::setting(WEBHOOK_URL));
        }
        // The parsed URL is sent, because the parsed URL was checked.
        self.webhook_url = Some(url.into());
        Ok(self)
    }

    /// Removes the webhook URL: events are not delivered.
    ///
    /// ```no_run
    /// use bondify_client::ProjectSettings;
    ///
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// developer.update_project("proj_abc123", ProjectSettings::new().no_webhook_url()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_webhook_url(mut self) -> Self {
        self.webhook_url = Some(String::new()); // The API removes the URL on an empty text.
        self
    }

    /// Sets whether users can log in. Bondify documents this setting for changes, not for new
    /// projects.
    ///
    /// ```
    /// use bondify_client::{Developer, Error, ProjectSettings};
    ///
    /// /// Stops all logins of a project, and keeps its settings and secrets.
    /// async fn switch_off(developer: &Developer, project_id: &str) -> Result<(), Error> {
    ///     developer.update_project(project_id, ProjectSettings::new().active(false)).await
    /// }
    /// ```
    pub fn active(mut self, active: bool) -> Self {
        self.active = Some(active);
        self
    }

    /// Sets whether sessions can be generated with the id alone, as
    /// [`Sessions`](crate::Sessions) does.
    ///
    /// ```
    /// use bondify_client::{Developer, Error, ProjectSettings};
    ///
    /// /// A sign-in page needs it.
    /// async fn allow_sign_in(developer: &Developer, project_id: &str) -> Result<(), Error> {
    ///     developer.update_project(project_id, ProjectSettings::new().public_access(true)).await
    /// }
    /// ```
    pub fn public_access(mut self, public_access: bool) -> Self {
        self.public_access = Some(public_access);
        self
    }

    /// Sets whether users are asked for their phone number.
    pub fn req_phone(mut self, req_phone: bool) -> Self {
        self.req_phone = Some(req_phone);
        self
    }

    /// Sets the token of the project's own bot, from BotFather.
    pub fn bot_token(mut self, token: impl Into<String>) -> Self {
        self.bot_token = Some(token.into());
        self
    }

    /// Removes the token of the project's own bot: Bondify's bot is used.
    pub fn no_bot_token(mut self) -> Self {
        self.bot_token = Some(String::new()); // The API removes the token on an empty text.
        self
    }
}

impl fmt::Debug for ProjectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectSettings").finish_non_exhaustive()
    }
}

const WEBHOOK_URL: &str = "the webhook URL must be https:// (http:// is allowed on loopback only)";

/// A project that was just created.
///
/// ```no_run
/// use bondify_client::{Developer, Error, NewProject, ProjectSettings};
///
/// async fn create(developer: &Developer) -> Result<(), Error> {
///     let NewProject { project_id, secret_key, .. } =
///         developer.create_project("Shop", ProjectSettings::new()).await?;
///     println!("{project_id}: {}", if secret_key.is_some() { "store its key" } else { "no key" });
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct NewProject {
    /// The project's id, e.g. `proj_abc123`.
    pub project_id: String,
    /// The project's name.
    pub name: String,
    /// The project's secret key, if the API sends it: Bondify's pages differ about that. No later response has
    /// it.
    pub secret_key: Option<SecretKey>,
}

/// A project's secret key, the API key of a server. It signs nothing: deliveries and proofs are
/// verified with the [`WebhookSecret`].
///
/// The text is zeroized on drop, and `Debug` does not print it.
///
/// ```
/// use bondify_client::{Developer, Error, SecretKey};
///
/// /// After a leak.
/// async fn replace(developer: &Developer, project_id: &str) -> Result<SecretKey, Error> {
///     let key = developer.regenerate(project_id).await?;
///     assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
///     Ok(key)
/// }
/// ```
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// The key's text, to be stored: the API sends it once.
    ///
    /// ```
    /// use std::{fs, io};
    ///
    /// use bondify_client::SecretKey;
    ///
    /// fn store(key: &SecretKey) -> io::Result<()> {
    ///     fs::write("secret_key", key.expose()) // allow only its owner to read it
    /// }
    /// ```
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A project's webhook secret, which signs deliveries and proofs.
///
/// Verify with [`secret`](Self::secret), which never shows its text. Store the text of
/// [`expose`](Self::expose). The text is zeroized on drop, and `Debug` does not print it.
///
/// ```no_run
/// use bondify_core::Verifier;
///
/// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
/// let secret = developer.webhook_secret("proj_abc123").await?;
/// let verifier = Verifier::new(secret.secret().clone());
/// # drop(verifier);
/// # Ok(())
/// # }
/// ```
pub struct WebhookSecret {
    text: Zeroizing<String>,
    secret: Secret,
}

impl WebhookSecret {
    /// The secret, ready to verify webhooks and proofs.
    ///
    /// ```
    /// use bondify_client::{Developer, Error};
    /// use bondify_core::Bondify;
    ///
    /// /// Replaces the secrets of a running receiver by the one that the API returns now.
    /// async fn refresh(developer: &Developer, bondify: &Bondify) -> Result<(), Error> {
    ///     let secret = developer.webhook_secret("proj_abc123").await?;
    ///     bondify.rotate(secret.secret().clone(), []);
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The secret's text, as the dashboard shows it.
    ///
    /// ```
    /// use std::{fs, io};
    ///
    /// use bondify_client::WebhookSecret;
    ///
    /// fn store(secret: &WebhookSecret) -> io::Result<()> {
    ///     fs::write("webhook_secret", secret.expose()) // allow only its owner to read it
    /// }
    /// ```
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl From<WebhookSecret> for Secret {
    fn from(secret: WebhookSecret) -> Self {
        secret.secret
    }
}

macro_rules! debug_shows_no_secret {
    ($($secret:ident),*) => {$(
        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($secret), "([redacted])"))
            }
        }
    )*};
}

debug_shows_no_secret!(SecretKey, WebhookSecret);

/// A response with a secret: a new project or a new key with `secret_key`, or the webhook secret.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SecretResponse {
    project_id: Maybe<String>,
    id: Maybe<String>,
    name: Maybe<Text>,
    secret_key: Maybe<String>,
    webhook_secret: Maybe<String>,
    secret: Maybe<String>,
}

impl SecretResponse {
    /// Returns the new project, called `name` if the API does not repeat its name.
    pub(crate) fn into_project(self, name: &str) -> Result<NewProject, Error> {
        Ok(NewProject {
            project_id: self.project_id.or(self.id).required("project_id")?,
            name: self.name.0.map_or_else(|| name.to_owned(), |name| name.0),
            secret_key: self.secret_key.0.map(Zeroizing::new).map(SecretKey),
        })
    }

    pub(crate) fn into_key(self) -> Result<SecretKey, Error> {
        self.secret_key.required("secret_key").map(Zeroizing::new).map(SecretKey)
    }

    /// Returns the webhook secret. A `secret_key` is a different secret and is ignored.
    pub(crate) fn into_webhook_secret(self) -> Result<WebhookSecret, Error> {
        let text = self.webhook_secret.or(self.secret).required("webhook_secret")?;
        let text = Zeroizing::new(text);
        let secret = Secret::new(&*text).map_err(Error::secret)?;
        Ok(WebhookSecret { text, secret })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};
    use serde_json::{Value, json};

    use super::*;

    fn project(json: Value) -> serde_json::Result<Project> {
        serde_json::from_str(&json.to_string())
    }

    fn secret_response(json: Value) -> SecretResponse {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    #[test]
    fn a_project_with_the_required_fields_only() {
        let minimal = project(json!({"id": "p", "is_active": false})).unwrap();
        assert_eq!((&*minimal.project_id, &*minimal.name, minimal.active), ("p", "", false));
        assert_eq!(minimal.webhook_url, None);
        assert_eq!(minimal.req_phone, None);
        assert_eq!(minimal.created_at, None);
        assert_eq!(minimal.sessions_count, None);
        for lacking in [
            json!({"name": "Shop", "active": true}),
            json!({"id": "", "name": "Shop", "active": true}),
            json!({"id": "p", "name": "Shop"}),
        ] {
            assert!(project(lacking).is_err());
        }
    }

    #[test]
    fn a_project_is_read_from_the_forms_of_sql_drivers() {
        let odd = project(json!({
            "id": 17, "name": null, "active": null, "is_active": 1, "public_access": "0",
            "req_phone": "true", "webhook_url": 7, "secret_preview": "", "secret_key": "sk_…2",
            "created_at": "2023-11-14 22:13:20", "sessions_count": "3", "confirmed_count": "2",
        }));
        let odd = odd.unwrap();
        assert_eq!((&*odd.project_id, &*odd.name, odd.active), ("17", "", true));
        assert_eq!((odd.public_access, odd.req_phone), (Some(false), Some(true)));
        assert_eq!((odd.sessions_count, odd.confirmed_count), (Some(3), Some(2)));
        assert_eq!(odd.secret_preview.as_deref(), Some("sk_…2"));
        let created = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        assert_eq!(odd.created_at, Some(created));
        let side = [
            "name",
            "webhook_url",
            "public_access",
            "req_phone",
            "secret_preview",
            "created_at",
            "sessions_count",
            "confirmed_count",
        ];
        for value in [json!(null), json!(-1), json!({}), json!([7]), json!("")] {
            let mut odd = json!({"id": "p", "active": true});
            for field in side {
                odd[field] = value.clone();
            }
            assert!(project(odd).is_ok(), "{value}");
        }
    }

    #[test]
    fn a_webhook_url_is_https_or_on_loopback() {
        let set = |url| ProjectSettings::new().webhook_url(url);
        for url in [
            "https://yourapp.com/webhooks/bondify",
            "https://user:pass@yourapp.com:8443/?a=b",
            "HTTPS://YOURAPP.COM",
            "https://localhost",
            "http://localhost:3000/webhooks/bondify",
            "http://127.0.0.1",
            "http://127.8.9.10:3000",
            "http://[::1]:3000",
            "http://0.0.0.0:3000",
        ] {
            assert!(set(url).is_ok(), "{url}");
        }
        for url in [
            "",
            " ",
            "yourapp.com",
            "//yourapp.com",
            "http://yourapp.com",
            "http://localhost.yourapp.com",
            "http://127.0.0.1.yourapp.com",
            "http://localhost@yourapp.com",
            "http://128.0.0.1",
            "http://[::2]",
            "ftp://localhost",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
        ] {
            assert!(set(url).unwrap_err().to_string().contains("https://"), "{url}");
        }
    }

    #[test]
    fn exactly_the_settings_are_sent() {
        let sent = |settings: ProjectSettings| serde_json::to_value(&settings).unwrap();
        let new = ProjectSettings::new;
        assert_eq!(sent(new()), json!({}));
        assert_eq!(sent(new().no_webhook_url()), json!({"webhook_url": ""}));
        assert_eq!(sent(new().no_bot_token()), json!({"bot_token": ""}));
        let all = new()
            .name("Shop")
            .webhook_url(" https://a.b/ho\nok ")
            .unwrap()
            .active(false)
            .public_access(true)
            .req_phone(false)
            .bot_token("1:hush");
        assert!(!format!("{all:?}").contains("hush"));
        assert_eq!(
            sent(all),
            json!({
                "name": "Shop",
                "webhook_url": "https://a.b/hook",
                "active": false,
                "public_access": true,
                "req_phone": false,
                "bot_token": "1:hush",
            })
        );
    }

    #[test]
    fn a_webhook_secret_is_read_under_each_of_its_names() {
        for name in ["webhook_secret", "secret"] {
            let answer = secret_response(json!({ name: "whsec_hush", "secret_key": "sk_other" }));
            let secret = answer.into_webhook_secret().unwrap();
            assert_eq!(secret.expose(), "whsec_hush");
            let expected = Secret::new("whsec_hush").unwrap().sign(b"x").to_string();
            assert_eq!(secret.secret().sign(b"x").to_string(), expected);
            assert_eq!(Secret::from(secret).sign(b"x").to_string(), expected);
        }
    }

    #[test]
    fn a_secret_key_and_a_webhook_secret_are_never_confused() {
        let key = || secret_response(json!({"secret_key": "sk_live_hush", "project_id": "p"}));
        assert_eq!(key().into_key().unwrap().expose(), "sk_live_hush");
        assert_eq!(
            key().into_project("Shop").unwrap().secret_key.unwrap().expose(),
            "sk_live_hush"
        );
        assert!(key().into_webhook_secret().unwrap_err().to_string().contains("webhook_secret"));
        let secret = || secret_response(json!({"webhook_secret": "whsec_hush", "project_id": "p"}));
        assert!(secret().into_key().unwrap_err().to_string().contains("secret_key"));
        let documented =
            json!({"id": "p", "webhook_url": null, "is_active": true, "created_at": 1});
        assert!(secret_response(documented).into_project("Shop").unwrap().secret_key.is_none());
    }

    #[test]
    fn a_missing_or_invalid_secret_is_an_error_and_no_secret_is_shown() {
        for json in [
            json!({}),
            json!({"webhook_secret": "", "secret_key": ""}),
            json!({"webhook_secret": "whsec_hush\n"}),
        ] {
            let error = secret_response(json.clone()).into_webhook_secret().unwrap_err();
            let key = secret_response(json).into_key().unwrap_err();
            let shown = format!("{error} {error:?} {key} {key:?}");
            assert!(shown.contains("secret") && !shown.contains("hush"), "{shown}");
        }
        let new = json!({"project_id": "p", "secret_key": "sk_hush", "name": "Shop"});
        let new = secret_response(new).into_project("").unwrap();
        let secret = secret_response(json!({"secret": "whsec_hush"})).into_webhook_secret();
        assert!(!format!("{new:?} {secret:?}").contains("hush"));
    }

    #[test]
    fn a_project_is_created_even_if_its_name_is_not_repeated() {
        let new =
            secret_response(json!({"id": "p", "secret_key": "s"})).into_project("Shop").unwrap();
        assert_eq!((&*new.project_id, &*new.name), ("p", "Shop"));
    }

    #[test]
    fn a_projects_secret_and_webhook_are_not_shown() {
        let json = json!({"id": "p", "name": "Hush", "active": true, "secret_key": "hush",
            "webhook_url": "https://user:hush@yourapp.com"});
        let shown = format!("{:?}", project(json).unwrap());
        assert_eq!(shown, r#"Project { project_id: "p", active: true, .. }"#);
    }

    proptest! {
        #[test]
        fn both_forms_give_the_same_project(
            (id, name, active) in (".+", ".*", any::<bool>()),
            (webhook_url, preview) in (option::of(".+"), option::of(".+")),
            seconds in 1_000_000_000_u64..=4_000_000_000,
            counts in option::of((any::<u64>(), any::<u64>())),
        ) {
            let time = time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
            let (date, clock) = (time.date(), time.time());
            let sdk = project(json!({
                "project_id": id,
                "name": name,
                "active": active,
                "webhook_url": webhook_url,
                "secret_preview": preview,
                "created_at": seconds * 1000,
                "sessions_count": counts.map(|counts| counts.0),
                "confirmed_count": counts.map(|counts| counts.1),
            })).unwrap();
            let mut docs = json!({
                "id": id,
                "name": name,
                "is_active": active,
                "webhook_url": webhook_url.clone().unwrap_or_default(),
                "secret_key": preview,
                "created_at": format!(
                    "{date}T{:02}:{:02}:{:02}.000Z", clock.hour(), clock.minute(), clock.second()
                ),
            });
            if let Some((sessions, confirmed)) = counts {
                docs["sessions_count"] = sessions.into();
                docs["confirmed_count"] = confirmed.into();
            }
            prop_assert_eq!(&sdk.project_id, &id);
            prop_assert_eq!(&sdk.webhook_url, &webhook_url);
            prop_assert_eq!(&project(docs).unwrap(), &sdk);
        }
    }
}
