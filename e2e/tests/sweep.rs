//! The bounded part of the fault sweep: hundreds of writes, each interrupted in some way, and the scenarios that are not
//! about one write. `make sweep` runs all of it; docs/reliability/README.md says how to read the table.

use anyhow::{Result, ensure};
use e2e::sweep::{self, Options};

/// Fewer cases would mean that the reference runs did not see the writes that they should.
const LEAST: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn sweep_bounded() -> Result<()> {
    let report = sweep::run(&Options { bounded: true, ..Options::default() }).await?;
    let table = report.table();
    show(&table);
    ensure!(report.cases >= LEAST, "only {} cases ran:\n{table}", report.cases);
    ensure!(report.violations == 0, "{} violations:\n{}\n{table}", report.violations, report.violations());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the test harness shows it for a failed test, or when asked")]
fn show(table: &str) {
    println!("{table}");
}
