//! Disks that are full or fail, databases that others hold, outboxes put back, files damaged.
//!
//! Of each: nothing that was committed is lost, no delivery pays with a try, the daemon says what is
//! wrong where people look, and goes on by itself once it is over. Faults are made by a shim between
//! the binary and the C library, by a small file system of its own, and by other programs' locks.
//!
//! `WEBHOOKSD_DISK_LONG=SECONDS` makes each trouble last that long, 5 minutes say.

mod damaged;
mod fault;
mod full;
mod locked;
mod mount;
mod restored;
