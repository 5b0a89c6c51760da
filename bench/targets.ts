/** What a scenario can run against: each target is a process of its own and an adapter to its wire. */
import { decodeServerFrame, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** One connection that gets back what it sends. */
export interface EchoConnection {
  send(body: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** A running target; disposing of it ends its process. */
export interface EchoTarget extends AsyncDisposable {
  readonly name: string;
  /** Opens one connection; `onEcho` is called for each message that came back. */
  open(index: number, onEcho: () => void): Promise<EchoConnection>;
}

interface Process extends AsyncDisposable {
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
    ready: JSON.parse(text.slice(0, text.indexOf("\n"))),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await Promise.all([child.status, logged]);
      await reader.cancel();
    },
  };
}

function opened(socket: WebSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.onopen = () => resolve();
  socket.onerror = () => reject(new Error(`cannot connect to ${socket.url}`));
  return promise;
}

/** Deno's own server, echoing. */
export async function bareDeno(): Promise<EchoTarget> {
  const process = await spawn(["--allow-net", `${ROOT}/bench/bare_echo.ts`]);
  return {
    name: "bare Deno",
    async open(_index, onEcho) {
      const socket = new WebSocket(process.ready.url ?? "");
      socket.binaryType = "arraybuffer";
      await opened(socket);
      socket.onmessage = () => onEcho();
      return { send: (body) => socket.send(body), close: () => socket.close() };
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

/** The whole bus on the embedded Spine: each connection publishes to a room and hears itself. */
export async function arqonEmbedded(): Promise<EchoTarget> {
  const state_dir = `${ROOT}/.arqon`;
  const options = { state_dir, port: 0, ops_port: 0, admin_port: 0 };
  const process = await spawn([
    "--no-prompt",
    "--allow-net",
    `--allow-read=${ROOT}`,
    `--allow-write=${state_dir}`,
    `${ROOT}/tasks/dev_bus.ts`,
    JSON.stringify(options),
  ]);
  const { url = "", token = "" } = process.ready;
  return {
    name: "ArqonBus (embedded)",
    async open(index, onEcho) {
      const socket = new WebSocket(url, ["arqon.v1", `arqon.token.${token}`]);
      socket.binaryType = "arraybuffer";
      await opened(socket);
      const room_id = `bench-${index}`;
      const { promise: subscribed, resolve, reject } = Promise.withResolvers<void>();
      socket.onmessage = ({ data }) => {
        const frame = decodeServerFrame(new Uint8Array(data));
        if (frame.kind === "ack" && frame.ack.code === 0) resolve();
        if (frame.kind === "err") reject(new Error(frame.message));
      };
      socket.send(new Uint8Array(encodeSub({ room_id, request_id: 1 })));
      await subscribed;
      socket.onmessage = () => onEcho();
      return {
        send: (body) => socket.send(publication(room_id, body)),
        close: () => socket.close(),
      };
    },
    [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
  };
}

function publication(room_id: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const content_type = "application/octet-stream";
  const event = { type: "bench", data, content_type, schema_id: "" };
  return new Uint8Array(encodePub(writeEnvelope({ room_id, event })));
}
