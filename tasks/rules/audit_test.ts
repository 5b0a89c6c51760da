/** The three ends of an audit; an end that nobody has seen yet counts as a failure. */
import assert from "node:assert/strict";
import { judgeAudit } from "./audit.ts";

Deno.test("an audit without findings is clean", () => {
  assert.equal(judgeAudit(true, "No known vulnerabilities found\n"), "clean");
});

Deno.test("findings fail, also when the registry complained beside them", () => {
  const finding = "╭ zod is bad\n│  Severity: high\nFound 1 vulnerabilities\n";
  assert.equal(judgeAudit(false, finding), "vulnerable");
  assert.equal(judgeAudit(false, `error sending request for url\n${finding}`), "vulnerable");
});

Deno.test("a registry that cannot be asked is told apart from a finding", () => {
  const answers = [
    "error: error sending request for url (https://registry/-/npm/v1/security/advisories/bulk): x",
    "error: 405 Method Not Allowed",
    "error: Failed to get data from the audit endpoint: 404",
    "error: the registry responded with status 503",
  ];
  for (const answer of answers) assert.equal(judgeAudit(false, answer), "unanswered", answer);
});

Deno.test("an unknown error fails", () => {
  assert.equal(judgeAudit(false, "error: deno.lock is corrupt"), "vulnerable");
});
