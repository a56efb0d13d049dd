#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| appcoup_fuzz::fuzz::answer(data));
