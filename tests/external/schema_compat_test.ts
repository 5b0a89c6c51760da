/**
 * The real history of the public transit feed schema: 44 published versions, compared with each other in every mode,
 * and the one that does not compile. Needs the data folder: `deno task test:external DIR`, which becomes
 * `Deno.args[0]`.
 */
import type { CompatibilityMode } from "../../shared/schema_id.ts";
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { checkHistory, type SchemaVersion } from "../../shared/schema/compatibility/compat.ts";
import { readDescriptorSet } from "../../shared/schema/descriptors/descriptor_set.ts";
import {
  errorsOf,
  type Finding,
  formatFinding,
} from "../../shared/schema/compatibility/findings.ts";
import { COMPATIBILITY_CASES } from "../../shared/schema/testing/compat_cases.ts";
import { compileProtos } from "../../shared/schema/testing/protos.ts";

const DATA = Deno.args[0];
const FOLDER = `${DATA}/gtfs-realtime/versions`;

interface Published {
  readonly file: string;
  readonly compiles: boolean;
}

async function published(): Promise<Published[]> {
  if (DATA === undefined) throw new Error("run this with `deno task test:external DIR`");
  return JSON.parse(await Deno.readTextFile(`${FOLDER}/expected.json`));
}

/** Each version by its number, as a client would send it; undefined when it does not compile. */
async function compileVersion({ file }: Published): Promise<SchemaVersion | string> {
  const text = await Deno.readTextFile(`${FOLDER}/${file}`);
  try {
    const bytes = await compileProtos({ "gtfs-realtime.proto": text });
    return { version: file.slice(0, 2), schema: readDescriptorSet(gzipSync(bytes)).registry };
  } catch (error) {
    return `${file}: ${error instanceof Error ? error.message : error}`;
  }
}

async function compileAll(): Promise<{ versions: SchemaVersion[]; failures: string[] }> {
  const list = await published();
  const versions: SchemaVersion[] = [];
  const failures: string[] = [];
  for (let at = 0; at < list.length; at += 4) {
    for (const result of await Promise.all(list.slice(at, at + 4).map(compileVersion))) {
      if (typeof result === "string") failures.push(result);
      else versions.push(result);
    }
  }
  return { versions, failures };
}

/** The findings for each version when it is registered after all earlier ones. */
function registerAll(versions: readonly SchemaVersion[], mode: CompatibilityMode): Finding[] {
  return versions.flatMap((candidate, index) =>
    checkHistory(versions.slice(0, index), candidate, mode)
  );
}

Deno.test("the published feed schemas are a chain for readers that are up to date, but for the broken one", async (t) => {
  const { versions, failures } = await compileAll();
  await t.step("all but 07 compile, and buf reports why", async () => {
    const broken = (await published()).filter(({ compiles }) => !compiles).map(({ file }) => file);
    assert.equal(versions.length, 43);
    assert.equal(failures.length, broken.length);
    assert.ok(failures[0]?.startsWith(`${broken[0]}: `), failures[0]);
    assert.match(failures[0] ?? "", /field number `2` used more than once/);
  });
  for (
    const mode of [
      "BACKWARD",
      "FORWARD",
      "FULL",
      "BACKWARD_TRANSITIVE",
      "FORWARD_TRANSITIVE",
      "FULL_TRANSITIVE",
    ] as const
  ) {
    await t.step(`${mode} finds nothing but values that earlier closed enums drop`, () => {
      const findings = registerAll(versions, mode);
      const rules = new Set(findings.map(({ rule }) => rule));
      const expected = mode.startsWith("BACKWARD") ? [] : ["enum-value-added"];
      assert.deepEqual([...rules], expected, findings.map(formatFinding).join("\n"));
      assert.deepEqual(errorsOf(findings), findings);
    });
  }
});

Deno.test("the broken version is refused as a descriptor set too", async () => {
  const file = (await published()).find(({ compiles }) => !compiles)?.file;
  const text = await Deno.readTextFile(`${FOLDER}/${file}`);
  // No compiler accepts it: it is compiled with another number, which is restored afterwards.
  const repaired = text.replace(/(gtfs_realtime_version = )2\b/, "$190");
  assert.notEqual(repaired, text);
  const bytes = await compileProtos({ "gtfs-realtime.proto": repaired });
  const set = fromBinary(FileDescriptorSetSchema, bytes);
  const header = set.file[0]?.messageType.find(({ name }) => name === "FeedHeader");
  const field = header?.field.find(({ number }) => number === 90);
  assert.ok(field !== undefined);
  field.number = 2;
  const broken = gzipSync(toBinary(FileDescriptorSetSchema, set));
  assert.throws(() => readDescriptorSet(broken), /FeedHeader.incrementality" has the number 2, as/);
});

Deno.test("our cases are the rows of the published table, all of them, in its order", async () => {
  const text = await Deno.readTextFile(`${DATA}/schema-compatibility-rules.md`);
  const rows = text.split("\n").filter((line) => line.startsWith("| "))
    .map((line) => line.split("|")[1]?.trim() ?? "");
  assert.equal(rows.shift(), "change");
  assert.deepEqual(COMPATIBILITY_CASES.map(({ change }) => change), rows);
});
