/** The compilation of a policy: hooks, state, and error messages. */
import assert from "node:assert/strict";
import { startPolicy } from "../testing/guest_host.ts";
import { compilePolicy, PolicyCompileError } from "./assemblyscript.ts";

const SDK = new URL("../sdk/", import.meta.url);

/** Compiles `policy.ts` and the files beside it. */
function compile(text: string, others: Readonly<Record<string, string>> = {}) {
  const files: Record<string, string> = { ...others, "policy/policy.ts": text };
  const readFile = async (path: string) =>
    path.startsWith("sdk/")
      ? await Deno.readTextFile(new URL(path.slice("sdk/".length), SDK))
      : files[path];
  return compilePolicy({ entry: "policy.ts", readFile });
}

const refusalOf = async (text: string) => {
  const error = await compile(text).then(() => undefined, (cause) => cause);
  assert.ok(error instanceof PolicyCompileError, String(error));
  return error.message;
};

Deno.test("a policy is one statement, and its words are matched", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, onMessage, reject } from "@arqon/policy";
      onMessage((m) => m.text.includes("malware") ? reject("no malware, please") : allow());
    `),
  );
  assert.equal(policy({ payload: "hello" }).allowed, true);
  const { code, reason } = policy({ payload: "some malware" });
  assert.deepEqual({ code, reason }, { code: 403, reason: "no malware, please" });
});

Deno.test("state of the policy is kept between calls, also after refusals", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, onMessage, reject } from "@arqon/policy";
      const seen = new Map<string, i32>();
      onMessage((m) => {
        const count = (seen.has(m.user) ? seen.get(m.user) : 0) + 1;
        seen.set(m.user, count);
        return count % 2 == 0 ? reject(m.user + " " + count.toString(), 429) : allow();
      });
    `),
  );
  const send = (user: string) => policy({ headers: { "x-arqon-user": user } });
  assert.deepEqual([1, 2, 3].map(() => send("ann").allowed), [true, false, true]);
  assert.equal(send("bob").allowed, true);
  assert.deepEqual([send("ann").reason, send("bob").reason], ["ann 4", "bob 2"]);
});

Deno.test("a policy of version 1 collects its garbage when there is enough, and before the memory is full", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, onMessage } from "@arqon/policy";
      let last = new Uint8Array(0);
      onMessage((m) => {
        last = new Uint8Array(m.bytes.length * 64);
        return allow();
      });
    `),
  );
  const small = Array.from({ length: 100 }, () => policy({ payload: "x" }).units).slice(1);
  const least = Math.min(...small);
  const collecting = small.filter((units) => units !== least).length;
  assert.ok(collecting > 0 && collecting < 10, `${collecting} of ${small.length}`);
  // A MiB each, of 4.
  const large = Array.from({ length: 20 }, () => policy({ payload: new Uint8Array(16_384) }));
  assert.deepEqual(new Set(large.map(({ detail }) => detail)), new Set([""]));
});

Deno.test("a policy of version 2 keeps the results of its top-level statements, but not those of an earlier call", async () => {
  const bytes = await compile(`
      import { allow, onMessage, reject } from "../sdk/v2.ts";
      const seen = new Map<string, i32>();
      seen.set("ann", 7);
      onMessage((m) => {
        const count = (seen.has(m.user) ? seen.get(m.user) : 0) + 1;
        seen.set(m.user, count);
        return reject(m.user + " " + count.toString());
      });
    `);
  const module = new WebAssembly.Module(bytes);
  const hosts = new Set(WebAssembly.Module.imports(module).map((entry) => entry.module));
  assert.deepEqual([...hosts], ["arqon_host_v2"]);
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  assert.deepEqual(names.sort(), ["arqon_alloc", "arqon_init", "arqon_on_message", "memory"]);
  const policy = startPolicy(bytes);
  const send = (user: string) => policy({ headers: { "x-arqon-user": user } }).reason;
  assert.deepEqual(["ann", "ann", "bob", "ann", "bob"].map(send), [
    "ann 8",
    "ann 8",
    "bob 1",
    "ann 8",
    "bob 1",
  ]);
});

Deno.test("a policy has version 2 if any of its files requests it", async () => {
  const bytes = await compile(
    `import { judge } from "./a.ts"; import { onMessage } from "@arqon/policy"; onMessage(judge);`,
    {
      "policy/a.ts": `import { isLow } from "./b.ts";
        import { allow, Message, reject, Verdict } from "@arqon/policy";
        export function judge(m: Message): Verdict { return isLow(m.text) ? allow() : reject("high"); }`,
      "policy/b.ts": `import { fold } from "@arqon/policy/v2";
        export function isLow(text: string): bool { return fold(text) == text; }`,
    },
  );
  assert.deepEqual(startPolicy(bytes)({}).detail, "");
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
  assert.ok(imports.every((entry) => entry.module === "arqon_host_v2"));
});

Deno.test("a policy reads headers and claims, adds headers and logs", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, info, onMessage, onSubscribe, reject, warn } from "@arqon/policy";
      onMessage((m) => {
        const plan = m.claim("plan");
        info("plan " + (plan === null ? "none" : plan) + " in " + m.room + " of " + m.tenant);
        if (m.header("X-None") !== null) return reject("no");
        m.addHeader("x-plan", plan === null ? "" : plan);
        return allow();
      });
      onSubscribe((r) => {
        warn(r.remoteIp);
        return r.room == "secret" ? reject("not here", 404) : allow();
      });
    `),
  );
  const message = policy({
    headers: { "x-arqon-room": "lobby", "x-arqon-tenant": "acme" },
    claims: { plan: "größer" },
  });
  assert.deepEqual(message.logs, [{ level: 1, message: "plan größer in lobby of acme" }]);
  assert.deepEqual(message.added_headers, [["x-plan", "größer"]]);
  const headers = { "x-arqon-room": "secret", "x-arqon-remote-ip": "::1" };
  const subscription = policy({ hook: "on_subscribe", headers });
  assert.equal(subscription.code, 404);
  assert.deepEqual(subscription.logs, [{ level: 2, message: "::1" }]);
});

