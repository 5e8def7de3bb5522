//! Numbers as tables and plots show them.

/// Formats a figure with three significant digits, or with all digits before the point.
pub(crate) fn three_digits(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        10.0.. if figure >= 100.0 => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_significant_digits() {
        let figures = [0.0, 0.12345, 1.2345, 12.345, 123.45, 12345.6];
        assert_eq!(figures.map(three_digits), ["0", "0.123", "1.23", "12.3", "123", "12346"]);
    }
}
