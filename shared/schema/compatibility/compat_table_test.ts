/**
 * The published table of changes, row by row: compiled pairs of schemas, our verdict in each mode, and the same verdict
 * in docs/compatibility.md. The other tests cover what the table omits.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import assert from "node:assert/strict";
import { compareDescriptors } from "./compat.ts";
import type { DescriptorSet } from "../descriptors/descriptor_set.ts";
import { errorsOf, formatFinding } from "./findings.ts";
import {
  COMPATIBILITY_CASES,
  type CompatibilityCase,
  type Verdict,
} from "../testing/compat_cases.ts";
import { compileApart } from "../testing/protos.ts";

function sources(side: 0 | 1): Record<string, string> {
  return Object.fromEntries(
    COMPATIBILITY_CASES.flatMap(({ examples }, row) =>
      examples.map((example, index) => [`row${row}_${index}`, example[side]] as const)
    ),
  );
}

/** The verdict of each mode, from the verdicts of the two directions. */
function verdictIn(mode: CompatibilityMode, { backward, forward }: CompatibilityCase): Verdict {
  const counted = [
    ...mode.startsWith("FORWARD") ? [] : [backward],
    ...mode.startsWith("BACKWARD") ? [] : [forward],
  ];
  return counted.includes("incompatible") ? "incompatible" : "compatible";
}

const MODES = [
  "BACKWARD",
  "FORWARD",
  "FULL",
  "BACKWARD_TRANSITIVE",
  "FORWARD_TRANSITIVE",
  "FULL_TRANSITIVE",
] as const;

Deno.test("every published change gets the verdict that the documentation names", async (t) => {
  const [before, after] = await Promise.all([compileApart(sources(0)), compileApart(sources(1))]);
  for (const [row, entry] of COMPATIBILITY_CASES.entries()) {
    await t.step(entry.change, () => {
      for (const index of entry.examples.keys()) {
        const [from, to] = [before, after].map((built) => built.get(`row${row}_${index}`)) as [
          DescriptorSet,
          DescriptorSet,
        ];
        for (const mode of MODES) {
          const findings = compareDescriptors(from.registry, to.registry, mode);
          const verdict = errorsOf(findings).length > 0 ? "incompatible" : "compatible";
          const text = findings.map(formatFinding).join("\n");
          const example = entry.examples[index]?.join("\n→\n");
          assert.equal(verdict, verdictIn(mode, entry), `${mode} of\n${example}\n${text}`);
        }
        assert.deepEqual(compareDescriptors(from.registry, to.registry, "NONE"), []);
      }
    });
  }
});

Deno.test("docs/compatibility.md has each of these rows with the same verdicts", async () => {
  const url = new URL("../../../docs/compatibility.md", import.meta.url);
  const rows = (await Deno.readTextFile(url)).split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  for (const { change, backward, forward } of COMPATIBILITY_CASES) {
    const row = rows.find(([name]) => name === change);
    assert.ok(row !== undefined, `no row for ${change}`);
    assert.deepEqual([row.at(3), row.at(4)], [backward, forward], change);
  }
});
