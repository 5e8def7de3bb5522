use std::path::Path;

use async_trait::async_trait;
use axum::{Extension, Router};
use loco_rs::{
    Result,
    app::{AppContext, Hooks, Initializer},
    bgworker::Queue,
    boot::{BootResult, StartMode, create_app},
    config::Config,
    controller::{
        AppRoutes,
        views::{ViewEngine, engines::TeraView},
    },
    environment::Environment,
    task::Tasks,
};
use sea_orm::EntityTrait;

use crate::{pages, telegram::Telegram, users};

pub(crate) struct App;

#[async_trait]
impl Hooks for App {
    fn app_name() -> &'static str {
        env!("CARGO_CRATE_NAME")
    }

    async fn boot(
        mode: StartMode,
        environment: &Environment,
        config: Config,
    ) -> Result<BootResult> {
        create_app::<Self, users::Migrator>(mode, environment, config).await
    }

    fn routes(_: &AppContext) -> AppRoutes {
        AppRoutes::with_default_routes().add_route(pages::routes())
    }

    async fn after_routes(router: Router, _: &AppContext) -> Result<Router> {
        Ok(router.layer(Extension(ViewEngine::from(TeraView::build()?))))
    }

    async fn initializers(_: &AppContext) -> Result<Vec<Box<dyn Initializer>>> {
        Ok(vec![Box::new(Telegram)])
    }

    async fn connect_workers(_: &AppContext, _: &Queue) -> Result<()> {
        Ok(())
    }

    fn register_tasks(_: &mut Tasks) {}

    async fn truncate(app: &AppContext) -> Result<()> {
        users::Entity::delete_many().exec(&app.db).await?;
        Ok(())
    }

    async fn seed(_: &AppContext, _: &Path) -> Result<()> {
        Ok(())
    }
}
