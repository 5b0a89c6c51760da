/** The subjects that a command line accepts; `shared/` tests the patterns themselves. */
import assert from "node:assert/strict";
import { CommandError, EXIT } from "../terminal/exit.ts";
import { subjectArgument } from "./request_members.ts";

Deno.test("a room or the beginning of one is a subject of the tenant", () => {
  const cases: [string, string | undefined, string, string][] = [
    ["lobby", undefined, "default", "in.t.default.r.lobby"],
    ["vehicles-*", "acme", "acme", "in.t.acme.r.vehicles-*"],
    ["*", undefined, "default", "in.t.default.r.*"],
    ["in.t.acme.*", undefined, "acme", "in.t.acme.*"],
    ["in.t.acme.>", "acme", "acme", "in.t.acme.>"],
    ["in.t.acme.r.lobby", undefined, "acme", "in.t.acme.r.lobby"],
  ];
  for (const [text, given, tenant, subject] of cases) {
    assert.deepEqual(subjectArgument(text, given), { tenant, subject });
  }
});

Deno.test("a tenant of one's own counts only where nothing else names one", () => {
  const of = (text: string, given?: string) => subjectArgument(text, given, "own").tenant;
  assert.deepEqual([of("lobby"), of("lobby", "acme"), of("in.t.acme.*")], ["own", "acme", "acme"]);
});

Deno.test("a subject of no tenant, or of another tenant, is a wrong command line", () => {
  const cases: [string, string | undefined][] = [
    ["", undefined],
    ["a b", undefined],
    ["a*b", undefined],
    ["out.t.acme.r.lobby", undefined],
    ["in.t.*.r.lobby", undefined],
    ["in.t.acme", undefined],
    ["in.t.acme.*", "other"],
  ];
  for (const [text, tenant] of cases) {
    assert.throws(
      () => subjectArgument(text, tenant),
      (error) => error instanceof CommandError && error.exit_code === EXIT.usage,
      text,
    );
  }
});
