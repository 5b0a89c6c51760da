/**
 * Arguments of a program for the SDK, with their number of listeners, so that a test can check that none is left. Not
 * part of the package.
 */
import type { PlatformEvents, WebSocketConstructor } from "../mod.ts";

/** Options of `Deno.test`: it fails if a timer, a socket or an operation is left. */
export const CLEAN = { sanitizeOps: true, sanitizeResources: true };

/** The platform's WebSocket, and how many of them are not closed. */
export function countedSockets() {
  const open = new Set<WebSocket>();
  class Counted extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      open.add(this);
    }
  }
  const living = () => [...open].filter(({ readyState }) => readyState < WebSocket.CLOSING).length;
  return { webSocket: Counted as unknown as WebSocketConstructor, living };
}

/** An AbortSignal, how to abort it, and how many listen to it. */
export interface CountedSignal {
  readonly signal: AbortSignal;
  readonly listeners: number;
  abort(reason?: unknown): void;
}

/** A real signal whose listeners are counted, including called but not removed ones. */
export function countedSignal(): CountedSignal {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const add = signal.addEventListener.bind(signal) as (...args: unknown[]) => void;
  const remove = signal.removeEventListener.bind(signal) as (...args: unknown[]) => void;
  signal.addEventListener = (...args: unknown[]) => {
    listeners.add(args[1]);
    add(...args);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    listeners.delete(args[1]);
    remove(...args);
  };
  return {
    signal,
    get listeners() {
      return listeners.size;
    },
    abort: (reason) => controller.abort(reason),
  };
}

/** A device whose network and page a test controls. */
export interface Device extends PlatformEvents {
  online: boolean;
  readonly listeners: number;
  tell(event: "online" | "visible"): void;
}

/** It is online at first. */
export function device(): Device {
  const listeners = new Set<(event: "online" | "visible") => void>();
  return {
    online: true,
    get listeners() {
      return listeners.size;
    },
    listen(hear) {
      listeners.add(hear);
      return () => listeners.delete(hear);
    },
    tell: (event) => listeners.forEach((hear) => hear(event)),
  };
}
