//! Owns the plots.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::measurement::{BenchmarkResults, Bound, Curve, Measurement, Samples};

const SIZE: (u32, u32) = (900, 420);
const COLORS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(255, 127, 14), RGBColor(44, 160, 44)];

/// Draws `shares.svg`, the ratios that have a bound, and `b4.svg`, `b6.svg` and so on, the distributions.
pub fn draw(results: &BenchmarkResults, folder: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("a plot could not be drawn: {error}");
    let bounded: Vec<&Measurement> = results
        .measurements
        .iter()
        .filter(|measurement| measurement.required.is_some() && !measurement.others.is_empty())
        .collect();
    shares(&bounded, &folder.join("shares.svg")).map_err(|error| failed(&error))?;
    for curve in &results.curves {
        let file = folder.join(format!("{}.svg", curve.id.to_lowercase()));
        quantiles(curve, &file).map_err(|error| failed(&error))?;
    }
    Ok(())
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Draws one bar for each measurement, the operator over the raw client, with the required bound as a line.
#[allow(clippy::cast_precision_loss, reason = "a few bars")]
fn shares(measurements: &[&Measurement], file: &Path) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let highest =
        measurements.iter().map(|measurement| measurement.checked.quantile(100)).fold(1.2_f64, f64::max) * 1.1;
    let caption = ("operator over raw client: median and spread; the line is what it must be", ("sans-serif", 16));
    let mut chart = ChartBuilder::on(&root)
        .caption(caption.0, caption.1)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(45)
        .build_cartesian_2d(-0.5_f64..measurements.len() as f64 - 0.5, 0_f64..highest)?;
    let label = |place: &f64| {
        measurements
            .iter()
            .enumerate()
            .find(|(number, _)| (*number as f64 - place).abs() < 0.01)
            .map(|(_, measurement)| measurement.id.clone())
            .unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(measurements.len())
        .x_label_formatter(&label)
        .y_desc("ratio")
        .draw()?;
    for (number, measurement) in measurements.iter().enumerate() {
        let (left, right) = (number as f64 - 0.3, number as f64 + 0.3);
        let color = if measurement.holds() { COLORS[0] } else { COLORS[1] };
        chart.draw_series([Rectangle::new([(left, 0.0), (right, measurement.checked.median())], color.filled())])?;
        let middle = number as f64;
        let spread = vec![(middle, measurement.checked.quantile(0)), (middle, measurement.checked.quantile(100))];
        chart.draw_series([PathElement::new(spread, BLACK.stroke_width(2))])?;
        if let Some(Bound::AtLeast(bound) | Bound::AtMost(bound)) = measurement.required {
            chart.draw_series([PathElement::new(
                vec![(left - 0.1, bound), (right + 0.1, bound)],
                RED.stroke_width(2),
            )])?;
        }
    }
    root.present()?;
    Ok(())
}

/// Draws the share of the samples below each value.
fn quantiles(curve: &Curve, file: &Path) -> Drawn {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let highest = curve.lines.iter().map(|(_, samples)| samples.quantile(100)).fold(1.0_f64, f64::max) * 1.05;
    let caption = format!("{}: {}", curve.id, curve.what);
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(45)
        .build_cartesian_2d(0_f64..highest, 0_f64..100_f64)?;
    chart.configure_mesh().x_desc("ms").y_desc("% of the samples are below").draw()?;
    for (number, (who, samples)) in curve.lines.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let line = LineSeries::new(steps(samples), color.stroke_width(2));
        chart
            .draw_series(line)?
            .label(who)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "hundredths")]
fn steps(samples: &Samples) -> Vec<(f64, f64)> {
    (0..=100).map(|hundredth| (samples.quantile(hundredth), hundredth as f64)).collect()
}