Deno.test("only hooks with a handler are exported, in addition to memory and arqon_alloc", async () => {
  const bytes = await compile(`
    import { allow, onConnect } from "@arqon/policy";
    export function extra(): void {}
    onConnect((_r) => allow());
  `);
  const module = new WebAssembly.Module(bytes);
  const names = WebAssembly.Module.exports(module).map(({ name }) => name).sort();
  assert.deepEqual(names, ["arqon_alloc", "arqon_on_connect", "memory"]);
  assert.deepEqual(WebAssembly.Module.imports(module).map((entry) => entry.module), []);
});

Deno.test("a failing policy traps, and needs no import for that", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, onMessage } from "@arqon/policy";
      onMessage((m) => m.bytes[4] == 0 ? allow() : allow());
    `),
  );
  const { allowed, fault, broken } = policy({ payload: "four" });
  assert.deepEqual({ allowed, fault, broken }, { allowed: false, fault: "trap", broken: true });
});

Deno.test("the same sources give the same bytes, with either name of the SDK", async () => {
  const text = (sdk: string) =>
    `import { allow, onMessage } from "${sdk}";\nonMessage((_m) => allow());\n`;
  const [named, relative] = await Promise.all(
    ["@arqon/policy", "../sdk/mod.ts"].map((sdk) => compile(text(sdk))),
  );
  assert.deepEqual(relative, named);
});

Deno.test("a compilation error is refused with file and line", async () => {
  const message = await refusalOf(
    'import { onMessage } from "@arqon/policy";\nonMessage((m) => m.texts.length);\n',
  );
  assert.match(message, /Property 'texts' does not exist/);
  assert.match(message, /policy\/policy\.ts\(2,\d+\)/);
});

Deno.test("a policy without a handler is refused", async () => {
  assert.match(await refusalOf("export const nothing = 1;\n"), /registers no handler/);
});

Deno.test("a policy reads no file outside of its folder", async () => {
  assert.match(
    await refusalOf('import { x } from "../../secret.ts";\nexport const y = x;\n'),
    /not found/,
  );
});

Deno.test("state that is declared at the top level is kept between calls, by its key", async () => {
  const policy = startPolicy(
    await compile(`
      import { allow, onMessage, reject, state } from "@arqon/policy/v2";
      const seen = state("{header.\\"x\\"}/{room}/{user}", 60, 4);
      const other = state("{tenant}", 60, 8);
      onMessage((m) => {
        const before = seen.get();
        if (before === null) {
          const value = new Uint8Array(4);
          value[0] = 1;
          seen.set(value);
          return allow();
        }
        before[0]++;
        seen.set(before);
        if (before[0] == 3) seen.delete();
        if (other.get() !== null) return reject("never written");
        return reject("", 400 + before[0]);
      });
    `),
  );
  const send = (user: string) => policy({ headers: { "x-arqon-user": user } }).code;
  assert.deepEqual([1, 2, 3, 4, 5].map(() => send("ann")), [0, 402, 403, 0, 402]);
  assert.equal(send("bob"), 0);
});

Deno.test("a policy of version 2 without state declares none, and is initialised if it asks the host for nothing", async () => {
  const bytes = await compile(
    'import { allow, onMessage } from "@arqon/policy/v2";\nonMessage((_m) => allow());\n',
  );
  const module = new WebAssembly.Module(bytes);
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  assert.ok(!names.includes("arqon_state_keys"), names.join());
  assert.deepEqual(WebAssembly.Module.imports(module), []);
  assert.equal(startPolicy(bytes)({}).code, 0);
});
