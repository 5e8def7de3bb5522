use std::{
    fmt::{self, Display},
    time::SystemTime,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Analytics, Client, Days, Error, List, NewProject, Project, ProjectSettings, SecretKey,
    SessionRecord, WebhookSecret,
    call::{call, send},
    list::list,
    project::{ProjectResponse, SecretResponse},
    record::RecordResponse,
    wire::{Maybe, Read, Time, object},
};

/// The developer API: the functions of the dashboard. Created by [`Client::developer`].
///
/// ```no_run
/// use bondify_client::{Client, Days, ProjectSettings, Secret};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let developer = Client::new()?.developer(std::env::var("BONDIFY_DEVELOPER_TOKEN")?)?;
///
/// let settings = ProjectSettings::new().webhook_url("https://yourapp.com/webhooks/bondify")?;
/// let shop = developer.create_project("Shop", settings).await?;
/// if let Some(key) = &shop.secret_key {
///     println!("keep this: {}", key.expose()); // The API sends it once.
/// }
///
/// // Another secret signs deliveries and proofs. The API sends it at any time.
/// let secret: Secret = developer.webhook_secret(&shop.project_id).await?.into();
///
/// let pause = ProjectSettings::new().active(false);
/// developer.update_project(&shop.project_id, pause).await?;
///
/// let analytics = developer.analytics(Days::Thirty, Some(&shop.project_id)).await?;
/// println!("{} of {} confirmed", analytics.confirmed_sessions, analytics.total_sessions);
/// # Ok(())
/// # }
/// ```
///
/// No call is retried. After a time-out, [`projects`](Self::projects) shows whether the change was
/// made. Clones are cheap. `Debug` does not print the token.
///
/// # Errors of every call
///
/// [`Error`] if the API cannot be reached or does not answer within the
/// [time-out](crate::ClientBuilder::timeout), if its response lacks a field that the call needs, and if it
/// refuses the call: the [`status`](Error::status) is 401 if the developer token is not valid or no longer
/// valid, and 429 after too many calls.
#[derive(Clone, Debug)]
pub struct Developer {
    pub(crate) client: Client,
    pub(crate) authorization: HeaderValue,
}

impl Client {
    /// Returns the developer API for this developer token.
    ///
    /// ```
    /// use bondify_client::Client;
    ///
    /// let client = Client::new()?;
    /// let developer = client.developer("dev_token".trim_end())?;
    /// assert!(client.developer("dev_token\n").is_err()); // the line end of a file
    /// # let _ = developer;
    /// # Ok::<(), bondify_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`] if the token is empty or has any character but visible ASCII, for example the line
    /// end of the file that it was read from.
    pub fn developer(&self, token: impl AsRef<str>) -> Result<Developer, Error> {
        let token = token.as_ref();
        let refused = || {
            Error::setting("the developer token must be visible ASCII without spaces or line ends")
        };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused());
        }
        let authorization = HeaderValue::try_from(format!("Bearer {token}"));
        let mut authorization = authorization.map_err(|_| refused())?;
        authorization.set_sensitive(true);
        Ok(Developer { client: self.clone(), authorization })
    }
}

impl Developer {
    /// The account that the token belongs to.
    ///
    /// ```no_run
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// if let Some(users) = developer.me().await?.mau {
    ///     println!("{} users this month", users.current);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call).
    pub async fn me(&self) -> Result<Account, Error> {
        call(self.request(Method::GET, format_args!("me"))).await
    }

    /// Lists all projects. The list is read while it arrives, for at most 10 minutes.
    ///
    /// ```no_run
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// for project in &developer.projects().await?.records {
    ///     println!("{} {}", project.project_id, project.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), also if a single project is larger than
    /// [`Client::MAX_RESPONSE_BYTES`]. A project that cannot be read is no error: the [`List`] counts it.
    pub async fn projects(&self) -> Result<List<Project>, Error> {
        let request = self.request(Method::GET, format_args!("projects"));
        list(request, "projects", |project: ProjectResponse| project.try_into().map(Some)).await
    }

