/**
 * A program that is the limit of a storm: Deno's WebSocket server as it is, with just so much of the protocol
 * that the clients of this benchmark take it for a Shield. It checks nobody's token. Its first line on stdin
 * is a plan as JSON. It prints its address, and for each further line its CPU time.
 */
import process from "node:process";
import { encodeAck, encodeWelcome } from "@arqon/proto";
import { ownLines } from "../measure/text_lines.ts";

/** The certificate of the server; without one it uses no TLS. */
export interface BarePlan {
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** The first line that the server prints. */
export interface BareReady {
  /** Address of the server: `http(s)://host:port`. */
  readonly url: string;
}

/** The answer to each further line. */
export interface BareSpent {
  /** CPU seconds of this process since it began. */
  readonly cpu_seconds: number;
}

/** The greeting, as large as a Shield's. */
const WELCOME = encodeWelcome({
  connection_id: "cAAAAAAAAAAAAAAAAAAAAAA",
  user_id: "user-1234",
  tenant_id: "acme",
  server_time_ms: Date.now(),
  heartbeat_ms: 600_000,
  max_frame_bytes: 65_536,
  token_expires_ms: Date.now(),
  node_id: "shield-AAAAAAAAAAAAAAAAAAAAAA",
  protocol_version: 1,
});
const ACK = encodeAck({ request_id: 1 });
/** The sockets that have sent a SUB, which get every PUB as MSG. */
const readers = new Set<WebSocket>();

function answer(socket: WebSocket, frame: Uint8Array<ArrayBuffer>): void {
  const [opcode] = frame;
  if (opcode === 0x01) {
    frame[0] = 0x04;
    for (const reader of readers) reader.send(frame);
  } else if (opcode === 0x02) {
    readers.add(socket);
    socket.send(ACK);
  } else if (opcode === 0x07) {
    frame[0] = 0x08;
    socket.send(frame);
  }
}

function serve({ tls }: BarePlan): void {
  const onListen = ({ port }: Deno.NetAddr) => {
    const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
    console.log(JSON.stringify({ url } satisfies BareReady));
  };
  Deno.serve({ hostname: "127.0.0.1", port: 0, onListen, ...tls }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "arqon.v1" });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(WELCOME);
    socket.onmessage = ({ data }) => answer(socket, new Uint8Array(data));
    socket.onclose = () => readers.delete(socket);
    return response;
  });
}

if (import.meta.main) {
  const lines = ownLines();
  serve(JSON.parse((await lines.next()).value ?? ""));
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    const { user, system } = process.cpuUsage();
    console.log(JSON.stringify({ cpu_seconds: (user + system) / 1e6 } satisfies BareSpent));
  }
  Deno.exit(0);
}
