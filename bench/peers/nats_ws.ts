/**
 * nats-server with its WebSocket listener: only core NATS, no JetStream, no accounts, no compression. Limits
 * are the server's own (64 MiB pending for a client, 1 MiB for a message).
 */
import { ensureNatsServer } from "../../tasks/nats_server.ts";
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { startPeer } from "./server_process.ts";

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

interface Ready {
  readonly version: string;
  readonly url: string;
}

/** A reader of lines that waits for the last of those with version, address and readiness. */
function readyLine(): (line: string) => Ready | undefined {
  let version = "";
  let url = "";
  return (line) => {
    version = line.match(/Version:\s+(\S+)/)?.[1] ?? version;
    url = line.match(/Listening for websocket clients on (wss?:\/\/\S+)/)?.[1] ?? url;
    return line.includes("Server is ready") ? { version, url } : undefined;
  };
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
      return { program, args: ["--config", config], ready: readyLine() };
    }, ({ version, url }) => ({ version: `nats-server ${version}`, url }));
  },
};
