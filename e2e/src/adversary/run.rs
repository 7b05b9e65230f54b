//! Owns a whole run: a number of sequences, in batches.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    execute::{SequenceRun, Tick, execute},
    generate::{ROUNDS, Sequence},
    history::History,
    memory::MemoryWorld,
    names::Names,
    oracles::Violation,
    real::{self, RealWorld},
    shrink::{FailedSequence, commands, shrink},
    world::World,
};
use crate::Cluster;

/// The maximum number of shorter sequences that are tried: in memory, and on a real API server.
const MAX_REPLAYS: (usize, usize) = (300, 20);
/// The number of rounds on a real API server before time passes, in which spaces can be created.
const ROUNDS_BEFORE_TIME: usize = 4;
/// The seconds that may pass after a round: in memory, and on a real API server.
const WAITS: ([i64; 9], [i64; 5]) = ([2, 20, 50, 120, 180, 240, 360, 540, 780], [20, 50, 90, 150, 240]);
/// On average one round in this number is followed by a restart of the operator.
const ROUNDS_PER_RESTART: u8 = 16;
/// The number of control planes. While the sequences on one wait for its operator, those on the other use the
/// processors. A larger batch on one control plane is slower: the API server evaluates the policies for a write to a
/// space once for each class, and each sequence has two classes.
const CONTROL_PLANES: usize = 2;

/// The place where sequences are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole controller on an API server in memory.
    Memory,
    /// The operator on a real API server.
    Real,
}

/// The sequences to play.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The place.
    pub place: Place,
    /// The seed.
    pub seed: u64,
    /// The number of sequences.
    pub sequences: u64,
    /// The number of sequences that are played concurrently.
    pub batch: u64,
    /// The number of the one sequence to play.
    pub only: Option<u64>,
    /// Stop at the first sequence that breaks a promise.
    pub first: bool,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The number of sequences that were played.
    pub played: u64,
    /// The number of checks of a sequence by the oracles.
    pub judged: u64,
    /// The number of requests that were sent.
    pub requests: u64,
    /// The number of requests that were refused.
    pub refused: u64,
    /// The number of spaces that expired.
    pub ended: u64,
    /// The sequences that broke a promise.
    pub broken: Vec<FailedSequence>,
}

/// Plays sequences, and reports the progress after each batch.
pub fn run(options: Options, progress: impl Fn(&Outcome) + Sync) -> Result<Outcome> {
    let numbers: Vec<u64> = options.only.map_or_else(|| (0..options.sequences).collect(), |only| vec![only]);
    let queue = BatchQueue::new(options, &numbers, progress)?;
    match options.place {
        Place::Memory => {
            queue.run(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), run_in_memory)
        }
        Place::Real => queue.run(CONTROL_PLANES, run_on_control_plane),
    }
}

/// The batches that are not played yet, and the result of the others.
struct BatchQueue<'a, P> {
    options: Options,
    batches: Vec<&'a [u64]>,
    next: AtomicUsize,
    is_stopped: AtomicBool,
    outcome: Mutex<Outcome>,
    progress: P,
}

impl<'a, P: Fn(&Outcome) + Sync> BatchQueue<'a, P> {
    fn new(options: Options, numbers: &'a [u64], progress: P) -> Result<Self> {
        let batches = numbers.chunks(usize::try_from(options.batch)?.max(1)).collect();
        let (next, is_stopped, outcome) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Ok(Self { options, batches, next, is_stopped, outcome, progress })
    }

    /// Plays the batches on a number of threads, each of which runs `work`.
    fn run(self, threads: usize, work: impl Fn(&Self) -> Result<()> + Sync) -> Result<Outcome> {
        let run = || {
            let done = work(&self);
            if done.is_err() {
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            done
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads.min(self.batches.len())).map(|_| scope.spawn(run)).collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow::anyhow!("a thread that played sequences panicked"))?
            })
        })?;
        let mut outcome = self.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.broken.sort_by_key(|broken| broken.number);
        Ok(outcome)
    }

    /// The next batch to play.
    fn next(&self) -> Option<&'a [u64]> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return None;
        }
        self.batches.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    /// Adds the result of a batch.
    fn finish(&self, played: Outcome) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.add(played);
        if self.options.first && !outcome.broken.is_empty() {
            self.is_stopped.store(true, Ordering::Relaxed);
        }
        (self.progress)(&outcome);
    }
}

/// Plays batches in memory.
fn run_in_memory(queue: &BatchQueue<'_, impl Fn(&Outcome) + Sync>) -> Result<()> {
    while let Some(batch) = queue.next() {
        queue.finish(run_batch_in_memory(queue.options, batch)?);
    }
    Ok(())
}

fn run_batch_in_memory(options: Options, numbers: &[u64]) -> Result<Outcome> {
    let ticks = options.ticks(numbers);
    let executed = |runs: Vec<SequenceRun>| paused()?.block_on(execute_in_memory(runs, &ticks));
    let runs = numbers.iter().map(|number| options.sequence_run(*number)).collect::<Result<_>>()?;
    let (mut outcome, broken) = Outcome::of(options, numbers, executed(runs)?);
    for first in options.shrinkable(broken) {
        let number = first.number;
        let replay = async |rounds| {
            Ok(first_failure(executed(vec![SequenceRun::new(Names::of_sequence(number), rounds, TimeDelta::zero())])?))
        };
        outcome.broken.push(futures::executor::block_on(shrink(
            Sequence::new(options.seed, number)?,
            first,
            MAX_REPLAYS.0,
            replay,
        ))?);
    }
    Ok(outcome)
}

