//! A bounded stand-in for the fuzz target, for a stable compiler: pseudo-random changes to the test vectors. The same
//! invariants, the same inputs on every run.

mod rules_fixture;

use rules_fixture::invariants;

const ROUNDS: usize = 50_000;

/// Pieces that are put in, besides pieces of other vectors.
const PIECES: [&str; 28] = [
    "(",
    ")",
    "\"",
    "'",
    "\\",
    "!",
    "-",
    "--",
    "&&",
    "||",
    " IN (",
    " IS NULL",
    "@",
    "@request.data.",
    "@twice(",
    "$1",
    ",",
    ".",
    "e9",
    "99999",
    "null",
    "title",
    "post",
    "\0",
    "\u{a0}",
    "🎉",
    "{",
    "\"$or\":[",
];

/// Numbers of a linear congruential generator (constants of Knuth's MMIX); the upper half is random enough here.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound.max(1)
    }
}

fn corpus() -> Vec<Vec<char>> {
    include_str!("rules_vectors.txt")
        .lines()
        .filter_map(|line| line.split_once(" «")?.1.strip_suffix('»'))
        .map(|input| input.chars().collect())
        .collect()
}

#[test]
fn mutated_vectors_keep_the_promises() {
    let corpus = corpus();
    let mut random = Random(2026);
    for _ in 0..ROUNDS {
        let mut source = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(source.len() + 1);
            match random.below(5) {
                0 => source.truncate(at),
                1 => {
                    let end = (at + random.below(6)).min(source.len());
                    source.drain(at..end);
                }
                2 => {
                    let piece = PIECES[random.below(PIECES.len())];
                    source.splice(at..at, piece.chars());
                }
                3 => {
                    let other = &corpus[random.below(corpus.len())];
                    let from = random.below(other.len() + 1);
                    source.splice(at.., other[from..].iter().copied());
                }
                _ => {
                    let copy = source[at..].to_vec();
                    source.extend(copy);
                }
            }
        }
        invariants::check(&source.into_iter().collect::<String>());
    }
}
