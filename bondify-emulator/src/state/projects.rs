use std::sync::Arc;

use super::{Change, State};
use crate::{Error, Project, ProjectSettings, secret_text::SecretText};

impl State {
    pub(crate) fn projects(&self) -> &[Arc<Project>] {
        &self.projects
    }

    pub(crate) fn project(&self, id: &str) -> Result<&Arc<Project>, Error> {
        self.projects.iter().find(|project| project.id == id).ok_or(Error::ProjectNotFound)
    }

    /// Creates a project, or changes the settings of the project with the same id.
    pub(crate) fn add_project(&mut self, settings: ProjectSettings) -> Result<Arc<Project>, Error> {
        match settings.id.clone() {
            Some(id) if self.project(&id).is_ok() => self.update_project(&id, settings),
            _ => {
                let project = Project::new(settings, self.rules.remote_delivery, self.now)?;
                Ok(self.put_project(project))
            }
        }
    }

    /// Adds a project of the builder, which a reset restores.
    pub(crate) fn add_preset(&mut self, settings: ProjectSettings) -> Result<(), Error> {
        let preset = Project::new(settings.clone(), self.rules.remote_delivery, self.now)?;
        let project = self.add_project(settings.id(&preset.id))?;
        let (secret_key, secret) = (project.secret_key.clone(), project.secret.clone());
        self.presets.push(Arc::new(Project { secret_key, secret, ..preset }));
        Ok(())
    }

    pub(crate) fn update_project(
        &mut self,
        id: &str,
        settings: ProjectSettings,
    ) -> Result<Arc<Project>, Error> {
        let mut project = Project::clone(self.project(id)?);
        project.set(settings, self.rules.remote_delivery)?;
        Ok(self.put_project(project))
    }

    pub(crate) fn delete_project(&mut self, id: &str) -> Result<(), Error> {
        let id = self.project(id)?.id.clone();
        self.change(Change::ProjectDeleted(id));
        Ok(())
    }

    /// Gives the project a new secret key and a new webhook secret. Existing deliveries keep
    /// their signature.
    pub(crate) fn rotate_secret(&mut self, id: &str) -> Result<Arc<Project>, Error> {
        let (secret_key, secret) = (SecretText::random_key(), SecretText::random_webhook_secret());
        let project = Project { secret_key, secret, ..Project::clone(self.project(id)?) };
        Ok(self.put_project(project))
    }

    fn put_project(&mut self, project: Project) -> Arc<Project> {
        let project = Arc::new(project);
        self.change(Change::Project(Arc::clone(&project)));
        project
    }
}
