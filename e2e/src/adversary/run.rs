//! Owns a whole run: a number of sequences, in batches.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    cast::Cast,
    generate::{ROUNDS, Sequence},
    history::History,
    live::{self, Live},
    memory::Memory,
    oracles::Violation,
    play::{Part, Tick, play},
    shorten::{Broken, commands, shorten},
    world::World,
};
use crate::Cluster;

/// The maximum number of shorter sequences that are tried: in memory, and on a real API server.
const TRIES: (usize, usize) = (300, 20);
/// The number of rounds on a real API server before time passes, in which spaces can be created.
const BEGINNING: usize = 4;
/// The seconds that may pass after a round: in memory, and on a real API server.
const WAITS: ([i64; 9], [i64; 5]) = ([2, 20, 50, 120, 180, 240, 360, 540, 780], [20, 50, 90, 150, 240]);
/// On average one round in this number is followed by a restart of the operator.
const RESTARTS: u8 = 16;
/// The number of control planes. While the sequences on one wait for its operator, those on the other use the processors. A larger batch on one
/// control plane is slower: the API server evaluates the policies for a write to a space once for each class, and each sequence has two classes.
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
    pub broken: Vec<Broken>,
}

/// Plays sequences, and reports the progress after each batch.
pub fn run(options: Options, progress: impl Fn(&Outcome) + Sync) -> Result<Outcome> {
    let numbers: Vec<u64> = options.only.map_or_else(|| (0..options.sequences).collect(), |only| vec![only]);
    let queue = Queue::new(options, &numbers, progress)?;
    match options.place {
        Place::Memory => queue.run(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), in_memory),
        Place::Real => queue.run(CONTROL_PLANES, on_a_control_plane),
    }
}

/// The batches that are not played yet, and the result of the others.
struct Queue<'a, P> {
    options: Options,
    batches: Vec<&'a [u64]>,
    next: AtomicUsize,
    is_stopped: AtomicBool,
    outcome: Mutex<Outcome>,
    progress: P,
}

impl<'a, P: Fn(&Outcome) + Sync> Queue<'a, P> {
    fn new(options: Options, numbers: &'a [u64], progress: P) -> Result<Self> {
        let batches = numbers.chunks(usize::try_from(options.batch)?.max(1)).collect();
        let (next, is_stopped, outcome) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Ok(Self { options, batches, next, is_stopped, outcome, progress })
    }

