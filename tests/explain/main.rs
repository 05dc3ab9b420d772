//! `fairlead explain` and `fairlead plan`: on a real API server, with real replicas, and the fake of AWS.

mod databases;
mod explain;
mod plan;
mod rights;
mod world;