    /// Creates a project called `name`; a name in `settings` is ignored. The API sends the whole [`SecretKey`] in this
    /// response only, if at all. Another secret signs deliveries:
    /// [`webhook_secret`](Self::webhook_secret).
    ///
    /// ```no_run
    /// use bondify_client::ProjectSettings;
    ///
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// let settings = ProjectSettings::new().webhook_url("https://yourapp.com/webhooks/bondify")?;
    /// let shop = developer.create_project("Shop", settings.public_access(true)).await?;
    /// println!("created {}", shop.project_id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call). The
    /// [`status`](Error::status) is 400 if the API refuses the name or a setting; the
    /// [`message`](Error::message) says which.
    pub async fn create_project(
        &self,
        name: &str,
        settings: ProjectSettings,
    ) -> Result<NewProject, Error> {
        let request = self.request(Method::POST, format_args!("projects"));
        let answer: SecretResponse = call(request.json(&settings.name(name))).await?;
        answer.into_project(name)
    }

    /// Changes the settings that are set in `settings`.
    ///
    /// ```no_run
    /// use bondify_client::ProjectSettings;
    ///
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// developer.update_project("proj_abc123", ProjectSettings::new().active(false)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call). The
    /// [`status`](Error::status) is 400 if the API refuses a setting, and 404 if there is no such
    /// project. No request is sent if `project_id` is empty, `.` or `..`.
    pub async fn update_project(
        &self,
        project_id: &str,
        settings: ProjectSettings,
    ) -> Result<(), Error> {
        let id = segment(project_id)?;
        send(self.request(Method::PATCH, format_args!("projects/{id}")).json(&settings)).await?;
        Ok(())
    }

    /// Deletes a project.
    ///
    /// ```no_run
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// match developer.delete_project("proj_abc123").await {
    ///     Err(error) if error.status() == Some(404) => {} // deleted before
    ///     deleted => deleted?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call). The
    /// [`status`](Error::status) is 404 if there is no such project. No request is sent if
    /// `project_id` is empty, `.` or `..`.
    pub async fn delete_project(&self, project_id: &str) -> Result<(), Error> {
        let id = segment(project_id)?;
        send(self.request(Method::DELETE, format_args!("projects/{id}"))).await?;
        Ok(())
    }

    /// Replaces a project's secrets and returns the new secret key. New deliveries are signed with
    /// the new [`webhook_secret`](Self::webhook_secret) at once, but retries of older deliveries
    /// still carry the old signature: [accept both](bondify_core::Bondify::rotate) for a while.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     developer: bondify_client::Developer,
    /// #     bondify: bondify_core::Bondify,
    /// # ) -> Result<(), bondify_client::Error> {
    /// let old = developer.webhook_secret("proj_abc123").await?.into();
    /// let secret_key = developer.regenerate("proj_abc123").await?; // keep its text
    /// let new = developer.webhook_secret("proj_abc123").await?.into();
    /// bondify.rotate(new, [old]); // retries have the old signature
    /// # drop(secret_key);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), also if
    /// the response has no `secret_key`. The [`status`](Error::status) is 404 if there is no such
    /// project. No request is sent if `project_id` is empty, `.` or `..`.
    pub async fn regenerate(&self, project_id: &str) -> Result<SecretKey, Error> {
        let id = segment(project_id)?;
        let request = self.request(Method::POST, format_args!("projects/{id}/regenerate"));
        // The SDK for Node sends an empty object.
        call::<SecretResponse>(request.json(&json!({}))).await?.into_key()
    }

    /// A project's webhook secret, which signs deliveries and proofs. The API sends it at any time.
    ///
    /// ```no_run
    /// use bondify_core::Bondify;
    ///
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = developer.webhook_secret("proj_abc123").await?;
    /// let bondify = Bondify::builder(secret.into()).build()?;
    /// # drop(bondify);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), also if
    /// the response has no secret or one that [`Secret`](crate::Secret) refuses. The
    /// [`status`](Error::status) is 404 if there is no such project. No request is sent if
    /// `project_id` is empty, `.` or `..`.
    pub async fn webhook_secret(&self, project_id: &str) -> Result<WebhookSecret, Error> {
        let id = segment(project_id)?;
        let request = self.request(Method::GET, format_args!("projects/{id}/webhook-secret"));
        call::<SecretResponse>(request).await?.into_webhook_secret()
    }

