//! The connection to Redis, or to a cluster: made when it is needed, given up when it fails, and never asked twice in the dark.
//!
//! Each question has a limit of time, the making of the connection included. A connection that has broken or has not answered in time
//! is not used again. What may have been done is not asked again: only a cluster's word that it has *not* done something (the key
//! is elsewhere, or the node cannot serve yet) sends a question on.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, ProtocolVersion, PushInfo, RedisError, ServerErrorKind, Value,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::redis_record::ScriptText;

/// How long to wait before a cluster is asked again that cannot serve yet.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Link {
    /// The first of a cluster: it says how to sign in.
    first: ConnectionInfo,
    target: Target,
    limit: Duration,
    slot: Mutex<Slot>,
    /// Whoever has it makes the next connection.
    making: tokio::sync::Mutex<()>,
}

enum Target {
    One(Client),
    Cluster(Box<ClusterClient>),
}

#[derive(Default)]
struct Slot {
    /// Which connection this is, so that nobody gives up one that others have made meanwhile.
    number: u64,
    connection: Option<Connection>,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A node: `host:port` in a cluster.
pub(super) type Node = Option<(String, u16)>;

impl Link {
    pub(super) fn one(url: &str, limit: Duration) -> Result<Self, RedisError> {
        let first = info(url)?;
        let target = Target::One(Client::open(first.clone())?);
        Ok(Self::new(first, target, limit))
    }

    pub(super) fn cluster(urls: &[String], limit: Duration) -> Result<Self, RedisError> {
        let nodes = urls
            .iter()
            .map(|url| info(url))
            .collect::<Result<Vec<_>, _>>()?;
        let first = nodes.first().cloned().ok_or_else(no_node)?;
        let client = ClusterClient::builder(nodes)
            // A retry of its own would ask again what may have been done.
            .retries(0)
            // Of a part, so that a node that does not answer leaves time for the others.
            .connection_timeout(limit / 2)
            .response_timeout(limit.saturating_mul(2))
            .tcp_settings(tcp_settings())
            .build()?;
        Ok(Self::new(first, Target::Cluster(Box::new(client)), limit))
    }

    fn new(first: ConnectionInfo, target: Target, limit: Duration) -> Self {
        Self {
            first,
            target,
            limit,
            slot: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Asks whoever has the key.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let value = self
            .within(|connection| follow(connection, command))
            .await?;
        Ok(redis::from_redis_value(value)?)
    }

    /// Runs a script on its one key.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptText,
        key: &[u8],
        arguments: &[&[u8]],
    ) -> Result<T, RedisError> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(key).arg(arguments);
            command
        };
        match self.ask(&command("EVALSHA", &script.sha1)).await {
            // It has not run: a Redis that has begun anew, or was told to forget, is told it again.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&command("EVAL", script.text)).await
            }
            answer => answer,
        }
    }

    /// Asks one node, whatever it has.
    pub(super) async fn ask_node<T: FromRedisValue>(
        &self,
        node: &Node,
        command: &Cmd,
    ) -> Result<T, RedisError> {
        let value = self
            .within(async |mut connection| match (node, &mut connection) {
                (Some(node), Connection::Cluster(cluster)) => {
                    cluster.route_command(command.clone(), at(node)).await
                }
                _ => send(&mut connection, command).await,
            })
            .await?;
        Ok(redis::from_redis_value(value.extract_error()?)?)
    }

    /// The nodes that hold records: one, or the primaries of a cluster.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, RedisError> {
        let Target::Cluster(_) = self.target else {
            return Ok(vec![None]);
        };
        let everybody = RoutingInfo::MultiNode((
            MultipleNodeRoutingInfo::AllMasters,
            Some(ResponsePolicy::Special),
        ));
        let value = self
            .within(async |connection| match connection {
                Connection::Cluster(mut cluster) => {
                    cluster.route_command(redis::cmd("PING"), everybody).await
                }
                Connection::One(_) => Err(no_node()),
            })
            .await?;
        let answers: HashMap<String, Value> = redis::from_redis_value(value)?;
        let mut nodes: Vec<_> = answers.keys().map(|name| node_named(name)).collect();
        nodes.sort_unstable();
        Ok(nodes)
    }

    /// A connection of its own to a node, over which it tells what is published to a channel.
    pub(super) async fn subscribe(
        &self,
        node: &Node,
        channel: &str,
        tell: UnboundedSender<PushInfo>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let subscribed = async {
            let settings = self.first.redis_settings().clone();
            let mut info = self
                .first
                .clone()
                .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
            if let Some((host, port)) = node.clone() {
                info = info.set_addr(beside(self.first.addr(), host, port));
            }
            let config = config().set_push_sender(tell);
            let mut connection = Client::open(info)?
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        timeout(self.limit, subscribed)
            .await
            .unwrap_or_else(|_| Err(no_answer()))
    }

    /// Asks a connection, within the limit. One that has failed is given up.
    async fn within<F>(&self, ask: impl FnOnce(Connection) -> F) -> Result<Value, RedisError>
    where
        F: Future<Output = Result<Value, RedisError>>,
    {
        let mut used = None;
        let asked = async {
            let (number, connection) = self.connection().await?;
            used = Some(number);
            ask(connection).await
        };
        let answer = timeout(self.limit, asked)
            .await
            .unwrap_or_else(|_| Err(no_answer()));
        if let (Err(error), Some(number)) = (&answer, used)
            && is_end(error)
        {
            self.give_up(number);
        }
        answer
    }

    async fn connection(&self) -> Result<(u64, Connection), RedisError> {
        if let Some(found) = self.standing() {
            return Ok(found);
        }
        let _making = self.making.lock().await;
        if let Some(found) = self.standing() {
            return Ok(found);
        }
        let connection = match &self.target {
            Target::One(client) => Connection::One(
                client
                    .get_multiplexed_async_connection_with_config(&config())
                    .await?,
            ),
            Target::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.number, connection))
    }

    fn standing(&self) -> Option<(u64, Connection)> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        Some((slot.number, slot.connection.clone()?))
    }

    fn give_up(&self, number: u64) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.number == number {
            slot.connection = None;
        }
    }
}

