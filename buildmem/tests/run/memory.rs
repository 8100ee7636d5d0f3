//! The figures are right: builds that hold a known amount of memory.

use std::fs;
use std::path::{Path, PathBuf};

use buildmem::report::{Peak, TopProcess};

use crate::page_cache::write_uncached;
use crate::slowness::slowness;
use crate::tool::{MIB, Project, Ran, mib, workload};

/// A file that is removed at the end of its test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn assert_near(what: &str, bytes: u64, expected_mib: f64, tolerance: f64) {
    let measured = mib(bytes);
    println!("{what}: {measured:.1} MiB");
    assert!(
        (measured - expected_mib).abs() <= expected_mib * tolerance,
        "{what}: {measured:.1} MiB, not {expected_mib} MiB"
    );
}

fn peak(ran: &Ran) -> Peak {
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran.report().peak.unwrap()
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_process_that_touches_memory_and_exits_at_once_has_its_exact_peak() {
    let project = Project::new();
    let ran = project.measured_script(r#""$0" touch 300"#);
    let report = ran.report();
    let top = &report.processes.top[0];
    assert!(top.command.ends_with("touch 300"), "{}", top.command);
    assert_near("peak RSS", top.peak_rss_bytes, 302.0, 0.01);
    assert_near("headline", report.headline.bytes.unwrap(), 302.0, 0.02);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_small_child_of_a_large_parent_has_its_own_peak() {
    for how in ["fork", "vfork"] {
        let project = Project::new();
        let ran = project.measured_script(&format!(r#""$0" fat-parent 400 {how} /bin/true"#));
        let report = ran.report();
        let of = |end: &str| -> &TopProcess {
            let found = report
                .processes
                .top
                .iter()
                .find(|top| top.command.ends_with(end));
            found.unwrap_or_else(|| panic!("no {end} in {:?}", report.processes.top))
        };
        assert_near("the parent", of(" /bin/true").peak_rss_bytes, 402.0, 0.01);
        let small = report
            .processes
            .classes
            .iter()
            .find(|class| class.command_class == "true")
            .expect("the child's class");
        let small = small.peak_rss_max_bytes.expect("its peak");
        assert!(small < 8 * MIB && small > MIB / 2, "{how}: {small} bytes");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn memory_that_seven_processes_share_is_counted_once_in_pss_and_seven_times_in_rss() {
    let project = Project::new();
    let peak = peak(&project.measured_script(r#""$0" shared-children 6 200 1500"#));
    assert_near("RSS at the peak", peak.rss_bytes, 1406.0, 0.05);
    assert_near("PSS at the peak", peak.pss_bytes, 202.0, 0.05);
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_file_on_tmpfs_is_shmem() {
    let file =
        Scratch(Path::new("/dev/shm").join(format!("build-mem-test-{}", std::process::id())));
    let project = Project::new();
    let ran = project.measured_script(&format!(
        "head -c {} /dev/zero > {} && sleep 0.5",
        150 * MIB,
        file.0.display()
    ));
    let peak = peak(&ran);
    let composition = peak.composition.unwrap();
    assert_near("shmem", composition.shmem, 150.0, 0.02);
    assert_near("held", peak.cgroup_bytes.unwrap(), 152.0, 0.03);
    assert!(
        composition.unattributed.unsigned_abs() < 4 * MIB,
        "{composition:?}"
    );
    assert!(peak.pss_bytes < 4 * MIB, "nothing has it mapped");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn a_file_read_through_the_page_cache_is_in_the_headline_as_file_unmapped() {
    let project = Project::new();
    // Not in the folder for temporary files, which may be a tmpfs.
    let file = Scratch(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cached-{}", std::process::id())),
    );
    write_uncached(&file.0, 500);
    let ran = project.measured_script(&format!(
        "cat {} > /dev/null && sleep 0.5",
        file.0.display()
    ));
    let peak = peak(&ran);
    assert_near(
        "headline",
        ran.report().headline.bytes.unwrap(),
        502.0,
        0.03,
    );
    assert_near(
        "file_unmapped",
        peak.composition.unwrap().file_unmapped,
        500.0,
        0.03,
    );
    assert!(peak.pss_bytes < 4 * MIB, "nothing has it mapped");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_parts_of_the_peak_add_up_to_what_the_cgroup_held() {
    let project = Project::new();
    let peak = peak(&project.measured([
        "sh".as_ref(),
        "-c".as_ref(),
        r#""$0" hold 100 800 & "$0" hold 50 800 & wait"#.as_ref(),
        workload().as_os_str(),
    ]));
    let parts = peak.composition.unwrap();
    let stages: u64 = peak.stages.iter().map(|stage| stage.pss_bytes).sum();
    let processes: u64 = peak
        .processes
        .iter()
        .filter_map(|process| process.pss_bytes)
        .sum();
    assert_eq!((stages, processes), (peak.pss_bytes, peak.pss_bytes));
    assert_near("PSS", peak.pss_bytes, 151.0, 0.02);
    let sum = peak.pss_bytes.cast_signed()
        + (parts.file_unmapped + parts.shmem + parts.kernel.unwrap()).cast_signed()
        + parts.unattributed
        - parts.charged_elsewhere.cast_signed();
    assert_eq!(sum, peak.cgroup_bytes.unwrap().cast_signed());
    assert!(parts.unattributed.unsigned_abs() < 2 * MIB, "{parts:?}");
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn what_a_spike_holds_is_in_the_snapshot_at_the_peak() {
    for stays_ms in [20, 5] {
        // Where instructions are emulated, a sample takes that much longer, and the spike with it.
        let stays_ms = stays_ms * slowness();
        let captured = |_| {
            let project = Project::new();
            let script = format!(r#""$0" spike 300 {stays_ms}; exit $?"#);
            let peak = peak(&project.measured_script(&script));
            // Some hundred KiB are the program's own.
            (mib(peak.pss_bytes) / 300.0, peak.capture)
        };
        let shares: Vec<_> = (0..3).map(captured).collect();
        // A busy machine may let the sampler wait in one of them; `cargo xtask bench --workload spike` counts.
        // Where instructions are emulated, a sample costs so much that the sampler's share buys only a few.
        let least = if slowness() > 1 { 0.8 } else { 0.97 };
        let exact = shares
            .iter()
            .filter(|(pss, capture)| (least..1.03).contains(pss) && capture.unwrap() >= least);
        assert!(exact.count() >= 2, "{stays_ms} ms: {shares:?}");
    }
}

#[test]
#[ignore = "needs root and eBPF: cargo xtask test"]
fn the_peak_without_page_cache_is_a_headline_of_its_own() {
    let project = Project::new();
    // Not in the folder for temporary files, which may be a tmpfs.
    let file = Scratch(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("read-{}", std::process::id())),
    );
    write_uncached(&file.0, 200);
    let ran = project.measured_script(&format!(
        r#"cat {} > /dev/null; "$0" hold 60 500; exit $?"#,
        file.0.display()
    ));
    let headline = ran.report().headline;
    let without_cache = headline.without_cache.as_ref().unwrap();
    assert!(headline.bytes.unwrap() > 200 * MIB, "{headline:?}");
    assert!(
        (60..75).contains(&(without_cache.bytes / MIB)),
        "{without_cache:?}"
    );
}
