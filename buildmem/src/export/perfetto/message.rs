//! As much of protocol buffers as a trace needs, with the numbers of Perfetto's fields (its trace_packet.proto,
//! track_descriptor.proto, track_event.proto, debug_annotation.proto).
//!
//! We only ever write: that takes numbers, bytes and floats behind a tag, which is less than a library's derives would
//! take to describe the same fields. That they are the right ones, Perfetto's own definitions say in a test.

use std::io::{self, Write};

use super::super::layout::visible;
use crate::units::BootTime;

/// CLOCK_BOOTTIME among Perfetto's clocks.
const BOOTTIME: u64 = 6;

/// All is written in one sequence of packets.
const SEQUENCE: u64 = 1;

/// A message under way.
#[derive(Default)]
struct Message(Vec<u8>);

/// How a value is told, the lower three bits of a tag.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn tag(&mut self, field: u64, wire: Wire) {
        self.varint(field << 3 | wire as u64);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.tag(field, Wire::Varint);
        self.varint(value);
    }

    fn float(&mut self, field: u64, value: f64) {
        self.tag(field, Wire::Fixed64);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, Wire::Bytes);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}

/// A place for events, below another one.
pub(super) struct Track(Message);

impl Track {
    /// The track of a process, which is at the top.
    pub(super) fn process(uuid: u64, pid: u32, name: &str) -> Self {
        let mut process = Message::default();
        process.number(1, pid.into());
        process.text(6, name);
        let mut track = Message::default();
        track.number(1, uuid);
        track.message(3, &process);
        Self(track).with_ranked_children()
    }

    /// A track below another.
    pub(super) fn new(uuid: u64, parent: u64, name: &str) -> Self {
        let mut track = Message::default();
        track.number(1, uuid);
        track.text(2, name);
        track.number(5, parent);
        Self(track)
    }

    /// With its place among its siblings.
    pub(super) fn ranked(mut self, rank: u64) -> Self {
        self.0.number(12, rank);
        self
    }

    /// What is below it is ordered by its rank.
    pub(super) fn with_ranked_children(mut self) -> Self {
        self.0.number(11, 3);
        self
    }

    /// What is below it is ordered by its first event.
    pub(super) fn with_children_by_time(mut self) -> Self {
        self.0.number(11, 2);
        self
    }

    /// Never to be taken for one with a sibling of the same name.
    pub(super) fn apart(mut self) -> Self {
        self.0.number(15, 2);
        self
    }

    /// Of numbers with this unit, one of Perfetto's CounterDescriptor.Unit.
    pub(super) fn counting(mut self, unit: u64) -> Self {
        let mut counter = Message::default();
        counter.number(3, unit);
        self.0.message(8, &counter);
        self
    }
}

/// Something that happened on a track.
pub(super) struct Event {
    at: BootTime,
    event: Message,
}

impl Event {
    fn new(kind: u64, track: u64, at: BootTime) -> Self {
        let mut event = Message::default();
        event.number(9, kind);
        event.number(11, track);
        Self { at, event }
    }

    /// Something begins.
    pub(super) fn begin(track: u64, at: BootTime, name: &str) -> Self {
        let mut event = Self::new(1, track, at);
        event.event.text(23, name);
        event
    }

    /// What began last on that track ends.
    pub(super) fn end(track: u64, at: BootTime) -> Self {
        Self::new(2, track, at)
    }

    /// Something happens.
    pub(super) fn instant(track: u64, at: BootTime, name: &str) -> Self {
        let mut event = Self::new(3, track, at);
        event.event.text(23, name);
        event
    }

    /// A counter has this value from now on.
    pub(super) fn count(track: u64, at: BootTime, value: u64) -> Self {
        let mut event = Self::new(4, track, at);
        event.event.number(30, value);
        event
    }

    /// Something more about it, if there is anything.
    pub(super) fn annotate(&mut self, name: &str, value: Annotation) {
        if !value.is_empty() {
            self.event.message(4, &annotation(Some(name), value));
        }
    }

    /// The same, where it is known.
    pub(super) fn annotate_some(&mut self, name: &str, value: Option<Annotation>) {
        if let Some(value) = value {
            self.annotate(name, value);
        }
    }
}

/// What can be said about an event.
pub(super) enum Annotation {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Dict(Vec<(String, Annotation)>),
    Array(Vec<Annotation>),
}

impl Annotation {
    /// A text from outside.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(visible(text))
    }

    /// An annotation must have a value, and a list of none is none.
    const fn is_empty(&self) -> bool {
        match self {
            Self::Dict(entries) => entries.is_empty(),
            Self::Array(values) => values.is_empty(),
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) | Self::Text(_) => false,
        }
    }
}

fn annotation(name: Option<&str>, value: Annotation) -> Message {
    let mut message = Message::default();
    if let Some(name) = name {
        message.text(10, name);
    }
    match value {
        Annotation::Unsigned(value) => message.number(3, value),
        Annotation::Signed(value) => message.number(4, value.cast_unsigned()),
        Annotation::Float(value) => message.float(5, value),
        Annotation::Text(value) => message.text(6, &value),
        Annotation::Dict(entries) => {
            for (name, value) in entries {
                message.message(11, &annotation(Some(&name), value));
            }
        }
        Annotation::Array(values) => {
            for value in values {
                message.message(12, &annotation(None, value));
            }
        }
    }
    message
}

/// Tells that there is a track.
pub(super) fn write_track(out: &mut dyn Write, track: &Track) -> io::Result<()> {
    let mut packet = Message::default();
    packet.number(10, SEQUENCE);
    packet.message(60, &track.0);
    write_packet(out, &packet)
}

/// Tells what happened.
pub(super) fn write_event(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    let mut packet = Message::default();
    packet.number(8, event.at.nanos());
    packet.number(10, SEQUENCE);
    packet.message(11, &event.event);
    packet.number(58, BOOTTIME);
    write_packet(out, &packet)
}

/// A trace is a message of packets: one after the other.
fn write_packet(out: &mut dyn Write, packet: &Message) -> io::Result<()> {
    let mut trace = Message::default();
    trace.message(1, packet);
    out.write_all(&trace.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_as_many_bytes_as_they_need() {
        let written = |value| {
            let mut message = Message::default();
            message.number(1, value);
            message.0
        };
        assert_eq!(written(0), [0x08, 0]);
        assert_eq!(written(127), [0x08, 0x7f]);
        assert_eq!(written(150), [0x08, 0x96, 0x01]);
        assert_eq!(written(u64::MAX).len(), 11);
    }

    #[test]
    fn a_packet_stands_behind_its_length() {
        let mut bytes = Vec::new();
        let event = Event::count(3, BootTime::from_nanos(5), 300);
        write_event(&mut bytes, &event).unwrap();
        assert_eq!(
            bytes,
            [
                0x0a, 17, // a packet
                0x40, 5, // timestamp
                0x50, 1, // trusted_packet_sequence_id
                0x5a, 8, // track_event
                0x48, 4, 0x58, 3, 0xf0, 0x01, 0xac, 0x02, // type, track, value
                0xd0, 0x03, 6, // timestamp_clock_id
            ]
        );
    }
}
