/** The server API: methods that ask the whole cluster while a Shield does not answer, codes of refusals, and keys. */
import assert from "node:assert/strict";
import { METHODS } from "./api_methods.ts";
import { ArqonError } from "@arqon/proto";
import { clientError, DISCONNECT, disconnectFor, ERROR } from "./codes.ts";
import { readApiKeys } from "./api_keys.ts";

type MethodContext = Parameters<NonNullable<ReturnType<typeof METHODS.get>>>[0];
type MethodCall = Parameters<NonNullable<ReturnType<typeof METHODS.get>>>[1];

const CALL = {
  params: new Map([["user", '"ann"']]),
  caller: { identity: { tenant_id: "acme", user_id: "centrifugo" } },
} as unknown as MethodCall;

/** Calls a method where these Shields answer, none with a row; `ordered` gets the receivers of its order. */
async function call(name: string, nodes: { answered: string[]; silent: string[] }) {
  const ordered: string[] = [];
  const context = {
    room_prefix: "",
    lists: () => ({ asker: { askAt: () => Promise.resolve({ answers: [], nodes }) } }),
    orders: () => (to: Iterable<string>) => Promise.resolve(void ordered.push(...to)),
  } as unknown as MethodContext;
  const outcome = await METHODS.get(name)!(context, CALL).then(
    ({ result }) => result,
    (error) => error.reason,
  );
  return { outcome, ordered };
}

Deno.test("an order goes to all Shields, and one that does not answer is reported", async () => {
  const whole = await call("disconnect", { answered: ["a", "b"], silent: [] });
  assert.deepEqual(whole, { outcome: {}, ordered: ["a", "b"] });
  const partial = await call("disconnect", { answered: ["a"], silent: ["b"] });
  assert.deepEqual(partial, { outcome: "process-unavailable", ordered: ["a"] });
});

Deno.test("a list without the answer of a Shield is refused, as it is for Pusher's backends", async () => {
  for (const name of ["channels", "info"]) {
    const { outcome } = await call(name, { answered: ["a"], silent: ["b"] });
    assert.equal(outcome, "process-unavailable", name);
  }
});

// The codes of refusals whose HTTP code a policy chose.

Deno.test("a policy's refusal is error 103 and disconnect 3507, whatever code the policy chose", () => {
  for (const code of [400, 401, 403, 413, 422, 429, 500, 503]) {
    const refusal = new ArqonError("policy-rejected", "no", { code });
    assert.equal(disconnectFor(refusal), DISCONNECT.permission_denied, `${code}`);
    const { code: number, temporary } = clientError(refusal);
    assert.deepEqual([number, temporary], [ERROR.permission_denied, undefined], `${code}`);
  }
});

// The keys of the server API when their files change.

Deno.test("a key that was changed in its file counts from the next reload on, a bad file changes nothing", async () => {
  const files: Record<string, string> = { a: "key-of-backend-a", b: "key-of-backend-b" };
  const api_keys = ["a", "b"].map((key_file) => ({ tenant: `of-${key_file}`, key_file }));
  let reload: () => Promise<readonly string[]> = () => assert.fail("nothing reads the keys again");
  const keys = readApiKeys({ api_keys }, (path) => files[path]!, {
    onRead: (read) => void (reload = read),
  });
  const tenants = () => Object.values(files).map((key) => keys(key)?.tenant_id);
  assert.deepEqual(tenants(), ["of-a", "of-b"]);
  files["b"] = "short";
  await assert.rejects(reload(), /centrifugo\.api_keys\[1\]\.key_file.* is too short/);
  assert.equal(keys("key-of-backend-b")?.tenant_id, "of-b");
  files["b"] = "another-key-of-backend-b";
  assert.deepEqual(await reload(), ["centrifugo.api_keys[1].key_file"]);
  assert.deepEqual(tenants(), ["of-a", "of-b"]);
  assert.equal(keys("key-of-backend-b"), undefined);
  assert.deepEqual(await reload(), []);
});
