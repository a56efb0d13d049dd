//! The numbers: uniform over 0..=32767, the range of the shell's `$RANDOM`.
//!
//! A crate of its own, because it is optimised for speed and the rest of the generator for size.

use rand::rngs::{ChaCha8Rng, SysError, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// The largest number of bytes that [`Numbers::push_line`] adds: five digits and the newline.
pub const LONGEST_LINE: u64 = 6;

/// The sequence of numbers.
///
/// `ChaCha8` gives the same values on every machine and in every version, and it has random access: the number of line *i*
/// is its *i*-th word. That is what lets a restarted generator go on where the file ends, and `verify` check any file.
pub struct Numbers {
    rng: ChaCha8Rng,
    seeded: bool,
}

impl Numbers {
    /// The sequence of `seed`; without one, a sequence that the system's entropy picks.
    ///
    /// # Errors
    ///
    /// When the system has no entropy to give.
    pub fn new(seed: Option<u64>) -> Result<Self, SysError> {
        let word = match seed {
            Some(seed) => seed,
            None => SysRng.try_next_u64()?,
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&word.to_le_bytes());
        Ok(Self { rng: ChaCha8Rng::from_seed(key), seeded: seed.is_some() })
    }

    /// Whether the numbers follow from the line they stand on, so that the lines of a file have to be counted.
    pub fn seeded(&self) -> bool {
        self.seeded
    }

    /// Goes to the number that follows `lines` complete lines. Without a seed there is no such place, and nothing moves.
    pub fn seek(&mut self, lines: u64) {
        if self.seeded {
            self.rng.set_word_pos(u128::from(lines));
        }
    }

    /// The next number.
    pub fn draw(&mut self) -> u16 {
        number_of(self.rng.next_u32()) as u16
    }

    /// Adds the next number to `buffer` as a decimal line.
    pub fn push_line(&mut self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(itoa::Buffer::new().format(self.draw()).as_bytes());
        buffer.push(b'\n');
    }
}

/// The number that a word stands for: 15 of its 32 bits, so no value is likelier than another.
fn number_of(word: u32) -> usize {
    (word >> 17) as usize
}

/// All lines there can be, each as the bytes of a word, with its length in the last byte: at full rate, looking a line up
/// takes a third of the time that printing it does.
pub struct Lines(Vec<u64>);

/// How many lines are put together at a time.
const PIECE: usize = 256;

impl Lines {
    /// Prints every number once.
    pub fn all() -> Self {
        let print = |number: u16| {
            let mut line = [b'\n'; 8];
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(number).as_bytes();
            line[..digits.len()].copy_from_slice(digits);
            line[7] = digits.len() as u8 + 1;
            u64::from_le_bytes(line)
        };
        Self((0..=32767).map(print).collect())
    }

    /// Adds the next `count` numbers to `buffer`, as [`Numbers::push_line`] would.
    pub fn push(&self, numbers: &mut Numbers, count: usize, buffer: &mut Vec<u8>) {
        let (mut words, mut text) = ([0; PIECE * 4], [0; PIECE * 8]);
        let mut left = count;
        while left > 0 {
            let taken = left.min(PIECE);
            let words = &mut words[..taken * 4];
            numbers.rng.fill_bytes(words); // the words that `draw` would take, at half the cost
            let mut end = 0;
            for &word in words.as_chunks().0 {
                let line = self.0[number_of(u32::from_le_bytes(word))];
                // Stored as a whole, of which the next line overwrites what is too much: to copy just the line would be a
                // call each time.
                if let Some((room, _)) = text.split_at_mut(end).1.split_first_chunk_mut() {
                    *room = line.to_le_bytes();
                }
                end += (line >> 56) as usize;
            }
            buffer.extend_from_slice(&text[..end]);
            left -= taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, skip: u64, count: usize) -> Vec<u16> {
        let mut numbers = Numbers::new(Some(seed)).unwrap();
        numbers.seek(skip);
        (0..count).map(|_| numbers.draw()).collect()
    }

    /// Files written by one release are verified by the next: these values may never change.
    #[test]
    fn the_sequence_of_a_seed_is_fixed() {
        assert_eq!(take(0, 0, 5), [6135, 27424, 29788, 20690, 24967]);
        assert_eq!(take(42, 0, 5), [3271, 11411, 2894, 9361, 12926]);
    }

    #[test]
    fn a_line_looked_up_is_the_line_printed() {
        let (mut printed, mut looked_up) = (Vec::new(), Vec::new());
        let mut numbers = Numbers::new(Some(3)).unwrap();
        (0..10_000).for_each(|_| numbers.push_line(&mut printed));
        numbers.seek(0);
        let lines = Lines::all();
        for count in [1, 0, 255, 256, 257, 9231] {
            lines.push(&mut numbers, count, &mut looked_up);
        }
        assert!(printed == looked_up);
    }

    #[test]
    fn any_line_can_be_reached_directly() {
        let all = take(7, 0, 1000);
        for skip in [0, 1, 15, 16, 17, 63, 64, 65, 500, 999_u16] {
            assert_eq!(take(7, skip.into(), 1)[0], all[usize::from(skip)]);
        }
    }

    #[test]
    fn unseeded_sequences_differ_and_do_not_start_again() {
        let mut a = Numbers::new(None).unwrap();
        let mut b = Numbers::new(None).unwrap();
        let first: Vec<_> = (0..20).map(|_| a.draw()).collect();
        assert_ne!(first, (0..20).map(|_| b.draw()).collect::<Vec<_>>());
        a.seek(0);
        assert_ne!(first, (0..20).map(|_| a.draw()).collect::<Vec<_>>());
    }

    /// Pearson's chi-squared over 64 bins of 512 values; 63 degrees of freedom go past 120 once in 20,000 seeds.
    #[test]
    fn the_numbers_are_uniform() {
        let mut bins = [0f64; 64];
        for number in take(1, 0, 640_000) {
            bins[usize::from(number) / 512] += 1.0;
        }
        let expected = 10_000.0;
        let chi_squared: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
        assert!(chi_squared < 120.0, "{chi_squared}");
    }
}
