/**
 * What is below a socket or a server of `node:net` and `node:tls`: Node and Deno have it alike under
 * `_handle`, and keep it to themselves. Whatever of it our own listener uses is here, and the reason is
 * with the use. `tls_door_test.ts` fails when a Deno has it otherwise.
 */
import type { Server, Socket } from "node:net";

/** Numbers that are returned are 0, or what went wrong. */
export interface NodeHandle {
  /** Bytes that have come; undefined at the end. Set before `readStart`. */
  onread: (bytes: ArrayBuffer | undefined) => void;
  readStart(): number;
  /** The system keeps what comes. */
  readStop(): number;
  /** The bytes are copied; one at a time. `oncomplete` once the system has taken them. */
  writeBuffer(request: { oncomplete: (problem: number) => void }, bytes: Uint8Array): number;
  /** Of a server; also when it listens already. */
  listen(backlog: number): number;
}

/** Null once it is closed. */
export function handleOf(socket: Socket | Server): NodeHandle | null {
  return (socket as unknown as { readonly _handle: NodeHandle | null })._handle;
}
