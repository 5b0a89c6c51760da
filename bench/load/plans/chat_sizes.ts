/**
 * The sizes of real messages: those of the payloads in the example webhook events of the shared data, where
 * the checkout has them beside it, else a record of these sizes. Only sizes are used, never the content.
 */
import { ROOT } from "../../measure/scenario.ts";

/** NDJSON with a member `payload` in each line; the notice beside the file names its source. */
const EVENTS = `${ROOT}/../shared/data/events/events.ndjson`;

/**
 * 32 quantiles, in bytes, of the 296 payloads: octokit/webhooks, `payload-examples` (MIT), at commit
 * 3a58428aa5c399cf5aa12c8663aea1fb1f515254, as the NOTICE of the shared data names it.
 */
// deno-fmt-ignore
export const RECORDED_SIZES_BYTES: readonly number[] = [
  1_447, 2_351, 2_778, 3_014, 3_802, 6_050, 6_191, 6_385,
  6_679, 6_778, 7_048, 7_189, 7_431, 7_518, 7_663, 7_817,
  7_988, 8_107, 8_609, 9_052, 9_419, 9_840, 10_872, 11_622,
  12_151, 13_196, 13_916, 19_250, 23_571, 23_741, 25_178, 26_156,
];

/** The step through a sorted list by which large and small sizes take turns; coprime to most lengths. */
const STRIDE = 13;

/** The sizes in a fixed order in which large and small take turns. Pure. */
export function interleaved(sizes_bytes: readonly number[]): number[] {
  const sorted = sizes_bytes.toSorted((one, other) => one - other);
  const taken: number[] = [];
  for (let start = 0; start < STRIDE; start++) {
    for (let at = start; at < sorted.length; at += STRIDE) taken.push(sorted[at]!);
  }
  return taken;
}

/** The size of each payload. Throws SyntaxError for what is not JSON. Pure. */
export function payloadSizes(ndjson: string): number[] {
  const encoder = new TextEncoder();
  return ndjson.split("\n").filter((line) => line !== "").map((line) =>
    encoder.encode(JSON.stringify(JSON.parse(line).payload)).length
  );
}

/** The sizes of bodies, and their source. */
export async function chatSizes(): Promise<{ sizes_bytes: number[]; source: string }> {
  try {
    const sizes_bytes = interleaved(payloadSizes(await Deno.readTextFile(EVENTS)));
    return { sizes_bytes, source: `${sizes_bytes.length} events of the shared data` };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { sizes_bytes: interleaved(RECORDED_SIZES_BYTES), source: "recorded sizes" };
  }
}
