/** The suggestions of `arq` begin with the words that the user typed. */
import assert from "node:assert/strict";
import { calledAs } from "./called_as.ts";
import { folderWith } from "../testing/disk_io.ts";
import { runArq } from "../testing/run_arq.ts";

Deno.test("suggestions name the launcher, else the checkout's task with or without npx, else arq", () => {
  assert.equal(calledAs({ ARQON_CALLED_AS: "bunx arq" }, true), "bunx arq");
  assert.equal(calledAs({ ARQON_CALLED_AS: "$(rm x)" }, false), "arq");
  assert.equal(calledAs({}, false), "arq");
  assert.equal(calledAs({ npm_command: "exec" }, false), "arq");
  assert.equal(calledAs({}, true), "deno task -q arq");
  assert.equal(calledAs({ npm_command: "exec" }, true), "npx -y deno task -q arq");
});

Deno.test("arq init prints the next commands the way it was called", async () => {
  await using folder = await folderWith({});
  const config_home = `${folder.path}/home`;
  const options = { cwd: folder.path, config_home };
  const init = (dir: string, env: Record<string, string>) =>
    runArq(["init", dir, "--json"], { ...options, env });
  const { next } = JSON.parse((await init("one", { ARQON_CALLED_AS: "npx arq" })).stdout);
  assert.deepEqual(next.slice(1), [
    "npx arq serve --config config.toml",
    `npx arq pub orders '{"item":"tea"}'`,
    "npx arq sub orders --from 0",
  ]);
  const plain = JSON.parse((await init("two", {})).stdout).next;
  assert.equal(plain[1], "deno task -q arq serve --config config.toml");
});
