/** The recipe of a bus for many customers: its configuration and its plans, on a real bus. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { runArq } from "../../arq/testing/run_arq.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";

const SAAS = `${ROOT}examples/cookbook/saas`;

async function arq(cwd: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runArq(args, { cwd });
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

/** Keys of the token server and of the operators, as the page makes them; the configuration names them. */
async function prepared(folder: string): Promise<string> {
  for (const name of ["app", "ops"]) await arq(folder, "auth", "keys", "--out", `keys/${name}`);
  const config = await Deno.readTextFile(`${SAAS}/bus.toml`);
  return config.replaceAll('"keys/', `"${folder}/keys/`);
}

const token = (folder: string, who: "app" | "ops", ...args: string[]) =>
  arq(folder, ...["auth", "gen", "--key", `keys/${who}/arqon-private.jwk.json`], ...[
    ...["--issuer", `https://${who}.example.com`, "--audience", "arqon"],
    ...args,
  ]);

async function customer(folder: string, ...args: string[]): Promise<Deno.CommandOutput> {
  return await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-read", "--allow-write", `${SAAS}/customer.ts`, ...args],
    cwd: folder,
  }).output();
}

Deno.test("customers of two plans share a bus, hear nothing of each other, and only one meets a budget", async () => {
  const folder = await Deno.makeTempDir({ prefix: "saas-" });
  try {
    await using bus = await startBusWith(await prepared(folder));
    const operator = await token(folder, "ops", "--tenant", "ops", "--role", "admin");
    for (const [name = "", plan = ""] of [["acme", "free"], ["globex", "pro"]]) {
      assert.ok((await customer(folder, name, plan, "customers")).success);
      const admin = ["--admin-url", bus.admin_url, "--token", operator];
      await arq(folder, "apply", `customers/${name}`, ...admin);
    }
    const open = async (tenant: string) => {
      const own = await token(folder, "app", "--tenant", tenant, "--user", "ann");
      return await connect({ url: bus.url, token: own });
    };
    await using acme = await open("acme");
    await using globex = await open("globex");
    const [free, pro] = [acme.room("chat-1"), globex.room("chat-1")];
    const heard: string[] = [];
    await pro.listen((message) => void heard.push(message.text())).ready;
    await free.publish("chat", "of acme");
    await pro.publish("chat", "of globex");
    await until("globex hears itself", () => heard.length > 0);
    await until("the free plan's budget is used", async () => {
      const sent = Array.from({ length: 100 }, () => free.publish("chat", "more"));
      const results = await Promise.allSettled(sent);
      return results.some((one) =>
        one.status === "rejected" && one.reason.reason === "budget-exhausted"
      );
    });
    await pro.publish("chat", "on and on");
    await until("globex goes on", () => heard.length === 2);
    assert.deepEqual(heard, ["of globex", "on and on"]);
    // The token server's key makes no admins, and a customer's name cannot leave its folder.
    const forged = await token(folder, "app", "--tenant", "ops", "--role", "admin");
    const admin = ["--admin-url", bus.admin_url, "--token", forged];
    const { code, stderr } = await runArq(["apply", "customers/acme", ...admin], { cwd: folder });
    assert.notEqual(code, 0);
    assert.match(stderr, /token-scope|role/);
    assert.equal((await customer(folder, "../acme", "free", "customers")).code, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
