/** The keys of the server API when their files change. */
import assert from "node:assert/strict";
import { readApiKeys } from "./api_keys.ts";

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
