/** Scenarios of a module that is tried in the browser on a policy's decisions: flips, faults, a broken module. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { traps } from "../../arq/replay/testing/guest_text.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { BUILT, decided } from "./scenarios_policy.ts";
import { ask, openConsole, type Scenario } from "./world.ts";

const TENANT = "tried";

const fileOf = (name: string, bytes: Uint8Array) => ({
  name,
  mimeType: "application/wasm",
  buffer: Buffer.from(bytes),
});

const trial: Scenario = {
  name:
    "a module is tried in the browser on recorded decisions, and nothing of it reaches the Shield",
  async run(world) {
    await decided(world, TENANT);
    await using console = await openConsole(world, { at: `#/policies/${TENANT}/words` });
    const { page } = console;
    await page.getByText("2 allowed, 1 refused, 0 faults.").waitFor();
    const sent: string[] = [];
    page.on("request", (request) => {
      const { pathname } = new URL(request.url());
      sent.push(`${request.method()} ${pathname.replace(/[0-9a-f]{64}/, "SHA256")}`);
    });
    const card = page.getByRole("region", { name: "Flips of another module" });
    const tryIt = async (file: ReturnType<typeof fileOf>) => {
      await card.getByLabel("Module").setInputFiles(file);
      await card.getByRole("button", { name: "Try it" }).click();
    };
    await tryIt(fileOf("size.wasm", await Deno.readFile(`${BUILT}content_size.wasm`)));
    await card.getByText("3 of 3", { exact: true }).waitFor();
    const flip = card.locator("tbody tr");
    await flip.filter({ hasText: "now allowed" }).filter({ hasText: "malware" }).waitFor();
    assert.equal(await flip.count(), 1);
    await flip.getByRole("button", { name: /^Open/ }).click();
    const opened = page.getByRole("region", { name: /^Decision \S+\.\d+/ });
    await opened.getByText('"reason": "policy-rejected"').waitFor();
    await tryIt(fileOf("traps.wasm", await traps()));
    await card.getByText("trap 3", { exact: true }).waitFor();
    const broken = new TextEncoder().encode("this is no module");
    await tryIt(fileOf("broken.wasm", broken));
    const { body } = await (await policyAdmin(world.bus)).upload(broken);
    const sentence = String(body["detail"]).split(": ").at(-1) ?? "";
    assert.notEqual(sentence, "");
    await card.getByRole("alert").getByText(sentence).waitFor();
    const journal = sent.filter((one) => one === "GET /v1/journal").length;
    assert.ok(journal > 0);
    // Requests that every page sends periodically do not belong to a trial.
    const usual = ["GET /v1/journal", "GET /v1/cluster"];
    const others = new Set(sent.filter((one) => !usual.includes(one)));
    assert.deepEqual([...others].sort(), [
      "GET /console/replay_worker.js",
      "GET /v1/policies/modules/SHA256",
    ]);
    const { policies } = await ask(world, `/v1/policies?tenant=${TENANT}`);
    assert.equal(policies.length, 1, "nothing was uploaded or deployed");
  },
};

const stopped: Scenario = {
  name: "a trial that waits for the journal is stopped by its button, and can be begun again",
  async run(world) {
    await decided(world, "stopped");
    await using console = await openConsole(world, { at: "#/policies/stopped/words" });
    const { page } = console;
    await page.getByText("2 allowed, 1 refused, 0 faults.").waitFor();
    const asked = Promise.withResolvers<void>();
    const pattern = /\/v1\/journal\?.*payload=1/;
    // It is never answered.
    await page.route(pattern, () => asked.resolve());
    const card = page.getByRole("region", { name: "Flips of another module" });
    const module = await Deno.readFile(`${BUILT}content_size.wasm`);
    await card.getByLabel("Module").setInputFiles(fileOf("size.wasm", module));
    await card.getByRole("button", { name: "Try it" }).click();
    await asked.promise;
    await card.getByRole("button", { name: "Stop" }).click();
    await card.getByText("Nothing was repeated: it was stopped.").waitFor();
    await page.unroute(pattern);
    await card.getByRole("button", { name: "Try it" }).click();
    await card.getByText("3 of 3", { exact: true }).waitFor();
  },
};

/** In the order in which they run. */
export const TRIAL_SCENARIOS: readonly Scenario[] = [trial, stopped];
