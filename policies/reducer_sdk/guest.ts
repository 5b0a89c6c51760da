// The guest's side of the ABI: memory that the host fills, and the handlers of commands that a reducer
// registers.
import { room_field } from "./arqon_room_v1.ts";
import { Command, textAt } from "./command.ts";
import { reject } from "./reject.ts";

/** Memory that a reducer reserves for its commands: growing it costs the next one a new instance. */
const WORKING_BYTES: usize = 65_536;

const names: string[] = [];
const handlers: ((command: Command) => void)[] = [];

/** Registers the handler of a command, which is applied when it returns. At the top level. */
export function on(name: string, handler: (command: Command) => void): void {
  names.push(name);
  handlers.push(handler);
}

let migration: ((from: string) => void) | null = null;

/**
 * Registers the migration of a room from another module to this one. It runs once, before the first command
 * of this module; `from` is the SHA-256 of the other one, in hex. At the top level.
 */
export function migrate(handler: (from: string) => void): void {
  migration = handler;
}

/** Runs the reducer's top-level statements, once. The compiler fills in its body. */
export function runTopLevel(): void {}

/** ABI: makes the state with which every command begins. */
export function arqon_init(): void {
  runTopLevel();
  heap.free(heap.alloc(WORKING_BYTES));
}

/** ABI: allocates `size` bytes for the host. They are valid until the command ends. */
export function arqon_alloc(size: usize): usize {
  return heap.alloc(size);
}

/** ABI: the room had another module. Exported if a handler is registered. */
export function arqon_migrate(): i32 {
  const handler = migration;
  if (handler === null) return 1;
  handler(textAt(room_field(1)));
  return 0;
}

/** ABI: a command, or a timer. */
export function arqon_apply(): i32 {
  const name = textAt(room_field(0));
  for (let at = 0; at < names.length; at++) {
    if (names[at] != name) continue;
    handlers[at](new Command());
    return 0;
  }
  reject("no command " + name, 404);
  return 1;
}
