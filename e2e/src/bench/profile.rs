//! Owns profiles of the operator's time and memory: flame graphs of B1 and B5, drawn from the data of `perf` and
//! `heaptrack`.
//!
//! The operator must have been built with symbols and frame pointers, as `make profile` does.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use inferno::{
    collapse::{Collapse, perf},
    flamegraph,
};

use super::{
    environment::{Environment, names},
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
};
use crate::process::{Process, signal};

/// The sampling frequency of `perf`, in Hz.
const FREQUENCY: &str = "499";
const PERF_TIMEOUT: Duration = Duration::from_secs(120);
/// The paths of the library that `heaptrack` preloads, by distribution.
const PRELOADS: [&str; 3] = [
    "/usr/lib/heaptrack/libheaptrack_preload.so",
    "/usr/lib64/heaptrack/libheaptrack_preload.so",
    "/usr/lib/x86_64-linux-gnu/heaptrack/libheaptrack_preload.so",
];

/// The lines of the `heaptrack_print` output that are kept; the stacks are drawn.
const SUMS: [&str; 3] =
    ["calls to allocation functions", "temporary memory allocations", "peak heap memory consumption"];

/// Frames of CPU time that are narrower than this percentage of the whole are omitted.
const MIN_TIME_PERCENT: f64 = 0.2;
/// The same for frames of allocations, which have many stacks.
const MIN_ALLOCATION_PERCENT: f64 = 1.0;

/// Draws `flame-b1.svg` and `flame-b5.svg`, of time, and `heap-b1.svg` and `heap-b5.svg`, of allocations.
pub async fn draw(options: &BenchmarkOptions, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} could not be made", folder.display()))?;
    let count = options.spaces_at_once();
    let progress = BenchmarkProgress::new(2);
    progress.step(&format!("time of {count} spaces at once, and of a start with them"));
    time(count, folder).await?;
    progress.step(&format!("allocations of {count} spaces at once, and of a start with them"));
    allocations(count, folder).await
}

async fn time(count: usize, folder: &Path) -> Result<()> {
    let mut environment = Environment::with_operator().await?;
    let onboarding = Sampling::begin(&environment, "b1")?;
    environment.create_ready_spaces(&names("onboarded", count)).await?;
    onboarding.end(&format!("B1: CPU time of {count} spaces at once"), &folder.join("flame-b1.svg")).await?;
    environment.stop_operator().await?;
    environment.spawn_operator(&[]).await?;
    let start = Sampling::begin(&environment, "b5")?;
    environment.until_operator_ready().await?;
    environment.until_idle().await?;
    start.end(&format!("B5: CPU time of a start with {count} spaces"), &folder.join("flame-b5.svg")).await
}

/// A running `perf`.
struct Sampling {
    perf: Process,
    data: PathBuf,
}

impl Sampling {
    fn begin(environment: &Environment, name: &str) -> Result<Self> {
        let data = environment.cluster.dir().join(format!("{name}.perf"));
        let mut command = Command::new("perf");
        command
            .args(["record", "-F", FREQUENCY, "-g", "-p", &environment.operator()?.pid().to_string(), "-o"])
            .arg(&data);
        let perf = Process::start("perf", command, &data.with_extension("log"))
            .context("install perf (Debian: linux-perf)")?;
        Ok(Self { perf, data })
    }

    async fn end(mut self, title: &str, file: &Path) -> Result<()> {
        signal(self.perf.pid(), "INT")?;
        crate::wait::eventually("perf to end", PERF_TIMEOUT, || {
            let ended = self.perf.exit_status();
            async move {
                ensure!(ended?.is_some(), "it writes");
                Ok(Some(()))
            }
        })
        .await?;
        let script = Command::new("perf").arg("script").arg("-i").arg(&self.data).stderr(Stdio::null()).output()?;
        ensure!(script.status.success(), "perf script failed on {}: {}", self.data.display(), self.perf.log_tail());
        let mut folded = Vec::new();
        perf::Folder::default().collapse(script.stdout.as_slice(), &mut folded)?;
        FlameGraph { title, unit: "samples", min_percent: MIN_TIME_PERCENT }.draw(&folded, file)
    }
}

