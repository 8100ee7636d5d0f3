//! The sampler: a source of events. It is handed the live processes, and what it reads of them comes back as
//! one event. What it looks at closely, and how often, is [`sampling`](crate::sampling)'s business.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::event::{CgroupSample, Event, EventKind, ProcessSample};
use crate::ids::ProcessId;
use crate::launch::privileges::with_held_back;
use crate::observe::host::boot_time_now;
use crate::observe::proc::{self, ProcReader, Resident};
use crate::sampling::{Budget, Candidate, LastRead, Means, due};
use crate::tree::{Process, ProcessTree};
use crate::units::{BootTime, ByteSize};

/// Reads the cgroup and the live processes, within its share of one core.
#[derive(Debug)]
pub struct Sampler {
    proc: ProcReader,
    started: BootTime,
    budget: Budget,
    reads: BTreeMap<ProcessId, LastRead>,
    put_off: u64,
    refused: Option<io::Error>,
}

impl Sampler {
    /// A sampler whose budget counts from `started`.
    pub fn new(proc: ProcReader, started: BootTime) -> Self {
        Self {
            proc,
            started,
            budget: Budget::default(),
            reads: BTreeMap::new(),
            put_off: 0,
            refused: None,
        }
    }

    /// Looks at everything once: the cgroup and every process's RSS, then PSS where it can have changed, as
    /// long as the budget lasts.
    ///
    /// `None` where fewer means are left than these: the sample is put off.
    pub fn sample(
        &mut self,
        tree: &ProcessTree,
        required: Means,
        read_cgroup: impl FnOnce() -> Option<CgroupSample>,
    ) -> Option<Event> {
        let at = boot_time_now();
        let elapsed = at.since(self.started);
        if self.budget.means(elapsed) < required {
            self.put_off += 1;
            return None;
        }
        let mut stopwatch = Stopwatch::start();
        let cgroup = read_cgroup();
        let mut samples = BTreeMap::new();
        let mut candidates = Vec::new();
        for process in tree.live() {
            // Until its first exec a vforked child shows its parent's memory.
            if process.shares_mm {
                continue;
            }
            let tgid = process.tgid;
            let Ok(Resident { rss, anon }) = self.proc.resident(tgid) else {
                continue;
            };
            candidates.push(self.candidate(process, rss, at));
            let sample = ProcessSample {
                tgid,
                rss,
                anon: Some(anon),
                pss: None,
            };
            samples.insert(process.id, (process.rss, sample));
        }
        let mut overview = stopwatch.lap();
        self.reads.retain(|id, _| samples.contains_key(id));
        for candidate in due(candidates, at) {
            if !self.budget.has_left(elapsed) {
                break;
            }
            let read = with_held_back(|| self.proc.pss(candidate.tgid));
            let cost = stopwatch.lap();
            self.budget.spend(cost);
            match read {
                Ok(pss) => {
                    let last = LastRead {
                        at,
                        rss: pss.rss,
                        cost,
                    };
                    self.reads.insert(candidate.id, last);
                    if let Some((_, sample)) = samples.get_mut(&candidate.id) {
                        sample.pss = Some(pss);
                    }
                }
                Err(error) if proc::is_gone(&error) => {}
                Err(error) => self.refused = Some(error),
            }
        }
        let processes = samples
            .into_values()
            .filter(|(before, sample)| sample.pss.is_some() || *before != Some(sample.rss))
            .map(|(_, sample)| sample)
            .collect();
        overview += stopwatch.lap();
        self.budget.spend_on_overview(overview);
        Some(Event::new(at, EventKind::Sampled { cgroup, processes }))
    }

    /// Looks at the usage of the cgroup alone.
    ///
    /// `None` where the budget is overdrawn, or the usage cannot be read: the next sample tells.
    pub fn look(
        &mut self,
        read_usage: impl FnOnce() -> Option<ByteSize>,
    ) -> Option<(BootTime, ByteSize)> {
        let at = boot_time_now();
        if self.means(at) == Means::None {
            return None;
        }
        let mut stopwatch = Stopwatch::start();
        let usage = read_usage();
        self.budget.spend_on_look(stopwatch.lap());
        Some((at, usage?))
    }

