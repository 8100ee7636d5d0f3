//! build-mem's own exit codes. The build's pass through unchanged, also where they happen to be one of these:
//! the result's `verdict` and `exit` tell them apart.

use crate::problem::{Problem, ProblemKind};
use crate::report::{Report, Verdict};

/// The build succeeded, but did not leave what it had to.
pub const VERIFICATION_FAILED: u8 = 121;
/// The build succeeded, but needed more memory than its budget.
pub const OVER_BUDGET: u8 = 122;
/// The measurement is not complete, and `--strict` was given.
pub const NOT_TRUSTWORTHY: u8 = 123;
/// build-mem could not do its work: bad usage, config, privileges.
pub const TOOL_FAILED: u8 = 125;
/// The command exists but cannot be executed, as in a shell.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found, as in a shell.
pub const NOT_FOUND: u8 = 127;

/// The code for a problem of build-mem's own.
pub const fn of_problem(problem: &Problem) -> u8 {
    match problem.kind {
        ProblemKind::Tool => TOOL_FAILED,
        ProblemKind::NotExecutable => NOT_EXECUTABLE,
        ProblemKind::NotFound => NOT_FOUND,
    }
}

/// The code for a run: the build's own when it failed, else what build-mem found.
pub fn of_report(report: &Report, strict: bool) -> u8 {
    let of_build = match (report.exit.code, report.exit.signal) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => return TOOL_FAILED,
    };
    if of_build != 0 {
        // A wait status holds eight bits.
        return u8::try_from(of_build & 0xff).unwrap_or(u8::MAX);
    }
    match report.verdict {
        Verdict::VerificationFailed => VERIFICATION_FAILED,
        Verdict::OverBudget => OVER_BUDGET,
        // Who asks for a budget must not take an answer that nobody has for a yes.
        _ if has_unknown_budget(report) => NOT_TRUSTWORTHY,
        _ if strict && !is_trustworthy(report) => NOT_TRUSTWORTHY,
        _ => 0,
    }
}

/// Whether nobody can tell of some budget whether it was kept.
fn has_unknown_budget(report: &Report) -> bool {
    let of_peak = report.budget.iter().map(|budget| budget.exceeded_by_bytes);
    let of_parts = report.budgets.iter().map(|part| part.exceeded_by_bytes);
    of_peak.chain(of_parts).any(|exceeded| exceeded.is_none())
}

/// Whether nothing that the headline or the list of processes rests on is missing.
pub fn is_trustworthy(report: &Report) -> bool {
    report.headline.complete && !report.headline.saturated && report.profiler.events_lost == 0
}
