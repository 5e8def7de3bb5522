//! Small line plots, as SVG.

use std::fmt::Write;

use crate::number::three_digits;

/// Lines over evenly spaced steps.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) steps: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// One value for each step.
    pub(crate) values: Vec<f64>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 48.0;
const COLOURS: [&str; 3] = ["#1f6feb", "#d1570a", "#2da44e"];

impl Plot {
    pub(crate) fn to_svg(&self) -> String {
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" text-anchor="middle">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{}" y="20" font-size="14">{}</text>
<path d="M{MARGIN} {MARGIN}V{}H{}" fill="none" stroke="#888"/>
"##,
            WIDTH / 2.0,
            self.title,
            HEIGHT - MARGIN,
            WIDTH - MARGIN,
        );
        for (step, label) in self.steps.iter().enumerate() {
            let (x, y) = (self.x(step), HEIGHT - MARGIN + 20.0);
            push(&mut svg, format_args!(r#"<text x="{x:.0}" y="{y}">{label}</text>"#));
        }
        for (number, (line, colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            let points = || (0..).map(|step| self.x(step)).zip(&line.values);
            let path: Vec<_> =
                points().map(|(x, &value)| format!("{x:.0},{:.0}", self.y(value))).collect();
            let path = path.join(" ");
            push(
                &mut svg,
                format_args!(r#"<polyline points="{path}" fill="none" stroke="{colour}"/>"#),
            );
            for (x, &value) in points() {
                let (y, label) = (self.y(value), three_digits(value));
                push(
                    &mut svg,
                    format_args!(
                        r#"<circle cx="{x:.0}" cy="{y:.0}" r="3" fill="{colour}"/><text x="{x:.0}" y="{:.0}" fill="{colour}">{label}</text>"#,
                        y - 8.0,
                    ),
                );
            }
            let y = HEIGHT - 8.0;
            let x = (number + 1) as f64 * WIDTH / (self.lines.len() + 1) as f64;
            push(
                &mut svg,
                format_args!(r#"<text x="{x:.0}" y="{y}" fill="{colour}">{}</text>"#, line.name),
            );
        }
        svg + "</svg>\n"
    }

    fn x(&self, step: usize) -> f64 {
        let steps = (self.steps.len() - 1).max(1) as f64;
        1.5 * MARGIN + step as f64 * (WIDTH - 3.0 * MARGIN) / steps
    }

    fn y(&self, value: f64) -> f64 {
        let most = self.lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max);
        HEIGHT - MARGIN - value * (HEIGHT - 2.5 * MARGIN) / most
    }
}

fn push(svg: &mut String, element: std::fmt::Arguments<'_>) {
    let _strings_take_all = writeln!(svg, "{element}");
}
