//! What was typed, from the bytes that a terminal sends for it.

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow to the left.
    Left,
    /// Arrow to the right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Escape.
    Escape,
    /// Ctrl-Z.
    Suspend,
}

/// Reads keys: ECMA-48 control sequences as xterm(1), screen(1) and the Linux console send them.
#[derive(Debug, Default)]
pub struct Keys {
    state: State,
    parameter: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escaped,
    /// After ESC O.
    Single,
    /// After ESC [.
    Sequence,
}

impl Keys {
    /// The keys in what one read gave. An escape at its end is the key of that name: a sequence comes at once.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys: Vec<Key> = bytes.iter().filter_map(|byte| self.next(*byte)).collect();
        if self.state == State::Escaped {
            self.state = State::Ground;
            keys.push(Key::Escape);
        }
        keys
    }

    fn next(&mut self, byte: u8) -> Option<Key> {
        let (state, key) = match (self.state, byte) {
            (State::Escaped, b'[') => {
                self.parameter = 0;
                (State::Sequence, None)
            }
            (State::Escaped, b'O') => (State::Single, None),
            (_, 0x1b) => (State::Escaped, None),
            (State::Ground | State::Escaped, 0x1a) => (State::Ground, Some(Key::Suspend)),
            (State::Ground, byte) if byte.is_ascii_graphic() || byte == b' ' => {
                (State::Ground, Some(Key::Char(char::from(byte))))
            }
            (State::Sequence, b'0'..=b'9') => {
                let digit = u16::from(byte - b'0');
                self.parameter = (self.parameter.saturating_mul(10)).saturating_add(digit);
                (State::Sequence, None)
            }
            (State::Sequence, 0x20..=0x3f) => {
                // Further parameters tell of Shift and the like: such a key is another one.
                self.parameter = u16::MAX;
                (State::Sequence, None)
            }
            (State::Sequence, b'~') => (State::Ground, numbered(self.parameter)),
            (State::Sequence, byte) if self.parameter == 0 => (State::Ground, lettered(byte)),
            (State::Single, byte) => (State::Ground, lettered(byte)),
            // Alt and a character, control characters, what is not ASCII, keys with Shift and the like: nothing here.
            (State::Ground | State::Escaped | State::Sequence, _) => (State::Ground, None),
        };
        self.state = state;
        key
    }
}

const fn lettered(byte: u8) -> Option<Key> {
    match byte {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'F' => Some(Key::End),
        b'H' => Some(Key::Home),
        _ => None,
    }
}

const fn numbered(parameter: u16) -> Option<Key> {
    match parameter {
        1 | 7 => Some(Key::Home),
        4 | 8 => Some(Key::End),
        5 => Some(Key::PageUp),
        6 => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        let read = |bytes: &[u8]| Keys::default().read(bytes);
        assert_eq!(read(b"q?"), [Key::Char('q'), Key::Char('?')]);
        assert_eq!(read(b"\x1b[A\x1bOB"), [Key::Up, Key::Down]);
        assert_eq!(read(b"\x1b[C\x1b[D"), [Key::Right, Key::Left]);
        assert_eq!(read(b"\x1b[5~\x1b[6~"), [Key::PageUp, Key::PageDown]);
        assert_eq!(read(b"\x1b[H\x1b[4~"), [Key::Home, Key::End]);
        assert_eq!(read(b"\x1b"), [Key::Escape]);
        assert_eq!(read(b"\x1a"), [Key::Suspend]);
        // Shift and an arrow, a function key, Alt and a letter, UTF-8, a tabulator.
        assert_eq!(read(b"\x1b[1;2A\x1b[15~\x1bq\xc3\xa4\t"), []);
    }

    #[test]
    fn a_sequence_may_come_in_pieces() {
        let mut keys = Keys::default();
        assert_eq!(keys.read(b"\x1b["), []);
        assert_eq!(keys.read(b"5"), []);
        assert_eq!(keys.read(b"~q"), [Key::PageUp, Key::Char('q')]);
    }
}
