//! Prints the reference page of the configuration's fields, for `cargo xtask docs`.

fn main() {
    print!("{}", ashlar_model::config::reference());
}
