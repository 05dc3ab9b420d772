//! End to end: a real API server, AWS emulators over HTTP, and the operator as a process of its own.

mod lifecycle;
mod world;
