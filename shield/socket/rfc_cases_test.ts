/** The cases of `rfc_cases.ts`, played by a raw client against every kind of socket. */
import assert from "node:assert/strict";
import { startHost } from "./testing/host.ts";
import { type Host, open } from "./testing/conformance.ts";
import { CLOSE, PING, PONG, rawFrame } from "./testing/conformance_peer.ts";
import { DIFFERENCES } from "./testing/rfc_outcomes.ts";
import { bytesOfFrames, RFC_CASES, type RfcCase } from "./testing/rfc_cases.ts";

/** Asks whether everything before it has been read. */
const MARK = new TextEncoder().encode("the end of the case");

interface Played {
  /** "taken", "closed CODE", or "ended" without a close frame. */
  readonly outcome: string;
  readonly messages: readonly unknown[];
  readonly pongs: readonly Uint8Array[];
}

/** Plays a case, in pieces of that many bytes; 0: whole. */
async function play(host: Host, { frames }: RfcCase, piece_bytes: number): Promise<Played> {
  const { peer, seen } = await open(host);
  using _peer = peer;
  const bytes = bytesOfFrames([...frames, { opcode: PING, body: MARK }]);
  const step = piece_bytes === 0 ? bytes.length : piece_bytes;
  // A server that has refused a frame reads no further ones.
  const writing = (async () => {
    for (let at = 0; at < bytes.length; at += step) await peer.write(bytes.subarray(at, at + step));
  })().catch(() => {});
  const pongs: Uint8Array[] = [];
  let outcome = "ended";
  for (let frame = await peer.frame(); frame !== undefined; frame = await peer.frame()) {
    if (frame.opcode === CLOSE) {
      const [high = 0x03, low = 0xed] = frame.body;
      outcome = `closed ${high * 256 + low}`;
      await peer.write(rawFrame(CLOSE, frame.body)).catch(() => {});
      break;
    }
    assert.equal(frame.opcode, PONG);
    if (new TextDecoder().decode(frame.body) === new TextDecoder().decode(MARK)) {
      outcome = "taken";
      break;
    }
    pongs.push(frame.body);
  }
  await writing;
  const messages = seen.events.slice(1).filter((event) => typeof event !== "number");
  return { outcome, messages, pongs };
}

const settings = { sanitizeOps: false, sanitizeResources: false };

for (const kind of ["native", "own"] as const) {
  Deno.test({
    name: `${kind}: ${RFC_CASES.length} cases of RFC 6455 have the outcomes of the table`,
    ...settings,
    async fn(t) {
      await using host = await startHost(kind);
      for (const rfc_case of RFC_CASES) {
        const { section, what, outcomes, messages, pongs } = rfc_case;
        const expected = DIFFERENCES[kind][`${section}: ${what}`] ?? outcomes;
        await t.step({
          name: `${section}: ${what}`,
          ...settings,
          async fn() {
            const played = await play(host, rfc_case, 0);
            assert.ok(
              (expected as readonly string[]).includes(played.outcome),
              `${played.outcome}, not ${expected.join(" or ")}`,
            );
            if (expected !== outcomes) return;
            assert.deepEqual(played.messages, messages);
            if (outcomes.includes("taken")) assert.deepEqual(played.pongs, pongs);
          },
        });
      }
    },
  });
}

Deno.test({
  name: "own: the same, cut into single bytes",
  ...settings,
  async fn() {
    await using host = await startHost("own");
    for (const rfc_case of RFC_CASES) {
      const bytes = rfc_case.frames.reduce((sum, { body }) => sum + body.length, 0);
      if (bytes > 1_000) continue;
      const { outcome, messages } = await play(host, rfc_case, 1);
      const name = `${rfc_case.section}: ${rfc_case.what}`;
      assert.ok((rfc_case.outcomes as readonly string[]).includes(outcome), `${name}: ${outcome}`);
      assert.deepEqual(messages, rfc_case.messages, name);
    }
  },
});