async fn allocations(count: usize, folder: &Path) -> Result<()> {
    let Some(preload) = PRELOADS.iter().find(|path| Path::new(path).is_file()) else {
        bail!("install heaptrack (Debian: heaptrack)")
    };
    let mut environment = Environment::without_operator().await?;
    for (name, what) in [("b1", "spaces at once"), ("b5", "spaces at a start")] {
        let raw = environment.cluster.dir().join(format!("{name}.heap"));
        let env = [("LD_PRELOAD", (*preload).to_owned()), ("DUMP_HEAPTRACK_OUTPUT", raw.display().to_string())];
        environment.start_operator_with(&env.map(|(key, value)| (key.to_owned(), value))).await?;
        if name == "b1" {
            environment.create_ready_spaces(&names("onboarded", count)).await?;
        }
        environment.until_idle().await?;
        environment.stop_operator().await?;
        let title = format!("{}: allocations of {count} {what}", name.to_uppercase());
        let folded = interpret(Path::new(preload), &raw, &folder.join(format!("heap-{name}.txt")))?;
        let graph = FlameGraph { title: &title, unit: "allocations", min_percent: MIN_ALLOCATION_PERCENT };
        graph.draw(&folded, &folder.join(format!("heap-{name}.svg")))?;
    }
    Ok(())
}

/// Returns the folded stacks, and writes their totals into `summary`.
fn interpret(preload: &Path, raw: &Path, summary: &Path) -> Result<Vec<u8>> {
    let (interpreted, stacks) = (raw.with_extension("interpreted"), raw.with_extension("stacks"));
    let interpreter = preload.with_file_name("libexec").join("heaptrack_interpret");
    let status = Command::new(&interpreter)
        .stdin(File::open(raw)?)
        .stdout(File::create(&interpreted)?)
        .stderr(Stdio::null())
        .status();
    ensure!(
        status.with_context(|| interpreter.display().to_string())?.success(),
        "heaptrack could not read {}",
        raw.display()
    );
    let print = Command::new("heaptrack_print")
        .arg("-f")
        .arg(&interpreted)
        .arg("-F")
        .arg(&stacks)
        .args(["-n", "0"])
        .output()?;
    ensure!(print.status.success(), "heaptrack_print failed: {}", String::from_utf8_lossy(&print.stderr));
    let output = String::from_utf8_lossy(&print.stdout);
    let sums: Vec<&str> = output.lines().filter(|line| SUMS.iter().any(|sum| line.starts_with(sum))).collect();
    ensure!(!sums.is_empty(), "heaptrack_print has no sums");
    std::fs::write(summary, sums.join("\n") + "\n")?;
    std::fs::read(&stacks).with_context(|| format!("heaptrack_print wrote no {}", stacks.display()))
}

/// The texts and the detail of a flame graph.
struct FlameGraph<'a> {
    title: &'a str,
    /// The unit of the samples.
    unit: &'a str,
    /// Narrower frames are omitted.
    min_percent: f64,
}

impl FlameGraph<'_> {
    /// Draws folded stacks into `file`.
    fn draw(&self, folded: &[u8], file: &Path) -> Result<()> {
        let mut options = flamegraph::Options::default();
        self.title.clone_into(&mut options.title);
        self.unit.clone_into(&mut options.count_name);
        options.min_width = self.min_percent;
        let out =
            BufWriter::new(File::create(file).with_context(|| format!("{} could not be written", file.display()))?);
        flamegraph::from_reader(&mut options, BufReader::new(folded), out)
            .with_context(|| format!("{} could not be drawn", self.title))
    }
}
