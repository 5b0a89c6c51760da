/**
 * Which processes may start without `operator_tenants`: real processes of each kind, with an issuer that may issue
 * tokens for admins of any tenant.
 */
import assert from "node:assert/strict";
import { runArq, startArq, succeeds } from "../arq/testing/run_arq.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { createIssuer } from "./harness/cluster.ts";
import { ended, startTask } from "./harness/server_task.ts";

const PORTS = "[server]\nport = 0\n[ops]\nport = 0\n";
const LINE = 'operator_tenants = ["ops"]';
const REFUSED =
  /admin\.operator_tenants: missing; expected .*several.* the line operator_tenants = \["ops"\]/;

Deno.test("shield, arq serve and arq config check refuse it with the line to add, and start with it", async () => {
  await using issuer = await createIssuer();
  const without = `${issuer.dir}/without.toml`;
  const having = `${issuer.dir}/having.toml`;
  await Deno.writeTextFile(without, `${PORTS}[admin]\nport = 0\n${issuer.config}`);
  await Deno.writeTextFile(having, `${PORTS}[admin]\nport = 0\n${LINE}\n${issuer.config}`);
  const refusals = [
    await ended(startTask("shield", without)),
    await runArq(["serve", "--config", without], { cwd: issuer.dir }),
  ];
  for (const { code, stderr } of refusals) {
    assert.equal(code, 2, stderr);
    assert.match(stderr, REFUSED);
  }
  const wrong = await runArq(["config", "check", without], { cwd: issuer.dir });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stdout, REFUSED);
  succeeds(await runArq(["config", "check", having], { cwd: issuer.dir }));
  const serving = await startArq(["serve", "--config", having], { cwd: issuer.dir });
  await serving.says('msg="ready"');
  const admin_url = /admin_url="?(http:[^\s"]+)/.exec(serving.stderr())?.[1] ?? "";
  const access = async (tenant_id: string) => {
    const token = await issuer.tokenFor({ tenant_id, role: "admin" });
    return await new AdminClient(admin_url, token).read("/v1/access");
  };
  assert.equal((await access("ops")).operator, true);
  assert.equal((await access("acme")).operator, false);
  serving.child.kill("SIGTERM");
  assert.equal((await serving.result()).code, 0);
});

Deno.test("the configuration of arq init has it", async () => {
  await using folder = await temporaryFolder();
  succeeds(await runArq(["init", folder.path, "--no-context"], { cwd: folder.path }));
  const text = await Deno.readTextFile(`${folder.path}/config.toml`);
  assert.match(text, /^\[admin\]\n(?:.*\n)*?operator_tenants = \["default"\]$/m);
  // An additional tenant needs nothing else: its admins are not operators.
  const more = text.replace(
    'tenants = ["default"]\nroles',
    'tenants = ["default", "acme"]\nroles',
  );
  assert.notEqual(more, text);
  await Deno.writeTextFile(`${folder.path}/config.toml`, more);
  succeeds(await runArq(["config", "check", "config.toml"], { cwd: folder.path }));
});
