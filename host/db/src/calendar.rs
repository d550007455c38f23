//! Days and months in UTC, as usage counts them.

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Days since 1970-01-01 of a Unix time in milliseconds.
pub fn day_of(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS)
}

/// Months since January 1970 of a Unix time in milliseconds.
pub fn month_of(ms: i64) -> i64 {
    month_of_day(day_of(ms))
}

/// Months since January 1970 of a day.
pub fn month_of_day(day: i64) -> i64 {
    let (year, month, _) = civil(day);
    (year - 1970) * 12 + month - 1
}

/// The first day of a month.
pub fn first_day(month: i64) -> i64 {
    days_from_civil(1970 + month.div_euclid(12), month.rem_euclid(12) + 1, 1)
}

/// When a month begins, Unix milliseconds.
pub fn month_start_ms(month: i64) -> i64 {
    first_day(month).saturating_mul(DAY_MS)
}

/// `2026-11-26`.
pub fn day_text(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-11`.
pub fn month_text(month: i64) -> String {
    format!("{:04}-{:02}", 1970 + month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// The day that a text such as `2026-11-26` names; `None`: it names none.
pub fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    let day = days_from_civil(part(4)?, part(2)?, part(2)?);
    // A day that does not exist, such as 2026-02-30, comes out as another.
    (day_text(day) == text).then_some(day)
}

/// (year, month, day), both from 1. Years begin in March here, so that the leap day is the last one.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (day, text, month) in [
            (0, "1970-01-01", 0),
            (11_016, "2000-02-29", 361),
            (11_017, "2000-03-01", 362),
            (20_783, "2026-11-26", 682),
            (47_540, "2100-02-28", 1561),
            (47_541, "2100-03-01", 1562),
        ] {
            assert_eq!((day_text(day).as_str(), month_of_day(day)), (text, month));
            assert_eq!(parse_day(text), Some(day));
        }
        assert_eq!(month_text(682), "2026-11");
        assert_eq!(day_text(first_day(683)), "2026-12-01");
        assert_eq!(day_text(first_day(683) - 1), "2026-11-30");
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let midnight = month_start_ms(683);
        assert_eq!((day_of(midnight - 1), day_of(midnight)), (first_day(683) - 1, first_day(683)));
        assert_eq!((month_of(midnight - 1), month_of(midnight)), (682, 683));
    }

    #[test]
    fn every_day_has_its_month() {
        let mut month = month_of_day(0);
        for day in 1..60_000 {
            let next = month_of_day(day);
            assert!(next == month || (next == month + 1 && first_day(next) == day), "{day}");
            assert_eq!(parse_day(&day_text(day)), Some(day));
            month = next;
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2026-02-30", "2026-13-01", "2026-1-01", "26-01-01", "2026-01-01-01", "2026-01-+1"] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }
}
