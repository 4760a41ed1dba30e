//! Paths, swarm lookup, sending and receiving, encrypted local state.
