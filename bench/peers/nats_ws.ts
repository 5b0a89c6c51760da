/**
 * nats-server with its WebSocket listener: core NATS without JetStream, accounts or compression. Limits are the
 * server's defaults (64 MiB pending for a client, 1 MiB for a message).
 */
import { ensureNatsServer } from "../../tasks/nats_server.ts";
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { type Ready, startPeer } from "./server_process.ts";

function configText(tls: boolean): string {
  const security = tls
    ? `tls { cert_file: "${TLS_FILES.cert}", key_file: "${TLS_FILES.key}" }`
    : "no_tls: true";
  return [
    'listen: "127.0.0.1:-1"',
    "max_connections: 65536",
    `websocket { host: "127.0.0.1", port: -1, compression: false, ${security} }`,
    "",
  ].join("\n");
}

function readyOf(log: string): Ready | undefined {
  if (!log.includes("Server is ready")) return undefined;
  const version = log.match(/Version:\s+(\S+)/)?.[1] ?? "";
  const url = log.match(/Listening for websocket clients on (wss?:\/\/\S+)/)?.[1] ?? "";
  return { version, url };
}

async function natsServer(): Promise<string> {
  try {
    return await ensureNatsServer();
  } catch (error) {
    throw new TargetUnavailable(error instanceof Error ? error.message : String(error));
  }
}

/** The target NATS over WebSocket. */
export const NATS_WS: Target = {
  id: "nats-ws",
  title: "NATS WebSocket",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    const program = await natsServer();
    return await startPeer("nats", tls, async (folder) => {
      const config = await folder.write("nats.conf", configText(tls));
      return { program, args: ["--config", config], ready: readyOf };
    }, ({ version, url }) => ({ version: `nats-server ${version}`, url }));
  },
};
