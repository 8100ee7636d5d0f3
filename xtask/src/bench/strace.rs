//! Counts processes in what `strace -f -e trace=clone,clone3,fork,vfork` writes.

/// What makes strace write just that, at the least cost.
pub const ARGUMENTS: [&str; 4] = [
    "--follow-forks",
    "--quiet=all",
    "--seccomp-bpf",
    "--trace=clone,clone3,fork,vfork",
];

/// Processes made: calls that gave a child, and did not make a thread.
pub fn processes_made(log: &str) -> u64 {
    let mut made = 0;
    // `PID clone(… flags=CLONE_THREAD… <unfinished ...>` and `PID <... clone resumed> …) = CHILD` belong
    // together by their PID. Newer versions tell the flags in the second part.
    let mut unfinished = std::collections::HashMap::new();
    for line in log.lines() {
        let Some((pid, call)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let begin = unfinished.remove(pid).unwrap_or_default();
        let whole = format!("{begin}{call}");
        if call.trim_end().ends_with("<unfinished ...>") {
            unfinished.insert(pid.to_owned(), whole);
            continue;
        }
        let gave_a_child = whole
            .rsplit_once(" = ")
            .and_then(|(_, value)| value.split_whitespace().next()?.parse::<i64>().ok())
            .is_some_and(|child| child > 0);
        let calls = ["clone(", "clone3(", "fork(", "vfork("];
        let is_call = calls
            .iter()
            .any(|name| whole.trim_start().starts_with(name));
        if gave_a_child && is_call && !whole.contains("CLONE_THREAD") {
            made += 1;
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_counted_and_threads_and_failures_are_not() {
        let log = "\
10    clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f) = 11
11    vfork( <unfinished ...>
10    clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7f}, 88) = 12
10    clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88 <unfinished ...>
11    <... vfork resumed>)              = 13
10    <... clone3 resumed>)             = 14
12    fork()                            = -1 EAGAIN (Resource temporarily unavailable)
13    +++ exited with 0 +++
10    --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=13} ---
10    clone3({flags=CLONE_VM|CLONE_FS <unfinished ...>
10    <... clone3 resumed> => {flags=CLONE_THREAD, parent_tid=[15]}, 88) = 15
10    clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
10    <... clone resumed>) = ? ERESTARTNOINTR (To be restarted)
";
        assert_eq!(processes_made(log), 3);
    }
}
