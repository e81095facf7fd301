//! A named write carried out twice.

use bytes::Bytes;
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Answered, Body, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, Dot, WriteId};
use neap::protocol::time::Hlc;

fn dot(node: u64, counter: u64) -> Dot {
    Dot { actor: ActorId(node), counter }
}

fn write(object: &mut Object, dot: Dot, id: u128, mode: Mode) -> Answered {
    let value = Value { content_type: None, bytes: Bytes::from(id.to_string()), expires_at: None };
    object.put(Intent {
        dot,
        hlc: Hlc(dot.counter),
        w: 2,
        write_id: WriteId(id),
        named: true,
        created: false,
        mode,
        body: Body::Value(value),
    })
}

#[test]
fn a_late_copy_that_overwrote_the_successor_of_the_first_is_not_lost() {
    let blind = Mode::Blind(BlindWrite::Overwrite);
    let (mut a, mut b) = (Object::new(), Object::new());
    let first = write(&mut a, dot(1, 1), 7, blind.clone());
    write(&mut b, dot(2, 1), 8, Mode::Context(first.context));
    let mut c = b.clone();
    write(&mut c, dot(3, 1), 7, blind);
    let mut all = a;
    all.merge(&c, Hlc(9));
    assert_eq!(all.versions().len(), 1);
}
