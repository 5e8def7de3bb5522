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

use crate::{
    Analytics, Client, Days, Error, NewProject, Project, ProjectSecret, ProjectSettings,
    SessionRecord,
    call::{call, send},
    project::Told,
    session::required,
    wire::{Time, filled},
};

/// The developer API: what the dashboard does, for programs. Made by [`Client::developer`].
///
/// Every call fails with an [`Error`] whose [`status`](Error::status) is 401 if the token is
/// not, or no longer, a developer's. No call is repeated: after a time-out, whether
/// it was heeded can be read from [`projects`](Self::projects). Clones are cheap. `Debug` does
/// not print the token.
#[derive(Clone, Debug)]
pub struct Developer {
    pub(crate) client: Client,
    pub(crate) authorization: HeaderValue,
}

impl Developer {
    /// Whose token it is.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn me(&self) -> Result<Account, Error> {
        call(self.request(Method::GET, format_args!("me"))).await
    }

    /// All projects.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        let answer: Projects = call(self.request(Method::GET, format_args!("projects"))).await?;
        Ok(answer.projects)
    }

    /// Creates a project called `name`, whatever name `settings` has. This is the only time
    /// that the API shows its whole secret.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn create_project(
        &self,
        name: &str,
        settings: ProjectSettings,
    ) -> Result<NewProject, Error> {
        let request = self.request(Method::POST, format_args!("projects"));
        let answer: Told = call(request.json(&settings.name(name))).await?;
        answer.into_project(name)
    }

    /// Changes what is set in `settings`.
    ///
    /// # Errors
    ///
    /// [`Error`].
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
    /// # Errors
    ///
    /// [`Error`].
    pub async fn delete_project(&self, project_id: &str) -> Result<(), Error> {
        let id = segment(project_id)?;
        send(self.request(Method::DELETE, format_args!("projects/{id}"))).await?;
        Ok(())
    }

    /// Replaces a project's secret. The old one stops at once, but retries of older deliveries
    /// still carry its signature: [accept both](bondify_core::Bondify::rotate) for a while.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn regenerate(&self, project_id: &str) -> Result<ProjectSecret, Error> {
        let id = segment(project_id)?;
        let request = self.request(Method::POST, format_args!("projects/{id}/regenerate"));
        call::<Told>(request).await?.try_into()
    }

    /// A project's webhook secret.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn webhook_secret(&self, project_id: &str) -> Result<ProjectSecret, Error> {
        let id = segment(project_id)?;
        let request = self.request(Method::GET, format_args!("projects/{id}/webhook-secret"));
        call::<Told>(request).await?.try_into()
    }

    /// The sessions of all projects, as many as the API tells.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn sessions(&self) -> Result<Vec<SessionRecord>, Error> {
        let answer: Records = call(self.request(Method::GET, format_args!("sessions"))).await?;
        Ok(answer.sessions)
    }

    /// How logins went over the last days, of one project or of all.
    ///
    /// # Errors
    ///
    /// [`Error`].
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

/// A project's id as one segment of a path, whatever it holds.
fn segment(project_id: &str) -> Result<impl Display, Error> {
    // URLs have no other way to write the dots, which lead elsewhere.
    if matches!(project_id, "" | "." | "..") {
        return Err(Error::setting("a project id must not be empty, nor dots"));
    }
    Ok(encoded(project_id))
}

fn encoded(text: &str) -> impl Display {
    const UNRESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, UNRESERVED)
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Records {
    sessions: Vec<SessionRecord>,
}

/// The holder of a developer token.
///
/// `Debug` shows the plan and its use.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Answer")]
#[non_exhaustive]
pub struct Account {
    /// Their id.
    pub developer_id: String,
    /// Their email address.
    pub email: String,
    /// Their plan, if the API says so.
    pub plan: Option<String>,
    /// How much of the plan is used, if the API says so.
    pub mau: Option<MonthlyUsers>,
    /// Since when they have the account, if the API says so.
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

/// The users who logged in this month, on which plans are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct MonthlyUsers {
    /// How many there were.
    pub current: u64,
    /// How many the plan allows, if it sets a limit.
    pub limit: Option<u64>,
    /// Whether there were more than that.
    pub over: bool,
}

/// An account in either spelling.
#[derive(Deserialize)]
struct Answer {
    developer: Option<Box<Answer>>,
    developer_id: Option<String>,
    id: Option<String>,
    email: Option<String>,
    plan: Option<String>,
    mau: Option<MonthlyUsers>,
    created_at: Option<Time>,
}

impl TryFrom<Answer> for Account {
    type Error = Error;

    fn try_from(answer: Answer) -> Result<Self, Error> {
        if let Some(inner) = answer.developer {
            return Self::try_from(*inner);
        }
        Ok(Self {
            developer_id: required("developer_id", answer.developer_id.or(answer.id))?,
            email: required("email", answer.email)?,
            plan: filled(answer.plan),
            mau: answer.mau,
            created_at: answer.created_at.map(|time| time.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use reqwest::Url;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_in_either_spelling() {
        let sdk = json!({"developer": {"developer_id": "dev_1", "email": "hush@example.com",
            "plan": "pro", "mau": {"current": 7, "limit": null, "over": false}}});
        let sdk: Account = serde_json::from_value(sdk).unwrap();
        assert_eq!((&*sdk.developer_id, &*sdk.email), ("dev_1", "hush@example.com"));
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
    fn dots_and_nothing_are_no_segments() {
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
