//! Slots of inbound handshakes whose other side has not proven the secret: their bounds, and their order of eviction.
//!
//! ```text
//!  accepted ──> silent ──Hello──> greeted ──proof──> out of here
//! ```
//!
//! Nobody is turned away at the door: where a bound is reached, the oldest of the same stage makes room. A peer says its
//! Hello with its connection and proves itself one round trip later, so it is past a stage before others can push it out;
//! what only opens sockets pushes out its like. Each source address has a bound, and so have all addresses together that
//! are no member's, so that neither takes what members need.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use tokio::sync::Notify;

/// Slots of a stage for one address of a member. Several nodes may share it, and so may strangers.
pub const MEMBER_ADDRESS_MAX: usize = 64;
/// Slots of a stage for all addresses of members, kept for them.
pub const MEMBERS_MAX: usize = 256;
/// Slots of a stage for one other address; of IPv6, for one network of 64 bits.
pub const STRANGER_ADDRESS_MAX: usize = 32;
/// Slots of a stage for all other addresses.
pub const STRANGERS_MAX: usize = 128;

/// Progress of an inbound handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The other side has said nothing.
    Silent,
    /// It has said its Hello.
    Greeted,
    /// It has proven the secret.
    Proven,
}

/// Source of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    address: IpAddr,
    member: bool,
}

impl Source {
    /// An address, of a member or not.
    #[must_use]
    pub fn new(address: IpAddr, member: bool) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) if !member => IpAddr::V6(network_of(v6)),
            address => address,
        };
        Self { address, member }
    }

    fn address_max(self) -> usize {
        if self.member { MEMBER_ADDRESS_MAX } else { STRANGER_ADDRESS_MAX }
    }

    fn all_max(self) -> usize {
        if self.member { MEMBERS_MAX } else { STRANGERS_MAX }
    }
}

/// The first 64 bits: whoever has one address of a network has all of them.
fn network_of(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))
}

/// The slots of one stage, the oldest first.
type Room = BTreeMap<u64, Occupied>;

struct Occupied {
    source: Source,
    evicted: Rc<Notify>,
}

/// All slots. They belong to the thread that accepts.
#[derive(Default)]
pub struct HandshakeSlots {
    silent: RefCell<Room>,
    greeted: RefCell<Room>,
    next: Cell<u64>,
}

impl HandshakeSlots {
    /// Takes a slot for a connection that was accepted.
    #[must_use]
    pub fn take(self: &Rc<Self>, source: Source) -> HandshakeSlot {
        let slot = HandshakeSlot {
            slots: self.clone(),
            source,
            stage: Cell::new(Stage::Silent),
            place: Cell::new(0),
            evicted: Rc::new(Notify::new()),
        };
        slot.enter(Stage::Silent);
        slot
    }

    fn room(&self, stage: Stage) -> Option<&RefCell<Room>> {
        match stage {
            Stage::Silent => Some(&self.silent),
            Stage::Greeted => Some(&self.greeted),
            Stage::Proven => None,
        }
    }
}

/// The oldest slot that must make room for one more of `source`, if any must.
fn in_the_way(room: &Room, source: Source) -> Option<u64> {
    let oldest = |counts: &dyn Fn(Source) -> bool, max: usize| {
        let mut places = room.iter().filter(|(_, slot)| counts(slot.source)).map(|(place, _)| *place);
        let first = places.next()?;
        (places.count() + 1 >= max).then_some(first)
    };
    oldest(&|other| other == source, source.address_max())
        .or_else(|| oldest(&|other| other.member == source.member, source.all_max()))
}

/// The slot of one handshake; free again once this is dropped.
pub struct HandshakeSlot {
    slots: Rc<HandshakeSlots>,
    source: Source,
    stage: Cell<Stage>,
    place: Cell<u64>,
    evicted: Rc<Notify>,
}

impl HandshakeSlot {
    /// Progress of the handshake.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Goes on to `stage`, in which it is the youngest.
    pub fn reach(&self, stage: Stage) {
        self.leave();
        self.enter(stage);
    }

    /// Ends once it has to make room. What has proven the secret never has to.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
        if self.stage.get() == Stage::Proven {
            std::future::pending().await
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        let Some(room) = self.slots.room(stage) else { return };
        let mut room = room.borrow_mut();
        let other = in_the_way(&room, self.source).and_then(|place| room.remove(&place));
        if let Some(other) = other {
            other.evicted.notify_one();
        }
        let place = self.slots.next.get();
        self.slots.next.set(place + 1);
        self.place.set(place);
        room.insert(place, Occupied { source: self.source, evicted: self.evicted.clone() });
    }

