/** The targets of scenarios that use no load generator; each is a process and an adapter to its wire. */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import { startProgram } from "./line_program.ts";
import { ROOT } from "./scenario.ts";
import { connectSocket } from "./socket.ts";
import type { SocketOptions } from "./socket.ts";

/** Called for each message that came back, or was refused. */
export type OnEcho = (refused?: boolean) => void;

/** A connection that gets back what it sends. */
export interface EchoConnection {
  send(body: Uint8Array): void;
  close(): void;
}

/** A running target. Disposing of it ends its process. */
export interface EchoTarget extends AsyncDisposable {
  readonly name: string;
  open(index: number, onEcho: OnEcho): Promise<EchoConnection>;
}

/** What a dev bus says when it is ready; see `DevBusReady` in `arq/serve/dev_bus.ts`. */
export interface BusProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  readonly token: string;
  readonly key_file: string;
}

/** The configuration of a bus of which nothing special is asked. */
export const BUS_CONFIG = `${ROOT}/bench/measure/bus.toml`;

/** Starts the whole bus on the embedded Spine as a process. */
export async function startBus(config_file: string = BUS_CONFIG): Promise<BusProcess> {
  const state_dir = `${ROOT}/.arqon`;
  const ports = { port: 0, ops_port: 0, admin_port: 0 };
  const options = { state_dir, ...ports, config_file };
  const program = startProgram("tasks/dev/dev_bus.ts", {
    flags: [
      ...SERVER_FLAGS,
      "--ignore-env",
      `--allow-run=${Deno.execPath()}`,
      "--allow-net",
      `--allow-read=${ROOT}`,
      `--allow-write=${state_dir}`,
    ],
    args: [JSON.stringify(options)],
  });
  const ready = await program.hear<Record<string, string>>();
  const { url = "", ops_url = "", admin_url = "", token = "", key_file = "" } = ready;
  const end = () => program[Symbol.asyncDispose]();
  const { pid } = program;
  return { pid, url, ops_url, admin_url, token, key_file, [Symbol.asyncDispose]: end };
}

/** A connection to a bus that publishes to a room of its own and hears itself. */
export async function openOnBus(
  url: string,
  token: string,
  index: number,
  onEcho: OnEcho,
  options: SocketOptions = {},
): Promise<EchoConnection> {
  const room_id = `bench-${index}`;
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`], options);
  const { promise: subscribed, resolve, reject } = Promise.withResolvers<void>();
  socket.onmessage = (data) => {
    const frame = decodeServerFrame(data);
    if (frame.kind === "ack" && frame.ack.code === 0) resolve();
    if (frame.kind === "err") reject(new Error(frame.message));
  };
  socket.send(encodeSub({ room_id, request_id: 1 }));
  await subscribed;
  socket.onmessage = (frame) => {
    if (frame[0] === Opcode.MSG || frame[0] === Opcode.ERR) onEcho(frame[0] === Opcode.ERR);
    else if (frame[0] === Opcode.PING) {
      socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    }
  };
  return {
    send: (body) => socket.send(publication(room_id, body)),
    close: () => socket.close(),
  };
}

function publication(room_id: string, data: Uint8Array): Uint8Array {
  const content_type = "application/octet-stream";
  const event = { type: "bench", data, content_type, schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event }));
}
