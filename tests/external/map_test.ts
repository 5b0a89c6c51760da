/**
 * The live-map examples of both SDKs with the real transit feeds, by `map_child.ts`. Needs the data
 * folder: `deno task test:external DIR`, which becomes `Deno.args[0]`, and the Python environment that
 * `deno task test:python` makes.
 */
import assert from "node:assert/strict";

const DATA = Deno.args[0];
const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const PYTHON = `${ROOT}/.arqon/python/bin/python`;

Deno.test("every vehicle of the real feeds is on the map, in both languages", async () => {
  assert.ok(DATA !== undefined, "run this with `deno task test:external DIR`");
  const found = await Deno.stat(PYTHON).catch(() => undefined);
  assert.ok(found !== undefined, `no ${PYTHON}: run \`deno task test:python\` first, it makes it`);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-prompt", `${ROOT}/tests/external/map_child.ts`],
      ...[`${DATA}/gtfs-realtime/feeds`, PYTHON],
    ],
    cwd: ROOT,
    stdin: "null",
    stderr: "piped",
  });
  const { success, stderr } = await child.output();
  assert.ok(success, new TextDecoder().decode(stderr));
});
