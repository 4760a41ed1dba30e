//! The `skep-node` program.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "the log may not be there yet, and an operator must read why nothing runs")]
fn main() -> ExitCode {
    match skep_node::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}
