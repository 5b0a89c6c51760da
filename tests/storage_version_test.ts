/** A start on storage that a later ArqonBus has upgraded: one line with the required version, exit code 1. */
import assert from "node:assert/strict";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { requireStorageVersion } from "../shared/spine/storage_version.ts";
import { testLog } from "../shared/testing/logs.ts";
import { createIssuer } from "./harness/cluster.ts";
import { ended, startTask } from "./harness/server_task.ts";

const PORTS = '[ops]\nport = 0\n[admin]\nport = 0\noperator_tenants = ["*"]\n[server]\nport = 0\n';

Deno.test("a storage that runs with later versions only is refused in one line", async () => {
  await using issuer = await createIssuer();
  const data_dir = `${issuer.dir}/data`;
  const spine = openEmbedded({ log: testLog(), now: Date.now, data_dir });
  await requireStorageVersion(spine, 0, { storage: 9, oldest: 8, reads: 1, by: "9.1.0" });
  await spine.drain();
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(file, `${PORTS}data_dir = "${data_dir}"\n${issuer.config}`);
  const { code, stderr } = await ended(startTask("arq", file));
  assert.equal(code, 1, stderr);
  const line = /^.*the storage has version 9 and runs with 8 or newer.*$/m.exec(stderr)?.[0] ?? "";
  assert.match(line, /start ArqonBus 9\.1\.0 or newer, or restore a backup/, stderr);
  assert.ok(!stderr.includes("    at "), stderr);
});