    fn leave(&self) {
        if let Some(room) = self.slots.room(self.stage.get()) {
            room.borrow_mut().remove(&self.place.get());
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn stranger(number: u8) -> Source {
        Source::new(IpAddr::from([192, 0, 2, number]), false)
    }

    fn member(number: u8) -> Source {
        Source::new(IpAddr::from([10, 0, 0, number]), true)
    }

    fn take_many(slots: &Rc<HandshakeSlots>, source: Source, count: usize) -> Vec<HandshakeSlot> {
        (0..count).map(|_| slots.take(source)).collect()
    }

    /// The places in `taken` of those that had to make room.
    fn evicted(taken: &[HandshakeSlot]) -> Vec<usize> {
        let gone = taken.iter().enumerate().filter(|(_, slot)| slot.evicted().now_or_never().is_some());
        gone.map(|(at, _)| at).collect()
    }

    #[test]
    fn an_address_over_its_bound_gives_up_its_own_oldest() {
        let slots = Rc::new(HandshakeSlots::default());
        let others = take_many(&slots, stranger(1), 3);
        let taken = take_many(&slots, stranger(2), STRANGER_ADDRESS_MAX + 2);
        assert_eq!((evicted(&others), evicted(&taken)), (vec![], vec![0, 1]));
        let taken = take_many(&slots, member(1), MEMBER_ADDRESS_MAX + 1);
        assert_eq!(evicted(&taken), [0]);
    }

    #[test]
    fn strangers_of_many_addresses_leave_the_slots_of_members_alone() {
        let slots = Rc::new(HandshakeSlots::default());
        let members: Vec<_> =
            (0..4).flat_map(|at| take_many(&slots, member(at), MEMBER_ADDRESS_MAX)).collect();
        let strangers: Vec<_> = (0..=u8::MAX).map(|at| slots.take(stranger(at))).collect();
        assert_eq!(evicted(&members), Vec::<usize>::new());
        let oldest: Vec<usize> = (0..strangers.len() - STRANGERS_MAX).collect();
        assert_eq!(evicted(&strangers), oldest);
        assert_eq!(evicted(&[slots.take(member(9))]), Vec::<usize>::new(), "the newcomer has its slot");
        assert_eq!(evicted(&members), [0], "of the members' slots the oldest");
    }

    #[test]
    fn who_says_nothing_pushes_out_nobody_who_has_greeted_and_nobody_who_has_proven_the_secret() {
        let slots = Rc::new(HandshakeSlots::default());
        let peers = take_many(&slots, member(1), 2);
        peers[0].reach(Stage::Greeted);
        peers[1].reach(Stage::Greeted);
        peers[1].reach(Stage::Proven);
        let silent = take_many(&slots, member(1), 3 * MEMBER_ADDRESS_MAX);
        assert_eq!(evicted(&peers), Vec::<usize>::new());
        assert_eq!(evicted(&silent).len(), 2 * MEMBER_ADDRESS_MAX);
        silent.iter().skip(2 * MEMBER_ADDRESS_MAX).for_each(|slot| slot.reach(Stage::Greeted));
        assert_eq!(evicted(&peers), [0], "one too many has greeted");
    }

    #[test]
    fn an_ended_handshake_leaves_its_slot() {
        let slots = Rc::new(HandshakeSlots::default());
        for _ in 0..3 {
            let taken = take_many(&slots, stranger(1), STRANGER_ADDRESS_MAX);
            taken[0].reach(Stage::Greeted);
            assert_eq!(evicted(&taken), Vec::<usize>::new());
        }
        assert!(slots.silent.borrow().is_empty() && slots.greeted.borrow().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_stranger_and_ipv4_within_ipv6_as_itself() {
        let of = |text: &str, member| Source::new(text.parse().unwrap(), member);
        assert_eq!(of("2001:db8::1", false), of("2001:db8::ffff:1", false));
        assert_ne!(of("2001:db8::1", false), of("2001:db8:0:1::1", false));
        assert_ne!(of("2001:db8::1", true), of("2001:db8::2", true));
        assert_eq!(of("::ffff:192.0.2.1", false), stranger(1));
    }
}
