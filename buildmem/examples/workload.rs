//! Processes of known shape, for the tests: each subcommand forks, execs, allocates and ends in one particular
//! way, and prints what it did, so that a test has something independent to compare with.
//!
//! `workload touch 300` touches 300 MiB and exits at once; the `match` in `main` is the list.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::hint;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait, waitpid};
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, setsid};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let name = name.to_string_lossy();
    match run(&name, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload {name}: {error}");
            ExitCode::from(99)
        }
    }
}

fn run(name: &str, arguments: &[OsString]) -> Outcome {
    let number = |index: usize| -> Result<u64, Box<dyn std::error::Error>> {
        let text = arguments.get(index).ok_or("an argument is missing")?;
        Ok(text.to_str().ok_or("not a number")?.parse()?)
    };
    let command = |from: usize| arguments.get(from..).unwrap_or_default();
    match name {
        // Does nothing, whatever the arguments are.
        "nothing" => Ok(()),
        // storm N: so many short processes by fork and exec, at most eight at a time.
        "storm" => storm(number(0)?),
        // never-exec N: so many children that fork and exit, child i with code i modulo 100.
        "never-exec" => never_exec(number(0)?),
        // crowd N: so many children that are alive at once, child i with code i modulo 100.
        "crowd" => crowd(number(0)?),
        // vfork-exec N: so many processes by vfork and exec.
        "vfork-exec" => vfork_exec(number(0)?),
        // vfork-fail N: so many children whose exec fails after vfork.
        "vfork-fail" => {
            vfork_fail(number(0)?);
            Ok(())
        }
        // touch MIB: touches so much memory and exits at once.
        "touch" => {
            hint::black_box(touch(number(0)?));
            Ok(())
        }
        // shrink MIB MIB: touches the first amount, gives it back, and touches the second.
        "shrink" => {
            drop(touch(number(0)?));
            hint::black_box(touch(number(1)?));
            Ok(())
        }
        // hold MIB MILLISECONDS: touches so much memory and stays for so long.
        "hold" => {
            let memory = touch(number(0)?);
            thread::sleep(slowly(number(1)?));
            hint::black_box(memory);
            Ok(())
        }
        // spike MIB MILLISECONDS: rests, touches so much memory, stays for so long, gives it back, and rests.
        "spike" => {
            thread::sleep(Duration::from_millis(300));
            let memory = touch(number(0)?);
            thread::sleep(slowly(number(1)?));
            drop(hint::black_box(memory));
            thread::sleep(Duration::from_millis(300));
            Ok(())
        }
        // fat-parent MIB fork|vfork COMMAND…: touches so much memory, then starts the command.
        "fat-parent" => {
            let memory = touch(number(0)?);
            let outcome = match arguments.get(1).and_then(|how| how.to_str()) {
                Some("fork") => fork_exec(command(2)),
                Some("vfork") => vfork_and_wait(command(2)),
                _ => Err("fork or vfork?".into()),
            };
            hint::black_box(memory);
            outcome
        }
        // replace MIB COMMAND…: touches so much memory, then becomes the command.
        "replace" => {
            hint::black_box(touch(number(0)?));
            Err(become_command(command(1)).into())
        }
        // shared-children N MIB MILLISECONDS: touches so much memory, which so many children then share.
        "shared-children" => shared_children(number(0)?, number(1)?, number(2)?),
        // threads N: starts so many threads and waits for them.
        "threads" => {
            for thread in (0..number(0)?)
                .map(|_| thread::spawn(|| ()))
                .collect::<Vec<_>>()
            {
                thread.join().map_err(|_| "a thread panicked")?;
            }
            Ok(())
        }
        // thread-exec COMMAND…: a thread that is not the leader becomes the command.
        "thread-exec" => {
            let command = command(0).to_vec();
            in_a_thread(move || become_command(&command))
        }
        // thread-exit CODE: a thread that is not the leader ends the process.
        "thread-exit" => {
            let code = i32::try_from(number(0)?)?;
            in_a_thread(move || std::process::exit(code))
        }
        // thread-kill: a thread that is not the leader kills the process.
        "thread-kill" => in_a_thread(|| nix::sys::signal::raise(Signal::SIGKILL)),
        // leader-first group|alone CODE: the first thread exits alone with 0, then the last one with the code:
        // by exit_group, or alone too.
        "leader-first" => {
            let group = arguments.first().is_some_and(|how| how == "group");
            leader_first(group, i32::try_from(number(1)?)?)
        }
        // kill SIGNAL: sends itself the signal.
        "kill" => {
            nix::sys::signal::raise(Signal::try_from(i32::try_from(number(0)?)?)?)?;
            Err("the signal was ignored".into())
        }
        // retitle MIB: overwrites its own command line with `x`, touches so much memory and exits.
        "retitle" => {
            retitle()?;
            touch(number(0)?);
            Ok(())
        }
        // double-fork MILLISECONDS: leaves a daemon of its own session, which exits with 7 after so long.
        "double-fork" => double_fork(Duration::from_millis(number(0)?)),
        // reuse-pid: two children, one after the other, with the same number.
        "reuse-pid" => reuse_pid(),
        // move-to FILE…: writes its number to each of the files (cgroup.procs).
        "move-to" => {
            for file in arguments {
                fs::write(file, getpid().to_string())?;
            }
            Ok(())
        }
        // move-and-become FILE COMMAND…: writes its number to the file (cgroup.procs), then becomes the command.
        "move-and-become" => {
            fs::write(
                arguments.first().ok_or("which cgroup?")?,
                getpid().to_string(),
            )?;
            Err(become_command(command(1)).into())
        }
        // born-in DIR COMMAND…: starts the command in the cgroup (v2) with this folder, by clone3, and waits for it.
        "born-in" => born_in(arguments.first().ok_or("which cgroup?")?, command(1)),
        _ => Err("no such workload".into()),
    }
}