/// Without limits of its own: whoever asks has one.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

/// Asks, and goes where a cluster says that the key is.
async fn follow(mut connection: Connection, command: &Cmd) -> Result<Value, RedisError> {
    let mut answer = send(&mut connection, command).await;
    loop {
        let Err(error) = &answer else { return answer };
        let Connection::Cluster(cluster) = &mut connection else {
            return answer;
        };
        let elsewhere = error.redirect_node().and_then(|(name, _)| node_named(name));
        answer = match (error.kind(), elsewhere) {
            (ErrorKind::Server(ServerErrorKind::Moved), Some(node)) => {
                cluster.route_command(command.clone(), at(&node)).await
            }
            (ErrorKind::Server(ServerErrorKind::Ask), Some((host, port))) => {
                let mut both = redis::pipe();
                both.cmd("ASKING").add_command(command.clone());
                let there = SingleNodeRoutingInfo::ByAddress { host, port };
                let answers = cluster.route_pipeline(both, 0, 2, there).await;
                answers.and_then(|mut answers| answers.pop().ok_or_else(no_answer))
            }
            (kind, _) if is_not_done(kind) => {
                // Until then the cluster has a new map, or has chosen another primary.
                let _ = timeout(PAUSE, pending::<()>()).await;
                send(&mut connection, command).await
            }
            _ => return answer,
        }
        .and_then(Value::extract_error);
    }
}

async fn send(connection: &mut Connection, command: &Cmd) -> Result<Value, RedisError> {
    match connection {
        Connection::One(one) => command.query_async(one).await,
        Connection::Cluster(cluster) => command.query_async(cluster).await,
    }
}

/// Whether a cluster has said for certain that nothing was done.
fn is_not_done(kind: ErrorKind) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    match kind {
        ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain
        ),
        _ => false,
    }
}

/// Whether a connection is of no more use. A Redis that has become a replica has a successor, which the name may lead to.
fn is_end(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn info(url: &str) -> Result<ConnectionInfo, RedisError> {
    let info = url.into_connection_info()?;
    if !info.addr().is_supported() {
        return Err(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "the crate `redis` is built without TLS: switch on one of its TLS features beside this crate",
        )));
    }
    Ok(info.set_tcp_settings(tcp_settings()))
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn at((host, port): &(String, u16)) -> RoutingInfo {
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress {
        host: host.clone(),
        port: *port,
    })
}

/// The address of another node of the same cluster.
fn beside(first: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match first {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

fn node_named(name: &str) -> Node {
    let (host, port) = name.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

fn no_answer() -> RedisError {
    RedisError::from(io::Error::new(
        io::ErrorKind::TimedOut,
        "Redis did not answer in time",
    ))
}

fn no_node() -> RedisError {
    RedisError::from((
        ErrorKind::InvalidClientConfig,
        "no node of a cluster is named",
    ))
}
