//! The program `generator`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    generator::run::main()
}
