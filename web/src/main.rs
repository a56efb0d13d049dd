//! The program `web`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    web::run::main()
}
