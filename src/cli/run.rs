//! `fairlead run`.

use clap::ArgMatches;
use tracing::warn;

use super::{Failure, unknown_variables};
use crate::{
    app,
    aws::clients::Clients,
    settings::Settings,
    telemetry::{
        logs,
        metrics::Metrics,
        traces::{self, Traces},
    },
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn main(Args { settings }: Args, matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings.in_effect(matches);
    settings.lease_timing().map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Runtime(format!("the runtime does not start: {error}")))?;
    let metrics = Metrics::default();
    let traces = {
        let _runtime = runtime.enter();
        traces::start(&settings, &metrics).map_err(Failure::Usage)?
    };
    logs::init(settings.log_format, traces.as_ref()).map_err(Failure::Usage)?;
    unknown_variables().iter().for_each(|line| warn!("{line}"));
    if let Some(name) = Clients::empty_endpoint() {
        return Err(Failure::Usage(format!("{name} is set to nothing: unset it, or give it an endpoint's URL")));
    }
    traces.iter().for_each(Traces::announce);
    runtime.block_on(async {
        let ended = app::run(settings, metrics).await;
        if let Some(traces) = traces {
            traces.end().await;
        }
        ended.map_err(|error| Failure::Runtime(error.to_string()))
    })
}
