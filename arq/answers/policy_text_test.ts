/** Listings and log lines for people, also from malformed answers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { policyName } from "../commands/policy/policy_deploy.ts";
import { CommandError } from "../terminal/exit.ts";
import {
  historyTable,
  logLine,
  nodeTrouble,
  percentText,
  policyTable,
  quarantinedLines,
  quarantineTable,
  table,
  tenantTable,
} from "./policy_text.ts";

// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

Deno.test("modules in quarantine are listed, and named where a policy needs them", () => {
  const module = { sha256: "f".repeat(64), why: "wedge", at_ms: 1_000, node: "shield-1" };
  assert.equal(
    quarantineTable([module]).split("\n")[1],
    `${module.sha256}  wedge  1970-01-01T00:00:01.000Z  shield-1`,
  );
  assert.equal(
    quarantinedLines([{ name: "words", ...module }]),
    "IN QUARANTINE: words since 1970-01-01T00:00:01.000Z (wedge); its messages are refused " +
      `until arq policy release ${module.sha256}\n`,
  );
  assert.deepEqual([quarantineTable(undefined), quarantinedLines(undefined)], ["", ""]);
});

Deno.test("policies are listed in columns, in the order that the bus gives", () => {
  const policy = {
    name: "bad-words",
    sha256: "0123456789abcdef".repeat(4),
    room: "chat-*",
    hooks: ["on_connect", "on_message"],
    order: 10,
    mode: "enforce",
    percent: 0.1,
  };
  const second = { ...policy, name: "q", room: "*", hooks: ["on_message"], order: -1, percent: 1 };
  assert.equal(
    policyTable([policy, { ...second, mode: "observe" }]),
    "NAME       ROOM    HOOKS                  ORDER  MODE     OF KEYS  MODULE\n" +
      "bad-words  chat-*  on_connect,on_message  10     enforce  10 %     0123456789ab\n" +
      "q          *       on_message             -1     observe  100 %    0123456789ab\n",
  );
  const stateful = policyTable([{ ...policy, stateful: true }, { ...policy, stateful: null }]);
  assert.match(stateful, /0123456789ab stateful\n.*0123456789ab\n$/);
  assert.equal(policyTable([]), "");
  assert.equal(table(["A"], []), "");
});

Deno.test("a share is a percentage, without the noise of binary fractions", () => {
  const texts = [0, 0.001, 0.07, 0.1, 0.29, 0.5, 1].map(percentText);
  assert.deepEqual(texts, ["0 %", "0.1 %", "7 %", "10 %", "29 %", "50 %", "100 %"]);
});

Deno.test("earlier versions are listed latest first, the empty start without a time", () => {
  const history = [
    { version: 0, at_ms: 0, by: "", change: "", policies: [] },
    { version: 1, at_ms: 1_767_323_045_000, by: "ops", change: "deploy a", policies: ["a", "b"] },
  ];
  assert.equal(
    historyTable(history),
    "VERSION  AT                        BY   CHANGE    POLICIES\n" +
      "1        2026-01-02T03:04:05.000Z  ops  deploy a  a,b\n" +
      "0\n",
  );
});

Deno.test("a node that does not enforce the version reports that", () => {
  assert.equal(nodeTrouble({ state: "active", detail: "", enforced_version: 3 }, 3), "");
  assert.equal(nodeTrouble(null, 0), "");
  assert.match(nodeTrouble(null, 1), /this node is not ready yet/);
  assert.match(nodeTrouble({ state: "active", enforced_version: 2 }, 3), /this node is active/);
  const failed = { state: "failed", detail: "out of\u001b[2J memory", enforced_version: 2 };
  assert.equal(nodeTrouble(failed, 3), "this node is failed: out of\\u001b[2J memory");
  assert.match(tenantTable([{ tenant: "acme", ...failed }]), /^TENANT.*\nacme {4}failed {2}2/);
});

Deno.test("a log line is one line, whatever its content", () => {
  const line = {
    ts: "2026-01-02T03:04:05.000Z",
    policy: "p",
    level: "warn",
    message: "a\nb\u001b",
  };
  assert.equal(logLine(line), "2026-01-02T03:04:05.000Z warn  p  a\\u000ab\\u001b\n");
  assert.match(logLine({ dropped: 7 }), /7 lines lost/);
});

Deno.test("no answer makes the rendering throw or drive the terminal", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (value, other) => {
    for (const render of [policyTable, historyTable, tenantTable]) {
      assert.doesNotMatch(
        render([value, { name: other, policies: [other], by: value }]),
        UNPRINTABLE,
      );
      render(value);
    }
    assert.doesNotMatch(logLine(value), UNPRINTABLE);
    assert.doesNotMatch(nodeTrouble(value, other), UNPRINTABLE);
  }));
});

Deno.test("a policy is named after its file, or by --name", () => {
  assert.equal(policyName("build/bad-words.wasm", undefined), "bad-words");
  assert.equal(policyName("bad_words.WASM", undefined), "bad_words");
  assert.equal(policyName("x.wasm", "y"), "y");
  const refused: [string, string | undefined][] = [["bad words.wasm", undefined], ["a", "b c"]];
  for (const [file, name] of refused) {
    assert.throws(
      () => policyName(file, name),
      (error) =>
        error instanceof CommandError && error.exit_code === 2 &&
        /character " "/.test(error.message),
    );
  }
});
