//! What was probably meant by a command line that is refused.

use std::env;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Adds to an error which variable is refused, and how to say what was meant.
pub fn explain(mut error: Error) -> Error {
    match (error.kind(), text(&error, ContextKind::InvalidArg)) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(argument)) => name_variable(&mut error, &argument),
        (ErrorKind::MissingRequiredArgument, _) => name_dependents(&mut error),
        (ErrorKind::UnknownArgument, Some(argument)) => {
            if let Some(meant) = meant_by(&argument) {
                suggest(&mut error, &[meant]);
            }
        }
        _ => {}
    }
    error
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn suggest(error: &mut Error, tips: &[String]) {
    let tips = tips.iter().map(Into::into).collect();
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

/// Our own arguments, without those of COMMAND.
fn own_arguments() -> impl Iterator<Item = String> {
    env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .take_while(|argument| argument != "--")
}

/// The variable that sets `flag`, if the command line does not.
fn variable_of(flag: &str) -> Option<String> {
    let is_given = own_arguments().any(|argument| argument.split('=').next() == Some(flag));
    let name = format!("ECHO_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
    (!is_given && env::var_os(&name).is_some_and(|value| !value.is_empty())).then_some(name)
}

/// Puts the variable beside an `argument` such as `--listen <ADDRESS>` that it gave a bad value.
fn name_variable(error: &mut Error, argument: &str) {
    if let Some(variable) = argument.split(' ').next().and_then(variable_of) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(format!("{argument}, set by {variable}")));
    }
}

/// Names the variables that are of no use without the option that is missing.
fn name_dependents(error: &mut Error) {
    let set = ["--upstream-ca", "--upstream-token-file"].into_iter().filter_map(variable_of);
    let tips: Vec<_> = set.map(|variable| format!("{variable} is set, which needs it")).collect();
    if !tips.is_empty() {
        suggest(error, &tips);
    }
}

fn meant_by(argument: &str) -> Option<String> {
    match argument {
        "--port" | "-p" => Some("the port is part of --listen, as in '--listen 8080'".to_owned()),
        "--host" | "--bind" | "--address" => {
            Some("the address is part of --listen, as in '--listen 127.0.0.1:8000'".to_owned())
        }
        _ if argument.starts_with('-') || own_arguments().next().as_deref() == Some("check") => None,
        file => Some(format!("to serve this file, use '--file {file}'; to run a program, put '--' before it")),
    }
}
