//! Black-box tests: the real `generator` over real files, told only by flags, variables, signals and full disks.

mod append;
mod bad_input;
mod behind_its_back;
mod check;
mod failing_calls;
mod folder;
mod full_disk;
mod interval;
mod lock;
mod log;
mod options;
mod process;
mod recovery;
mod rotation;
mod slow_disk;
mod small_disk;
mod stop;
mod verify;
