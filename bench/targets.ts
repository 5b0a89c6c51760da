/** What a scenario can run against: each target is a process of its own and an adapter to its wire. */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { ROOT } from "./scenario.ts";
import { connectSocket } from "./socket.ts";

/** Called for each message that came back or was refused. */
export type OnEcho = (refused?: boolean) => void;

/** One connection that gets back what it sends. */
export interface EchoConnection {
  send(body: Uint8Array): void;
  close(): void;
}

/** A running target; disposing of it ends its process. */
export interface EchoTarget extends AsyncDisposable {
  readonly name: string;
  open(index: number, onEcho: OnEcho): Promise<EchoConnection>;
}

interface Process extends AsyncDisposable {
  readonly pid: number;
  readonly ready: Record<string, string>;
}

/** Spawns a script that prints one JSON line when it is ready and ends with its stdin. */
async function spawn(args: string[]): Promise<Process> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...args],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let log = "";
  const logged = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        log = (log + text).slice(-4_096);
      },
    }),
  );
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`a target ended before it was ready:\n${log}`);
    text += value;
  }
  return {
    pid: child.pid,
    ready: JSON.parse(text.slice(0, text.indexOf("\n"))),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await Promise.all([child.status, logged]);
      await reader.cancel();
    },
  };
}

/** What a dev bus says when it is ready; see `DevBusReady` in `tasks/dev_bus.ts`. */
export interface BusProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  readonly token: string;
  readonly key_file: string;
}

/** The whole bus on the embedded Spine, as a process; with a configuration file or the dev defaults. */
export async function startBus(config_file?: string): Promise<BusProcess> {
  const state_dir = `${ROOT}/.arqon`;
  const ports = { port: 0, ops_port: 0, admin_port: 0 };
  const options = { state_dir, ...ports, ...(config_file === undefined ? {} : { config_file }) };
  const process = await spawn([
    "--no-prompt",
    "--unstable-worker-options",
    "--ignore-env",
    "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4",
    "--unstable-no-legacy-abort",
    `--allow-run=${Deno.execPath()}`,
    "--allow-net",
    `--allow-read=${ROOT}`,
    `--allow-write=${state_dir}`,
    `${ROOT}/tasks/dev_bus.ts`,
    JSON.stringify(options),
  ]);
  const { url = "", ops_url = "", admin_url = "", token = "", key_file = "" } = process.ready;
  const end = () => process[Symbol.asyncDispose]();
  const { pid } = process;
  return { pid, url, ops_url, admin_url, token, key_file, [Symbol.asyncDispose]: end };
}

/** One connection to a bus, in a room of its own that it hears itself in. */
export async function openOnBus(
  url: string,
  token: string,
  index: number,
  onEcho: OnEcho,
): Promise<EchoConnection> {
  const room_id = `bench-${index}`;
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
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
