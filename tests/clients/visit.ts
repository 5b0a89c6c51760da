/**
 * One visit of a bus by a WebSocket client that is not ours: of a runtime, a browser, or a package.
 * Bundled once, run in each of them. Knows frames and none of our SDKs, asserts nothing.
 */
import { decodeServerFrame, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";

const WAIT_MS = 20_000;
/** A client that says `error` may say `close` after it, or not. */
const AFTER_ERROR_MS = 500;

/** How a client goes there. */
export interface Visit {
  /** Of the socket. */
  readonly url: string;
  /** `http://host:port` of the same listener. */
  readonly http_url: string;
  readonly token: string;
  readonly room: string;
  readonly form: "binary" | "text";
  /** Where the token stands: a subprotocol item, or the header Authorization. */
  readonly by: "item" | "header";
}

/** What a visitor saw. */
export interface Seen {
  /** The subprotocol that the client says was chosen. */
  readonly protocol: string;
  readonly heard: readonly string[];
  /** The close code after its own 1000. */
  readonly closed: number;
}

/** What one who is refused saw; the status may come from another request. */
export interface Refused {
  readonly opened: boolean;
  readonly events: readonly string[];
  readonly status: number;
  readonly reason: string;
}

/** As much of any WebSocket as is used. */
export interface AnySocket {
  binaryType: string;
  readonly protocol: string;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: string, listener: (event: SocketEvent) => void): void;
}

interface SocketEvent {
  readonly data?: unknown;
  readonly code?: number;
}

/** Makes one in the client's own way. Headers are only there where the client can send them. */
export type Connect = (
  url: string,
  protocols: string[],
  headers: Record<string, string>,
) => AnySocket;

function start(connect: Connect, { url, token, form, by }: Visit): AnySocket {
  const protocol = form === "text" ? "arqon.v1.json" : "arqon.v1";
  const socket = by === "item"
    ? connect(url, [protocol, `arqon.token.${token}`], {})
    : connect(url, [protocol], { authorization: `Bearer ${token}` });
  socket.binaryType = "arraybuffer";
  return socket;
}

/** The frames that come, one after another. */
function framesOf(socket: AnySocket): () => Promise<unknown> {
  const frames: unknown[] = [];
  let wake = () => {};
  let ended: string | undefined;
  socket.addEventListener("message", ({ data }) => {
    frames.push(data);
    wake();
  });
  for (const type of ["error", "close"]) {
    socket.addEventListener(type, ({ code }) => {
      ended ??= `${type} ${code ?? ""}`;
      wake();
    });
  }
  return async () => {
    const timer = setTimeout(() => {
      ended ??= "silence";
      wake();
    }, WAIT_MS);
    while (frames.length === 0 && ended === undefined) {
      await new Promise<void>((resolve) => wake = resolve);
    }
    clearTimeout(timer);
    if (frames.length === 0) throw new Error(`the connection ended: ${ended}`);
    return frames.shift();
  };
}

/** A frame in words: its kind, and of a message what it says. */
function wordsOf(frame: unknown): string {
  if (typeof frame === "string") {
    const { op, code, data } = JSON.parse(frame);
    return op === "msg" ? `msg ${data}` : op === "ack" ? `ack ${code}` : op;
  }
  if (!(frame instanceof ArrayBuffer)) return `a frame of type ${typeof frame}`;
  const decoded = decodeServerFrame(new Uint8Array(frame));
  if (decoded.kind === "ack") return `ack ${decoded.ack.code}`;
  if (decoded.kind !== "msg") return decoded.kind;
  const { data, content_type } = decoded.envelope.event ?? {};
  const text = new TextDecoder().decode(data);
  return `msg ${content_type === "application/json" ? JSON.parse(text) : text}`;
}

function subscription({ form, room }: Visit): string | Uint8Array<ArrayBuffer> {
  return form === "text"
    ? JSON.stringify({ op: "sub", room, no_echo: true, id: 1 })
    : encodeSub({ room_id: room, no_echo: true, request_id: 1 });
}

function message({ form, room }: Visit, text: string): string | Uint8Array<ArrayBuffer> {
  if (form === "text") {
    return JSON.stringify({ op: "pub", room, type: "chat", data: text, id: 2 });
  }
  const event = { type: "chat", content_type: "text/plain", data: new TextEncoder().encode(text) };
  return encodePub(writeEnvelope({ room_id: room, event, request_id: 2 }));
}

/** Subscribes, says `text`, hears until somebody answers, and goes. Rejects when the connection ends. */
export async function visit(connect: Connect, go: Visit, text: string): Promise<Seen> {
  const socket = start(connect, go);
  const next = framesOf(socket);
  const closed = new Promise<number>((resolve) => {
    socket.addEventListener("close", ({ code }) => resolve(code ?? 0));
  });
  const heard = [wordsOf(await next())];
  // Right after WELCOME: every client has a protocol by now.
  const { protocol } = socket;
  socket.send(subscription(go));
  heard.push(wordsOf(await next()));
  socket.send(message(go, text));
  while (!heard.some((words) => words.startsWith("msg"))) heard.push(wordsOf(await next()));
  while (!heard.slice(2).some((words) => words.startsWith("ack"))) {
    heard.push(wordsOf(await next()));
  }
  socket.close(1000);
  return { protocol, heard, closed: await closed };
}

/** What a client without a socket still can: ask the same listener what is wrong. */
async function asked({ http_url, token }: Visit): Promise<Pick<Refused, "status" | "reason">> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${http_url}/v1/auth/check`, { headers });
  return { status: response.status, reason: (await response.json()).reason };
}

/** Goes there with a token that is refused. */
export async function refused(connect: Connect, go: Visit): Promise<Refused> {
  const socket = start(connect, go);
  const events: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("neither error nor close")), WAIT_MS);
    const over = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.addEventListener("open", () => void events.push("open"));
    socket.addEventListener("error", () => {
      events.push("error");
      setTimeout(over, AFTER_ERROR_MS);
    });
    socket.addEventListener("close", () => {
      events.push("close");
      over();
    });
  });
  return { opened: events.includes("open"), events, ...await asked(go) };
}
