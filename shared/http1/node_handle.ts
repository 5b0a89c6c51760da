/**
 * The handle below a socket or a server of `node:net` and `node:tls`: Node and Deno both keep it under `_handle`,
 * undocumented. Every use of it by our own listener goes through here, with its reason. `tls_door_test.ts` and
 * `live_stream_test.ts` fail if a Deno changes it.
 */
import { type Server, Socket, type SocketConstructorOpts } from "node:net";
import process from "node:process";
import { MADE_FOR_DENO } from "../deno_versions.ts";

/** The used part of a handle. Returned numbers are 0, or an error. */
export interface NodeHandle {
  /** Called with arrived bytes; with undefined at the end. Set it before `readStart`. */
  onread: (bytes: ArrayBuffer | undefined) => void;
  readStart(): number;
  /** Stops reading: the system keeps arriving bytes. */
  readStop(): number;
  /**
   * Writes the bytes; one call at a time. `oncomplete` is called once the system has accepted them, and until then they
   * must not change: TCP reads them in place.
   */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Listens, for a server; also if it listens already. */
  listen(backlog: number): number;
}

/** The result of a write: the error or 0, and the handle. */
interface WriteRequest {
  readonly oncomplete: (problem: number, handle: NodeHandle) => void;
}

/**
 * The handle of a TCP connection without a socket, for thousands of connections: a socket of `node:net` takes 3 KB
 * more, and nearly a KB of it are objects that the collector has to mark.
 */
export interface TcpHandle extends NodeHandle {
  /** Reads into these bytes from now on; then `onread` gets no bytes, and `readCount` returns their number. */
  useUserBuffer(buffer: Uint8Array): void;
  /** Ends the sending direction once everything is written. */
  shutdown(request: { readonly oncomplete: () => void }): number;
  setNoDelay(on: boolean): number;
  /** A new descriptor for the same connection, with the lowest free number; less than 0: none. */
  fdForIpc(): number;
  /** Takes a descriptor over. */
  open(number: number): number;
  getpeername(peer: { address?: string; port?: number }): number;
  close(): void;
}

type HandleMaker = new (kind: number) => TcpHandle;

interface ListeningHandle extends NodeHandle {
  readonly constructor: HandleMaker;
  onconnection: (problem: number) => void;
  accept(handle: TcpHandle): number;
}

/** The type of a handle that is no server's. */
const SOCKET = 0;
/** The used methods: a server's handle has the first ones, too. */
const OF_SERVERS = ["accept", "listen"] as const satisfies readonly (keyof ListeningHandle)[];
const OF_CONNECTIONS = [
  "readStart",
  "readStop",
  "writeBuffer",
  "useUserBuffer",
  "shutdown",
  "setNoDelay",
  "fdForIpc",
  "open",
  "getpeername",
  "close",
] as const satisfies readonly (keyof TcpHandle)[];

/** Throws if this runtime's handles lack a method: no connection would ever be answered. */
function requireParts(listening: Partial<ListeningHandle>, handle: Partial<TcpHandle>): void {
  const missing = [
    ...OF_SERVERS.filter((name) => typeof listening[name] !== "function"),
    ...OF_CONNECTIONS.filter((name) => typeof handle[name] !== "function"),
  ];
  if (missing.length === 0) return;
  throw new Error(
    `Deno ${Deno.version.deno} cannot run this: its TCP handles have no ${missing.join(", ")}. ` +
      `It was made for Deno ${MADE_FOR_DENO}`,
  );
}

/** The handle of a socket or server; null once it is closed. */
export function handleOf(socket: Socket | Server): NodeHandle | null {
  return (socket as unknown as { readonly _handle: NodeHandle | null })._handle;
}

/**
 * Passes on the server's connections as bare handles in place of sockets: all that the system has accepted at a time,
 * oldest first. `onFailure` is called if none could be accepted, as far as the runtime reports that. Throws on a
 * runtime that lacks a method.
 */
export function acceptHandles(
  server: Server,
  onHandles: (handles: readonly TcpHandle[]) => void,
  onFailure: () => void,
): void {
  const listening = handleOf(server) as ListeningHandle;
  const { constructor: Tcp } = listening;
  let next = new Tcp(SOCKET);
  requireParts(listening, next);
  listening.onconnection = (problem) => {
    const handles: TcpHandle[] = [];
    for (; problem === 0 && listening.accept(next) === 0; next = new Tcp(SOCKET)) {
      handles.push(next);
    }
    if (handles.length > 0) onHandles(handles);
    else onFailure();
  };
}

/**
 * Moves a connection to the lowest free descriptor. Undefined, and the handle is unchanged, if it may not keep that
 * one.
 */
export function moved(
  handle: TcpHandle,
  mayKeep: (number: number) => boolean,
): TcpHandle | undefined {
  const number = handle.fdForIpc();
  if (number < 0) return undefined;
  const other = new (handle.constructor as HandleMaker)(SOCKET);
  other.open(number);
  const [left, kept] = mayKeep(number) ? [handle, other] : [other, undefined];
  left.close();
  return kept;
}

/** A paused socket on a handle; either direction may end alone. */
export function socketOn(handle: TcpHandle): Socket {
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true };
  return new Socket(options as SocketConstructorOpts);
}

interface StreamBinding {
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** What handles report about their last call besides the returned value. */
const { streamBaseState, kReadBytesOrError, kLastWriteWasAsync } =
  (process as unknown as { binding(name: string): StreamBinding }).binding("stream_wrap");

/** Within `onread`: the number of arrived bytes; less than 0 at the end. */
export function readCount(): number {
  return streamBaseState[kReadBytesOrError] as number;
}

/** After `writeBuffer`: whether the system has accepted only a part, and `oncomplete` will be called. */
export function isWriting(): boolean {
  return streamBaseState[kLastWriteWasAsync] !== 0;
}
