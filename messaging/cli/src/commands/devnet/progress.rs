//! What a person sees while a devnet starts: a spinner on a terminal, a line a step elsewhere.

use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// Progress of one command.
pub(super) struct Progress {
    output: Output,
    spinner: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        let spinner = (!output.is_json() && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let spinner =
                ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self { output, spinner, began: Instant::now() }
    }

    /// Something begins that takes a while.
    pub(super) fn doing(&self, what: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(what.to_owned()),
            None => self.output.remark(format_args!("[{:3} s] {what}", self.seconds())),
        }
    }

    /// Something is done; stays on the screen.
    pub(super) fn done(&self, what: &str) {
        match &self.spinner {
            Some(spinner) => spinner.println(format!("[{:3} s] {what}", self.seconds())),
            None => self.output.remark(format_args!("[{:3} s] {what}", self.seconds())),
        }
    }

    /// Whole seconds since the command began.
    pub(super) fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