/// So many milliseconds, or as many times more as the machine is slower than a real one: `BUILD_MEM_TESTS_SLOWNESS`.
fn slowly(milliseconds: u64) -> Duration {
    let slowness = env::var("BUILD_MEM_TESTS_SLOWNESS").ok();
    let slowness = slowness.and_then(|slowness| slowness.parse().ok());
    Duration::from_millis(milliseconds) * slowness.unwrap_or(1)
}

/// So many MiB of memory of which every page was written to.
fn touch(mib: u64) -> Vec<u8> {
    let bytes = usize::try_from(mib << 20).unwrap_or_default();
    // Zeros come from the kernel as they are: no page is there before it is written to.
    let mut memory = vec![0; bytes];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    hint::black_box(memory)
}

fn storm(count: u64) -> Outcome {
    let own = env::current_exe()?.into_os_string();
    let command = [own, OsString::from("nothing")];
    let mut alive = 0;
    let mut waited = 0;
    for _ in 0..count {
        if alive == 8 {
            wait()?;
            waited += 1;
            alive -= 1;
        }
        start_by_fork(&command)?;
        alive += 1;
    }
    for _ in 0..alive {
        wait()?;
        waited += 1;
    }
    println!("{waited}");
    Ok(())
}

fn never_exec(count: u64) -> Outcome {
    let mut waited = 0;
    for index in 0..count {
        let child = in_a_child(|| i32::try_from(index % 100).unwrap_or_default())?;
        waitpid(child, None)?;
        waited += 1;
    }
    println!("{waited}");
    Ok(())
}

fn crowd(count: u64) -> Outcome {
    // What the children wait for: its end, when nobody has its other side any more.
    let (reader, writer) = io::pipe()?;
    for index in 0..count {
        // SAFETY: there is one thread, so the child may do whatever we could.
        if let ForkResult::Child = unsafe { fork() }? {
            // SAFETY: the child leaves by _exit, which closes nothing a second time.
            unsafe { libc::close(writer.as_raw_fd()) };
            let _ = (&reader).read(&mut [0]);
            exit_now(i32::try_from(index % 100).unwrap_or_default());
        }
    }
    drop(writer);
    for _ in 0..count {
        wait()?;
    }
    println!("{count}");
    Ok(())
}

fn vfork_exec(count: u64) -> Outcome {
    let own = env::current_exe()?;
    let mut waited = 0;
    for _ in 0..count {
        // std uses posix_spawn, which is clone(CLONE_VM | CLONE_VFORK), when nothing is to be done in between.
        Command::new(&own).arg("nothing").status()?;
        waited += 1;
    }
    println!("{waited}");
    Ok(())
}

fn vfork_fail(count: u64) {
    let mut failed = 0;
    for _ in 0..count {
        if Command::new("/nowhere/to/be/found").status().is_err() {
            failed += 1;
        }
    }
    println!("{failed}");
}

fn shared_children(count: u64, mib: u64, milliseconds: u64) -> Outcome {
    let memory = touch(mib);
    for _ in 0..count {
        in_a_child(|| {
            thread::sleep(slowly(milliseconds));
            0
        })?;
    }
    for _ in 0..count {
        wait()?;
    }
    hint::black_box(memory);
    Ok(())
}

/// Runs `end` in another thread, while this one waits.
fn in_a_thread<T: Send + std::fmt::Debug + 'static>(
    end: impl FnOnce() -> T + Send + 'static,
) -> Outcome {
    match thread::spawn(end).join() {
        Ok(returned) => Err(format!("the process went on: {returned:?}").into()),
        Err(_) => Err("the thread panicked".into()),
    }
}

