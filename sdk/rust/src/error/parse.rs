//! Reads the JSON form of an error. A whole JSON library would be half of a small guest.

use super::Error;

/// The error that the text is the JSON of; none for any other text.
pub(super) fn parse(text: &str) -> Option<Error> {
    let mut scanner = Scanner(text);
    let mut error = Error::default();
    scanner.expect('{')?;
    if scanner.expect('}').is_some() {
        return scanner.0.trim().is_empty().then_some(error);
    }
    loop {
        let key = scanner.string()?;
        scanner.expect(':')?;
        match key.as_str() {
            "id" => error.id = scanner.string()?,
            "detail" => error.detail = scanner.string()?,
            "status" => error.status = scanner.string()?,
            "code" => error.code = scanner.number()?,
            _ => return None,
        }
        if scanner.expect(',').is_none() {
            scanner.expect('}')?;
            return scanner.0.trim().is_empty().then_some(error);
        }
    }
}

/// What is left to read.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn expect(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(wanted)?;
        Some(())
    }

    fn number(&mut self) -> Option<u16> {
        let text = self.0.trim_start();
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        self.0 = rest;
        digits.parse().ok()
    }

    fn string(&mut self) -> Option<String> {
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                letter => text.push(letter),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.0.chars();
        let letter = letters.next()?;
        self.0 = letters.as_str();
        Some(letter)
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            other => other,
        })
    }

    /// The letter of `\u0041`, or of two of them for one outside the basic plane.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.0 = self.0.strip_prefix("\\u")?;
        let second = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
    }

    fn hex(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        u32::from_str_radix(digits, 16).ok()
    }
}
