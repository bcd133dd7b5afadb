//! What the machine keeps for itself: the system's share, and how much memory its graphics processor may hold.
//!
//! Core. Both are tables of published figures with straight lines between them; a measured value (Metal's own answer, a
//! setting) goes before them, see [`super::plan::Wanted`].

use super::GIB;

/// What macOS and the usual programs keep, GiB of RAM and GiB kept. The points from 24 up are those of the published budget
/// for a Mac that also does other work; below, the same share of what is there.
const SYSTEM: &[(f64, f64)] = &[
    (0.0, 0.0),
    (8.0, 3.0),
    (16.0, 4.5),
    (24.0, 6.0),
    (32.0, 8.0),
    (48.0, 10.0),
    (64.0, 12.0),
    (96.0, 14.0),
    (128.0, 16.0),
];

/// Metal's recommended working set, GiB of RAM and GiB of working set, as several programs print it (16, 24, 32, 64 and 128
/// were reported by users' logs; 48 and 96 lie between them).
const WORKING_SET: &[(f64, f64)] = &[
    (0.0, 0.0),
    (16.0, 11.84),
    (24.0, 17.76),
    (32.0, 24.96),
    (48.0, 37.4),
    (64.0, 51.84),
    (96.0, 77.8),
    (128.0, 107.52),
];

/// What the system and other programs keep of `total` bytes.
#[must_use]
pub fn os_reserve_bytes(total: u64) -> u64 {
    on_line(SYSTEM, total)
}

/// How much of `total` bytes the graphics processor of a Mac may hold; without a Mac's own answer.
#[must_use]
pub fn gpu_limit_bytes(total: u64) -> u64 {
    on_line(WORKING_SET, total)
}

fn on_line(points: &[(f64, f64)], total: u64) -> u64 {
    let gib = total as f64 / GIB as f64;
    let above = points
        .iter()
        .position(|(ram, _)| *ram >= gib)
        .unwrap_or(points.len() - 1)
        .max(1);
    let ((x0, y0), (x1, y1)) = (points[above - 1], points[above]);
    let value = y0 + (gib - x0) * (y1 - y0) / (x1 - x0);
    (value * GIB as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_points_are_met_and_the_line_goes_on() {
        assert_eq!(os_reserve_bytes(64 * GIB), 12 * GIB);
        assert_eq!(os_reserve_bytes(24 * GIB), 6 * GIB);
        assert_eq!(os_reserve_bytes(192 * GIB), 20 * GIB);
        let limit = gpu_limit_bytes(64 * GIB) as f64 / GIB as f64;
        assert!((limit - 51.84).abs() < 0.001);
        assert!(gpu_limit_bytes(192 * GIB) > 160 * GIB);
    }
}
