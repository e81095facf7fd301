//! Refusals on the wire.

use serde::{Deserialize, Serialize};

use crate::protocol::message::Refusal;

macro_rules! refusals {
    ($($name:ident),* $(,)?) => {
        /// [`Refusal`].
        #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each is the refusal of the same name")]
        pub enum WireRefusal {
            $($name,)*
        }

        impl From<Refusal> for WireRefusal {
            fn from(refusal: Refusal) -> Self {
                match refusal {
                    $(Refusal::$name => Self::$name,)*
                }
            }
        }

        impl From<WireRefusal> for Refusal {
            fn from(refusal: WireRefusal) -> Self {
                match refusal {
                    $(WireRefusal::$name => Self::$name,)*
                }
            }
        }
    };
}

refusals!(
    WrongRing,
    Incomplete,
    Unconfirmed,
    Damaged,
    DiskFull,
    Overloaded,
    SettingsBehind,
    Deadline,
    ClockSkew,
    Draining,
    NotSent,
    NoAnswer,
    Storage,
    Down,
    TooLargeToSend,
    LeftOut,
);
