//! The `fairlead` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    fairlead::cli::main()
}
