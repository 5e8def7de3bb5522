//! Arrows between names that are drawn with box characters.

use std::collections::BTreeSet;

/// Arrows, each from a name to another.
pub type Arrows = BTreeSet<(String, String)>;

/// Reads the arrows of a drawing. Several names with commas between them have the same arrows.
///
/// ```
/// let drawing = "
/// axum ─→ tower ─┐
///         actix ─┼→ core ←─ testkit
///         redis ─┘
/// ";
/// let arrows = docs_tests::arrows(drawing);
/// let arrows: Vec<_> = arrows.iter().map(|(from, to)| format!("{from} {to}")).collect();
/// assert_eq!(arrows, ["actix core", "axum tower", "redis core", "testkit core", "tower core"]);
/// ```
#[must_use]
pub fn arrows(drawing: &str) -> Arrows {
    let grid = Grid(drawing.lines().map(|line| line.chars().collect()).collect());
    let mut seen = BTreeSet::new();
    let mut arrows = Arrows::new();
    for row in 0..grid.0.len() {
        for column in 0..grid.0[row].len() {
            let (mut from, mut to) = (Vec::new(), Vec::new());
            grid.follow((row, column), &mut seen, &mut from, &mut to);
            for source in &from {
                arrows.extend(to.iter().map(|target| (source.clone(), target.clone())));
            }
        }
    }
    arrows
}

struct Grid(Vec<Vec<char>>);

type Cell = (usize, usize);

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Up,
    Down,
}

impl Side {
    const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Up, Self::Down];

    fn of(self, (row, column): Cell) -> Cell {
        match self {
            Self::Left => (row, column.wrapping_sub(1)),
            Self::Right => (row, column + 1),
            Self::Up => (row.wrapping_sub(1), column),
            Self::Down => (row + 1, column),
        }
    }

    /// Whether a character has a line to this side.
    fn is_open(self, character: char) -> bool {
        let open = match self {
            Self::Left => "─→┬┐┤┼┘┴",
            Self::Right => "─←┬└├┼┴",
            Self::Up => "│┤├┼└┘┴",
            Self::Down => "│┤├┼┬┐",
        };
        open.contains(character)
    }

    fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl Grid {
    fn at(&self, (row, column): Cell) -> char {
        self.0.get(row).and_then(|line| line.get(column)).copied().unwrap_or(' ')
    }

    fn is_line(&self, cell: Cell) -> bool {
        "─→←│┬┐┤├┼└┘┴".contains(self.at(cell))
    }

    /// Follows a line in all directions, to the names that it comes from and leads to.
    fn follow(
        &self,
        cell: Cell,
        seen: &mut BTreeSet<Cell>,
        from: &mut Vec<String>,
        to: &mut Vec<String>,
    ) {
        if !self.is_line(cell) || !seen.insert(cell) {
            return;
        }
        for side in Side::ALL {
            let (character, next) = (self.at(cell), side.of(cell));
            let is_head = matches!((character, side), ('→', Side::Right) | ('←', Side::Left));
            if is_head {
                to.extend(self.names(next, side));
            } else if !side.is_open(character) {
                continue;
            } else if side.opposite().is_open(self.at(next)) {
                self.follow(next, seen, from, to);
            } else {
                from.extend(self.names(next, side));
            }
        }
    }

    /// The names that begin or end beside a line.
    fn names(&self, mut cell: Cell, side: Side) -> Vec<String> {
        let mut text = Vec::new();
        while self.0.get(cell.0).is_some_and(|line| cell.1 < line.len()) && !self.is_line(cell) {
            text.push(self.at(cell));
            cell = side.of(cell);
        }
        if matches!(side, Side::Left) {
            text.reverse();
        }
        let names = String::from_iter(text);
        names
            .split(", ")
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }
}