    /// Plays the batches on a number of threads, each of which runs `play`.
    fn run(self, threads: usize, play: impl Fn(&Self) -> Result<()> + Sync) -> Result<Outcome> {
        let work = || {
            let played = play(&self);
            if played.is_err() {
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            played
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads.min(self.batches.len())).map(|_| scope.spawn(work)).collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread that played sequences panicked"))?)
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
fn in_memory(queue: &Queue<'_, impl Fn(&Outcome) + Sync>) -> Result<()> {
    while let Some(batch) = queue.next() {
        queue.finish(play_batch_in_memory(queue.options, batch)?);
    }
    Ok(())
}

fn play_batch_in_memory(options: Options, numbers: &[u64]) -> Result<Outcome> {
    let ticks = options.ticks(numbers);
    let played = |parts: Vec<Part>| paused()?.block_on(play_in_memory(parts, &ticks));
    let parts = numbers.iter().map(|number| options.part(*number)).collect::<Result<_>>()?;
    let (mut outcome, broken) = Outcome::of(options, numbers, played(parts)?);
    for first in options.minimizable(broken) {
        let number = first.number;
        let replay = async |rounds| Ok(first_broken(played(vec![Part::new(Cast::of_sequence(number), rounds, TimeDelta::zero())])?));
        outcome.broken.push(futures::executor::block_on(shorten(Sequence::new(options.seed, number)?, first, TRIES.0, replay))?);
    }
    Ok(outcome)
}

async fn play_in_memory(mut parts: Vec<Part>, ticks: &[Tick]) -> Result<Vec<Part>> {
    let epoch: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).context("the epoch is no time")?;
    let world: Arc<dyn World> = Arc::new(Memory::new(epoch)?);
    let history = History::begin(&world);
    play(&world, &history, &mut parts, ticks).await?;
    Ok(parts)
}

/// A runtime whose time advances when there is nothing to do.
fn paused() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().context("no runtime could be made")
}

/// Plays batches on a control plane, one after the other.
fn on_a_control_plane(queue: &Queue<'_, impl Fn(&Outcome) + Sync>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime could be made")?;
    runtime.block_on(async {
        let cluster = live::cluster().await?;
        while let Some(batch) = queue.next() {
            queue.finish(play_real_batch(&cluster, queue.options, batch).await?);
        }
        Ok(())
    })
}

async fn play_real_batch(cluster: &Arc<Cluster>, options: Options, numbers: &[u64]) -> Result<Outcome> {
    let ticks = options.ticks(numbers);
    let parts = numbers.iter().map(|number| options.part(*number)).collect::<Result<_>>()?;
    let (mut outcome, broken) = Outcome::of(options, numbers, play_really(cluster, parts, &ticks).await?);
    let tries = AtomicU32::new(0);
    for first in options.minimizable(broken) {
        let number = first.number;
        let replay = async |rounds| {
            let cast = Cast::of_replay(number, tries.fetch_add(1, Ordering::Relaxed));
            Ok(first_broken(play_really(cluster, vec![Part::new(cast, rounds, TimeDelta::zero())], &ticks).await?))
        };
        outcome.broken.push(shorten(Sequence::new(options.seed, number)?, first, TRIES.1, replay).await?);
    }
    Ok(outcome)
}

async fn play_really(cluster: &Arc<Cluster>, mut parts: Vec<Part>, ticks: &[Tick]) -> Result<Vec<Part>> {
    let live = Arc::new(Live::start(cluster.clone()).await?);
    let world: Arc<dyn World> = live.clone();
    for part in &mut parts {
        part.story.lateness = world.lateness();
    }
    let history = History::begin(&world);
    let played = play(&world, &history, &mut parts, ticks).await;
    live.stop().await?;
    played?;
    Ok(parts)
}

fn first_broken(parts: Vec<Part>) -> Option<(Violation, String)> {
    let part = parts.into_iter().next()?;
    Some((part.violation?, commands(&part.story)))
}

impl Options {
    /// Selects the broken sequences of a batch to shorten: each takes minutes.
    fn minimizable(&self, broken: Vec<Broken>) -> impl Iterator<Item = Broken> + use<> {
        let most = if self.first { 1 } else { broken.len() };
        broken.into_iter().take(most)
    }

    fn again(&self) -> String {
        let place = if self.place == Place::Real { "--real " } else { "" };
        format!("{place}--seed {} --batch {}", self.seed, self.batch)
    }

    fn part(&self, number: u64) -> Result<Part> {
        Ok(Part::new(Cast::of_sequence(number), Sequence::new(self.seed, number)?.rounds(), TimeDelta::zero()))
    }

    /// The steps in time of the batch to which these sequences belong.
    fn ticks(&self, numbers: &[u64]) -> Vec<Tick> {
        let batch = numbers.first().copied().unwrap_or_default() / self.batch.max(1);
        let mut dice = fastrand::Rng::with_seed(self.seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let waits: &[i64] = match self.place {
            Place::Memory => &WAITS.0,
            Place::Real => &WAITS.1,
        };
        let tick = |round: usize| {
            let (wait, restart) = (dice.choice(waits).copied().unwrap_or_default(), dice.u8(..RESTARTS) == 0);
            let stands = self.place == Place::Real && round + 1 < BEGINNING;
            Tick { wait: TimeDelta::seconds(if stands { 0 } else { wait }), restart }
        };
        (0..ROUNDS).map(tick).collect()
    }
}

impl Outcome {
    fn of(options: Options, numbers: &[u64], parts: Vec<Part>) -> (Self, Vec<Broken>) {
        let (mut outcome, mut broken) = (Self::default(), vec![]);
        for (number, part) in numbers.iter().zip(parts) {
            let story = &part.story;
            outcome.played += 1;
            outcome.judged += story.seen.len() as u64;
            outcome.requests += story.deeds.len() as u64;
            outcome.refused += story.deeds.iter().filter(|deed| deed.answer.is_err()).count() as u64;
            outcome.ended += story.lives().filter(|life| life.sealed().is_some()).count() as u64;
            let again = options.again();
            broken.extend(part.violation.map(|violation| Broken { again, number: *number, violation, commands: commands(story) }));
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
