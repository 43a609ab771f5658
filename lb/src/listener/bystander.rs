//! What Pingora asks a stream for beside its bytes: digests, numbers, peeking.
//! Our own code has the connection, and nobody else asks.

/// Answers all of it with nothing.
macro_rules! nothing_beside_bytes {
    ($stream:ty) => {
        impl ::pingora::protocols::UniqueID for $stream {
            fn id(&self) -> ::pingora::protocols::UniqueIDType {
                -1
            }
        }
        impl ::pingora::protocols::Ssl for $stream {}
        impl ::pingora::protocols::Peek for $stream {}
        impl ::pingora::protocols::GetTimingDigest for $stream {
            fn get_timing_digest(&self) -> Vec<Option<::pingora::protocols::TimingDigest>> {
                Vec::new()
            }
        }
        impl ::pingora::protocols::GetProxyDigest for $stream {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<::pingora::protocols::raw_connect::ProxyDigest>> {
                None
            }
        }
        impl ::pingora::protocols::GetSocketDigest for $stream {
            fn get_socket_digest(
                &self,
            ) -> Option<std::sync::Arc<::pingora::protocols::SocketDigest>> {
                None
            }
        }
    };
}
pub(super) use nothing_beside_bytes;
