//! What packagers install beside the program: shell completions and the manual page.

use crate::{Cli, failure::Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::{self, Write};

/// Which shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the shell's script to standard output.
pub(crate) fn completions(Completions { shell }: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut Cli::command(), "skep", &mut script);
    io::stdout().lock().write_all(&script).map_err(Failure::failed)
}

/// Writes the manual page, in roff, to standard output: the program's and after it each command's.
pub(crate) fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    render(&command, &mut page).map_err(Failure::failed)?;
    io::stdout().lock().write_all(&page).map_err(Failure::failed)
}

fn render(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(page)?;
    command.get_subcommands().filter(|inner| inner.get_name() != "help").try_for_each(|inner| render(inner, page))
}
