//! The world, read: what is seen of it becomes [events](crate::event::Event).

pub mod bpf;