    /// What is left of its share for samples.
    pub fn means(&self, at: BootTime) -> Means {
        self.budget.means(at.since(self.started))
    }

    /// CPU time used until now.
    pub const fn cpu_time(&self) -> Duration {
        self.budget.spent()
    }

    /// Samples that were put off.
    pub const fn put_off(&self) -> u64 {
        self.put_off
    }

    /// Why some process's PSS could not be read, if one could not for another reason than its end.
    pub const fn refused(&self) -> Option<&io::Error> {
        self.refused.as_ref()
    }

    /// The reader of processes.
    pub const fn proc(&mut self) -> &mut ProcReader {
        &mut self.proc
    }

    fn candidate(&self, process: &Process, rss: ByteSize, now: BootTime) -> Candidate {
        Candidate {
            id: process.id,
            tgid: process.tgid,
            rss,
            sharing_changed: process.sharing_changed,
            age: now.since(process.started),
            last: self.reads.get(&process.id).copied(),
        }
    }
}

/// CPU time of this thread between two laps.
pub(super) struct Stopwatch(Duration);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(thread_cpu_time())
    }

    pub(super) fn lap(&mut self) -> Duration {
        let now = thread_cpu_time();
        let lap = now.saturating_sub(self.0);
        self.0 = now;
        lap
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The clock of a running thread is never negative.
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::event::ProcessSample;
    use crate::ids::Tgid;
    use crate::stages::Stages;
    use crate::units::ByteSize;

    const ROLLUP: &str = "Rss: 400 kB\nPss: 300 kB\nPss_Shmem: 0 kB\n";

    /// What one sample has of three processes, the second of which has this in the place of a `smaps_rollup`; and what
    /// was refused.
    fn sampled(spoil: impl FnOnce(&Path)) -> (Vec<ProcessSample>, Option<String>) {
        let root = tempfile::tempdir().unwrap();
        let mut tree = ProcessTree::new(Stages::none());
        let started = boot_time_now();
        for tgid in 1..=3 {
            let folder = root.path().join(tgid.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("statm"), "200 100 0 0 0 0 0\n").unwrap();
            fs::write(folder.join("smaps_rollup"), ROLLUP).unwrap();
            let kind = EventKind::Forked {
                parent: Tgid(9),
                child: Tgid(tgid),
                shares_mm: false,
            };
            tree.apply(&Event::new(started, kind));
        }
        let file = root.path().join("2/smaps_rollup");
        fs::remove_file(&file).unwrap();
        spoil(&file);
        let mut sampler = Sampler::new(ProcReader::new(root.path()).unwrap(), started);
        let event = sampler.sample(&tree, Means::Short, || None).unwrap();
        let EventKind::Sampled { processes, .. } = event.event else {
            panic!("{event:?}");
        };
        (processes, sampler.refused().map(ToString::to_string))
    }

    #[test]
    fn a_rollup_that_cannot_be_read_costs_that_process_its_pss_and_nothing_else() {
        let spoilt = [
            // As of a process that has ended since.
            (sampled(|_| ()), None),
            (
                sampled(|file| fs::write(file, "Pss: much\n").unwrap()),
                Some("smaps_rollup is not of the form"),
            ),
            (
                sampled(|file| fs::create_dir(file).unwrap()),
                Some("Is a directory"),
            ),
        ];
        for ((processes, refused), expected) in spoilt {
            let pss: Vec<_> = (processes.iter())
                .map(|process| process.pss.map(|pss| pss.total))
                .collect();
            let read = Some(ByteSize::from_kib(300));
            assert_eq!(pss, [read, None, read]);
            assert!(processes.iter().all(|process| process.rss > ByteSize::ZERO));
            // The part that is known without it.
            assert_eq!(processes[1].anon, Some(processes[1].rss));
            match expected {
                Some(expected) => assert!(refused.unwrap().contains(expected)),
                None => assert_eq!(refused, None),
            }
        }
    }
}
