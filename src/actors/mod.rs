//! The runtime: the protocol core on real sockets, disks and clocks.
