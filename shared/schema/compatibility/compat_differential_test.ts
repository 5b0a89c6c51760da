/**
 * Verdicts compared with reality: random messages are written with one version and read with the other, by
 * protobuf-es. If the verdict is "compatible", none loses anything; if it is an error about lost data, some does. The
 * published table of changes, row by row: compiled pairs of schemas, our verdict in each mode, and the same verdict in
 * docs/compatibility.md. The other tests cover what the table omits.
 */
import {
  create,
  type DescField,
  type DescMessage,
  equals,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import assert from "node:assert/strict";
import { compareDescriptors } from "./compat.ts";
import type { DescriptorSet } from "../descriptors/descriptor_set.ts";
import { errorsOf, formatFinding } from "./findings.ts";
import { compileApart } from "../testing/protos.ts";
import type { CompatibilityMode } from "../../schema_id.ts";
import {
  COMPATIBILITY_CASES,
  type CompatibilityCase,
  type Verdict,
} from "../testing/compat_cases.ts";

const proto2 = (text: string) => `syntax = "proto2"; package PACKAGE; ${text}`;
const proto3 = (text: string) => `syntax = "proto3"; package PACKAGE; ${text}`;
const edition = (text: string) => `edition = "2023"; package PACKAGE; ${text}`;

const PAIR = "message E { string k = 1; int32 v = 2; }";
const MESSAGE_PAIR = "message V { string x = 1; } message E { int32 k = 1; V v = 2; }";
const HALF_PAIR = "message E { oneof o { string k = 1; int32 v = 2; } }";
const MAP = "message M { map<string, int32> f = 1; }";
const DELIMITED = "[features.message_encoding = DELIMITED]";
const GROUP = "message M { repeated group F = 1 { optional string k = 1; optional int32 v = 2; } }";
const KINDS = ["optional", "required", "repeated"];
const ENUM_USES = [
  ...KINDS.map((kind) => `message M { ${kind} E f = 1; }`),
  "message M { repeated E f = 1 [packed = true]; }",
  "message M { map<string, E> f = 1; }",
  "message M { oneof o { E f = 1; int32 g = 2; } }",
];

/** Two texts; each is the older one once. */
const PAIRS: readonly (readonly [name: string, before: string, after: string])[] = [
  [
    "a map and a list of pairs",
    proto3(`${PAIR} ${MAP}`),
    proto3(`${PAIR} message M { repeated E f = 1; }`),
  ],
  [
    "a map of messages and a list of pairs",
    proto3(`${MESSAGE_PAIR} message M { map<int32, V> f = 1; }`),
    proto3(`${MESSAGE_PAIR} message M { repeated E f = 1; }`),
  ],
  [
    "a map and a list of pairs in one oneof",
    proto3(`${HALF_PAIR} ${MAP}`),
    proto3(`${HALF_PAIR} message M { repeated E f = 1; }`),
  ],
  ["a map and a group", proto2(MAP), proto2(GROUP)],
  [
    "a map and a delimited list",
    edition(`${PAIR} ${MAP}`),
    edition(`${PAIR} message M { repeated E f = 1 ${DELIMITED}; }`),
  ],
  [
    "a list and a delimited list",
    edition(`${PAIR} message M { repeated E f = 1; }`),
    edition(`${PAIR} message M { repeated E f = 1 ${DELIMITED}; }`),
  ],
  ...ENUM_USES.map((use) =>
    [
      `a closed enum that grows: ${use}`,
      proto2(`enum E { A = 0; B = 1; } ${use}`),
      proto2(`enum E { A = 0; B = 1; C = 2; } ${use}`),
    ] as const
  ),
  ...ENUM_USES.map((use) =>
    [
      `a closed enum that shrinks: ${use}`,
      proto2(`enum E { A = 0; B = 1; C = 2; } ${use}`),
      proto2(`enum E { reserved 2; reserved "C"; A = 0; B = 1; } ${use}`),
    ] as const
  ),
  [
    "an open enum that grows",
    proto3(
      "enum E { A = 0; B = 1; } message M { E f = 1; repeated E g = 2; map<string, E> h = 3; }",
    ),
    proto3(
      "enum E { A = 0; B = 1; C = 2; } message M { E f = 1; repeated E g = 2; map<string, E> h = 3; }",
    ),
  ],
];

/** One value of a field, of a few only, so that keys repeat. */
function valueOf(field: DescField): fc.Arbitrary<unknown> {
  if (field.enum !== undefined) {
    return fc.constantFrom(...field.enum.values.map(({ number }) => number));
  }
  if (field.message !== undefined) return initOf(field.message);
  return field.scalar === 9 ? fc.constantFrom("", "a", "b") : fc.integer({ min: -2, max: 2 });
}

function fieldInit(field: DescField): fc.Arbitrary<unknown> {
  const value = valueOf(field);
  if (field.fieldKind === "list") return fc.array(value, { maxLength: 3 });
  if (field.fieldKind !== "map") return value;
  const key = field.mapKey === 9 ? fc.constantFrom("", "a", "b") : fc.constantFrom("0", "1", "2");
  return fc.dictionary(key, value, { maxKeys: 3 });
}

/** The argument of `create` for a message of this type; required fields are set. */
function initOf(desc: DescMessage): fc.Arbitrary<Record<string, unknown>> {
  const plain = desc.fields.filter(({ oneof }) => oneof === undefined);
  const init = fc.record(
    Object.fromEntries(plain.map((field) => [field.localName, fieldInit(field)])),
    { requiredKeys: plain.filter(({ presence }) => presence === 3).map((one) => one.localName) },
  );
  const choices = desc.oneofs.map((oneof) =>
    fc.oneof(
      ...oneof.fields.map((field) =>
        fieldInit(field).map((value) => ({ [oneof.localName]: { case: field.localName, value } }))
      ),
    )
  );
  return fc.tuple(init, ...choices).map((parts) => Object.assign({}, ...parts));
}

/** Rules about data that a reader loses; the others are about the future, or names. */
const LOSSES: readonly string[] = [
  "field-cardinality-changed",
  "field-type-changed",
  "enum-value-added",
];

/**
 * Numbers without a name in a closed enum, in a list or a map: protobuf-es keeps them, Google's readers remove them.
 */
function hasStrangers(message: ReflectMessage): boolean {
  return message.fields.some((field) => {
    if (field.enum === undefined || field.enum.open || !message.isSet(field)) return false;
    const known = new Set(field.enum.values.map(({ number }) => number));
    if (field.fieldKind === "list") {
      return [...message.get(field)].some((one) => !known.has(one as number));
    }
    if (field.fieldKind !== "map") return false;
    return [...message.get(field).values()].some((one) => !known.has(one as number));
  });
}

/** Whether a value is outside of the field that is declared for it. */
function hasMisplaced(message: ReflectMessage): boolean {
  const numbers = new Set(message.fields.map(({ number }) => number));
  if (message.getUnknown()?.some(({ no }) => numbers.has(no)) === true) return true;
  return message.fields.some((field) => {
    if (!message.isSet(field)) return false;
    if (field.fieldKind === "message") return hasMisplaced(message.get(field));
    if (field.fieldKind === "list" && field.listKind === "message") {
      return [...message.get(field)].some((each) => hasMisplaced(each as ReflectMessage));
    }
    if (field.fieldKind === "map" && field.mapKind === "message") {
      return [...message.get(field).values()].some((each) => hasMisplaced(each as ReflectMessage));
    }
    return false;
  });
}

/** Whether everything that `writer` wrote is in `reader`'s message, in its place. */
function isWhole(writer: DescMessage, reader: DescMessage, written: Message): boolean {
  try {
    const read = fromBinary(reader, toBinary(writer, written));
    const reflected = reflect(reader, read);
    if (hasMisplaced(reflected) || hasStrangers(reflected)) return false;
    // protobuf-es refuses to write a message without its required fields.
    return equals(writer, fromBinary(writer, toBinary(reader, read)), written);
  } catch {
    return false;
  }
}

const messageOf = ({ registry }: DescriptorSet, name: string) => registry.getMessage(`${name}.M`)!;

Deno.test("compatible versions lose nothing, and incompatible ones lose something", async (t) => {
  const texts = (side: 1 | 2) =>
    Object.fromEntries(PAIRS.map((pair, index) => [`p${index}`, pair[side]]));
  const [one, other] = await Promise.all([compileApart(texts(1)), compileApart(texts(2))]);
  let compatible = 0, incompatible = 0;
  for (const [index, [name]] of PAIRS.entries()) {
    const sets = [one, other].map((all) => all.get(`p${index}`)!) as [DescriptorSet, DescriptorSet];
    for (const [from, to] of [sets, sets.toReversed() as typeof sets]) {
      for (const mode of ["BACKWARD", "FORWARD"] as const) {
        await t.step(`${name}: ${from === sets[0] ? "onwards" : "back"} in ${mode}`, () => {
          const errors = errorsOf(compareDescriptors(from.registry, to.registry, mode));
          const [old, fresh] = [from, to].map((set) => messageOf(set, `p${index}`)) as [
            DescMessage,
            DescMessage,
          ];
          const [writer, reader] = mode === "BACKWARD" ? [old, fresh] : [fresh, old];
          const loss = fc.sample(initOf(writer), { numRuns: 300, seed: 20261121 })
            .map((init) => create(writer, init as never))
            .find((written) => !isWhole(writer, reader, written));
          const text = errors.map(formatFinding).join("\n");
          if (errors.length === 0) {
            compatible++;
            assert.equal(loss, undefined);
          } else if (errors.some(({ rule }) => LOSSES.includes(rule))) {
            incompatible++;
            assert.ok(loss !== undefined, text);
          }
        });
      }
    }
  }
  assert.ok(compatible > 15 && incompatible > 15, `${compatible} and ${incompatible}`);
});

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
