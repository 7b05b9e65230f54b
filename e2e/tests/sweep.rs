//! The bounded part of the fault sweep: hundreds of writes, each interrupted in some way. `make sweep` runs all of it,
//! and the scenarios that are not about one write; docs/reliability/README.md explains the table.

use anyhow::{Result, ensure};
use e2e::fault_sweep::{self, SweepOptions, report::Oracle};

/// Fewer cases would mean that the reference runs did not observe all the writes that they should.
const MIN_CASES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn sweep_bounded() -> Result<()> {
    let report =
        fault_sweep::run(&SweepOptions { bounded: true, no_scenarios: true, ..SweepOptions::default() }).await?;
    print_table(&report.table());
    ensure!(report.cases >= MIN_CASES, "only {} cases ran:\n{}", report.cases, report.table());
    if report.violations == 0 {
        return Ok(());
    }
    print_table(&report.violations());
    // Hundreds of cases share a machine that may be busy. Late cases run again alone, and a case that is late alone too
    // is a failure. A busy machine excuses no other violation.
    let late = report.violated_cases(Oracle::Live);
    ensure!(
        late.len() == report.violations,
        "{} violations:\n{}\n{}",
        report.violations,
        report.violations(),
        report.table()
    );
    let again = fault_sweep::run(&SweepOptions { case: late.clone(), ..SweepOptions::default() }).await?;
    let passed = again.cases - again.not_reached - again.violations;
    ensure!(
        passed == late.len(),
        "of {} that were late {passed} passed alone:\n{}\n{}",
        late.len(),
        again.violations(),
        again.table()
    );
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the test harness shows it for a failed test, or when asked")]
fn print_table(table: &str) {
    println!("{table}");
}
