/**
 * The scenario `garbage`: how much garbage a message makes in a real bus with no policy, beside a bare Deno
 * server, and whether anything of a message stays for good. It counts bytes, so a busy machine does not
 * matter.
 */
import {
  type OptionValues,
  positive,
  type Scenario,
  type ScenarioResult,
  text,
} from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import {
  ARQON_SERVER,
  DENO_SERVER,
  type Garbage,
  type GarbageLoad,
  type Measured,
  measureGarbage,
} from "./measure.ts";

const HELP = `garbage: bytes that a message leaves for the collector, publish -> receive, in a whole
bus (Shield and embedded Spine, no policy) and in a bare Deno echo server; where they are made; and
the bus's heap after a full collection at a tenth of the messages and at the end, which is to be the
same.

  --messages N      (500000); of bare Deno at most 100000
  --connections N   each in a room of its own (10)
  --bytes N         size of a body (256)
`;

/** The goal of the project in bytes for each message, objects and contents of arrays together. */
const GOAL_BYTES = 1_024;
/** Bytes by which the heap may differ between two full collections of a process at rest. */
const GROWTH_BYTES = 1_048_576;
const SITES_SHOWN = 12;
/** Messages for bare Deno, of which only the garbage is shown. */
const BARE_MESSAGES = 100_000;

const MB = (bytes: number) => (bytes / 1e6).toFixed(2);
const met = (is: boolean) => is ? "met" : "missed";
const together = ({ objects_bytes, contents_bytes }: Garbage) => objects_bytes + contents_bytes;

/** Bytes that the bus holds more at the end than after a tenth of the messages. */
function grownBytes({ rests: [first, last] }: Measured): number {
  return last.heap_bytes + last.contents_bytes - first.heap_bytes - first.contents_bytes;
}

function renderSites({ sites }: Measured): string {
  return renderRows(
    ["ArqonBus makes objects of a message in", "B", ""],
    sites.slice(0, SITES_SHOWN).map(({ name, place, bytes }) => [name, bytes.toFixed(0), place]),
  );
}

function render(ours: Measured, bare: Measured): string {
  const message = renderRows(
    ["garbage of a message", "objects B", "contents of arrays B", "together B"],
    [[ARQON_SERVER, ours] as const, [DENO_SERVER, bare] as const].map(([{ title }, measured]) => [
      title,
      measured.garbage.objects_bytes.toFixed(0),
      measured.garbage.contents_bytes.toFixed(0),
      together(measured.garbage).toFixed(0),
    ]),
  );
  const rest = renderRows(
    ["ArqonBus after a full collection", "heap MB", "contents MB", "RSS MB"],
    ours.rests.map((one) => [
      `${one.messages} messages`,
      MB(one.heap_bytes),
      MB(one.contents_bytes),
      MB(one.rss_bytes),
    ]),
  );
  const all = together(ours.garbage);
  const beyond = all - together(bare.garbage);
  const grown = grownBytes(ours);
  const aims = renderRows(["aim", "at most", "measured", ""], [
    ["garbage of a message", `${GOAL_BYTES} B`, `${all.toFixed(0)} B`, met(all <= GOAL_BYTES)],
    [
      "beyond that of bare Deno",
      `${GOAL_BYTES} B`,
      `${beyond.toFixed(0)} B`,
      met(beyond <= GOAL_BYTES),
    ],
    ["growth", `${MB(GROWTH_BYTES)} MB`, `${MB(grown)} MB`, met(grown <= GROWTH_BYTES)],
  ]);
  return [message, renderSites(ours), rest, aims].join("\n\n");
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const load: GarbageLoad = {
    messages: positive(values, "messages"),
    connections: positive(values, "connections"),
    body_bytes: positive(values, "bytes"),
  };
  console.error(`garbage: ${load.messages} messages through ${ARQON_SERVER.title} ...`);
  const ours = await measureGarbage(ARQON_SERVER, load);
  const few = { ...load, messages: Math.min(load.messages, BARE_MESSAGES) };
  console.error(`garbage: ${few.messages} messages through ${DENO_SERVER.title} ...`);
  const bare = await measureGarbage(DENO_SERVER, few);
  const grown_bytes = grownBytes(ours);
  const grows = grown_bytes > GROWTH_BYTES;
  return {
    report: { options: load, ours, bare, grown_bytes },
    table: render(ours, bare),
    failure: grows ? `the heap has grown by ${MB(grown_bytes)} MB` : undefined,
  };
}

/** The scenario of `deno task bench garbage`. */
export const GARBAGE: Scenario = {
  name: "garbage",
  help: HELP,
  options: { messages: text("500000"), connections: text("10"), bytes: text("256") },
  run,
};
