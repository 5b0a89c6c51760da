/** Sizes of real messages, the same on every machine. */

/**
 * 32 quantiles, in bytes, of the 296 payloads of octokit/webhooks, `payload-examples` (MIT), at commit
 * 3a58428aa5c399cf5aa12c8663aea1fb1f515254. Only sizes are used, never the content.
 */
// deno-fmt-ignore
const QUANTILES: readonly number[] = [
  1_447, 2_351, 2_778, 3_014, 3_802, 6_050, 6_191, 6_385,
  6_679, 6_778, 7_048, 7_189, 7_431, 7_518, 7_663, 7_817,
  7_988, 8_107, 8_609, 9_052, 9_419, 9_840, 10_872, 11_622,
  12_151, 13_196, 13_916, 19_250, 23_571, 23_741, 25_178, 26_156,
];

/** Step through the sorted list that alternates large and small sizes; coprime to the list's length. */
const STRIDE = 13;

/** Body sizes, large and small alternating. */
export const CHAT_SIZES: readonly number[] = QUANTILES.map((_, at) =>
  QUANTILES[at * STRIDE % QUANTILES.length]!
);