fn leader_first(group: bool, code: i32) -> Outcome {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        if group {
            std::process::exit(code);
        }
        exit_thread(code);
    });
    exit_thread(0);
    Err("the first thread went on".into())
}

/// Ends the calling thread, and not the process.
fn exit_thread(code: i32) {
    // SAFETY: nothing that the thread owns is used by another one.
    unsafe { libc::syscall(libc::SYS_exit, code) };
}

/// Overwrites the command line where `/proc/<pid>/cmdline` has it from: `arg_start` and `arg_end` of proc_pid_stat(5).
fn retitle() -> Outcome {
    let text = fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default();
    // The first of these is the third of all.
    let mut fields = fields.split_ascii_whitespace().skip(48 - 3);
    let mut field = || {
        fields
            .next()
            .ok_or("too few fields")?
            .parse::<u64>()
            .map_err(Box::<dyn std::error::Error>::from)
    };
    let (start, end) = (field()?, field()?);
    let title = vec![b'x'; usize::try_from(end - start)?];
    let memory = fs::File::options().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&title, start)?;
    let shown = fs::read("/proc/self/cmdline")?;
    if !shown.starts_with(b"xxxx") {
        return Err("the command line is still there".into());
    }
    Ok(())
}

fn double_fork(stay: Duration) -> Outcome {
    let session = in_a_child(|| {
        let started = setsid().and_then(|_| {
            in_a_child(|| {
                thread::sleep(stay);
                7
            })
        });
        i32::from(started.is_err())
    })?;
    match waitpid(session, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(format!("the middle process: {other:?}").into()),
    }
}

fn reuse_pid() -> Outcome {
    let first = in_a_child(|| 1)?;
    waitpid(first, None)?;
    let wanted = first.as_raw();
    // SAFETY: all of it is numbers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = u64::try_from(libc::SIGCHLD)?;
    arguments.set_tid = (&raw const wanted).expose_provenance() as u64;
    arguments.set_tid_size = 1;
    // SAFETY: like fork; the only thread there is goes on in the child, which exits at once.
    let second = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match second {
        0 => exit_now(2),
        -1 => Err(io::Error::last_os_error().into()),
        _ => {
            waitpid(first, None)?;
            println!("{first}");
            Ok(())
        }
    }
}

fn fork_exec(command: &[OsString]) -> Outcome {
    let child = start_by_fork(command)?;
    waitpid(child, None)?;
    Ok(())
}

fn vfork_and_wait(command: &[OsString]) -> Outcome {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    Command::new(program).args(arguments).status()?;
    Ok(())
}

/// fork and exec, which std would do by vfork.
fn start_by_fork(command: &[OsString]) -> Result<Pid, Box<dyn std::error::Error>> {
    let command = command
        .iter()
        .map(|argument| CString::new(argument.clone().into_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    let program = command.first().ok_or("no command")?;
    Ok(in_a_child(|| {
        let _ = execv(program, &command);
        127
    })?)
}

/// Becomes the command; comes back only with the reason why not.
fn become_command(command: &[OsString]) -> io::Error {
    match command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::Error::from(io::ErrorKind::InvalidInput),
    }
}

/// `CLONE_INTO_CGROUP` of include/uapi/linux/sched.h; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Clones a child that is in the cgroup from its birth on, clone3(2), and never was anywhere else.
fn born_in(cgroup: &OsStr, command: &[OsString]) -> Outcome {
    let cgroup = fs::File::open(cgroup)?;
    // SAFETY: it consists of integers, for which zero is a value: no flags, no addresses.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = CLONE_INTO_CGROUP;
    how.exit_signal = libc::SIGCHLD as u64;
    how.cgroup = u64::try_from(cgroup.as_raw_fd())?;
    // SAFETY: the kernel reads `how`, which is as long as it is told. Without CLONE_VM the child has a copy of our memory,
    // as after fork, and this process has one thread.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of_val(&how)) };
    match child {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let _ = become_command(command);
            exit_now(127)
        }
        child => match waitpid(Pid::from_raw(i32::try_from(child)?), None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            other => Err(format!("the child: {other:?}").into()),
        },
    }
}

/// Forks a child that exits with what `code` gives.
fn in_a_child(code: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: the callers have one thread, so the child may do whatever they could.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => exit_now(code()),
    }
}

/// Exits without flushing what the parent has buffered.
fn exit_now(code: i32) -> ! {
    // SAFETY: _exit can be called at any time.
    unsafe { libc::_exit(code) }
}
