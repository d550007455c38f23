//! From arguments to a command: the root of the command tree, its help, and what an unknown command is.

use std::ffi::OsString;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::command::{self, Command};
use crate::environment::Selection;
use crate::output::{self, Exit};
use crate::refusal;

/// Build, run and call services
#[derive(Debug, Parser)]
#[command(name = "micro", version, disable_help_subcommand = true, subcommand_required = false)]
struct Cli {
    #[command(flatten)]
    selection: Selection,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Parses `args` and runs what they ask for.
pub(crate) async fn run(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    let matches = match tree().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return told(&error),
    };
    let short = short_environment(&matches);
    let mut cli = Cli::from_arg_matches(&matches)?;
    if cli.selection.env.is_none() {
        cli.selection.env = short;
    }
    match cli.command {
        Some(command) => {
            let result = command::run(command, &cli.selection).await;
            result.map_err(|error| refusal::explain(error, &cli.selection))
        }
        None => help(&[]),
    }
}

/// Prints the help of the command at `path`.
pub(crate) fn help(path: &[&str]) -> Result<()> {
    let args = ["micro"].into_iter().chain(path.iter().copied()).chain(["--help"]);
    match tree().try_get_matches_from(args) {
        Ok(_) => Ok(()),
        Err(error) => told(&error),
    }
}

/// Help and version go to stdout, everything else is a mistake in the arguments.
fn told(error: &clap::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&error.render().to_string())?;
            Ok(())
        }
        _ => {
            output::complain(error.render().to_string().trim_end());
            Err(Exit(1).into())
        }
    }
}

/// The whole command tree, with help in Micro's form.
pub(crate) fn tree() -> clap::Command {
    let root = shape(Cli::command(), "micro");
    root.help_template(
        "NAME:\n   micro - {about}\n\n\
         USAGE:\n   micro [global options] command [command options] [arguments...]\n\n\
         VERSION:\n   {version}\n\n\
         COMMANDS:\n{subcommands}\n\n\
         GLOBAL OPTIONS:\n{options}\n",
    )
}

fn shape(command: clap::Command, path: &str) -> clap::Command {
    let has_commands = command.get_subcommands().next().is_some();
    let has_arguments = command.get_positionals().next().is_some();
    let mut template = format!("NAME:\n   {path} - {{about}}\n\nUSAGE:\n   {{usage}}\n\n");
    if has_commands {
        template.push_str("COMMANDS:\n{subcommands}\n\n");
    }
    if has_arguments {
        template.push_str("ARGUMENTS:\n{positionals}\n\n");
    }
    template.push_str("OPTIONS:\n{options}{after-help}\n");
    let taken = command.get_arguments().any(|arg| arg.get_short() == Some('e'));
    let short = Arg::new(SHORT)
        .short('e')
        .value_name("NAME")
        .help("The same as --env")
        .hide(path != "micro")
        .display_order(901);
    let command = if taken { command } else { command.arg(short) };
    command.help_template(template).mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        shape(sub, &path)
    })
}

/// `-e` belongs to `--env`, but for `micro store write`, where Micro gave it to `--expiry`. So it is an argument of
/// each command of its own, while `--env` is one global argument.
const SHORT: &str = "env-short";

fn short_environment(matches: &ArgMatches) -> Option<String> {
    let mut level = Some(matches);
    let mut found = None;
    while let Some(matches) = level {
        if let Ok(Some(name)) = matches.try_get_one::<String>(SHORT) {
            found = Some(name.clone());
        }
        level = matches.subcommand().map(|(_, inner)| inner);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_consistent() {
        tree().debug_assert();
    }

    /// Such an argument would be taken for the global one, as clap hands values of global arguments up.
    #[test]
    fn no_argument_of_a_command_has_the_id_of_a_global_one() {
        fn walk(command: &clap::Command, path: &str, globals: &[&str], found: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                let own = sub.get_arguments().filter(|arg| !arg.is_global_set());
                let same = own.filter(|arg| globals.contains(&arg.get_id().as_str()));
                found.extend(same.map(|arg| format!("{path} {}", arg.get_id())));
                walk(sub, &path, globals, found);
            }
        }
        let tree = tree();
        let globals: Vec<_> = tree.get_arguments().filter(|arg| arg.is_global_set()).collect();
        let globals: Vec<_> = globals.iter().map(|arg| arg.get_id().as_str()).collect();
        assert!(globals.contains(&"namespace"), "{globals:?}");
        let mut found = Vec::new();
        walk(&tree, "micro", &globals, &mut found);
        // It speaks to no server, and Micro's flag has this name.
        assert_eq!(found, ["micro new namespace"]);
    }

    #[test]
    fn the_short_form_of_env_is_found_at_any_depth() {
        let parse = |args: &[&str]| {
            let matches = tree().try_get_matches_from(args).unwrap();
            (Cli::from_arg_matches(&matches).unwrap().selection.env, short_environment(&matches))
        };
        assert_eq!(parse(&["micro", "-e", "a", "status"]).1.as_deref(), Some("a"));
        assert_eq!(parse(&["micro", "status", "-e", "a"]).1.as_deref(), Some("a"));
        assert_eq!(parse(&["micro", "list", "services", "-e", "a"]).1.as_deref(), Some("a"));
        assert_eq!(parse(&["micro", "store", "write", "-e", "5m", "k", "v"]).1, None);
        assert_eq!(parse(&["micro", "status", "--env", "b"]).0.as_deref(), Some("b"));
    }
}
