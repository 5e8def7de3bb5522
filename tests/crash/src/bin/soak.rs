//! The soak that `scripts/soak` runs: `soak ENGINE SECONDS`, and `soak watch ENGINE SECONDS`. The engine is
//! `redis`, `postgres`, `mariadb` or `sqlite`.

use std::{env, error::Error, time::Duration};

use crash_tests::{Store, run_soak, run_watch};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let receiver = env::current_exe()?.with_file_name("receiver");
    let receiver = receiver.to_str().ok_or("the folder has no plain name")?;
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (watches, engine, seconds) = match &arguments[..] {
        [engine, seconds] => (false, engine, seconds),
        [watch, engine, seconds] if watch == "watch" => (true, engine, seconds),
        _ => return Err("soak [watch] ENGINE SECONDS".into()),
    };
    let length = Duration::from_secs(seconds.parse()?);
    let store = Store::named(engine).ok_or_else(|| format!("{engine} cannot be started"))?;
    if watches {
        run_watch(receiver, store, length).await;
    } else {
        run_soak(receiver, store, length).await;
    }
    Ok(())
}
