/**
 * A development bus that counts: how many frames, and bytes of them, one connection brings it within a
 * turn of the event loop, at most. Its argument is as that of `tasks/dev/dev_bus.ts`; its first line says
 * where it is, and for each line on stdin it prints a `Counted`, from the one before. For `flood_test.ts`.
 */
import { serveDev } from "../arq/serve/dev_bus.ts";
import { busProcess } from "../arq/serve/serve_main.ts";
import { ownLines } from "../bench/measure/text_lines.ts";
import { Connection } from "../shield/connection/connection.ts";

/** What one connection brought in one turn, at most. */
export interface Counted {
  readonly frames: number;
  readonly bytes: number;
  /** Frames of all connections and turns. */
  readonly all: number;
}

const most = { frames: 0, bytes: 0, all: 0 };
const of_turn = new Map<Connection, { frames: number; bytes: number }>();

function endTurn(): void {
  for (const { frames, bytes } of of_turn.values()) {
    most.frames = Math.max(most.frames, frames);
    most.bytes = Math.max(most.bytes, bytes);
  }
  of_turn.clear();
}

function count(connection: Connection, bytes: number): void {
  if (of_turn.size === 0) setImmediate(endTurn);
  const counted = of_turn.get(connection) ?? { frames: 0, bytes: 0 };
  counted.frames++;
  counted.bytes += bytes;
  of_turn.set(connection, counted);
  most.all++;
}

if (import.meta.main) {
  const { receive } = Connection.prototype;
  Connection.prototype.receive = function (data) {
    count(this, typeof data === "string" ? data.length : data.byteLength);
    receive.call(this, data);
  };
  const say = (word: unknown) => {
    Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(word)}\n`));
  };
  const asked = async () => {
    for await (const _ of ownLines()) {
      say(most);
      most.frames = most.bytes = most.all = 0;
    }
  };
  const process = busProcess({ program: "flood", stopping: asked });
  await serveDev(JSON.parse(Deno.args[0] ?? "{}"), process, say);
  Deno.exit(0);
}
