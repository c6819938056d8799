//! `Fault`: what a client can do wrong below the protocol, and the close code that RFC 6455 §7.4.1 gives it.
//! A faulty connection ends at once: what else it sends cannot be trusted to begin where a frame begins.

use crate::realtime::frame::Ending;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not a frame of RFC 6455: unmasked, reserved bits or opcodes, a wrong close code, a big control frame.
    NoFrame,
    /// A new message inside a fragmented one, or a continuation of nothing.
    OutOfPlace,
    /// Text that is not UTF-8.
    NotUtf8,
    /// More bytes or fragments than a message may have.
    TooBig,
    /// More pings and unasked pongs than a connection may send.
    ControlFlood,
}

impl Fault {
    /// What the client is told.
    pub const fn ending(self) -> Ending {
        match self {
            Self::NoFrame => Ending { code: 1002, reason: "Not a valid WebSocket frame" },
            Self::OutOfPlace => Ending { code: 1002, reason: "Fragment out of place" },
            Self::NotUtf8 => Ending { code: 1007, reason: "Text that is not UTF-8" },
            Self::TooBig => Ending { code: 1009, reason: "Message too big" },
            Self::ControlFlood => Ending { code: 1008, reason: "Too many pings or pongs" },
        }
    }

    /// The metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoFrame | Self::OutOfPlace | Self::NotUtf8 => "protocol_error",
            Self::TooBig => "message_too_big",
            Self::ControlFlood => "control_flood",
        }
    }
}
