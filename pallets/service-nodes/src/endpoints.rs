//! Where nodes are reached: public addresses, no two nodes at one.
//!
//! A node holds its address once its stake is complete. One that gathers holds none: for a fee, and a stake that is taken back when
//! it pleases, anybody could keep the addresses of others. So an address may be taken before a pool is full; then the stake that
//! would fill it is refused, until the operator says where else the node is.

use crate::{Config, EndpointChangedAt, Error, Event, NodeRecord, Pallet, Roster, Sockets};
use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::ensure;
use scale_info::TypeInfo;
use skep_primitives::{Endpoint, ServiceNodeId, SoftwareVersion, is_public_v4};

/// An address and port of one transport, which only one node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Socket {
    ipv4: [u8; 4],
    port: u16,
    transport: Transport,
}

/// What listens on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
enum Transport {
    Https,
    Quic,
}

pub(crate) fn sockets(endpoint: &Endpoint) -> [Socket; 2] {
    let Endpoint { ipv4, https_port, quic_port } = *endpoint;
    [
        Socket { ipv4, port: https_port, transport: Transport::Https },
        Socket { ipv4, port: quic_port, transport: Transport::Quic },
    ]
}

impl<T: Config> Pallet<T> {
    /// Whether a node may be reached there: by everybody, and no other is.
    pub(crate) fn endpoint_is_free(node: ServiceNodeId, endpoint: &Endpoint) -> Result<(), Error<T>> {
        let ip = endpoint.ip();
        let unicast = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
        ensure!(endpoint.https_port != 0 && endpoint.quic_port != 0 && unicast, Error::<T>::BadEndpoint);
        ensure!(is_public_v4(ip) || pallet_network::Network::<T>::get().private_addresses, Error::<T>::PrivateAddress);
        ensure!(!Self::is_taken(node, endpoint), Error::<T>::EndpointTaken);
        Ok(())
    }

    /// Whether another node holds this address.
    pub(crate) fn is_taken(node: ServiceNodeId, endpoint: &Endpoint) -> bool {
        let taken = |socket: &Socket| Sockets::<T>::get(socket).is_some_and(|holder| holder != node);
        sockets(endpoint).iter().any(taken)
    }

    pub(crate) fn take_sockets(node: ServiceNodeId, endpoint: &Endpoint) {
        for socket in sockets(endpoint) {
            Sockets::<T>::insert(socket, node);
        }
    }

    /// Lets go of a node's address, if it holds one.
    pub(crate) fn free_sockets(record: &NodeRecord) {
        if record.state.is_tested() {
            sockets(&record.endpoint).into_iter().for_each(Sockets::<T>::remove);
        }
    }

    /// Notes where a node is reached and what it runs from now on; the endpoint must be free.
    pub(crate) fn move_to(node: ServiceNodeId, record: NodeRecord, endpoint: Endpoint, version: SoftwareVersion) {
        Self::free_sockets(&record);
        if record.state.is_tested() {
            Self::take_sockets(node, &endpoint);
        }
        Roster::put(node, &NodeRecord { endpoint, version, ..record });
        EndpointChangedAt::<T>::insert(node, Self::now());
        Self::deposit_event(Event::EndpointUpdated { node, endpoint, version });
    }
}
