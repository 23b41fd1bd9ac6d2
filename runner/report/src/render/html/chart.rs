//! Lines over time as SVG, drawn here: the page needs no script.

use super::escape;
use crate::quantity;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

/// A line; a point without a value leaves a hole.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// Lines with the same unit.
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    /// Seconds between two points.
    pub(super) step: u64,
    /// How a value reads.
    pub(super) unit: &'a dyn Fn(f64) -> String,
    pub(super) lines: Vec<Line>,
}

impl Chart<'_> {
    /// Nothing when there is nothing but zero to show.
    pub(super) fn svg(&self) -> String {
        let values = || self.lines.iter().flat_map(|line| line.values.iter().flatten());
        let most = values().copied().fold(0.0, f64::max);
        if most <= 0.0 {
            return String::new();
        }
        let (top, count) = (nice(most), self.lines.iter().map(|l| l.values.len()).max().unwrap_or(0));
        let place = Place { top, last: count.saturating_sub(1).max(1) };
        let legend =
            (1..).zip(&self.lines).map(|(n, line)| format!("<span class=\"line{n}\">{}</span> ", line.name));
        format!(
            "<figure><figcaption>{} {}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{}{}{}{}</svg></figure>\n",
            self.title,
            legend.collect::<String>(),
            self.title,
            self.rows(&place),
            self.columns(&place, count),
            (1..).zip(&self.lines).map(|(n, line)| path(n, line, &place)).collect::<String>(),
            self.hints(&place, count),
        )
    }

    fn rows(&self, place: &Place) -> String {
        let row = |n: u32| {
            let value = place.top * f64::from(n) / 4.0;
            let y = place.y(value);
            let label = escape(&(self.unit)(value));
            format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            )
        };
        (0..=4).map(row).collect()
    }

    fn columns(&self, place: &Place, count: usize) -> String {
        let every = count.div_ceil(6).max(1);
        let column = |n: usize| {
            let time = quantity::span(n as u64 * self.step * 1000);
            format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{time}</text>\n",
                place.x(n),
                HEIGHT - 6.0
            )
        };
        (0..count).step_by(every).map(column).collect()
    }

    /// What a point says when it is pointed at.
    fn hints(&self, place: &Place, count: usize) -> String {
        let width = (WIDTH - LEFT - RIGHT) / place.last as f64;
        let hint = |n: usize| {
            let values = self.lines.iter().filter_map(|line| {
                let value = line.values.get(n).copied().flatten()?;
                Some(format!("{} {}", line.name, (self.unit)(value)))
            });
            let values: Vec<String> = values.collect();
            format!(
                "<rect class=\"hint\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"><title>{}: {}</title></rect>\n",
                place.x(n) - width / 2.0,
                HEIGHT - TOP - BOTTOM,
                quantity::span(n as u64 * self.step * 1000),
                escape(&values.join(", ")),
            )
        };
        (0..count).map(hint).collect()
    }
}

struct Place {
    top: f64,
    last: usize,
}

impl Place {
    fn x(&self, n: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * n as f64 / self.last as f64
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / self.top)
    }
}

/// The line in pieces, a dot where a piece is a single point.
fn path(number: usize, line: &Line, place: &Place) -> String {
    let mut path = String::new();
    let values = || line.values.iter();
    let before = std::iter::once(&None).chain(values());
    let after = values().skip(1).chain(std::iter::once(&None));
    for (n, ((value, before), after)) in values().zip(before).zip(after).enumerate() {
        let Some(value) = value else { continue };
        let (x, y) = (place.x(n), place.y(*value));
        let step = if before.is_some() { 'L' } else { 'M' };
        path += &format!("{step}{x:.1} {y:.1}");
        if before.is_none() && after.is_none() {
            path += "h0.1";
        }
    }
    format!("<path class=\"line{number}\" d=\"{path}\"/>\n")
}

/// The least round number that is not below.
fn nice(most: f64) -> f64 {
    let magnitude = 10_f64.powf(most.log10().floor());
    let rounds = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    rounds.into_iter().map(|round| round * magnitude).find(|round| *round >= most).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tops_are_round() {
        for (most, top) in [(1.0, 1.0), (1.5, 2.0), (39.0, 40.0), (0.3, 0.4), (81.0, 100.0), (4321.0, 5000.0)]
        {
            assert!((nice(most) - top).abs() < top / 1e6, "{most}: {}", nice(most));
        }
    }

    #[test]
    fn a_line_has_holes_and_lonely_points() {
        let values = vec![Some(1.0), None, Some(2.0), Some(1.0)];
        let chart = Chart {
            title: "t",
            step: 2,
            unit: &|v| format!("{v}<"),
            lines: vec![Line { name: "a", values }],
        };
        let svg = chart.svg();
        assert!(svg.contains("d=\"M80.0 103.0h0.1M498.7 12.0L708.0 103.0\""), "{svg}");
        assert!(svg.contains("<title>4.0s: a 2&lt;</title>") && svg.contains(">2&lt;</text>"), "{svg}");
        let nothing = Chart { lines: vec![Line { name: "a", values: vec![Some(0.0), None] }], ..chart };
        assert_eq!(nothing.svg(), "");
    }
}
