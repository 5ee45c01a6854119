//! The load bench: the figures of webhooksd, each beside the limit of the machine, in one table.
//!
//! It starts the real release binary with real files on disk, and a receiver in a process of its
//! own (this binary with a hidden argument). Where a figure is a rate, the ceiling is measured in
//! the same run, in turn with it; and so is another build, where one is to be compared. Every load is bounded in count and time and stays on loopback.
//! Leaves out whatever needs more than one machine: networks with latency, loss or real peers.

mod arguments;
mod bare;
mod bench;
mod build;
mod certificate;
mod config;
mod daemon;
mod drive;
mod figure;
mod http;
mod log;
mod machine;
mod measure;
mod outbox;
mod pairs;
mod postgres;
mod process;
mod receiver;
mod report;
mod rows;
mod sessions;
mod watchers;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Wanted;
use bench::Bench;
use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("receiver") => receiver::run(&arguments[1..]),
        Some("bare") => bare::run(&arguments[1..]),
        Some("watch") => watchers::run(&arguments[1..]),
        _ => match arguments::read(&arguments) {
            Ok(Wanted::Bench(options)) => return measure(&options),
            Ok(Wanted::List) => rows::ALL
                .iter()
                .for_each(|row| println!("{:<12} {}", row.name, row.about)),
            Ok(Wanted::Help) => println!("{}", arguments::HELP),
            Err(error) => {
                eprintln!("{error}\n\n{}", arguments::HELP);
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

fn measure(options: &arguments::Options) -> ExitCode {
    let begun = Instant::now();
    let mut bench = match Bench::new(options) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(&bench);
    for row in rows::ALL.iter().filter(|row| options.wants(row.name)) {
        eprintln!("{}: {}", row.name, row.about);
        let row_begun = Instant::now();
        let measured = drive::drive(&mut bench, row);
        let raw = bench.take_raw();
        for line in report.add(row, measured, &raw, row_begun.elapsed()) {
            eprintln!("  {line}");
        }
        bench.end_row();
    }
    println!("{}", report.table());
    match report.write(begun.elapsed()) {
        Ok(path) => println!("written: {}", path.display()),
        Err(error) => eprintln!("the run was not written: {error}"),
    }
    if report.all_ran() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
