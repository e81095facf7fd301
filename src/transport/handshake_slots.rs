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

/// Bounds on the slots of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeBounds {
    /// For one address of a member. Several nodes may share it, and so may strangers.
    pub member_address: usize,
    /// For all addresses of members, kept for them.
    pub members: usize,
    /// For one other address; of IPv6, for one network of 64 bits.
    pub stranger_address: usize,
    /// For all other addresses.
    pub strangers: usize,
}

impl HandshakeBounds {
    /// Bounds where descriptors are no concern.
    pub const MOST: Self = Self { member_address: 64, members: 256, stranger_address: 32, strangers: 128 };

    /// Bounds within which handshakes of both stages have no more than so many connections together.
    #[must_use]
    pub const fn within(connections: usize) -> Self {
        let most = Self::MOST.connections();
        if connections >= most {
            return Self::MOST;
        }
        let stage = connections / 2;
        let (members, strangers) = (stage * 2 / 3, stage / 3);
        Self { member_address: members / 2, members, stranger_address: strangers / 2, strangers }
    }

    /// Connections whose handshakes may be in progress, of both stages together.
    #[must_use]
    pub const fn connections(self) -> usize {
        2 * (self.members + self.strangers)
    }
}

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

    fn address_max(self, bounds: HandshakeBounds) -> usize {
        if self.member { bounds.member_address } else { bounds.stranger_address }
    }

    fn all_max(self, bounds: HandshakeBounds) -> usize {
        if self.member { bounds.members } else { bounds.strangers }
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
pub struct HandshakeSlots {
    bounds: HandshakeBounds,
    silent: RefCell<Room>,
    greeted: RefCell<Room>,
    next: Cell<u64>,
}

impl HandshakeSlots {
    /// Empty slots.
    #[must_use]
    pub fn new(bounds: HandshakeBounds) -> Self {
        Self { bounds, silent: RefCell::default(), greeted: RefCell::default(), next: Cell::default() }
    }

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
fn in_the_way(room: &Room, source: Source, bounds: HandshakeBounds) -> Option<u64> {
    let oldest = |counts: &dyn Fn(Source) -> bool, max: usize| {
        let mut places = room.iter().filter(|(_, slot)| counts(slot.source)).map(|(place, _)| *place);
        let first = places.next()?;
        (places.count() + 1 >= max).then_some(first)
    };
    oldest(&|other| other == source, source.address_max(bounds))
        .or_else(|| oldest(&|other| other.member == source.member, source.all_max(bounds)))
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
        let other = in_the_way(&room, self.source, self.slots.bounds).and_then(|place| room.remove(&place));
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

    const MOST: HandshakeBounds = HandshakeBounds::MOST;

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
        let slots = Rc::new(HandshakeSlots::new(HandshakeBounds::MOST));
        let others = take_many(&slots, stranger(1), 3);
        let taken = take_many(&slots, stranger(2), MOST.stranger_address + 2);
        assert_eq!((evicted(&others), evicted(&taken)), (vec![], vec![0, 1]));
        let taken = take_many(&slots, member(1), MOST.member_address + 1);
        assert_eq!(evicted(&taken), [0]);
    }

    #[test]
    fn strangers_of_many_addresses_leave_the_slots_of_members_alone() {
        let slots = Rc::new(HandshakeSlots::new(HandshakeBounds::MOST));
        let members: Vec<_> =
            (0..4).flat_map(|at| take_many(&slots, member(at), MOST.member_address)).collect();
        let strangers: Vec<_> = (0..=u8::MAX).map(|at| slots.take(stranger(at))).collect();
        assert_eq!(evicted(&members), Vec::<usize>::new());
        let oldest: Vec<usize> = (0..strangers.len() - MOST.strangers).collect();
        assert_eq!(evicted(&strangers), oldest);
        assert_eq!(evicted(&[slots.take(member(9))]), Vec::<usize>::new(), "the newcomer has its slot");
        assert_eq!(evicted(&members), [0], "of the members' slots the oldest");
    }

    #[test]
    fn who_says_nothing_pushes_out_nobody_who_has_greeted_and_nobody_who_has_proven_the_secret() {
        let slots = Rc::new(HandshakeSlots::new(HandshakeBounds::MOST));
        let peers = take_many(&slots, member(1), 2);
        peers[0].reach(Stage::Greeted);
        peers[1].reach(Stage::Greeted);
        peers[1].reach(Stage::Proven);
        let silent = take_many(&slots, member(1), 3 * MOST.member_address);
        assert_eq!(evicted(&peers), Vec::<usize>::new());
        assert_eq!(evicted(&silent).len(), 2 * MOST.member_address);
        silent.iter().skip(2 * MOST.member_address).for_each(|slot| slot.reach(Stage::Greeted));
        assert_eq!(evicted(&peers), [0], "one too many has greeted");
    }

    #[test]
    fn an_ended_handshake_leaves_its_slot() {
        let slots = Rc::new(HandshakeSlots::new(HandshakeBounds::MOST));
        for _ in 0..3 {
            let taken = take_many(&slots, stranger(1), MOST.stranger_address);
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

    #[test]
    fn fewer_connections_are_shared_as_more_are() {
        assert_eq!(HandshakeBounds::within(100_000), MOST);
        assert_eq!(HandshakeBounds::within(MOST.connections()), MOST);
        for connections in 24..=MOST.connections() {
            let bounds = HandshakeBounds::within(connections);
            assert!(bounds.connections() <= connections, "{bounds:?} of {connections}");
            assert!(bounds.stranger_address >= 2 && bounds.member_address >= 4, "{bounds:?}");
            assert!(bounds.strangers >= 2 * bounds.stranger_address, "{bounds:?}");
        }
    }
}
