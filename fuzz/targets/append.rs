#![no_main]
#![allow(dead_code, reason = "the generator uses more of its files")]

#[path = "../../generator/src/access.rs"]
mod access;
#[path = "../../generator/src/append.rs"]
mod append;
#[path = "../../generator/src/disk.rs"]
mod disk;
#[path = "../checks/generator.rs"]
mod fuzz;
#[path = "../../generator/src/numbers.rs"]
mod numbers;
#[path = "../../generator/src/rotation.rs"]
mod rotation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::append(data));
