// The contexts file in a folder of its own: what is accepted, what is refused, and that nothing is lost.
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checkedContext,
  contextNamed,
  contextOfFolder,
  parseContexts,
  readContexts,
  withContext,
  writeContexts,
} from "./contexts.ts";
import type { Contexts } from "./contexts.ts";
import { CommandError } from "../terminal/exit.ts";
import { diskIo } from "../testing/disk_io.ts";

const PROD = { name: "prod", url: "wss://bus.example.com" };
const ALL: Contexts = {
  current: "prod",
  contexts: [
    { name: "outer", url: "ws://a", folder: "/w" },
    { name: "inner", url: "ws://b", folder: "/w/bus" },
    PROD,
  ],
};

Deno.test("any file content is parsed as contexts or refused", () => {
  const take = (text: string) => {
    try {
      const { current, contexts } = parseContexts(text);
      assert.ok(current === undefined || contexts.some(({ name }) => name === current));
    } catch (error) {
      assert.ok(
        error instanceof SyntaxError || error instanceof TypeError || error instanceof CommandError,
      );
    }
  };
  fc.assert(fc.property(fc.string(), take));
  fc.assert(fc.property(fc.json(), (contexts) => take(`{"contexts":[${contexts}]}`)));
  assert.deepEqual(parseContexts(JSON.stringify(ALL)), ALL);
});

Deno.test("a file that cannot be used is named with what to do, and is not written over", async () => {
  const cases: [string, RegExp][] = [
    ["{", /contexts\.json cannot be used: .*JSON/],
    ["[]", /it has no list "contexts"/],
    ['{"contexts":[{"name":"a"}]}', /contexts\[0\]\.url is not a string/],
    ['{"contexts":[{"name":"a","url":"ws://a","key":7}]}', /contexts\[0\]\.key is not a string/],
    ['{"current":"b","contexts":[]}', /"current" is "b", which is not one of them/],
    ['{"contexts":[{"name":"a","url":"ftp://a"}]}', /scheme "ftp:"/],
  ];
  const config_dir = await Deno.makeTempDir();
  const io = { ...diskIo("/"), config_dir };
  for (const [text, expected] of cases) {
    await Deno.writeTextFile(`${config_dir}/contexts.json`, text);
    const error = await readContexts(io).then(() => undefined, (thrown) => thrown);
    assert.match(error.message, expected);
    assert.match(error.hint, /nothing was changed/);
    assert.equal(await Deno.readTextFile(`${config_dir}/contexts.json`), text);
  }
  await Deno.remove(config_dir, { recursive: true });
});

Deno.test("contexts are stored for their owner only, sorted and atomically, and no other files are left", async () => {
  const home = await Deno.makeTempDir();
  const io = { ...diskIo("/"), config_dir: `${home}/new/arqon` };
  assert.deepEqual(await readContexts(io), { current: undefined, contexts: [] });
  await writeContexts(io, { current: undefined, contexts: [{ name: "z", url: "ws://z" }] });
  await writeContexts(io, withContext(await readContexts(io), { ...PROD, key: undefined }));
  const { contexts } = await readContexts(io);
  assert.deepEqual(contexts.map(({ name }) => name), ["prod", "z"]);
  const path = `${home}/new/arqon/contexts.json`;
  if (Deno.build.os !== "windows") assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  assert.deepEqual((await Array.fromAsync(Deno.readDir(`${home}/new/arqon`))).length, 1);
  await assert.rejects(writeContexts(diskIo("/"), ALL), /there is no folder for contexts/);
  await Deno.remove(home, { recursive: true });
});

Deno.test("the nearest folder's context counts, and an unknown name lists those there are", () => {
  assert.equal(contextOfFolder(ALL, "/w/bus/policies")?.name, "inner");
  assert.equal(contextOfFolder(ALL, "/w/other")?.name, "outer");
  assert.equal(contextOfFolder(ALL, "/home"), undefined);
  assert.equal(contextNamed(ALL, "prod"), PROD);
  assert.throws(() => contextNamed(ALL, "prot"), {
    message: 'no context "prot"',
    hint: "did you mean prod? there are outer, inner, prod, dev",
    exit_code: 2,
  });
});

Deno.test("an invalid context is refused with the wrong option", () => {
  const cases: [object, RegExp][] = [
    [{ name: "dev" }, /"dev" names the running development bus/],
    [{ name: "a b" }, /expected 1 to 64 of/],
    [{ url: "ftp://a" }, /--url: scheme "ftp:"/],
    [{ admin_url: "ws://a" }, /--admin-url "ws:\/\/a": expected an http or https URL/],
    [{ ops_url: "http://u:p@a" }, /--ops-url .*without a password/],
    [{ tenant: "a.b" }, /--tenant: /],
    [{ key: "/k" }, /--key, --issuer and --audience go together/],
    [{ key: "/k", issuer: "i", audience: "a", token_file: "/t" }, /exclude each other/],
  ];
  for (const [wrong, expected] of cases) {
    assert.throws(() => checkedContext({ ...PROD, ...wrong }), expected);
  }
});
