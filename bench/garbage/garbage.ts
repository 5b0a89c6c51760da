/**
 * The scenario `garbage`: how much garbage a message makes in a real bus with no policy, beside a bare Deno
 * server, and whether anything of a message stays for good. It counts bytes, so a busy machine does not
 * matter.
 */
import { renderAims } from "../measure/aims.ts";
import { scenario } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import {
  ARQON_SERVER,
  DENO_SERVER,
  type Garbage,
  type Measured,
  measureGarbage,
} from "./measure.ts";

/** The goal of the project in bytes for each message, objects and contents of arrays together. */
const GOAL_BYTES = 1_024;
/** Bytes by which the heap may differ between two full collections of a process at rest. */
const GROWTH_BYTES = 1_048_576;
/** Messages for bare Deno, of which only the garbage is shown. */
const BARE_MESSAGES = 100_000;

const together = ({ objects_bytes, contents_bytes }: Garbage) => objects_bytes + contents_bytes;

/** Bytes that the bus holds more at the end than after a tenth of the messages. */
function grownBytes({ rests: [first, last] }: Measured): number {
  return last.heap_bytes + last.contents_bytes - first.heap_bytes - first.contents_bytes;
}

function render(ours: Measured, bare: Measured): string {
  const message = renderTable(
    [[ARQON_SERVER.title, ours.garbage], [DENO_SERVER.title, bare.garbage]] as const,
    [
      ["garbage of a message", ([title]) => title],
      ["objects B", ([, garbage]) => garbage.objects_bytes],
      ["contents of arrays B", ([, garbage]) => garbage.contents_bytes],
      ["together B", ([, garbage]) => together(garbage)],
    ],
  );
  const rest = renderTable(ours.rests, [
    ["ArqonBus after a full collection", ({ messages }) => `${messages} messages`],
    ["heap MB", ({ heap_bytes }) => heap_bytes / 1e6, 2],
    ["contents MB", ({ contents_bytes }) => contents_bytes / 1e6, 2],
    ["RSS MB", ({ rss_bytes }) => rss_bytes / 1e6, 2],
  ]);
  const all = together(ours.garbage);
  const beyond = all - together(bare.garbage);
  const aims = renderAims([
    { name: "garbage of a message", measured: all, bound: GOAL_BYTES, unit: "B" },
    { name: "beyond that of bare Deno", measured: beyond, bound: GOAL_BYTES, unit: "B" },
    { name: "growth", measured: grownBytes(ours), bound: GROWTH_BYTES, unit: "B" },
  ]);
  return [message, rest, aims].join("\n\n");
}

/** The scenario of `deno task bench garbage`. */
export const GARBAGE = scenario(
  "garbage",
  `bytes that a message leaves for the collector, publish -> receive, in a whole
bus (Shield and embedded Spine, no policy) and in a bare Deno echo server; and the bus's heap after a full
collection at a tenth of the messages and at the end, which is to be the same.`,
  {
    messages: [500_000, `of bare Deno at most ${BARE_MESSAGES}`],
    connections: [10, "each in a room of its own"],
    bytes: [256, "size of a body"],
  },
  async ({ messages, connections, bytes: body_bytes }) => {
    const load = { messages, connections, body_bytes };
    console.error(`garbage: ${messages} messages through ${ARQON_SERVER.title} ...`);
    const ours = await measureGarbage(ARQON_SERVER, load);
    const few = { ...load, messages: Math.min(messages, BARE_MESSAGES) };
    console.error(`garbage: ${few.messages} messages through ${DENO_SERVER.title} ...`);
    const bare = await measureGarbage(DENO_SERVER, few);
    const grown_bytes = grownBytes(ours);
    return {
      report: { options: load, ours, bare, grown_bytes },
      table: render(ours, bare),
      failure: grown_bytes > GROWTH_BYTES
        ? `the heap has grown by ${(grown_bytes / 1e6).toFixed(2)} MB`
        : undefined,
    };
  },
);