async fn execute_in_memory(mut runs: Vec<SequenceRun>, ticks: &[Tick]) -> Result<Vec<SequenceRun>> {
    let epoch: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).context("the epoch is no time")?;
    let world: Arc<dyn World> = Arc::new(MemoryWorld::new(epoch)?);
    let history = History::begin(&world);
    execute(&world, &history, &mut runs, ticks).await?;
    Ok(runs)
}

/// A runtime whose time advances when there is nothing to do.
fn paused() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("no runtime could be made")
}

/// Plays batches on a control plane, one after the other.
fn run_on_control_plane(queue: &BatchQueue<'_, impl Fn(&Outcome) + Sync>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime could be made")?;
    runtime.block_on(async {
        let cluster = real::start_cluster().await?;
        while let Some(batch) = queue.next() {
            queue.finish(run_batch_on_cluster(&cluster, queue.options, batch).await?);
        }
        Ok(())
    })
}

async fn run_batch_on_cluster(cluster: &Arc<Cluster>, options: Options, numbers: &[u64]) -> Result<Outcome> {
    let ticks = options.ticks(numbers);
    let runs = numbers.iter().map(|number| options.sequence_run(*number)).collect::<Result<_>>()?;
    let (mut outcome, broken) = Outcome::of(options, numbers, execute_on_cluster(cluster, runs, &ticks).await?);
    let tries = AtomicU32::new(0);
    for first in options.shrinkable(broken) {
        let number = first.number;
        let replay = async |rounds| {
            let names = Names::of_replay(number, tries.fetch_add(1, Ordering::Relaxed));
            Ok(first_failure(
                execute_on_cluster(cluster, vec![SequenceRun::new(names, rounds, TimeDelta::zero())], &ticks).await?,
            ))
        };
        outcome.broken.push(shrink(Sequence::new(options.seed, number)?, first, MAX_REPLAYS.1, replay).await?);
    }
    Ok(outcome)
}

async fn execute_on_cluster(
    cluster: &Arc<Cluster>,
    mut runs: Vec<SequenceRun>,
    ticks: &[Tick],
) -> Result<Vec<SequenceRun>> {
    let real = Arc::new(RealWorld::start(cluster.clone()).await?);
    let world: Arc<dyn World> = real.clone();
    for run in &mut runs {
        run.trace.lateness = world.lateness();
    }
    let history = History::begin(&world);
    let executed = execute(&world, &history, &mut runs, ticks).await;
    real.stop().await?;
    executed?;
    Ok(runs)
}

fn first_failure(runs: Vec<SequenceRun>) -> Option<(Violation, String)> {
    let run = runs.into_iter().next()?;
    Some((run.violation?, commands(&run.trace)))
}

impl Options {
    /// Selects the broken sequences of a batch to shrink: each takes minutes.
    fn shrinkable(&self, broken: Vec<FailedSequence>) -> impl Iterator<Item = FailedSequence> + use<> {
        let count = if self.first { 1 } else { broken.len() };
        broken.into_iter().take(count)
    }

    fn replay_flags(&self) -> String {
        let place = if self.place == Place::Real { "--real " } else { "" };
        format!("{place}--seed {} --batch {}", self.seed, self.batch)
    }

    fn sequence_run(&self, number: u64) -> Result<SequenceRun> {
        Ok(SequenceRun::new(Names::of_sequence(number), Sequence::new(self.seed, number)?.rounds(), TimeDelta::zero()))
    }

    /// The steps in time of the batch to which these sequences belong.
    fn ticks(&self, numbers: &[u64]) -> Vec<Tick> {
        let batch = numbers.first().copied().unwrap_or_default() / self.batch.max(1);
        let mut random = fastrand::Rng::with_seed(self.seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let waits: &[i64] = match self.place {
            Place::Memory => &WAITS.0,
            Place::Real => &WAITS.1,
        };
        let tick = |round: usize| {
            let (wait, restart) =
                (random.choice(waits).copied().unwrap_or_default(), random.u8(..ROUNDS_PER_RESTART) == 0);
            let is_beginning = self.place == Place::Real && round + 1 < ROUNDS_BEFORE_TIME;
            Tick { wait: TimeDelta::seconds(if is_beginning { 0 } else { wait }), restart }
        };
        (0..ROUNDS).map(tick).collect()
    }
}

impl Outcome {
    fn of(options: Options, numbers: &[u64], runs: Vec<SequenceRun>) -> (Self, Vec<FailedSequence>) {
        let (mut outcome, mut broken) = (Self::default(), vec![]);
        for (number, run) in numbers.iter().zip(runs) {
            let trace = &run.trace;
            outcome.played += 1;
            outcome.judged += trace.states.len() as u64;
            outcome.requests += trace.exchanges.len() as u64;
            outcome.refused += trace.exchanges.iter().filter(|exchange| exchange.response.is_err()).count() as u64;
            outcome.ended += trace.incarnations().filter(|incarnation| incarnation.sealed().is_some()).count() as u64;
            let replay_flags = options.replay_flags();
            broken.extend(run.violation.map(|violation| FailedSequence {
                replay_flags,
                number: *number,
                violation,
                commands: commands(trace),
            }));
        }
        (outcome, broken)
    }

    fn add(&mut self, other: Self) {
        self.played += other.played;
        self.judged += other.judged;
        self.requests += other.requests;
        self.refused += other.refused;
        self.ended += other.ended;
        self.broken.extend(other.broken);
    }
}
