//! The program `echo`: see the library of the same name.

fn main() {
    echo::run::main()
}
