//! The bounded part of the fault sweep: hundreds of writes, each interrupted in some way. `make sweep` runs all of it, and the
//! scenarios that are not about one write; docs/reliability/README.md says how to read the table.

use anyhow::{Result, ensure};
use e2e::sweep::{self, Options};

/// Fewer cases would mean that the reference runs did not see the writes that they should.
const LEAST: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn sweep_bounded() -> Result<()> {
    let report = sweep::run(&Options { bounded: true, no_scenarios: true, ..Options::default() }).await?;
    show(&report.table());
    ensure!(report.cases >= LEAST, "only {} cases ran:\n{}", report.cases, report.table());
    if report.violations == 0 {
        return Ok(());
    }
    // Hundreds of cases share a machine that may be busy with other things. One that is late alone too is late.
    show(&report.violations());
    let again = sweep::run(&Options { case: report.violated(), ..Options::default() }).await?;
    ensure!(again.violations == 0, "{} violations:\n{}\n{}", again.violations, again.violations(), again.table());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the test harness shows it for a failed test, or when asked")]
fn show(table: &str) {
    println!("{table}");
}
