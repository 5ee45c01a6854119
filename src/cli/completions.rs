//! `webhooksd completions`: what a shell needs to complete our words, from the parser's own definition.

use std::process::ExitCode;

use clap_complete::{Shell, generate};

use super::Ended;
use super::screen::Screen;

/// Prints the completions for a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd completions bash > /usr/share/bash-completion/completions/webhooksd
  webhooksd completions zsh > /usr/share/zsh/vendor-completions/_webhooksd
  webhooksd completions fish > /usr/share/fish/vendor_completions.d/webhooksd.fish")]
pub(super) struct Arguments {
    /// For which
    #[arg(value_enum)]
    shell: Which,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn completions(arguments: &Arguments, mut parser: clap::Command) -> Ended {
    let shell = match arguments.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut parser, "webhooksd", &mut script);
    let mut screen = Screen::new();
    screen.write(String::from_utf8_lossy(&script))?;
    screen.flush()?;
    Ok(ExitCode::SUCCESS)
}
