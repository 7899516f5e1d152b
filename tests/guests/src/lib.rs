//! Receivers that behave badly on purpose: each example of this package is one guest, built by `cargo xtask guests` and
//! loaded by the tests of the host.
//!
//! | guest | what it does |
//! |---|---|
//! | `answers` | Answers as its settings say, one outcome after the other. |
//! | `bench` | Asks for a batch in one of four ways, and does nothing with it. |
//! | `facts` | Logs every fact of every push as one JSON line. |
//! | `fetches` | Sends one HTTP request a batch and logs what came. |
//! | `floods_log` | Writes far more lines than anybody wants. |
//! | `hoards` | Takes memory without end. |
//! | `leaks` | Sends HTTP requests and keeps every handle of them. |
//! | `no_accept` | Understands nothing that Kafka sends. |
//! | `refuses_start` | Never starts. |
//! | `remembers` | Counts pushes in its slot's state, and may trap once it has. |
//! | `requests` | Tries every request of [`requests`] and logs what came of it. |
//! | `sleeps` | Waits for a clock, using no CPU. |
//! | `slow_stop` | Takes its time to stop. |
//! | `spins` | Uses CPU without end. |
//! | `spins_start` | Uses CPU without end before it has started. |
//! | `taker` | Takes everything and logs how much. |
//! | `traps` | Panics when its settings say. |
//! | `traps_start` | Panics before it has started. |
//! | `views` | Logs what the typed view says. |

pub mod requests;

/// Every guest of this package, in the order of the table.
pub const GUESTS: &[&str] = &[
    "answers",
    "bench",
    "facts",
    "fetches",
    "floods_log",
    "hoards",
    "leaks",
    "no_accept",
    "refuses_start",
    "remembers",
    "requests",
    "sleeps",
    "slow_stop",
    "spins",
    "spins_start",
    "taker",
    "traps",
    "traps_start",
    "views",
];
