//! A client of gRPC without generated code: its messages are the bytes that they are.
//!
//! Included by `#[path = "support/raw_grpc.rs"] mod raw_grpc;`.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::transport::Channel;

/// Messages as the bytes that they are.
#[derive(Clone, Copy)]
pub(crate) struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(
        &mut self,
        item: Bytes,
        to: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), tonic::Status> {
        to.put(item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(
        &mut self,
        from: &mut tonic::codec::DecodeBuf<'_>,
    ) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Connects to `http://ADDR`.
pub(crate) async fn connect(base: &str) -> Channel {
    let endpoint = Channel::from_shared(base.to_owned()).expect("a URL");
    endpoint.connect().await.expect("it listens")
}

/// Calls a method.
pub(crate) async fn unary(
    channel: Channel,
    path: &'static str,
    message: &'static str,
    token: Option<&str>,
) -> Result<Bytes, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("the connection is kept");
    let mut request = tonic::Request::new(Bytes::from(message));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse();
        request
            .metadata_mut()
            .insert("authorization", value.expect("a token"));
    }
    let path = http::uri::PathAndQuery::from_static(path);
    Ok(client.unary(request, path, Raw).await?.into_inner())
}
