//! Options from environment variables, as an operator means them.

use std::env;
use std::ffi::OsStr;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, Error};

/// Parses the command line and the environment; ends the program where it should not run.
///
/// An empty variable is as unset, for compose's `${X:-}` makes many such. A value that is refused is named with its variable.
pub fn parse(command: Command) -> ArgMatches {
    let is_brief = env::args_os().any(|argument| argument == "-h");
    let command = if is_brief { without_variables(command) } else { without_empty(command) };
    let variables = variables(&command);
    command.try_get_matches().map_err(|error| with_cure(error, &variables)).unwrap_or_else(|error| error.exit())
}

fn without_empty(command: Command) -> Command {
    let unset = |arg: Arg| {
        let is_empty = arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
        if is_empty { arg.env(Resettable::Reset) } else { arg }
    };
    command.mut_args(unset).mut_subcommands(without_empty)
}

/// In a summary they take more room than there is.
fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env(true)).mut_subcommands(without_variables)
}

/// Each option that has a variable, with that variable's name.
fn variables(command: &Command) -> Vec<(String, String)> {
    let of =
        |arg: &Arg| Some((format!("--{}", arg.get_long()?), arg.get_env().map(OsStr::to_string_lossy)?.into_owned()));
    let own = command.get_arguments().filter_map(of);
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

/// The `error`, with the name of the variable beside that of the option, if the value came from there; and with what was
/// meant, where a file is named without its option.
fn with_cure(mut error: Error, variables: &[(String, String)]) -> Error {
    if let (Some(option), Some(value)) =
        (text(&error, ContextKind::InvalidArg), text(&error, ContextKind::InvalidValue))
        && let Some((_, variable)) = variables.iter().find(|(of, _)| option.split(' ').next() == Some(of))
        && env::var(variable).is_ok_and(|set| set == value)
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String(format!("{variable} ({option})")));
    }
    if let Some(name) = text(&error, ContextKind::InvalidSubcommand) {
        let cure = format!("to append to a file of that name, say '--file {name}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![cure.into()]));
    }
    error
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}
