//! `bellwire serve`

use super::output::{self, Output};
use super::signals;
use crate::app::App;
use crate::config::Config;
use crate::domain::{Code, Error, Result};
use crate::telemetry::logs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Listen here instead of at the configuration's `server.bind`; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    bind: Option<String>,
}

pub(super) async fn run(args: Args, mut config: Config) -> Result<Output> {
    if let Some(bind) = args.bind {
        config.server.bind = bind;
    }
    if config.apps.is_empty() {
        return Err(Error::new(
            Code::Invalid,
            "There is no app in the configuration, so no client could connect. Run `bellwire app create` and \
             put the [[apps]] block that it prints into config.toml.",
        ));
    }
    logs::init(&config.log);
    let shutdown = signals::shutdown()?;
    let app = App::build(config).await?;
    // Scripts wait for this line and read the port from it.
    output::say(&format!("bellwire listening on http://{}", app.addr()));
    app.run_until(shutdown).await?;
    Ok(Output::nothing())
}
