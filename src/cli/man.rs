//! `webhooksd man`: the manual pages, from the parser's own definition, so that they can't be stale.
//!
//! What is no command's has pages written by hand, which are inside too.
//! One page for the program and one for each command, `webhooksd-logs` for `logs`, as git has them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_mangen::Man;

use super::screen::Screen;
use super::{Ended, Failure};

/// The pages that are written by hand, for those who installed the program alone.
const WRITTEN: [(&str, &str); 4] = [
    (
        "databases",
        include_str!("../../packaging/man/webhooksd-databases.7"),
    ),
    ("log", include_str!("../../packaging/man/webhooksd-log.7")),
    (
        "service",
        include_str!("../../packaging/man/webhooksd.service.8"),
    ),
    (
        "webhooks.toml",
        include_str!("../../packaging/man/webhooks.toml.5"),
    ),
];

/// Prints the manual page, of the program, of a command or of a matter
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd man | man -l -
  webhooksd man logs | man -l -
  webhooksd man databases | man -l -          webhooksd-databases(7); also log, service, webhooks.toml
  webhooksd man --to /usr/share/man/man1      writes webhooksd.1, webhooksd-logs.1 and all others")]
pub(super) struct Arguments {
    /// Of which command, or databases, log, service or webhooks.toml [default: of the program]
    #[arg(value_name = "PAGE")]
    page: Option<String>,
    /// Writes every page into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "page")]
    to: Option<PathBuf>,
}

pub(super) fn man(arguments: &Arguments, mut root: clap::Command) -> Ended {
    root.build();
    match (&arguments.to, &arguments.page) {
        (Some(folder), _) => all(&root, folder)?,
        (None, None) => print(root)?,
        (None, Some(name)) => match (root.find_subcommand(name), written(name)) {
            (Some(command), _) => print(command.clone())?,
            (None, Some(text)) => show(text)?,
            (None, None) => {
                return Err(Failure::text(format!("there is no page {name:?}")).code(2));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn written(name: &str) -> Option<&'static str> {
    let mut pages = WRITTEN.iter();
    pages.find(|page| page.0 == name).map(|page| page.1)
}

fn print(command: clap::Command) -> Result<(), Failure> {
    show(&String::from_utf8_lossy(&page(command)?))
}

fn show(page: &str) -> Result<(), Failure> {
    let mut screen = Screen::new();
    screen.write(page)?;
    Ok(screen.flush()?)
}

fn all(root: &clap::Command, folder: &Path) -> Result<(), Failure> {
    let commands = root.get_subcommands().filter(|c| c.get_name() != "help");
    for command in std::iter::once(root).chain(commands) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, page(command.clone())?)
            .map_err(|error| Failure::text(format!("write {path:?}: {error}")))?;
    }
    Ok(())
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let version = concat!("webhooksd ", env!("CARGO_PKG_VERSION"));
    Man::new(command)
        .source(version)
        .manual("webhooksd")
        .render(&mut page)?;
    Ok(as_it_stands(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Has the examples set line by line: they and the shapes of JSON are aligned with spaces.
fn as_it_stands(page: &str) -> String {
    let Some((before, rest)) = page.split_once(".SH EXTRA\n") else {
        return page.to_owned();
    };
    let (examples, after) = rest.split_once("\n.SH ").unwrap_or((rest.trim_end(), ""));
    let after = match after {
        "" => String::new(),
        after => format!(".SH {after}"),
    };
    format!("{before}.SH EXAMPLES\n.nf\n{examples}\n.fi\n{after}")
}
