/** Which releases may join which cluster: a process that starts beside processes of other releases. */
import assert from "node:assert/strict";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { Answerer, type AnswerHandlers } from "./cluster_answerer.ts";
import { requireWireVersion, type WireVersions } from "./wire_version.ts";

const log = QUIET;
const wire = (version: number, oldest: number): WireVersions => ({ version, oldest });
const node = (version: string, gauges: object) => () => ({ version, gauges, of_a_newer: true });
const of = ({ version, oldest }: WireVersions) =>
  node(`${version}.0`, { wire_version: version, wire_oldest: oldest });

const CASES: readonly [name: string, own: WireVersions, running: AnswerHandlers[], RegExp?][] = [
  ["nobody runs", wire(2, 2), []],
  ["the same", wire(2, 2), [{ node: of(wire(2, 2)) }]],
  ["one release apart, both ways", wire(2, 1), [{ node: of(wire(1, 1)) }, {
    node: of(wire(3, 2)),
  }]],
  ["the first release, which announces nothing", wire(2, 1), [{ node: node("0.1", {}) }]],
  [
    "the first release, too old",
    wire(2, 2),
    [{ node: node("0.1", {}) }, { node: of(wire(2, 2)) }],
    /Incompatible version: this is ArqonBus \S+, too new to run with shield n0 \(ArqonBus 0\.1\): start a release between/,
  ],
  [
    "a release too new",
    wire(1, 1),
    [{ node: of(wire(2, 1)) }, { node: of(wire(3, 2)) }],
    /Incompatible version: this is ArqonBus \S+, too old to run with shield n1 \(ArqonBus 3\.0\): start the release/,
  ],
  ["no answer that can be read", wire(2, 2), [{ node: () => ({ gauges: 1 }) }, {}]],
];

for (const [name, own, running, refused] of CASES) {
  Deno.test(`wire version: ${name}`, async () => {
    const spine = openEmbedded({ log, now: Date.now });
    const requests: string[] = [];
    const nodes = running.map((handlers, at) =>
      new Answerer({
        spine,
        node_id: `n${at}`,
        kind: "shield",
        handlers,
        log,
        now: Date.now,
        onAsker: ({ question, asker }) => asker === "mine" && requests.push(question),
      })
    );
    try {
      const starting = { spine, node_id: "mine", kind: "brain" } as const;
      const done = requireWireVersion(starting, own);
      if (refused === undefined) await done;
      else await assert.rejects(done, refused);
      const expected = refused === undefined ? ["node"] : ["node", "bye"];
      assert.deepEqual(requests, running.flatMap(() => expected).toSorted().toReversed());
    } finally {
      for (const one of nodes) one.close();
      await spine.drain();
    }
  });
}
