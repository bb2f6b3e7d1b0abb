//! The command line is sound, and every help page fits a screen and ends in two examples.

use super::Cli;
use clap::CommandFactory;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_page_fits_a_screen_and_ends_in_two_examples() {
    let mut command = Cli::command();
    for verb in command.get_subcommands_mut() {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        assert!(help.lines().count() <= 50, "{name} is too long:\n{help}");
        let examples = help.split("Examples:").nth(1).unwrap_or("");
        let count = examples
            .lines()
            .filter(|line| line.trim_start().starts_with("tyrian"))
            .count();
        assert!(count >= 2, "{name} has {count} examples:\n{help}");
    }
}
