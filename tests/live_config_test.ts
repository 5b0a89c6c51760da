/**
 * Live keys of the configuration on a running bus, with clients connected: each is changed in the file, the file is
 * read again, the effect is observed, and nobody is disconnected.
 */
import assert from "node:assert/strict";
import { parseToml } from "../shared/config/toml.ts";
import { startBus } from "./harness/bus.ts";
import { BASE, LIVE_ROWS } from "./live_config_rows.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { logged } from "./harness/server_state.ts";

/** `BASE` with some of its tables replaced. */
function fileOf(tables: Readonly<Record<string, string>>): string {
  const replaced = new Set(Object.keys(tables));
  const kept = BASE.split(/^(?=\[)/m).filter((part) =>
    !replaced.has((part.split("\n")[0] ?? "").slice(1, -1))
  );
  const own = Object.entries(tables).map(([name, lines]) => `[${name}]\n${lines}\n`);
  const text = [...kept, ...own].join("");
  assert.ok(parseToml(text).ok, text);
  return text;
}

/** A bus whose file can be rewritten and read again. */
async function startLive() {
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  await Deno.writeTextFile(file, BASE);
  const bus = await startBus(["--config", file]);
  let reloads = 0;
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  return {
    bus,
    admin,
    file,
    async reload(text: string) {
      await Deno.writeTextFile(file, text);
      // One row is about the rate of an admin's changes.
      const token = await bus.tokenFor({ role: "admin", user: `root-${++reloads}` });
      const admin = new AdminClient(bus.admin_url, token);
      const { status, body } = await admin.ask("POST", "/v1/config/reload", {});
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.configs.length, 1, "Shield and Brain of one process are one");
      return body.configs[0];
    },
    async [Symbol.asyncDispose]() {
      await bus[Symbol.asyncDispose]();
      await Deno.remove(file);
    },
  };
}

Deno.test("live config: each live key takes effect in a running bus, and nobody is disconnected", async (t) => {
  await using live = await startLive();
  const { bus, reload } = live;
  using client = await openText(bus.url, bus.token);
  using witness = await openText(bus.url, await bus.tokenFor({ user: "witness", tenant: "quiet" }));
  for (const [key, row] of Object.entries(LIVE_ROWS)) {
    if (typeof row === "string") {
      await Deno.stat(new URL(`../${row}`, import.meta.url));
      continue;
    }
    await t.step(key, async () => {
      const taken = await reload(fileOf(row.tables));
      assert.deepEqual([taken.problem, taken.needs_restart], [null, []]);
      assert.ok(taken.changed.includes(key), `${key} is not in ${taken.changed}`);
      try {
        await row.see({ bus, client });
      } finally {
        const back = await reload(BASE);
        assert.deepEqual([back.problem, back.changed], [null, taken.changed]);
      }
    });
  }
  // Both were connected before the first change.
  for (const one of [client, witness]) await ask(one, { op: "sub", room: "alive" });
});

Deno.test("live config: keys that need a restart are named, a broken file changes nothing, and both are shown", async () => {
  await using live = await startLive();
  const { bus, admin, reload } = live;
  const taken = await reload(
    fileOf({ limits: "max_frame_bytes = 2_048\nconnections_per_user = 7" }),
  );
  assert.deepEqual([taken.changed, taken.needs_restart, taken.problem], [
    ["limits.connections_per_user"],
    ["limits.max_frame_bytes"],
    null,
  ]);
  await logged(
    bus,
    /level=warn .*need a restart.*limits\.max_frame_bytes|limits\.max_frame_bytes.*need a restart/,
  );
  const page = async () => await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(await page(), /^arqon_config_restart_keys 1$/m);
  const broken = await reload("[limits]\nconnections_per_use = 3\n");
  assert.match(
    broken.problem,
    /:2:1 limits\.connections_per_use: unknown key; did you mean "connections_per_user"\?/,
  );
  assert.deepEqual([broken.changed, broken.values["limits.connections_per_user"]], [[], 7]);
  assert.match(await page(), /^arqon_config_reloads_total\{result="refused"\} 1$/m);
  const { configs } = await admin.read("/v1/config");
  assert.deepEqual(configs, [broken], "what is in force is told without reading anything");
  assert.equal((await admin.read("/v1/limits")).limits?.connections_per_user ?? 7, 7);
  const stranger = new AdminClient(
    bus.admin_url,
    await bus.tokenFor({ role: "admin", tenant: "other" }),
  );
  assert.equal((await stranger.get("/v1/config")).status, 403);
  assert.equal((await stranger.ask("POST", "/v1/config/reload", {})).status, 403);
  assert.equal((await admin.get("/v1/config?node=nobody")).status, 404);
});
