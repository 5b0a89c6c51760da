/** What redaction removes: named paths, credentials, and tokens anywhere. */
import assert from "node:assert/strict";
import { parseRedactPath, redactedPayload, redactedRead, type RedactPath } from "./redaction.ts";

const path = (text: string) => parseRedactPath(text) as RedactPath;
const TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl";

Deno.test("redaction: paths name members, list entries and the whole payload", () => {
  const json = { email: "a@b", items: [{ phone: 1, n: 2 }, { phone: "3" }], ok: true };
  const at = (...paths: string[]) => redactedPayload({ json }, paths.map(path)).json;
  assert.deepEqual(at("data.email"), { ...json, email: "[redacted]" });
  assert.deepEqual(at("data.items.*.phone", "data.ok"), {
    ...json,
    items: [{ phone: 0, n: 2 }, { phone: "[redacted]" }],
    ok: false,
  });
  assert.deepEqual(at("data.items.1.phone"), {
    ...json,
    items: [json.items[0], { phone: "[redacted]" }],
  });
  assert.equal(at("data"), "[redacted]");
  assert.deepEqual(redactedPayload({ text: "secret" }, [path("data")]), { text: "[redacted]" });
  for (const wrong of ["email", "data.", "data..x", "header", "claim", ""]) {
    assert.equal(parseRedactPath(wrong), undefined, wrong);
  }
});

Deno.test("redaction: JSON with other whitespace is JSON, and invalid JSON is redacted as a whole", () => {
  type Payload = { json?: unknown } | { text: string } | { base64: string };
  const out = (payload: Payload, ...paths: string[]) => redactedPayload(payload, paths.map(path));
  const spaced = { text: '{"email": "a@b", "password": "p",  "n": 1}\n' };
  const left = { email: "a@b", password: "[redacted]", n: 1 };
  assert.deepEqual(out(spaced), { json: left });
  assert.deepEqual(out(spaced, "data.email"), { json: { ...left, email: "[redacted]" } });
  const clean = { text: '{ "n": 1 }' };
  assert.equal(out(clean, "data.email"), clean);
  for (const opaque of [{ base64: "CgNhQGI=" }, { text: '{"email":"a"}\n{"email":"b"}' }]) {
    assert.equal(out(opaque, "header.x"), opaque);
    for (const named of ["data.email", "data"]) {
      assert.deepEqual(out(opaque, named), { text: "[redacted]" });
    }
  }
});

Deno.test("redaction: credentials and tokens go without being named, and nothing else does", () => {
  const read = (from: "header" | "claim", name: string, value: string) =>
    redactedRead({ from, name, value }, [path("header.x.plan"), path("claim.name")]).value;
  for (const name of ["authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"]) {
    assert.equal(read("header", name, "v"), "[redacted]", name);
  }
  assert.equal(read("header", "x.plan", "v"), "[redacted]");
  assert.equal(read("claim", "name", "v"), "[redacted]");
  assert.equal(read("header", "x-plan", "v"), "v");
  assert.equal(
    read("header", "referer", "https://h/p?a=1&token=abc#x"),
    "https://h/p?a=1&token=[redacted]#x",
  );
  assert.equal(read("header", "x-note", `is ${TOKEN}.`), "is [redacted].");
  const json = { password: "p", api_key: 7, text: `see ${TOKEN}`, keys: "kept", tokens_left: 3 };
  assert.deepEqual(redactedPayload({ json }, []).json, {
    password: "[redacted]",
    api_key: 0,
    text: "see [redacted]",
    keys: "kept",
    tokens_left: 3,
  });
  const plain = { json: { a: [1, "x"] } };
  assert.equal(redactedPayload(plain, []), plain);
});
