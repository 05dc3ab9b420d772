//! `fairlead metrics`: every metric that `/metrics` may have; with `--markdown`, the reference that
//! `docs/metrics.md` holds.

use super::{Failure, columns::aligned, print};
use crate::telemetry::metrics::catalog;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Print the reference of all metrics as Markdown.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn main(Args { markdown }: &Args) -> Result<(), Failure> {
    match markdown {
        true => print(&catalog::markdown()),
        false => print(&aligned(&catalog::rows())),
    }
}
