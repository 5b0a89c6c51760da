/** Text of the schema commands from answers, good and strange ones. The bus is in `schema_test.ts`. */
import assert from "node:assert/strict";
import { diffText, explainText, ruleTable } from "./settings_text.ts";
import {
  againstText,
  findingsCount,
  findingsText,
  historyText,
  mappingTable,
  painter,
  refusedText,
  schemaTable,
  validationText,
} from "./schema_text.ts";

const plain = painter(false);

const finding = (severity: string, message: string, field: string, rule: string) => ({
  severity,
  rule,
  file: message === "" ? "b.proto" : "a.proto",
  message,
  field,
  detail: "was float, is string",
  from_version: "3",
  to_version: "candidate",
});

const FINDINGS = [
  finding("error", "m.M", "x", "field-type-changed"),
  finding("warning", "m.M", "x", "json-name-changed"),
  finding("warning", "m.M", "y", "field-renamed"),
  finding("error", "", "", "package-changed"),
];

Deno.test("findings are listed below their file and field, with rule and both versions", () => {
  assert.equal(
    findingsText(FINDINGS, plain),
    `a.proto
  m.M.x
    error field-type-changed: was float, is string (version 3 → candidate)
    warning json-name-changed: was float, is string (version 3 → candidate)
  m.M.y
    warning field-renamed: was float, is string (version 3 → candidate)
b.proto
  error package-changed: was float, is string (version 3 → candidate)
`,
  );
  assert.equal(findingsCount(FINDINGS), "2 errors, 2 warnings");
  assert.equal(findingsCount([]), "");
  assert.equal(againstText([7]), "version 7");
  assert.equal(againstText([7, 6, 5, 4, 3]), "versions 7, 6, 5 and 2 more");
});

Deno.test("colors are for terminals only", () => {
  const painted = findingsText(FINDINGS.slice(0, 2), painter(true));
  assert.ok(painted.includes("\u001b[31merror\u001b[0m field-type-changed"));
  assert.ok(painted.includes("\u001b[33mwarning\u001b[0m"));
  assert.ok(!findingsText(FINDINGS, plain).includes("\u001b"));
});

Deno.test("violations name path and rule, and how many more there are", () => {
  const violations = [
    { path: "a.b[2]", rule: "required", message: "is missing" },
    { path: "", rule: "truncated", message: "ends inside of a field" },
  ];
  const bad = { message: "m.M", version: 2, valid: false, violations, total: 5, unknown: 0 };
  assert.equal(
    validationText("f.pb", bad, plain),
    `f.pb: not valid as m.M, version 2
  a.b[2]: is missing [required]
  (the message): ends inside of a field [truncated]
  … and 3 more
`,
  );
  const good = { message: "m.M", valid: true, violations: [], total: 0, unknown: 1 };
  assert.equal(
    validationText("f.pb", { ...good, unknown_paths: ["9"] }, plain),
    "f.pb: valid as m.M\n  note 1 unknown field: 9\n",
  );
});

Deno.test("a table shows the node's state of each schema", () => {
  const latest = { version: 4, size_bytes: 99, registered_ms: 0 };
  const broken = { state: "invalid", messages: [{ message: "m.M", problem: "no such message" }] };
  const row = { schema_id: "s", compatibility: "FULL", versions: 3, latest };
  assert.match(schemaTable([{ ...row, here: null }]), /\ns +4 +3 +FULL +99 +not mapped\n$/);
  assert.match(schemaTable([{ ...row, here: broken }]), /invalid: m\.M: no such message\n$/);
  const history = historyText({ ...row, versions: [latest], here: { state: "loaded" } }, {}, {
    stdout: { has_color: false },
  });
  assert.match(history, /^s, FULL, 1 version, this node: loaded\nVERSION/);
  const put = { schema_id: "s", refused_ms: 1, problem: "is not gzip", serving: 4 };
  const line = "refused s (1970-01-01T00:00:00.001Z): is not gzip; version 4 serves\n";
  assert.ok(
    historyText({ ...row, refused: put }, {}, { stdout: { has_color: false } }).endsWith(line),
  );
  assert.equal(
    refusedText(
      [put, { schema_id: "a/b", refused_ms: null, problem: "no id", serving: null }],
      plain,
    ),
    `${line}refused a/b: no id; nothing serves\n`,
  );
});

Deno.test("answers of another shape, and hostile ones, still give printable lines", () => {
  const strange = [undefined, null, 7, "x", [], {}, [null, 7, { file: 1, prefix: {}, latest: [] }]];
  for (const value of strange) {
    const texts = [
      findingsText(value, plain),
      findingsCount(value),
      againstText(value),
      schemaTable(value),
      mappingTable(value),
      ruleTable(value),
      diffText({ candidates: value }),
      historyText({ versions: value, here: value, refused: value }, {}, {
        stdout: { has_color: false },
      }),
      refusedText(value, plain),
      explainText({ rule: value, others: value }),
      validationText("f", { violations: value }, plain),
    ];
    for (const text of texts) assert.equal(typeof text, "string");
  }
  const evil = "\u001b]0;owned\u0007";
  const shown = [
    findingsText([{ file: evil, message: evil, field: evil, rule: evil, detail: evil }], plain),
    schemaTable([{ schema_id: evil, here: { state: evil } }]),
    refusedText([{ schema_id: evil, problem: evil }], plain),
    mappingTable([{ subject: evil, schema_id: evil }]),
    ruleTable([{ prefix: evil, source: evil }]),
    diffText({ candidates: [{ candidate: evil, examples: [{ reason: evil, room: evil }] }] }),
    explainText({ subject: evil, why: evil, key: evil, mirrored: true }),
    validationText(evil, { violations: [{ path: evil, message: evil }] }, plain),
  ];
  for (const text of shown) assert.ok(!text.includes("\u001b") && !text.includes("\u0007"), text);
});
