//! What `docs/ci.md` tells people to paste: its shell steps are taken from the page and executed, and the action's own script
//! with them. The CI services are not here: what they do around the steps is done by [`service`].

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod action;
mod page;
mod recipes;
mod result_line;
mod service;