    /// Lists the sessions of all projects, as many as the API returns. The list is read while it arrives,
    /// for at most 10 minutes. [`past_events`](Self::past_events) keeps less of it in memory.
    ///
    /// ```no_run
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// for session in &developer.sessions().await?.records {
    ///     println!("{} {}", session.project_id, session.status.name());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call), also if a single session is larger than
    /// [`Client::MAX_RESPONSE_BYTES`]. A session that cannot be read is no error: the [`List`] counts it.
    pub async fn sessions(&self) -> Result<List<SessionRecord>, Error> {
        let keep = |session: RecordResponse| session.try_into().map(Some);
        list(self.sessions_request(), "sessions", keep).await
    }

    pub(crate) fn sessions_request(&self) -> RequestBuilder {
        self.request(Method::GET, format_args!("sessions"))
    }

    /// Counts the logins of the last days, of one project or of all. `Days::default()` are the 7
    /// days that the API takes by default.
    ///
    /// ```no_run
    /// use bondify_client::Days;
    ///
    /// # async fn example(developer: bondify_client::Developer) -> Result<(), bondify_client::Error> {
    /// let all_projects = developer.analytics(Days::Thirty, None).await?;
    /// println!("{} logins in 30 days", all_projects.confirmed_sessions);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The [errors of every call](Self#errors-of-every-call). The
    /// [`status`](Error::status) is 404 if there is no such project.
    pub async fn analytics(
        &self,
        days: Days,
        project_id: Option<&str>,
    ) -> Result<Analytics, Error> {
        let days = days.as_str();
        let path = match project_id {
            None => format!("analytics?days={days}"),
            Some(id) => format!("analytics?days={days}&project_id={}", encoded(id)),
        };
        call(self.request(Method::GET, format_args!("{path}"))).await
    }

    fn request(&self, method: Method, path: fmt::Arguments<'_>) -> RequestBuilder {
        let request = self.client.request(method, format_args!("dev/{path}"));
        request.header(AUTHORIZATION, self.authorization.clone())
    }
}

/// Encodes a project's id as one segment of a path.
fn segment(project_id: &str) -> Result<impl Display, Error> {
    // `.` and `..` cannot be escaped in a URL: they would change the path.
    if matches!(project_id, "" | "." | "..") {
        return Err(Error::setting("a project id must not be empty, `.` or `..`"));
    }
    Ok(encoded(project_id))
}

fn encoded(text: &str) -> impl Display {
    const UNRESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, UNRESERVED)
}

/// A developer's account.
///
/// `Debug` shows the plan and its usage only.
///
/// ```no_run
/// use bondify_client::{Developer, Error};
///
/// async fn print_account(developer: &Developer) -> Result<(), Error> {
///     let account = developer.me().await?;
///     println!("{} has the plan {}", account.developer_id, account.plan.unwrap_or_default());
///     Ok(())
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AccountResponse")]
#[non_exhaustive]
pub struct Account {
    /// The developer's id.
    pub developer_id: String,
    /// The developer's email address, if the API sends it.
    pub email: Option<String>,
    /// The developer's plan, if the API sends it.
    pub plan: Option<String>,
    /// The users of this month, if the API sends them.
    pub mau: Option<MonthlyUsers>,
    /// The time at which the account was created, if the API sends it.
    pub created_at: Option<SystemTime>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("plan", &self.plan)
            .field("mau", &self.mau)
            .finish_non_exhaustive()
    }
}

/// The users who logged in this month. Plans are billed by their number.
///
/// ```
/// use bondify_client::MonthlyUsers;
///
/// /// The share of the plan's limit that is used, in percent.
/// fn used(users: &MonthlyUsers) -> Option<u64> {
///     (users.current * 100).checked_div(users.limit?)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonthlyUsers {
    /// The number of users.
    pub current: u64,
    /// The plan's limit, if it has one. The API sends -1 or `null` if it has none.
    pub limit: Option<u64>,
    /// Whether the number is over the limit. The API sends a boolean or a number, of which 0 means `false`.
    pub over: bool,
}

impl Read for MonthlyUsers {
    fn read(json: &str) -> Option<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct MonthlyUsersResponse {
            current: Maybe<u64>,
            limit: Maybe<u64>,
            over: Maybe<bool>,
        }
        let MonthlyUsersResponse { current, limit, over } = object(json)?;
        Some(Self { current: current.0?, limit: limit.0, over: over.0.unwrap_or_default() })
    }
}

