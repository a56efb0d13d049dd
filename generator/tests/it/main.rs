//! Black-box tests: the real `generator` over real files, told only by flags, variables, signals and full disks.

mod append;
mod bad_input;
mod behind_its_back;
mod check;
mod full_disk;
mod interval;
mod lock;
mod options;
mod process;
mod recovery;
mod rotation;
mod small_disk;
mod stop;
mod verify;
