//! Receivers that misbehave on purpose. Each example of this package is one guest, which `cargo xtask guests` builds
//! and the tests of the host load.
//!
//! | guest | what it does |
//! |---|---|
//! | `answers` | Returns the outcomes in its settings, one after the other. |
//! | `bench` | Reads a batch in one of several ways and discards it. |
//! | `facts` | Logs all facts of each push as one JSON line. |
//! | `falters` | Fails a percentage of its batches. |
//! | `fetches` | Sends one HTTP request for each batch and logs the response. |
//! | `floods_log` | Logs far more lines than the host allows. |
//! | `hoards` | Allocates memory without end. |
//! | `leaks` | Sends HTTP requests and never drops their handles. |
//! | `no_accept` | Accepts no content type that the host can deliver. |
//! | `refuses_start` | Returns an error from `start`. |
//! | `remembers` | Counts pushes in the persistent state, and may trap after that. |
//! | `requests` | Tries each request of [`requests`] and logs the result. |
//! | `sleeps` | Waits for a clock without using CPU. |
//! | `slow_stop` | Takes a long time to stop. |
//! | `spins` | Uses CPU without end. |
//! | `spins_start` | Uses CPU without end in `start`. |
//! | `taker` | Accepts every batch and logs its size. |
//! | `traps` | Panics under the conditions in its settings. |
//! | `traps_start` | Panics in `start`. |
//! | `views` | Logs a summary of the typed view. |
//! | `writes_why` | Writes an exception to standard error and traps. |

pub mod requests;

/// The guests of this package, in alphabetical order.
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
