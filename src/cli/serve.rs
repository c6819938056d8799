//! `bellwire serve`

use super::output::{self, Output};
use super::signals;
use crate::app::App;
use crate::config::Config;
use crate::domain::Result;
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
    logs::init(&config.log);
    let shutdown = signals::shutdown()?;
    let app = App::build(config).await?;
    // Scripts wait for this line and read the port from it.
    output::say(&format!("bellwire listening on http://{}", app.addr()));
    app.run_until(shutdown).await?;
    Ok(Output::nothing())
}
