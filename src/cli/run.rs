//! `fairlead run`.

use clap::ArgMatches;
use tracing::warn;

use super::{Failure, start_logs, unknown_variables};
use crate::{app, aws::clients::Clients, settings::Settings};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn main(Args { settings }: Args, matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings.in_effect(matches);
    settings.lease_timing().map_err(Failure::Usage)?;
    start_logs(settings.log_format)?;
    unknown_variables().iter().for_each(|line| warn!("{line}"));
    if let Some(name) = Clients::empty_endpoint() {
        return Err(Failure::Usage(format!("{name} is set to nothing: unset it, or give it an endpoint's URL")));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Runtime(format!("the runtime does not start: {error}")))?;
    runtime.block_on(app::run(settings)).map_err(|error| Failure::Runtime(error.to_string()))
}
