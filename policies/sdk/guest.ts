// The guest's side of the ABI: memory that the host fills, hooks, and the handlers that a
// policy registers. The compiler exports the hooks that have a handler and nothing else of this.
import { ABI, host_reject } from "./arqon_host_v1.ts";
import { Message, Request } from "./request.ts";

/** What a handler answers: 0 allows, all else refuses. Made by `allow` and `reject`. */
export type Verdict = i32;

/** Bytes before each block for the host: the block before it in the chain, and alignment. */
const BLOCK_HEAD: usize = 16;

/**
 * What a policy of version 2 sets up for its calls: memory that grows in a call costs the next one a new
 * instance, and memory that is there is restored before each call.
 */
const WORKING_BYTES: usize = 32_768;

/** Bytes of managed objects that calls may leave behind before one of them collects. */
const GARBAGE_BYTES: usize = 16_384;

/** The bytes of managed objects from which on a call begins with a collection. */
let collectAt: usize = 0;

/** Newest block given to the host during this call; each points to the one before it. */
let newest: usize = 0;

let connectHandler: (request: Request) => Verdict = refuseRequest;
let subscribeHandler: (request: Request) => Verdict = refuseRequest;
let messageHandler: (message: Message) => Verdict = refuseMessage;

function refuseRequest(_request: Request): Verdict {
  return 1;
}

function refuseMessage(_message: Message): Verdict {
  return 1;
}

/** Lets it pass. */
export function allow(): Verdict {
  return 0;
}

/**
 * Refuses it and ends the call at once. `reason` is shown to the client (512 bytes at most); `code`
 * is 400 to 599 and means what HTTP means by it.
 */
export function reject(reason: string, code: i32 = 403): Verdict {
  const bytes = String.UTF8.encode(reason);
  host_reject(code, changetype<usize>(bytes), <usize> bytes.byteLength);
  return 1;
}

/** Registers what decides about a connection; a refusal is the HTTP status of the upgrade. */
export function onConnect(handler: (request: Request) => Verdict): void {
  connectHandler = handler;
}

/** Registers what decides about a subscription to a room. */
export function onSubscribe(handler: (request: Request) => Verdict): void {
  subscribeHandler = handler;
}

/** Registers what decides about a message: an event or a command. */
export function onMessage(handler: (message: Message) => Verdict): void {
  messageHandler = handler;
}

/** Runs the policy's top-level statements, once. The compiler fills in its body. */
export function runTopLevel(): void {}

/** Bytes of all managed objects. The compiler fills in its body. */
export function managedBytes(): usize {
  return 0;
}

/**
 * Frees what earlier calls left behind; no managed object is on the stack here. A collection costs as much as a small
 * policy, so most calls leave it to a later one. In version 2 nothing is left behind.
 */
export function beginCall(): void {
  if (ABI != 1) return;
  runTopLevel();
  while (newest != 0) {
    const block = newest;
    newest = load<usize>(block);
    heap.free(block);
  }
  if (managedBytes() < collectAt) return;
  __collect();
  collectAt = managedBytes() + GARBAGE_BYTES;
}

/** ABI of version 2: sets up what every call begins with. */
export function arqon_init(): void {
  runTopLevel();
  heap.free(heap.alloc(WORKING_BYTES));
}

/** ABI: gives `size` bytes to the host. They are valid until the next call begins. */
export function arqon_alloc(size: usize): usize {
  const block = heap.alloc(size + BLOCK_HEAD);
  store<usize>(block, newest);
  newest = block;
  return block + BLOCK_HEAD;
}

/** ABI: a client connects. */
export function arqon_on_connect(): i32 {
  beginCall();
  return connectHandler(new Request());
}

/** ABI: a client subscribes to a room. */
export function arqon_on_subscribe(): i32 {
  beginCall();
  return subscribeHandler(new Request());
}

/** ABI: a client publishes an event or sends a command. */
export function arqon_on_message(): i32 {
  beginCall();
  return messageHandler(new Message());
}