/// An account, in both forms that the API sends.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AccountResponse {
    developer: Maybe<Box<AccountResponse>>,
    developer_id: Maybe<String>,
    id: Maybe<String>,
    email: Maybe<String>,
    plan: Maybe<String>,
    mau: Maybe<MonthlyUsers>,
    created_at: Maybe<Time>,
}

impl Read for Box<AccountResponse> {
    fn read(json: &str) -> Option<Self> {
        object(json)
    }
}

impl TryFrom<AccountResponse> for Account {
    type Error = Error;

    fn try_from(answer: AccountResponse) -> Result<Self, Error> {
        if let Some(inner) = answer.developer.0 {
            return Self::try_from(*inner);
        }
        Ok(Self {
            developer_id: answer.developer_id.or(answer.id).required("developer_id")?,
            email: answer.email.0,
            plan: answer.plan.0,
            mau: answer.mau.0,
            created_at: answer.created_at.known(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use reqwest::Url;

    use super::*;

    #[test]
    fn an_account_is_read_in_both_forms() {
        let sdk = json!({"developer": {"developer_id": "dev_1", "email": "hush@example.com",
            "plan": "pro", "mau": {"current": 7, "limit": null, "over": false}}});
        let sdk: Account = serde_json::from_value(sdk).unwrap();
        assert_eq!((&*sdk.developer_id, sdk.email.as_deref()), ("dev_1", Some("hush@example.com")));
        assert_eq!(sdk.plan.as_deref(), Some("pro"));
        assert_eq!(sdk.mau, Some(MonthlyUsers { current: 7, limit: None, over: false }));
        assert!(!format!("{sdk:?}").contains("hush"));

        let docs = r#"{"id": "dev_1", "email": "a@b.c", "created_at": "1970-01-01T00:00:01Z"}"#;
        let docs: Account = serde_json::from_str(docs).unwrap();
        assert_eq!((&*docs.developer_id, docs.plan), ("dev_1", None));
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(docs.created_at, Some(second));
    }

    #[test]
    fn the_users_of_a_month_are_read_from_numbers_and_strings() {
        for (mau, expected) in [
            (json!({"current": 7, "limit": -1, "over": null}), Some((7, None, false))),
            (json!({"current": "7", "limit": "1000", "over": "0"}), Some((7, Some(1000), false))),
            (json!({"current": 7, "limit": 5, "over": 2}), Some((7, Some(5), true))),
            (json!({"current": 7}), Some((7, None, false))),
            (json!({"current": null}), None),
            (json!([7]), None),
            (json!(7), None),
        ] {
            let account = json!({"id": 17, "email": null, "plan": 3, "created_at": "", "mau": mau});
            let account: Account = serde_json::from_value(account).unwrap();
            assert_eq!((&*account.developer_id, account.email), ("17", None));
            let read = account.mau.map(|mau| (mau.current, mau.limit, mau.over));
            assert_eq!(read, expected, "{mau}");
        }
    }

    #[test]
    fn a_token_that_is_not_valid_in_a_header_is_refused_and_never_shown() {
        let client = Client::new().unwrap();
        for token in ["", "hush\n", " hush", "hu sh", "hush\0", "hüsh"] {
            let error = client.developer(token).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sh\n"), "{error:?}");
            assert!(error.to_string().contains("developer token"));
        }
        let developer = client.developer("hush").unwrap();
        assert!(!format!("{developer:?}").contains("hush"));
    }

    #[test]
    fn an_empty_id_and_dots_are_refused() {
        for id in ["", ".", ".."] {
            assert!(segment(id).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_id_is_one_segment(id in r"[./\\%?#&\s]*|%2[eE].*|.*") {
            if let Ok(segment) = segment(&id) {
                let url = Url::parse(&format!("https://a.b/projects/{segment}/x?y")).unwrap();
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 3);
                prop_assert_eq!((segments[0], segments[2]), ("projects", "x"));
                let decoded = percent_encoding::percent_decode_str(segments[1]).decode_utf8();
                prop_assert_eq!(&*decoded.unwrap(), &*id);
                prop_assert_eq!((url.query(), url.fragment()), (Some("y"), None));
            }
        }
    }
}
